//! Opening a log that holds a lot. Each log is filled, opened several times and removed before the next one, because all
//! of them together would not fit.

use ledger_lap::{Outcome, Task, Volume};

use crate::Result;
use crate::arena::Arena;
use crate::file::heat::Dropout;
use crate::file::racer::Racer;
use crate::file::table::{Table, Unit};
use crate::report::Standing;

/// Rows of a million and of ten million records.
///
/// # Errors
/// Those of the race.
pub(crate) fn run(arena: &Arena, racers: &[Racer]) -> Result<Vec<String>> {
    let records = arena.file_records();
    Ok(vec![
        table(arena, racers, records)?,
        table(arena, racers, 10 * records)?,
    ])
}

fn table(arena: &Arena, racers: &[Racer], records: u64) -> Result<String> {
    let title = format!("Reopen {records} records");
    let mut table = Table::new(title, Unit::Opening);
    let volume = Volume {
        records,
        record_bytes: 100,
    };
    for racer in racers {
        match openings(arena, racer, volume)? {
            Ok(laps) => table.enter(racer, Standing::new(&racer.name, laps)),
            Err(why) => table.leave_out(racer, why),
        }
    }
    Ok(table.to_string())
}

/// How long each opening took, after one that does not count.
fn openings(arena: &Arena, racer: &Racer, volume: Volume) -> Result<Result<Vec<f64>, Dropout>> {
    let dir = arena.fresh_dir()?;
    if let Err(why) = time(racer.lap(dir.path(), &Task::Fill(volume))?) {
        return Ok(Err(why));
    }
    let mut laps = Vec::new();
    for round in 0..=arena.rounds {
        match time(racer.lap(dir.path(), &Task::Reopen)?) {
            Ok(lap) if round > 0 => laps.push(lap),
            Ok(_) => {}
            Err(why) => return Ok(Err(why)),
        }
    }
    Ok(Ok(laps))
}

fn time(outcome: Outcome) -> Result<f64, Dropout> {
    match outcome {
        Outcome::Measured(measured) => Ok(measured.ns_per_record()),
        Outcome::NotOffered => Err(Dropout::NotOffered),
        Outcome::Failed(error) => Err(Dropout::Failed(error)),
        Outcome::Found(findings) => Err(Dropout::Failed(format!("{findings:?} is no time"))),
    }
}
