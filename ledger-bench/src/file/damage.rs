//! One flipped byte in the middle of what was acknowledged long ago: who says so, who stops there in silence, and who hands
//! it out.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use ledger_lap::{Findings, Outcome, Task, Volume};
use memchr::memmem;

use crate::Result;
use crate::arena::Arena;
use crate::file::racer::Racer;

const RECORD_BYTES: usize = 100;

/// More than any file has that this many records are in.
const BYTES_MAX: u64 = 256 << 20;

/// Damages everybody's log.
///
/// # Errors
/// Those of the file system.
pub(crate) fn run(arena: &Arena, racers: &[Racer]) -> Result<String> {
    let volume = Volume {
        records: arena.file_records() / 100,
        record_bytes: RECORD_BYTES,
    };
    let mut lines = String::new();
    for racer in racers {
        let dir = arena.fresh_dir()?;
        if let Outcome::Measured(_) = racer.lap(dir.path(), &Task::Fill(volume))? {
            flip(dir.path(), volume.records / 2)?;
            let findings = racer.verify(dir.path(), &[volume.records], RECORD_BYTES)?;
            lines += &format!("| {} | {} |\n", racer.name, in_words(&findings));
        }
    }
    Ok(format!(
        "### One flipped byte in the middle of {} records\n\n| | what it did |\n| --- | --- |\n{lines}",
        volume.records
    ))
}

/// Flips a byte of the record numbered `number`; for engines that do not keep records in one piece, a byte in the middle of
/// the largest file.
fn flip(dir: &Path, number: u64) -> Result<()> {
    let record = ledger_lap::record(0, number, RECORD_BYTES);
    let files = files_in(dir)?;
    for path in &files {
        if let Some(place) = memmem::find(&bytes_of(path)?, &record) {
            return flip_at(path, (place + RECORD_BYTES / 2) as u64);
        }
    }
    let largest = files.first().ok_or("there is no file to damage")?;
    flip_at(largest, bytes_of(largest)?.len() as u64 / 2)
}

/// What is in a file, up to where it holds only zeroes: some engines make theirs gigabytes long beforehand.
fn bytes_of(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX).read_to_end(&mut bytes)?;
    let used = bytes.iter().rposition(|byte| *byte != 0);
    bytes.truncate(used.map_or(0, |last| last + 1));
    Ok(bytes)
}

fn flip_at(path: &Path, place: u64) -> Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, place)?;
    file.write_all_at(&[byte[0] ^ 0x10], place)?;
    Ok(())
}

/// All files below `dir`, the largest first.
fn files_in(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir)? {
            let (path, metadata) = entry.map(|entry| (entry.path(), entry.metadata()))?;
            match metadata? {
                metadata if metadata.is_dir() => dirs.push(path),
                metadata => found.push((metadata.len(), path)),
            }
        }
    }
    found.sort_by(|one, other| other.cmp(one));
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

fn in_words(findings: &Findings) -> String {
    let Findings {
        right,
        wrong,
        missing,
        error,
    } = findings;
    match error {
        Some(error) => format!("reported: {error}"),
        None if *wrong > 0 => {
            format!("**handed out {wrong} altered or out of place**, {missing} missing")
        }
        None if *missing > 0 => format!("**silent**: {right} read, {missing} missing"),
        None => "not noticed, and nothing is wrong: the byte is not read".into(),
    }
}
