//! The race of the file log: against what is written by hand on bare files, and against published logs and stores.
//!
//! Every lap is run by a process of its own (see [`ledger_lap`]): this program for our own log and the bare baselines, the
//! program that `--peers` names for everybody else. Whatever is written is checked by another process, after the one that
//! wrote it was killed.

mod append;
mod bare;
mod damage;
mod flights;
mod heat;
mod ledger;
mod process;
mod racer;
mod read;
mod reopen;
mod scale;
mod store;
mod table;

use std::path::{Path, PathBuf};

use ledger_lap::Contestant;

use crate::Result;
use crate::arena::Arena;
use crate::file::racer::Racer;

/// A row of the file log's race.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    /// Records and batches that survive the process.
    Append,
    /// Records and batches that survive the loss of power.
    Durable,
    /// Everything, one record, a hundred in a row; and how much room they take.
    Read,
    /// Opening what is there already.
    Reopen,
    /// One flipped byte.
    Damage,
    /// A year of typed events.
    Flights,
    /// How our own log grows.
    Scale,
}

/// Who takes part.
#[derive(Clone, Debug, Default)]
pub(crate) struct Field {
    /// The program that runs the laps of published engines.
    pub(crate) peers: Option<PathBuf>,
    /// Whoever alone takes part; everybody if nobody is named.
    pub(crate) only: Vec<String>,
    /// How many entries there are in one more log that is filled to see how it grows.
    pub(crate) largest: Option<u64>,
}

/// Does what the command line says if it tells this process to run a lap, and tells whether it does.
///
/// # Errors
/// Arguments that make no sense. What goes wrong in a lap is an answer.
pub(crate) fn run_lap(arguments: &[String]) -> Result<bool> {
    Ok(ledger_lap::run(&contestants(), arguments)? || scale::run_lap(arguments)?)
}

/// What this program can run laps of.
fn contestants() -> Vec<Contestant> {
    let ours = [
        Contestant::new::<ledger::Plain>("ledger: Log"),
        Contestant::new::<ledger::Keyed>("ledger: Log, two keys an entry"),
        Contestant::new::<store::Lending>("ledger: FileStore"),
        Contestant::in_reads::<store::Owning>("ledger: FileStore, owned pages"),
        Contestant::in_tasks::<store::Lending>("ledger: FileStore, tasks"),
    ];
    ours.into_iter().chain(bare::contestants()).collect()
}

impl Row {
    /// Runs the row and answers the sections of its report.
    ///
    /// # Errors
    /// Those of the file system, and programs that cannot be run. An engine that fails is left out, and its row says why.
    pub(crate) fn run(self, arena: &Arena, flights: Option<&Path>) -> Result<Vec<String>> {
        let racers = arena.field.racers()?;
        match self {
            Self::Append => append::survivors_of_the_process(arena, &racers),
            Self::Durable => append::survivors_of_power_loss(arena, &racers),
            Self::Read => read::run(arena, &racers),
            Self::Reopen => reopen::run(arena, &racers),
            Self::Damage => Ok(vec![damage::run(arena, &racers)?]),
            Self::Flights => Ok(vec![flights::run(arena, flights)?]),
            Self::Scale => scale::run(arena),
        }
    }
}

impl Field {
    fn racers(&self) -> Result<Vec<Racer>> {
        let mut racers = Racer::of_this_program()?;
        if let Some(program) = &self.peers {
            racers.extend(Racer::of_peers(program)?);
        }
        racers.retain(|racer| self.only.is_empty() || self.only.contains(&racer.name));
        Ok(racers)
    }
}
