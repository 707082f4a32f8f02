//! Races: contestants that do the same work in turns.
//!
//! Every round starts with another contestant, so that none of them always has the warm machine or the cold one, and
//! every contestant runs once in every round, so that a slow minute of the machine is everybody's. What counts is the
//! median of the rounds. Checking the work is up to the contestants, outside the time that they tell.

use std::time::Duration;

use crate::Result;
use crate::report::{Claim, Report, Standing};

/// The time that one contestant needed in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lap {
    /// How many entries it wrote or read.
    pub(crate) entries: usize,
    /// How long that took.
    pub(crate) time: Duration,
}

impl Lap {
    fn ns_per_entry(self) -> f64 {
        self.time.as_secs_f64() * 1e9 / self.entries as f64
    }
}

/// A contestant's place in its race.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number(pub(crate) usize);

/// Does the work of one round, given the round's number.
type Run<'a> = Box<dyn FnMut(u64) -> Result<Lap> + 'a>;

/// Contestants, and what is expected of them.
pub(crate) struct Race<'a> {
    title: String,
    contestants: Vec<(&'static str, Run<'a>)>,
    claims: Vec<Claim>,
}

impl<'a> Race<'a> {
    /// Announces a race.
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            contestants: Vec::new(),
            claims: Vec::new(),
        }
    }

    /// Adds a contestant.
    pub(crate) fn enter(
        &mut self,
        name: &'static str,
        run: impl FnMut(u64) -> Result<Lap> + 'a,
    ) -> Number {
        self.contestants.push((name, Box::new(run)));
        Number(self.contestants.len() - 1)
    }

    /// Expects something of the medians.
    pub(crate) fn expect(&mut self, claim: Claim) {
        self.claims.push(claim);
    }

    /// Runs `rounds` rounds, after one that does not count.
    ///
    /// # Errors
    /// The first one of a contestant.
    pub(crate) fn run(mut self, rounds: usize) -> Result<Report> {
        for (_, run) in &mut self.contestants {
            run(0)?;
        }
        let mut laps = vec![Vec::with_capacity(rounds); self.contestants.len()];
        for round in 0..rounds {
            for number in turns(round, self.contestants.len()) {
                let lap = self.contestants[number].1(round as u64 + 1)?;
                laps[number].push(lap.ns_per_entry());
            }
        }
        let names = self.contestants.iter().map(|(name, _)| *name);
        let standings = names
            .zip(laps)
            .map(|(name, laps)| Standing::new(name, laps))
            .collect();
        Ok(Report::new(self.title, standings, self.claims))
    }
}

/// The order of the contestants in a round.
pub(crate) fn turns(round: usize, contestants: usize) -> impl Iterator<Item = usize> {
    (0..contestants).map(move |turn| (round + turn) % contestants)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn everybody_runs_once_a_round_and_starts_in_turn() {
        let order = &RefCell::new(Vec::new());
        let mut race = Race::new("a race");
        for name in ["a", "b", "c"] {
            race.enter(name, move |round| {
                order.borrow_mut().push((round, name));
                let time = Duration::from_millis(1);
                Ok(Lap { entries: 1, time })
            });
        }
        race.run(2).unwrap();
        let counted: Vec<_> = order.take().into_iter().skip(3).collect();
        let expected = [(1, "a"), (1, "b"), (1, "c"), (2, "b"), (2, "c"), (2, "a")];
        assert_eq!(counted, expected);
    }

    #[test]
    fn a_failing_contestant_ends_the_race() {
        let mut race = Race::new("a race");
        race.enter("a", |_| Err("fell".into()));
        assert_eq!(race.run(1).unwrap_err().to_string(), "fell");
    }
}
