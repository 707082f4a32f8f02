//! Reading pages of 1,000.

use std::path::Path;
use std::time::Instant;

use crate::Result;
use crate::arena::Arena;
use crate::bare;
use crate::ledger::{self, Payments};
use crate::race::{Lap, Race};
use crate::report::{Claim, Report};
use crate::work::{BATCH, Keys, Work};

/// Races raw store and typed stream against bare rusqlite reading the same rows from the same file.
pub(crate) fn race(arena: &Arena) -> Result<Report> {
    let work = arena.many(0, Keys::Random);
    let dir = arena.fresh_dir()?;
    let dir = dir.path();
    arena.runtime.block_on(fill(dir, work))?;
    let mut race = Race::new("Read pages of 1,000");
    let raw = race.enter("ledger, raw store", |_| {
        lap(arena, dir, work, ledger::read_raw)
    });
    let bare_raw = race.enter("bare rusqlite", |_| bare::read_raw_lap(dir, work));
    let typed = race.enter("ledger, typed", |_| {
        lap(arena, dir, work, ledger::read_typed)
    });
    let bare_typed = race.enter("bare rusqlite and serde_json", |_| {
        bare::read_typed_lap(dir, work)
    });
    for (ours, theirs) in [(raw, bare_raw), (typed, bare_typed)] {
        race.expect(Claim::Ratio {
            ours,
            theirs,
            at_least: 0.6,
        });
    }
    race.run(arena.rounds)
}

async fn fill(dir: &Path, work: Work) -> Result<()> {
    let payments = ledger::open(dir).await?;
    ledger::append_lots(&payments, work.lots(BATCH)).await?;
    Ok(payments.store().close().await?)
}

/// Lets `read` read everything once, then checks what there is to read.
fn lap(
    arena: &Arena,
    dir: &Path,
    work: Work,
    read: impl AsyncFnOnce(&Payments) -> Result<usize>,
) -> Result<Lap> {
    arena.runtime.block_on(async {
        let payments = ledger::open(dir).await?;
        let start = Instant::now();
        let entries = read(&payments).await?;
        let time = start.elapsed();
        work.expect_count(entries)?;
        ledger::check(&payments, work).await?;
        payments.store().close().await?;
        Ok(Lap { entries, time })
    })
}
