//! Reading logs that were filled once and are opened anew for each lap; and how much room they take.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ledger_lap::{Order, Outcome, Promise, Read, Task, Volume, Write};
use tempfile::TempDir;

use crate::Result;
use crate::arena::Arena;
use crate::file::heat::Heat;
use crate::file::racer::Racer;
use crate::file::table::Unit;

/// Rows of reads, and of the room that was read from.
///
/// # Errors
/// Those of the race.
pub(crate) fn run(arena: &Arena, racers: &[Racer]) -> Result<Vec<String>> {
    let volume = Volume {
        records: arena.file_records(),
        record_bytes: 100,
    };
    let (filled, failed) = fill(arena, racers, &Task::Fill(volume))?;
    let (singly, failed_singly) = fill(arena, racers, &Task::Write(one_a_call(volume)))?;
    let reads = arena.size.many;
    let random = |length, reads| Order::Random { length, reads };
    let orders = [
        ("Read all", Order::All),
        ("One record here and there", random(1, 2 * reads)),
        ("100 records here and there", random(100, reads / 10)),
    ];
    let mut rows = Vec::new();
    for (filled, how) in [(&filled, "reopened"), (&singly, "appended one a call")] {
        for (title, order) in orders {
            let title = format!("{title}, {how}");
            rows.push(heat(arena, filled, &title, Read { volume, order })?);
        }
    }
    rows.push(room(&filled, volume)?);
    rows.extend(failed.into_iter().chain(failed_singly));
    Ok(rows)
}

/// Appends all records, each by a call of its own.
fn one_a_call(volume: Volume) -> Write {
    Write {
        promise: Promise::Process,
        threads: 1,
        batch: 1,
        record_bytes: volume.record_bytes,
        records_max: volume.records,
        millis_max: u64::MAX,
    }
}

/// A racer with a log that it has filled.
struct Filled {
    racer: Racer,
    dir: TempDir,
}

/// Fills a log for everybody; answers too who could not.
fn fill(arena: &Arena, racers: &[Racer], task: &Task) -> Result<(Vec<Filled>, Vec<String>)> {
    let (mut filled, mut failed) = (Vec::new(), Vec::new());
    for racer in racers {
        let dir = arena.fresh_dir()?;
        match racer.lap(dir.path(), task)? {
            Outcome::Measured(_) => filled.push(Filled {
                racer: racer.clone(),
                dir,
            }),
            Outcome::Failed(error) => failed.push(format!("- {} failed: {error}\n", racer.name)),
            Outcome::NotOffered | Outcome::Found(_) => {}
        }
    }
    Ok((filled, failed))
}

fn heat(arena: &Arena, filled: &[Filled], title: &str, read: Read) -> Result<String> {
    let racers: Vec<_> = filled.iter().map(|filled| filled.racer.clone()).collect();
    let heat = Heat {
        title: title.into(),
        unit: Unit::Records,
        racers: &racers,
        rounds: arena.rounds,
    };
    let dir_of = |racer: &Racer| {
        let own = filled.iter().find(|it| it.racer.name == racer.name);
        own.map(|own| own.dir.path()).ok_or("nothing is filled")
    };
    let table = heat.run(|racer| racer.lap(dir_of(racer)?, &Task::Read(read)))?;
    Ok(table.to_string())
}

/// How many bytes a record takes, everything included; and whether all are there, after so much reading.
fn room(filled: &[Filled], volume: Volume) -> Result<String> {
    let mut lines = Vec::new();
    for Filled { racer, dir } in filled {
        let findings = racer.verify(dir.path(), &[volume.records], volume.record_bytes)?;
        let bytes = bytes_in(dir.path())? as f64 / volume.records as f64;
        let note = match findings.all_right() {
            true => String::new(),
            false => format!("; not as it was written: {findings:?}"),
        };
        lines.push((bytes, format!("| {} | {bytes:.1}{note} |\n", racer.name)));
    }
    lines.sort_by(|one, other| one.0.total_cmp(&other.0));
    let lines: String = lines.into_iter().map(|(_, line)| line).collect();
    Ok(format!(
        "### Bytes on disk a record of 100 B\n\n| | bytes |\n| --- | ---: |\n{lines}"
    ))
}

/// The room that all files below `dir` take: holes are none.
pub(crate) fn bytes_in(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let (path, metadata) = entry.map(|entry| (entry.path(), entry.metadata()))?;
        let metadata = metadata?;
        bytes += match metadata.is_dir() {
            true => bytes_in(&path)?,
            false => metadata.len().min(metadata.blocks() * 512),
        };
    }
    Ok(bytes)
}
