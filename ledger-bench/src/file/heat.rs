//! A heat: everybody runs the same laps in turns, and whoever cannot is left out.

use ledger_lap::{Measured, Outcome};

use crate::Result;
use crate::file::racer::Racer;
use crate::file::table::{Table, Unit};
use crate::race;
use crate::report::Standing;

/// A row of the race, for all who take part.
pub(crate) struct Heat<'a> {
    pub(crate) title: String,
    pub(crate) unit: Unit,
    pub(crate) racers: &'a [Racer],
    pub(crate) rounds: usize,
}

/// How a racer is doing.
struct Run<'a> {
    racer: &'a Racer,
    laps: Vec<f64>,
    dropped_out: Option<Dropout>,
}

/// Why a racer is left out.
#[derive(Clone)]
pub(crate) enum Dropout {
    NotOffered,
    Failed(String),
}

impl Heat<'_> {
    /// Runs all rounds, after one that does not count.
    ///
    /// # Errors
    /// Those of `lap`. An outcome that is no measurement only ends the race of the one that it is of.
    pub(crate) fn run(self, mut lap: impl FnMut(&Racer) -> Result<Outcome>) -> Result<Table> {
        let mut runs: Vec<_> = self.racers.iter().map(Run::new).collect();
        for run in &mut runs {
            run.lap(&mut lap)?;
            run.laps.clear();
        }
        for round in 0..self.rounds {
            for number in race::turns(round, runs.len()) {
                runs[number].lap(&mut lap)?;
            }
        }
        let mut table = Table::new(self.title, self.unit);
        for run in runs {
            match run.dropped_out {
                Some(why) => table.leave_out(run.racer, why),
                None => table.enter(run.racer, Standing::new(&run.racer.name, run.laps)),
            }
        }
        Ok(table)
    }
}

impl<'a> Run<'a> {
    fn new(racer: &'a Racer) -> Self {
        Self {
            racer,
            laps: Vec::new(),
            dropped_out: None,
        }
    }

    fn lap(&mut self, lap: &mut impl FnMut(&Racer) -> Result<Outcome>) -> Result<()> {
        if self.dropped_out.is_some() {
            return Ok(());
        }
        match lap(self.racer)? {
            Outcome::Measured(measured) => self.laps.push(ns(&measured)),
            Outcome::NotOffered => self.dropped_out = Some(Dropout::NotOffered),
            Outcome::Failed(error) => self.dropped_out = Some(Dropout::Failed(error)),
            Outcome::Found(_) => return Err("a check is no lap".into()),
        }
        Ok(())
    }
}

fn ns(measured: &Measured) -> f64 {
    measured.ns_per_record()
}
