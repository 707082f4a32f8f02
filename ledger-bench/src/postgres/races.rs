//! The races.

use std::hint::black_box;

use futures_util::TryStreamExt;

use super::site::Site;
use super::{bare, laps};
use crate::Result;
use crate::arena::Arena;
use crate::ledger::{self, Payments, STREAM};
use crate::race::Race;
use crate::report::{Claim, Report};
use crate::work::{BATCH, Keys, Payloads, Work};

/// Races appends of batches of 1,000 against an insert of the same arrays.
///
/// # Errors
/// Those of the contestants.
pub(crate) fn append(arena: &Arena, keys: Keys, payloads: Payloads) -> Result<Report> {
    let work = |round| arena.many(round, keys).with_payloads(payloads);
    let mut race = Race::new(format!(
        "Postgres, append in batches of 1,000, {}, {}",
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
    let bare = race.enter("bare sqlx and serde_json", |round| {
        let lots = work(round).lots(BATCH);
        laps::write_bare(arena, work(round), |mut connection| async move {
            bare::append_lots(&mut connection, lots).await
        })
    });
    race.expect(Claim::Ratio {
        ours: typed,
        theirs: bare,
        at_least: 0.85,
    });
    race.run(arena.rounds)
}

/// Races one task against an insert, and a commit, for each entry.
///
/// # Errors
/// Those of the contestants.
pub(crate) fn one_task(arena: &Arena, keys: Keys, payloads: Payloads) -> Result<Report> {
    let work = |round| arena.alone(round, keys).with_payloads(payloads);
    let mut race = Race::new(format!(
        "Postgres, one task, one entry at a time, {}, {}",
        payloads.in_words(),
        keys.in_words()
    ));
    let task = race.enter("ledger, one task", |round| {
        let entries = work(round).entries().collect();
        laps::write(arena, work(round), |payments| async move {
            ledger::append_share(&payments, entries).await
        })
    });
    let bare = race.enter("bare sqlx, one-row inserts", |round| {
        let entries = work(round).entries().collect();
        laps::write_bare(arena, work(round), |mut connection| async move {
            bare::append_each(&mut connection, entries).await
        })
    });
    race.expect(Claim::Ratio {
        ours: task,
        theirs: bare,
        at_least: 0.8,
    });
    race.run(arena.rounds)
}

/// Races tasks, who share commits, against one of them, and against batches of 1,000.
///
/// # Errors
/// Those of the contestants.
pub(crate) fn many_tasks(arena: &Arena, keys: Keys) -> Result<Report> {
    let mut race = Race::new(format!(
        "Postgres, many tasks on one stream, one entry at a time, 100 B, {}",
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
    let some = race.enter("ledger, 64 tasks", tasks(64));
    let many = race.enter("ledger, 256 tasks", tasks(256));
    let batches = race.enter("ledger, batches of 1,000", |round| {
        let work = arena.many(round, keys);
        let lots = work.lots(BATCH);
        laps::write(arena, work, |payments| async move {
            ledger::append_lots(&payments, lots).await
        })
    });
    for (ours, theirs, at_least) in [(some, one, 12.0), (many, batches, 0.6)] {
        race.expect(Claim::Ratio {
            ours,
            theirs,
            at_least,
        });
    }
    race.run(arena.rounds)
}

/// Races pages of 1,000 against a select of the same rows from the same tables: each asked for when the one before is
/// done with, and by a walk, which reads ahead.
///
/// # Errors
/// Those of the contestants.
pub(crate) fn read(arena: &Arena, payloads: Payloads) -> Result<Report> {
    let work = arena.many(0, Keys::Random).with_payloads(payloads);
    let site = arena.runtime.block_on(fill(arena, work))?;
    let mut race = Race::new(format!(
        "Postgres, read pages of 1,000, {}",
        payloads.in_words()
    ));
    let raw = race.enter("ledger, raw store", |_| {
        laps::read(arena, &site, work, |payments| async move {
            ledger::read_raw(&payments).await
        })
    });
    let bare_raw = race.enter("bare sqlx", |_| {
        laps::read_bare(arena, &site, work, |mut connection| async move {
            bare::read_raw(&mut connection).await
        })
    });
    let typed = race.enter("ledger, typed", |_| {
        laps::read(arena, &site, work, |payments| async move {
            ledger::read_typed(&payments).await
        })
    });
    let walk = race.enter("ledger, a typed walk", |_| {
        laps::read(arena, &site, work, |payments| async move {
            walk_typed(&payments).await
        })
    });
    let bare_typed = race.enter("bare sqlx and serde_json", |_| {
        laps::read_bare(arena, &site, work, |mut connection| async move {
            bare::read_typed(&mut connection).await
        })
    });
    for (ours, theirs) in [(raw, bare_raw), (typed, bare_typed), (walk, bare_typed)] {
        race.expect(Claim::Ratio {
            ours,
            theirs,
            at_least: 0.85,
        });
    }
    let report = race.run(arena.rounds)?;
    arena.runtime.block_on(site.remove())?;
    Ok(report)
}

/// Walks through everything in pages of 1,000 payments, and answers how many there were.
async fn walk_typed(payments: &Payments) -> Result<usize> {
    let (mut count, mut walk) = (0, payments.read().limit(BATCH).walk());
    while let Some(entry) = walk.try_next().await? {
        black_box(entry);
        count += 1;
    }
    Ok(count)
}

async fn fill(arena: &Arena, work: Work) -> Result<Site<'_>> {
    let site = Site::fresh(arena).await?;
    let payments = site.open().await?;
    ledger::append_lots(&payments, work.lots(BATCH)).await?;
    payments.store().close().await?;
    site.analyze().await?;
    site.settle().await?;
    Ok(site)
}
