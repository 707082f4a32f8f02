//! What a measurement works on: an opened log, and the entries that are made for it.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use ledger_core::{Batch, NewEntry, Payload, StreamName};
use ledger_file::Log;
use ledger_lap::{Number, Promise, Result};
use rustix::fs::{Advice, fadvise};

use super::task::{Entries, Warmth};
use crate::file::ledger::options;

const PAYLOAD_BYTES: usize = 100;

/// Opens the log: what is acknowledged survives the process.
pub(super) fn open(dir: &Path) -> Result<Log> {
    Ok(Log::open(dir, options(Promise::Process))?)
}

/// The name of a stream.
pub(super) fn stream(number: u64) -> StreamName {
    format!("s-{number}").into()
}

/// The entry numbered `number`: its payload tells the number, its dedup key has no pattern.
pub(super) fn entry(entries: Entries, number: u64) -> NewEntry {
    let mut entry = NewEntry::new(Payload::octets(payload(number))).dedup_key(dedup_key(number));
    entry.order_key = entries.order_key_of(number);
    entry
}

/// The number, and bytes without a pattern behind it.
fn payload(number: u64) -> Vec<u8> {
    let words = (0..).map(|word| Number::new(1 + word, number).scrambled().to_le_bytes());
    let noise = words.flatten().take(PAYLOAD_BYTES - Number::BYTES);
    number.to_le_bytes().into_iter().chain(noise).collect()
}

fn dedup_key(number: u64) -> String {
    format!("{:016x}", Number::new(0, number).scrambled())
}

/// A batch to each stream that the entries from `first` on belong to.
pub(super) fn batches(entries: Entries, first: u64, count: u64) -> Vec<Batch<u64>> {
    let numbers = first..first + count;
    match entries.streams() {
        1 => {
            let entries = numbers.map(|number| entry(entries, number)).collect();
            vec![Batch::new(stream(0), entries)]
        }
        _ => numbers
            .map(|number| {
                let name = stream(entries.stream_of(number));
                Batch::new(name, vec![entry(entries, number)])
            })
            .collect(),
    }
}

/// Takes away what the closing of a log has kept of its streams: after a kill there is no such file either.
pub(super) fn forget_streams(dir: &Path) -> Result<()> {
    match fs::remove_file(dir.join("STREAMS")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Makes the system forget what it has cached of the files in `dir` that should be cold, and cache the others. No
/// process may have them mapped.
pub(super) fn chill(dir: &Path, warmth: Warmth) -> Result<()> {
    for found in fs::read_dir(dir)? {
        let path = found?.path();
        let mut file = File::open(&path)?;
        file.sync_all()?;
        let extension = path.extension().and_then(|it| it.to_str());
        let is_index = matches!(extension, Some("index" | "merged"));
        match warmth {
            Warmth::ColdIndexes if !is_index => drop(io::copy(&mut file, &mut io::sink())?),
            _ => fadvise(&file, 0, None, Advice::DontNeed)?,
        }
    }
    Ok(())
}
