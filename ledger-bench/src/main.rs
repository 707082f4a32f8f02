//! Races of ledger stores against hand-written baselines.
//!
//! Every figure is measured beside a baseline that does the same work by hand, in the same run, in turns; what was
//! written or read is checked each time. The report goes to standard output as Markdown, progress to standard error.

mod arena;
mod bare;
mod file;
mod ledger;
mod mongo;
mod postgres;
mod race;
mod report;
mod rows;
mod work;

use std::env;
use std::io::{Write, stderr, stdout};
use std::path::PathBuf;

use clap::Parser;

use crate::arena::{Arena, Size};
use crate::file::Field;
use crate::rows::Row;

/// Why a benchmark could not be finished.
type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Result<T, E = BoxError> = std::result::Result<T, E>;

/// Races ledger stores against hand-written baselines.
#[derive(Debug, Parser)]
struct Args {
    /// What to run; everything if nothing is named
    rows: Vec<Row>,
    /// How many rounds count, after one that does not
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// A directory on the disk to be measured; the system's temporary one if not given
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The year of flights, .jsonl.gz, for the row that measures memory
    #[arg(long)]
    flights: Option<PathBuf>,
    /// The program that runs the laps of published engines: `ledger-bench/peers`, built with --release
    #[arg(long)]
    peers: Option<PathBuf>,
    /// Whoever alone takes part in the race of the file log; may be given several times
    #[arg(long)]
    only: Vec<String>,
    /// Have `file-scale` fill one more log, with so many entries: a hundred million take three minutes and 18 GB
    #[arg(long)]
    largest: Option<u64>,
    /// Do a hundredth of the work: enough to see that all is right, too little for figures
    #[arg(long)]
    quick: bool,
}

impl Args {
    fn arena(&self) -> Result<Arena> {
        let size = match self.quick {
            true => Size {
                many: 2_000,
                alone: 50,
            },
            false => Size {
                many: 100_000,
                alone: 3_000,
            },
        };
        let dir = self.dir.clone().unwrap_or_else(env::temp_dir);
        let mut arena = Arena::new(dir, size, self.rounds.max(1))?;
        arena.field = Field {
            peers: self.peers.clone(),
            only: self.only.clone(),
            largest: self.largest,
        };
        Ok(arena)
    }

    /// The rows asked for, in the order they must run in.
    fn rows(&self) -> impl Iterator<Item = Row> {
        Row::ALL
            .into_iter()
            .filter(|row| self.rows.is_empty() || self.rows.contains(row))
    }
}

fn main() -> Result<()> {
    // A lap of the file log's race is run by a process of its own: this one.
    let arguments: Vec<_> = env::args().skip(1).collect();
    if file::run_lap(&arguments)? {
        return Ok(());
    }
    let args = Args::parse();
    let arena = args.arena()?;
    let flush = arena.flush_time()?.as_micros();
    writeln!(
        stdout(),
        "Disk: 4 KiB appended and flushed in {flush} us.\n"
    )?;
    for row in args.rows() {
        writeln!(stderr(), "running: {row:?}")?;
        for section in row.run(&arena, args.flights.as_deref())? {
            writeln!(stdout(), "{section}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ledger_testservers::{Mongo, Postgres};

    use super::*;
    use crate::rows::Engine;

    #[test]
    fn every_row_runs_and_finds_its_work_done() {
        let args = Args::parse_from(["ledger-bench", "--quick", "--rounds", "1"]);
        let arena = args.arena().unwrap();
        // Says so if there is no server, or fails if one is required.
        let (postgres, mongo) = (Postgres::shared(), Mongo::shared());
        // A test is not the program whose processes some rows run.
        let can_run = |row: &Row| match row.engine() {
            Engine::Sqlite => true,
            Engine::File => !row.runs_processes(),
            Engine::Postgres => postgres.is_some(),
            Engine::Mongo => mongo.is_some(),
        };
        for row in args.rows().filter(can_run) {
            assert!(!row.run(&arena, None).unwrap().is_empty(), "{row:?}");
        }
    }

    #[test]
    fn rows_that_are_named_run_in_the_order_they_must() {
        let args = Args::parse_from(["ledger-bench", "read", "flights"]);
        assert_eq!(args.rows().collect::<Vec<_>>(), [Row::Flights, Row::Read]);
    }
}
