//! A whole year of flights: appended, appended again, walked through; and the most memory that took.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::time::Instant;

use flate2::bufread::MultiGzDecoder;
use futures_util::TryStreamExt;
use ledger_core::{NewEntry, Stream};
use ledger_sqlite::SqliteStore;
use serde::Deserialize;
use serde_json::Value;

use crate::Result;
use crate::arena::Arena;
use crate::ledger::FILE;
use crate::work::BATCH;

const MEMORY_MB_MAX: f64 = 100.0;

type Flights = Stream<u64, Value>;

/// A line of the input.
#[derive(Deserialize)]
struct Line {
    kind: String,
    order_key: Option<String>,
    dedup_key: String,
    payload: Value,
}

impl From<Line> for NewEntry<Value> {
    fn from(line: Line) -> Self {
        let mut entry = NewEntry::new(line.payload)
            .kind(line.kind)
            .dedup_key(line.dedup_key);
        entry.order_key = line.order_key;
        entry
    }
}

/// Runs it, and answers its section of the report.
///
/// # Errors
/// Those of the store and the file, and figures that do not agree with each other.
pub(crate) fn run(arena: &Arena, input: Option<&Path>) -> Result<String> {
    let title = "### A year of flights";
    let Some(input) = input else {
        return Ok(format!(
            "{title}\n\nNot run: name the file with --flights.\n"
        ));
    };
    let dir = arena.fresh_dir()?;
    let summary = arena
        .runtime
        .block_on(measure(&dir.path().join(FILE), input))?;
    let memory = peak_memory_mb()?;
    let verdict = if memory < MEMORY_MB_MAX {
        "met"
    } else {
        "missed"
    };
    Ok(format!(
        "{title}\n\n{summary}\n- Peak memory: **{memory:.1} MB** (below {MEMORY_MB_MAX:.0} MB: {verdict})\n"
    ))
}

async fn measure(file: &Path, input: &Path) -> Result<String> {
    let store = SqliteStore::open(file).await?;
    let flights: Flights = Stream::new(store, "flights");
    let start = Instant::now();
    let (events, appended) = append(&flights, input).await?;
    let rate = events as f64 / start.elapsed().as_secs_f64();
    let (_, appended_again) = append(&flights, input).await?;
    let (walked, aircraft) = walk(&flights).await?;
    flights.store().close().await?;
    if (appended, appended_again, walked) != (events, 0, events) {
        return Err(format!(
            "of {events} events {appended} were appended, {appended_again} again, {walked} read"
        )
        .into());
    }
    Ok(format!(
        "- {events} events of {aircraft} aircraft, decompressed, parsed and appended at {rate:.0} a second; \
         appended again without effect; all read."
    ))
}

/// Appends the file in batches; answers how many lines it has and how many were new.
async fn append(flights: &Flights, input: &Path) -> Result<(usize, usize)> {
    let (mut events, mut appended) = (0, 0);
    let mut lines = lines(input)?;
    loop {
        let batch = batch(&mut lines)?;
        if batch.is_empty() {
            return Ok((events, appended));
        }
        events += batch.len();
        appended += flights.append_all(batch).await?.appended();
    }
}

/// Counts the entries, and the aircraft they are about.
async fn walk(flights: &Flights) -> Result<(usize, usize)> {
    let (mut count, mut aircraft) = (0, HashSet::new());
    let mut entries = flights.read().walk();
    while let Some(entry) = entries.try_next().await? {
        count += 1;
        aircraft.extend(entry.order_key);
    }
    Ok((count, aircraft.len()))
}

type Input = Lines<BufReader<MultiGzDecoder<BufReader<File>>>>;

fn lines(input: &Path) -> Result<Input> {
    let file = File::open(input).map_err(|error| format!("{}: {error}", input.display()))?;
    let decoder = MultiGzDecoder::new(BufReader::new(file));
    Ok(BufReader::new(decoder).lines())
}

fn batch(lines: &mut Input) -> Result<Vec<NewEntry<Value>>> {
    lines
        .take(BATCH)
        .map(|line| Ok(serde_json::from_str::<Line>(&line?)?.into()))
        .collect()
}

/// The most memory that this process ever held at a time: a million bytes each.
fn peak_memory_mb() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let kibibytes: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"))
        .ok_or("this system does not tell the peak memory of a process")?
        .trim()
        .parse()?;
    Ok(kibibytes * 1_024.0 / 1e6)
}
