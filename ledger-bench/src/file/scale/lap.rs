//! The measurements, each in its own process.

use std::hint::black_box;
use std::io::{Read, Write, stdin, stdout};
use std::path::Path;
use std::time::{Duration, Instant};

use ledger_core::{Batch, Filter, ReadOptions};
use ledger_file::Log;
use ledger_lap::{Measured, Number, Result, memory};

use super::site;
use super::task::{End, Entries, Found, TEN, Task, Warmth, rare_key};

/// How many single appends or reads are measured.
const SINGLES: u64 = 20_000;

/// How many entries are appended between two looks at the memory.
const ENTRIES_BETWEEN_LOOKS: u64 = 20_000;

/// How many keys are looked up.
const LOOK_UPS: u64 = 20;

/// Does what the command line says, if it is about this, and waits to be killed.
///
/// # Errors
/// Arguments that make no sense. What goes wrong in the task is an answer.
pub(crate) fn run(arguments: &[String]) -> Result<bool> {
    let [word, dir, task] = arguments else {
        return Ok(false);
    };
    if word != "scale" {
        return Ok(false);
    }
    let task = serde_json::from_str(task)?;
    let found = measure(Path::new(dir), task).map_err(|error| error.to_string());
    writeln!(stdout(), "{}", serde_json::to_string(&found)?)?;
    stdin().read_to_end(&mut Vec::new())?;
    Ok(true)
}

fn measure(dir: &Path, task: Task) -> Result<Found> {
    let start = Instant::now();
    let log = site::open(dir)?;
    let opened = start.elapsed();
    let mut own_kib = 0;
    let (records, time) = match task {
        Task::Fill { entries, batch, .. } => fill(&log, entries, batch, &mut own_kib)?,
        Task::Open => (1, opened),
        Task::AppendOne(entries) => append_one(&log, entries)?,
        Task::ReadTen(entries) => read_ten(&log, entries)?,
        Task::OneKey { entries, warmth } => {
            log.close()?;
            return one_key(dir, entries, warmth);
        }
    };
    let found = found(records, time, own_kib)?;
    match task {
        Task::Fill {
            end: End::Killed, ..
        } => std::mem::forget(log),
        _ => log.close()?,
    }
    Ok(found)
}

/// What was found, with the memory of now.
fn found(records: u64, time: Duration, own_kib: u64) -> Result<Found> {
    Ok(Found {
        measured: Measured {
            records: vec![records],
            time,
            memory_peak_kib: memory::peak_kib()?,
        },
        own_kib: own_kib.max(memory::own_kib()?),
    })
}

/// Fills the log, and looks at the memory every so many entries.
fn fill(log: &Log, entries: Entries, batch: u64, own_kib: &mut u64) -> Result<(u64, Duration)> {
    let mut time = Duration::ZERO;
    for first in (0..entries.count).step_by(batch as usize) {
        let count = batch.min(entries.count - first);
        let batches = site::batches(entries, first, count);
        let start = Instant::now();
        let receipts = log.append_many(batches)?;
        time += start.elapsed();
        let appended: usize = receipts.iter().map(|receipt| receipt.outcomes.len()).sum();
        if appended as u64 != count || receipts.iter().any(|it| it.appended() != it.outcomes.len())
        {
            return Err("an entry was taken for one that is there".into());
        }
        if first % ENTRIES_BETWEEN_LOOKS == 0 {
            *own_kib = memory::own_kib()?.max(*own_kib);
        }
    }
    Ok((entries.count, time))
}

fn append_one(log: &Log, entries: Entries) -> Result<(u64, Duration)> {
    let mut time = Duration::ZERO;
    for number in 0..SINGLES {
        let stream = site::stream(entries.stream_of(scattered(fresh_base() + number)));
        // Behind everything that is there, and other than in the laps before: nothing is appended twice.
        let fresh = entries.count + fresh_base() + number;
        let entry = site::entry(entries, fresh);
        let batch = Batch::new(stream, vec![entry]);
        let start = Instant::now();
        let receipt = log.append(batch)?;
        time += start.elapsed();
        if receipt.appended() != 1 {
            return Err("an entry was taken for one that is there".into());
        }
    }
    Ok((SINGLES, time))
}

/// A number that no other process has, above those of the entries that the log was filled with.
fn fresh_base() -> u64 {
    u64::from(std::process::id()) * SINGLES
}

fn read_ten(log: &Log, entries: Entries) -> Result<(u64, Duration)> {
    let mut time = Duration::ZERO;
    for number in 0..SINGLES {
        let place = scattered(fresh_base() + number);
        let stream = site::stream(entries.stream_of(place));
        let after = match entries.streams() {
            1 => place % (entries.count - TEN),
            _ => 0,
        };
        let options = ReadOptions::new().after(after).limit(TEN as usize);
        let start = Instant::now();
        let page = black_box(log.read(&stream, &options)?);
        time += start.elapsed();
        if page.entries.len() as u64 != TEN || page.entries[0].id != after + 1 {
            return Err(format!("{stream:?} was not read behind {after}").into());
        }
    }
    Ok((SINGLES, time))
}

fn one_key(dir: &Path, entries: Entries, warmth: Warmth) -> Result<Found> {
    let mut time = Duration::ZERO;
    let mut log = site::open(dir)?;
    if warmth == Warmth::Warm {
        look_up(&log, entries, 0)?;
    }
    for number in 0..LOOK_UPS {
        let key = match warmth {
            Warmth::Warm => 0,
            Warmth::ColdIndexes | Warmth::Cold => {
                // What is mapped stays in memory, whatever the system is told.
                log.close()?;
                drop(log);
                site::chill(dir, warmth)?;
                log = site::open(dir)?;
                number % entries.rare_keys()
            }
        };
        time += look_up(&log, entries, key)?;
    }
    let found = found(LOOK_UPS, time, 0)?;
    log.close()?;
    Ok(found)
}

fn look_up(log: &Log, entries: Entries, key: u64) -> Result<Duration> {
    let options = ReadOptions::new()
        .filter(Filter::new().order_key(rare_key(key)))
        .limit(entries.rare_entries().max(1) as usize);
    let start = Instant::now();
    let page = black_box(log.read(&site::stream(0), &options)?);
    let time = start.elapsed();
    match page.entries.len() as u64 >= entries.rare_entries() {
        true => Ok(time),
        false => Err(format!("{} entries of a key were found", page.entries.len()).into()),
    }
}

/// A number without a pattern.
fn scattered(number: u64) -> u64 {
    Number::new(1, number).scrambled()
}
