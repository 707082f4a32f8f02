//! Every crash of a history: the world ends before each step of the disk, in several ways, and the log is opened on
//! what is left.
//!
//! What must hold then: the log is found in a state that it was in, not before the newest acknowledged one and not
//! behind the newest one begun; what it shows once survives; a crash of the recovery changes nothing about that; and
//! it goes on from there as the model does.

use super::inode::Survival;
use super::models::Models;
use super::observed::Observed;
use super::played::{Crash, Finding, Played, tick};
use super::{DiskCall, LogSubject, Random, SimDisk, State, Trouble};

use std::ops::RangeInclusive;
use std::sync::Arc;

use ledger_core::{Durability, Error, ManualClock};

/// How many calls are played on a recovered log to see that it goes on well.
const CALLS_AFTER: usize = 12;

/// Ends the world of `played` before each of its steps, and answers in how many states it was looked at.
pub(crate) fn explore(played: &Played, seed: u64) -> Result<usize, Finding> {
    let mut search = Search {
        played,
        random: Random::new(seed ^ 0x5eed),
        states: 0,
    };
    let mut state = State::default();
    for step in 0..=played.journal.len() {
        search
            .crash_before(step, &state)
            .map_err(|finding| format!("seed {seed}, step {step}: {finding}"))?;
        if let Some(change) = played.journal.get(step) {
            state.apply(change);
        }
    }
    Ok(search.states)
}

struct Search<'a> {
    played: &'a Played,
    random: Random,
    states: usize,
}

/// A log that was opened on what a crash left.
struct Recovered {
    disk: SimDisk,
    log: LogSubject,
    clock: Arc<ManualClock>,
    /// Which of the moments it was found in.
    moment: usize,
}

impl Search<'_> {
    fn crash_before(&mut self, step: usize, state: &State) -> Result<(), Finding> {
        if let Some(change) = self.played.journal.get(step) {
            let left = state.killed_during(change, &mut self.random);
            self.examine(left, step, Crash::Kill)?;
        }
        for survival in [Survival::Oldest, Survival::Any, Survival::Any] {
            let left = state.after_power_cut(survival, &mut self.random);
            self.examine(left, step, Crash::PowerCut)
                .map_err(|finding| format!("{survival:?}: {finding}"))?;
        }
        Ok(())
    }

    fn examine(&mut self, left: State, step: usize, crash: Crash) -> Result<(), Finding> {
        let possible = self.played.possible(step, crash);
        if self.random.one_in(4) {
            self.read(&left, possible.clone()).map_err(|finding| {
                format!(
                    "{crash:?} before {:?}, only read: {finding}",
                    self.played.journal.get(step)
                )
            })?;
        }
        if self.random.one_in(8) {
            self.fail_opening(&left, &possible).map_err(|finding| {
                format!(
                    "{crash:?} before {:?}, read after an opening that failed: {finding}",
                    self.played.journal.get(step)
                )
            })?;
        }
        let found = self
            .recover(left.clone(), possible.clone())
            .map_err(|finding| {
                format!(
                    "{crash:?} before {:?}: {finding}",
                    self.played.journal.get(step)
                )
            })?;
        match self.random.below(8) {
            0 | 1 => self.crash_again(&left, &found, step, crash),
            2 | 3 => self.crash_after(&found),
            4 => self.go_on(found, *possible.start()),
            _ => Ok(()),
        }
    }

    /// Whoever only reads what is left, before anybody has opened it, finds one of the `possible` moments, too. There may be no log yet.
    fn read(&self, left: &State, possible: RangeInclusive<usize>) -> Result<(), Finding> {
        let disk = SimDisk::new(left.clone());
        let clock = Arc::new(ManualClock::new(self.played.moments[*possible.end()].now));
        match LogSubject::read_only(&disk, &self.played.setup, clock.clone()) {
            Err(_) if *possible.start() == 0 => Ok(()),
            Err(error) => Err(format!("opening: {error:?}")),
            Ok(log) => self.played.find(&log, &clock, possible).map(drop),
        }
    }

    /// Whoever only reads after a sync of somebody who opened what is left has failed does not see what the next power cut takes.
    fn fail_opening(
        &mut self,
        left: &State,
        possible: &RangeInclusive<usize>,
    ) -> Result<(), Finding> {
        let disk = SimDisk::new(left.clone());
        let nth = self.random.below(4);
        disk.faults(|faults| faults.once(DiskCall::Sync, nth, Trouble::Io));
        let newest = *possible.end();
        let clock = Arc::new(ManualClock::new(self.played.moments[newest].now));
        if self.played.setup.durability != Durability::Sync
            || LogSubject::open(&disk, &self.played.setup, clock.clone()).is_ok()
        {
            return Ok(());
        }
        disk.faults(|faults| faults.clear());
        // Who has not seen anything before is told that it is not known what is durable.
        let log = match LogSubject::read_only(&disk, &self.played.setup, clock.clone()) {
            Err(Error::Poisoned { .. }) => return Ok(()),
            Err(_) if *possible.start() == 0 => return Ok(()),
            read => read.map_err(|error| format!("opening: {error:?}"))?,
        };
        let seen = self.played.find(&log, &clock, possible.clone())?;
        let left = disk
            .state()
            .after_power_cut(Survival::Oldest, &mut self.random);
        let kept = self.recover(left, seen..=newest);
        kept.map(drop)
            .map_err(|finding| format!("a power cut takes what was seen: {finding}"))
    }

    /// Opens a log on `left`, and tells which of the `possible` moments it is in.
    fn recover(
        &mut self,
        left: State,
        possible: RangeInclusive<usize>,
    ) -> Result<Recovered, Finding> {
        self.states += 1;
        let disk = SimDisk::new(left);
        let newest = &self.played.moments[*possible.end()];
        let clock = Arc::new(ManualClock::new(newest.now));
        let log = LogSubject::open(&disk, &self.played.setup, clock.clone())
            .map_err(|error| format!("opening: {error:?}"))?;
        let moment = self.played.find(&log, &clock, possible)?;
        clock.set(self.played.moments[moment].now);
        Ok(Recovered {
            disk,
            log,
            clock,
            moment,
        })
    }

    /// The recovery itself is cut short, at any of its steps.
    fn crash_again(
        &mut self,
        left: &State,
        found: &Recovered,
        step: usize,
        crash: Crash,
    ) -> Result<(), Finding> {
        let journal = found.disk.journal();
        if journal.is_empty() {
            return Ok(());
        }
        let end = self.random.index(journal.len());
        let mut state = left.clone();
        journal[..end].iter().for_each(|step| state.apply(step));
        let (left_again, crash) = match self.random.one_in(2) {
            true => (state.killed_during(&journal[end], &mut self.random), crash),
            false => (
                state.after_power_cut(Survival::Any, &mut self.random),
                Crash::PowerCut,
            ),
        };
        self.recover(left_again, self.played.possible(step, crash))
            .map(drop)
            .map_err(|finding| format!("then before {:?} of the recovery: {finding}", journal[end]))
    }

    /// What was served must be there after the next power cut.
    fn crash_after(&mut self, found: &Recovered) -> Result<(), Finding> {
        for survival in [Survival::Oldest, Survival::Any] {
            let left = found
                .disk
                .state()
                .after_power_cut(survival, &mut self.random);
            self.recover(left, found.moment..=found.moment)
                .map_err(|finding| {
                    let journal = found.disk.journal();
                    format!("then {survival:?} after the recovery {journal:?}: {finding}")
                })?;
        }
        Ok(())
    }

    /// The recovered log answers what the model answers. It may be in any moment from `oldest` on that looks the same.
    fn go_on(&mut self, found: Recovered, oldest: usize) -> Result<(), Finding> {
        let moments = &self.played.moments[oldest..=found.moment];
        let Some(made) = moments.last().and_then(|newest| newest.calls) else {
            return Ok(());
        };
        let lengths = moments.iter().rev().map_while(|moment| moment.calls);
        let (made, next) = self.played.calls.split_at(made);
        let mut models = Models::alike(made, lengths);
        for call in next.iter().take(CALLS_AFTER) {
            tick(call, &found.clock);
            models
                .expect(call, &call.play(&found.log))
                .map_err(|finding| format!("going on: {finding}"))?;
        }
        let seen = Observed::of(&found.log).map_err(|error| format!("looking: {error:?}"))?;
        let expected = models.show();
        if !expected.contains(&seen) {
            return Err(format!("after going on: {}", seen.difference(&expected[0])));
        }
        seen.check_indexes(&found.log)?;
        found.log.verify()?;
        self.crash_behind(&found, &seen)
    }

    /// What was appended behind a recovery is as safe as anything else, whatever lay there before.
    fn crash_behind(&mut self, found: &Recovered, expected: &Observed) -> Result<(), Finding> {
        let now = found.disk.state();
        let left = match self.played.setup.durability {
            Durability::Sync => now.after_power_cut(Survival::Any, &mut self.random),
            _ => now,
        };
        let log = LogSubject::open(&SimDisk::new(left), &self.played.setup, found.clock.clone())
            .map_err(|error| format!("opening after going on: {error:?}"))?;
        let seen = Observed::of(&log).map_err(|error| format!("looking: {error:?}"))?;
        match seen == *expected {
            true => Ok(()),
            false => Err(format!(
                "a crash after going on: {}",
                seen.difference(expected)
            )),
        }
    }
}
