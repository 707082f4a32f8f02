//! What the typed layer costs over the raw store, beyond serde_json: measured in memory, where nothing drowns it.

use std::hint::black_box;
use std::time::Instant;

use ledger_core::{MemoryStore, Stream};

use crate::Result;
use crate::arena::Arena;
use crate::ledger::{self, Payments, STREAM};
use crate::race::{Lap, Race};
use crate::report::{Claim, Report};
use crate::work::{BATCH, Keys, Payment, Work};

/// What a microsecond is worth.
const NS_BELOW: f64 = 1_000.0;

/// Races appending payments, appending encoded payments, and encoding alone.
pub(crate) fn append(arena: &Arena) -> Result<Report> {
    let work = |round| arena.many(round, Keys::Random);
    let mut race = Race::new("Typed layer, append in batches of 1,000 in memory");
    let typed = race.enter("typed", |round| {
        let lots = work(round).lots(BATCH);
        lap(arena, work(round), async |payments| {
            ledger::append_lots(payments, lots).await
        })
    });
    let raw = race.enter("raw store", |round| {
        let batches = work(round).batches(STREAM)?;
        lap(arena, work(round), async |payments| {
            ledger::append_batches(payments, batches).await
        })
    });
    let json = race.enter("serde_json", |round| encode_lap(work(round)));
    race.expect(Claim::Overhead {
        whole: typed,
        parts: [raw, json],
        ns_below: NS_BELOW,
    });
    race.run(arena.rounds)
}

/// Races reading payments, reading encoded payments, and decoding alone.
pub(crate) fn read(arena: &Arena) -> Result<Report> {
    let work = arena.many(0, Keys::Random);
    let payments = in_memory();
    arena
        .runtime
        .block_on(ledger::append_lots(&payments, work.lots(BATCH)))?;
    let mut race = Race::new("Typed layer, read pages of 1,000 in memory");
    let typed = race.enter("typed", |_| {
        read_lap(arena, work, ledger::read_typed(&payments))
    });
    let raw = race.enter("raw store", |_| {
        read_lap(arena, work, ledger::read_raw(&payments))
    });
    let json = race.enter("serde_json", |_| decode_lap(work));
    race.expect(Claim::Overhead {
        whole: typed,
        parts: [raw, json],
        ns_below: NS_BELOW,
    });
    race.run(arena.rounds)
}

fn in_memory() -> Payments {
    Stream::new(MemoryStore::new(), STREAM)
}

/// Lets `write` do its work on a fresh store, then checks it.
fn lap(arena: &Arena, work: Work, write: impl AsyncFnOnce(&Payments) -> Result<()>) -> Result<Lap> {
    let payments = in_memory();
    arena.runtime.block_on(async {
        let start = Instant::now();
        write(&payments).await?;
        let time = start.elapsed();
        ledger::check(&payments, work).await?;
        let entries = work.count;
        Ok(Lap { entries, time })
    })
}

fn read_lap(arena: &Arena, work: Work, read: impl Future<Output = Result<usize>>) -> Result<Lap> {
    let start = Instant::now();
    let entries = arena.runtime.block_on(read)?;
    let time = start.elapsed();
    work.expect_count(entries)?;
    Ok(Lap { entries, time })
}

/// Encodes every payment, and drops it as an append does.
fn encode_lap(work: Work) -> Result<Lap> {
    let lots = work.lots(BATCH);
    let mut encoded = Vec::with_capacity(work.count);
    let start = Instant::now();
    for entry in lots.into_iter().flatten() {
        encoded.push(serde_json::to_vec(&entry.value)?);
    }
    let time = start.elapsed();
    let entries = black_box(encoded).len();
    Ok(Lap { entries, time })
}

/// Decodes every payment, a page at a time.
fn decode_lap(work: Work) -> Result<Lap> {
    let batches = work.batches(STREAM)?;
    let start = Instant::now();
    for batch in &batches {
        let page: Vec<Payment> = batch
            .entries
            .iter()
            .map(|entry| serde_json::from_slice(&entry.value.bytes))
            .collect::<Result<_, _>>()?;
        black_box(page);
    }
    let time = start.elapsed();
    let entries = work.count;
    Ok(Lap { entries, time })
}
