//! Appending one entry at a time, acknowledged before the next: by many tasks at once, and by one.

use crate::Result;
use crate::arena::Arena;
use crate::bare;
use crate::ledger;
use crate::race::Race;
use crate::report::{Claim, Report};
use crate::work::{BATCH, Keys};

const TASKS: usize = 64;

/// Races 64 tasks, who share commits, against batches of 1,000.
///
/// They can never share a commit with more than each other, so bare batches of 64 show the most that there is to reach.
pub(crate) fn many_tasks(arena: &Arena, keys: Keys) -> Result<Report> {
    let work = |round| arena.many(round, keys);
    let mut race = Race::new(format!(
        "64 tasks, one entry at a time, {}",
        keys.in_words()
    ));
    let tasks = race.enter("ledger, 64 tasks", |round| {
        let shares = work(round).lots(arena.size.many.div_ceil(TASKS));
        ledger::write_lap(arena, work(round), async |payments| {
            ledger::append_shares(payments, shares).await
        })
    });
    let batches = race.enter("ledger, batches of 1,000", |round| {
        let lots = work(round).lots(BATCH);
        ledger::write_lap(arena, work(round), async |payments| {
            ledger::append_lots(payments, lots).await
        })
    });
    let groups = race.enter("bare rusqlite, batches of 64", |round| {
        bare::write_lap(arena, work(round), TASKS)
    });
    for theirs in [batches, groups] {
        race.expect(Claim::Ratio {
            ours: tasks,
            theirs,
            at_least: 0.8,
        });
    }
    race.run(arena.rounds)
}

/// Races one task against a bare transaction for each entry.
pub(crate) fn one_task(arena: &Arena, keys: Keys) -> Result<Report> {
    let work = |round| arena.alone(round, keys);
    let mut race = Race::new(format!(
        "One task, one entry at a time, {}",
        keys.in_words()
    ));
    let task = race.enter("ledger, one task", |round| {
        let entries = work(round).entries().collect();
        ledger::write_lap(arena, work(round), async |payments| {
            ledger::append_share(payments, entries).await
        })
    });
    let bare = race.enter("bare rusqlite, one-row transactions", |round| {
        bare::write_lap(arena, work(round), 1)
    });
    race.expect(Claim::Ratio {
        ours: task,
        theirs: bare,
        at_least: 0.8,
    });
    race.run(arena.rounds)
}
