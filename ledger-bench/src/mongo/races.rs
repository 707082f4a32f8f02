//! The races.

use super::bare::Bare;
use super::laps;
use super::site::Site;
use crate::Result;
use crate::arena::Arena;
use crate::ledger::{self, STREAM};
use crate::race::Race;
use crate::report::{Claim, Report};
use crate::work::{BATCH, Keys, Payloads, Work};

/// Races appends of batches of 1,000 against an insert of the same documents in a transaction.
///
/// # Errors
/// Those of the contestants.
pub(crate) fn append(arena: &Arena, keys: Keys, payloads: Payloads) -> Result<Report> {
    let work = |round| arena.many(round, keys).with_payloads(payloads);
    let mut race = Race::new(format!(
        "MongoDB, append in batches of 1,000, {}, {}",
        payloads.in_words(),
        keys.in_words()
    ));
    let typed = race.enter("ledger, typed", |round| {
        let lots = work(round).lots(BATCH);
        laps::write(arena, work(round), |payments| async move {
            ledger::append_lots(&payments, lots).await
        })
    });
    race.enter("ledger, raw store", |round| {
        let batches = work(round).batches(STREAM)?;
        laps::write(arena, work(round), |payments| async move {
            ledger::append_batches(&payments, batches).await
        })
    });
    let bare = race.enter("bare driver, transactions", |round| {
        let lots = work(round).lots(BATCH);
        laps::write_bare(arena, work(round), |bare| bare.append_lots(lots))
    });
    race.expect(Claim::Ratio {
        ours: typed,
        theirs: bare,
        at_least: 0.85,
    });
    race.run(arena.rounds)
}

/// Races one task against an insert of each entry, in a transaction and without one.
///
/// # Errors
/// Those of the contestants.
pub(crate) fn one_task(arena: &Arena, keys: Keys) -> Result<Report> {
    let mut race = Race::new(format!(
        "MongoDB, one task, one entry at a time, 100 B, {}",
        keys.in_words()
    ));
    race.enter("ledger, one task", |round| {
        let work = arena.alone(round, keys);
        let entries = work.entries().collect();
        laps::write(arena, work, |payments| async move {
            ledger::append_share(&payments, entries).await
        })
    });
    race.enter("bare driver, transactions", |round| {
        let work = arena.alone(round, keys);
        let lots = work.lots(1);
        laps::write_bare(arena, work, |bare| bare.append_lots(lots))
    });
    race.enter("bare driver, lone inserts", |round| {
        let work = arena.alone(round, keys);
        let entries = work.entries().collect();
        laps::write_bare(arena, work, |bare| bare.append_each(entries))
    });
    race.run(arena.rounds)
}

/// Races tasks, who share transactions, against one of them, and against batches of 1,000.
///
/// # Errors
/// Those of the contestants.
pub(crate) fn many_tasks(arena: &Arena, keys: Keys) -> Result<Report> {
    let mut race = Race::new(format!(
        "MongoDB, many tasks on one stream, one entry at a time, 100 B, {}",
        keys.in_words()
    ));
    let one = race.enter("ledger, one task", |round| {
        let work = arena.alone(round, keys);
        let entries = work.entries().collect();
        laps::write(arena, work, |payments| async move {
            ledger::append_share(&payments, entries).await
        })
    });
    let tasks = |tasks: usize| {
        move |round| {
            let work = arena.many(round, keys);
            let shares = work.lots(work.count.div_ceil(tasks));
            laps::write(arena, work, |payments| async move {
                ledger::append_shares(&payments, shares).await
            })
        }
    };
    race.enter("ledger, 16 tasks", tasks(16));
    let many = race.enter("ledger, 64 tasks", tasks(64));
    race.enter("ledger, batches of 1,000", |round| {
        let work = arena.many(round, keys);
        let lots = work.lots(BATCH);
        laps::write(arena, work, |payments| async move {
            ledger::append_lots(&payments, lots).await
        })
    });
    race.expect(Claim::Ratio {
        ours: many,
        theirs: one,
        at_least: 25.0,
    });
    race.run(arena.rounds)
}

/// Races pages of 1,000 against a find of the same documents, read as raw bytes and decoded.
///
/// # Errors
/// Those of the contestants.
pub(crate) fn read(arena: &Arena, payloads: Payloads) -> Result<Report> {
    let work = arena.many(0, Keys::Random).with_payloads(payloads);
    let site = arena.runtime.block_on(fill(arena, work))?;
    let mut race = Race::new(format!(
        "MongoDB, read pages of 1,000, {}",
        payloads.in_words()
    ));
    race.enter("ledger, raw store", |_| {
        laps::read(arena, &site, work, |payments| async move {
            ledger::read_raw(&payments).await
        })
    });
    let typed = race.enter("ledger, typed", |_| {
        laps::read(arena, &site, work, |payments| async move {
            ledger::read_typed(&payments).await
        })
    });
    let bare = race.enter("bare driver, raw documents", |_| {
        laps::read_bare(arena, &site, work, Bare::read_raw)
    });
    race.enter("bare driver, decoded", |_| {
        laps::read_bare(arena, &site, work, Bare::read_typed)
    });
    race.expect(Claim::Ratio {
        ours: typed,
        theirs: bare,
        at_least: 0.6,
    });
    let report = race.run(arena.rounds)?;
    arena.runtime.block_on(site.remove())?;
    Ok(report)
}

async fn fill(arena: &Arena, work: Work) -> Result<Site<'_>> {
    let site = Site::fresh(arena).await?;
    let payments = site.open().await?;
    ledger::append_lots(&payments, work.lots(BATCH)).await?;
    payments.store().close().await?;
    site.settle().await?;
    Ok(site)
}
