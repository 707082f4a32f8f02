//! A year of flights through `Stream<u64, T>`: typed events of different kinds, each with an order key and a dedup key, in batches of
//! 1,000 that survive `kill -9`.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Instant;

use flate2::bufread::MultiGzDecoder;
use futures_util::TryStreamExt;
use ledger_core::{NewEntry, Stream};
use ledger_file::FileStore;
use ledger_lap::Promise;
use serde::{Deserialize, Serialize};

use super::ledger::options;
use crate::Result;
use crate::arena::Arena;
use crate::race::{Lap, Race};
use crate::report::Claim;
use crate::work::BATCH;

const TITLE: &str = "A year of flights, typed, batches of 1,000, survives kill -9";

/// How fast it shall be.
const NS_BELOW: f64 = 1_000.0;

/// A line of the input.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Line {
    kind: String,
    order_key: Option<String>,
    dedup_key: String,
    payload: Flight,
}

/// What an application knows of a flight's event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Flight {
    flight: String,
    origin: String,
    dest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_min: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    air_time_min: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arrived_local: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    distance_mi: Option<u32>,
}

impl From<Line> for NewEntry<Flight> {
    fn from(line: Line) -> Self {
        let mut entry = NewEntry::new(line.payload)
            .kind(line.kind)
            .dedup_key(line.dedup_key);
        entry.order_key = line.order_key;
        entry
    }
}

/// Races the typed stream against serde_json alone.
///
/// # Errors
/// Those of the store and the file, and events that are not read as they were appended.
pub(crate) fn run(arena: &Arena, input: Option<&Path>) -> Result<String> {
    let Some(input) = input else {
        let note = "Not run: name the file with --flights.";
        return Ok(format!("### {TITLE}\n\n{note}\n"));
    };
    let lines = lines(input)?;
    let mut race = Race::new(TITLE);
    let typed = race.enter("ledger, Stream<u64, Flight>", |_| lap(arena, &lines));
    let json = race.enter("serde_json alone", |_| encode_lap(&lines));
    race.expect(Claim::Overhead {
        whole: typed,
        parts: [json, json],
        ns_below: NS_BELOW,
    });
    Ok(race.run(arena.rounds)?.to_string())
}

fn lines(input: &Path) -> Result<Vec<Line>> {
    let file = File::open(input).map_err(|error| format!("{}: {error}", input.display()))?;
    let lines = BufReader::new(MultiGzDecoder::new(BufReader::new(file))).lines();
    lines
        .map(|line| Ok(serde_json::from_str(&line?)?))
        .collect()
}

fn lots(lines: &[Line]) -> Vec<Vec<NewEntry<Flight>>> {
    let lot = |lines: &[Line]| lines.iter().cloned().map(NewEntry::from).collect();
    lines.chunks(BATCH).map(lot).collect()
}

/// Appends everything to a fresh log, and reads it from another opening.
fn lap(arena: &Arena, lines: &[Line]) -> Result<Lap> {
    let (dir, lots) = (arena.fresh_dir()?, lots(lines));
    arena.runtime.block_on(async {
        let flights = open(dir.path()).await?;
        let start = Instant::now();
        for lot in lots {
            flights.append_all(lot).await?;
        }
        let time = start.elapsed();
        flights.store().close().await?;
        check(&open(dir.path()).await?, lines).await?;
        let entries = lines.len();
        Ok(Lap { entries, time })
    })
}

async fn open(dir: &Path) -> Result<Stream<u64, Flight>> {
    let store = FileStore::open_with(dir, options(Promise::Process)).await?;
    Ok(Stream::new(store, "flights"))
}

async fn check(flights: &Stream<u64, Flight>, lines: &[Line]) -> Result<()> {
    let (mut entries, mut expected) = (flights.read().walk(), lines.iter());
    while let Some(entry) = entries.try_next().await? {
        let line = expected.next().ok_or("more events than were appended")?;
        let right = entry.value == line.payload
            && entry.order_key == line.order_key
            && entry.dedup_key.as_ref() == Some(&line.dedup_key);
        if !right {
            return Err(format!("event {} is not as it was appended", entry.id).into());
        }
    }
    match expected.next() {
        None => Ok(()),
        Some(_) => Err("fewer events than were appended".into()),
    }
}

fn encode_lap(lines: &[Line]) -> Result<Lap> {
    let start = Instant::now();
    for line in lines {
        black_box(serde_json::to_vec(&line.payload)?);
    }
    let time = start.elapsed();
    let entries = lines.len();
    Ok(Lap { entries, time })
}
