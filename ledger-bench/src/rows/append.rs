//! Appending batches of 1,000.

use crate::Result;
use crate::arena::Arena;
use crate::bare;
use crate::ledger::{self, STREAM};
use crate::race::Race;
use crate::report::{Claim, Report};
use crate::work::{BATCH, Keys};

/// Races typed stream and raw store against bare rusqlite.
pub(crate) fn race(arena: &Arena, keys: Keys) -> Result<Report> {
    let work = |round| arena.many(round, keys);
    let mut race = Race::new(format!("Append in batches of 1,000, {}", keys.in_words()));
    let typed = race.enter("ledger, typed", |round| {
        let lots = work(round).lots(BATCH);
        ledger::write_lap(arena, work(round), async |payments| {
            ledger::append_lots(payments, lots).await
        })
    });
    race.enter("ledger, raw store", |round| {
        let batches = work(round).batches(STREAM)?;
        ledger::write_lap(arena, work(round), async |payments| {
            ledger::append_batches(payments, batches).await
        })
    });
    let bare = race.enter("bare rusqlite and serde_json", |round| {
        bare::write_lap(arena, work(round), BATCH)
    });
    race.expect(Claim::Ratio {
        ours: typed,
        theirs: bare,
        at_least: 0.8,
    });
    race.run(arena.rounds)
}
