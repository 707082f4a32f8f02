//! Opening a log that holds a lot: for the first time in a process, and once more. Each log is filled, opened several times
//! and removed before the next one, because all of them together would not fit.

use std::path::Path;

use ledger_lap::{Opening, Outcome, Task, Volume};

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
    let mut tables = Vec::new();
    for records in [records, 10 * records] {
        tables.extend(both(arena, racers, records)?);
    }
    Ok(tables)
}

fn both(arena: &Arena, racers: &[Racer], records: u64) -> Result<[String; 2]> {
    let mut tables = TURNS.map(|(_, what)| {
        let title = format!("Reopen {records} records, {what}");
        Table::new(title, Unit::Opening)
    });
    let volume = Volume {
        records,
        record_bytes: 100,
    };
    for racer in racers {
        let dir = arena.fresh_dir()?;
        let filled = time(racer.lap(dir.path(), &Task::Fill(volume))?);
        for (table, (opening, _)) in tables.iter_mut().zip(TURNS) {
            let laps = match &filled {
                Ok(_) => openings(arena, racer, dir.path(), opening)?,
                Err(why) => Err(why.clone()),
            };
            match laps {
                Ok(laps) => table.enter(racer, Standing::new(&racer.name, laps)),
                Err(why) => table.leave_out(racer, why),
            }
        }
    }
    Ok(tables.map(|table| table.to_string()))
}

const TURNS: [(Opening, &str); 2] = [
    (Opening::First, "the first time in a process"),
    (Opening::Again, "once more"),
];

/// How long each opening took, after one that does not count.
fn openings(
    arena: &Arena,
    racer: &Racer,
    dir: &Path,
    opening: Opening,
) -> Result<Result<Vec<f64>, Dropout>> {
    let laps = (0..=arena.rounds).map(|_| Ok(time(racer.lap(dir, &Task::Reopen(opening))?)));
    let laps: Result<Result<Vec<_>, _>> = laps.collect();
    Ok(laps?.map(|mut laps| laps.split_off(1)))
}

fn time(outcome: Outcome) -> Result<f64, Dropout> {
    match outcome {
        Outcome::Measured(measured) => Ok(measured.ns_per_record()),
        Outcome::NotOffered => Err(Dropout::NotOffered),
        Outcome::Failed(error) => Err(Dropout::Failed(error)),
        Outcome::Found(findings) => Err(Dropout::Failed(format!("{findings:?} is no time"))),
    }
}
