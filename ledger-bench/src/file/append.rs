//! Appending: by one thread so that records survive the process, by one and by many so that they survive the loss of power.

use ledger_lap::Task;
use ledger_lap::{Outcome, Promise, Write};

use crate::Result;
use crate::arena::Arena;
use crate::file::heat::Heat;
use crate::file::racer::Racer;
use crate::file::table::Unit;

const SHORT: usize = 100;
const LONG: usize = 1_024;

/// Rows of records that survive `kill -9`.
///
/// # Errors
/// Those of the race.
pub(crate) fn survivors_of_the_process(arena: &Arena, racers: &[Racer]) -> Result<Vec<String>> {
    let row = |title, batch, record_bytes| {
        let write = write(arena, Promise::Process, 1, batch, record_bytes);
        heat(arena, racers, title, write)
    };
    Ok(vec![
        row("One record a call, survives kill -9, 100 B", 1, SHORT)?,
        row("One record a call, survives kill -9, 1 KiB", 1, LONG)?,
        row("Batches of 100, survive kill -9", 100, SHORT)?,
        row("Batches of 1,000, survive kill -9", 1_000, SHORT)?,
    ])
}

/// Rows of records that survive the loss of power.
///
/// # Errors
/// Those of the race.
pub(crate) fn survivors_of_power_loss(arena: &Arena, racers: &[Racer]) -> Result<Vec<String>> {
    let row = |title, threads, batch| {
        let write = write(arena, Promise::Disk, threads, batch, SHORT);
        heat(arena, racers, title, write)
    };
    Ok(vec![
        row("Durable, one thread", 1, 1)?,
        row("Durable, 8 threads", 8, 1)?,
        row("Durable, 64 threads", 64, 1)?,
        row("Durable, batches of 100", 1, 100)?,
    ])
}

fn write(
    arena: &Arena,
    promise: Promise,
    threads: usize,
    batch: usize,
    record_bytes: usize,
) -> Write {
    Write {
        promise,
        threads,
        batch,
        record_bytes,
        records_max: arena.file_records(),
        millis_max: arena.file_millis(),
    }
}

fn heat(arena: &Arena, racers: &[Racer], title: &str, write: Write) -> Result<String> {
    let heat = Heat {
        title: title.into(),
        unit: Unit::Records,
        racers,
        rounds: arena.rounds,
    };
    let table = heat.run(|racer| checked_lap(arena, racer, write))?;
    Ok(table.to_string())
}

/// Runs a lap in an empty directory, and lets another process check what it has left there.
fn checked_lap(arena: &Arena, racer: &Racer, write: Write) -> Result<Outcome> {
    let dir = arena.fresh_dir()?;
    let outcome = racer.lap(dir.path(), &Task::Write(write))?;
    let Outcome::Measured(measured) = &outcome else {
        return Ok(outcome);
    };
    let findings = racer.verify(dir.path(), &measured.records, write.record_bytes)?;
    Ok(match findings.all_right() {
        true => outcome,
        false => Outcome::Failed(format!("did not keep its promise: {findings:?}")),
    })
}
