//! Histories in which a call of the disk fails.
//!
//! What must hold: trouble that passes by itself is not noticed. A call that answers an error has changed nothing, and
//! the log goes on; or it is poisoned, shows what it showed before, and after it was opened again the call has happened
//! or not, and the log goes on from there. Nothing that was acknowledged is lost in any case.

use std::sync::Arc;

use ledger_core::{Batch, Durability, Error, ManualClock, MemoryStore, NewEntry, Payload};

use super::call::{Answer, Call, is_failure};
use super::history::Author;
use super::inode::Survival;
use super::observed::Observed;
use super::played::{Finding, Setup, compare, new_model, tick};
use super::subject::{Care, Subject};
use super::{DiskCall, LogSubject, Random, SimDisk, State, Trouble};

/// What goes wrong in a history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) call: DiskCall,
    /// How many of these calls succeed before.
    pub(crate) nth: u64,
    pub(crate) trouble: Trouble,
    /// Whether it stays, until the log has refused a few times.
    pub(crate) stays: bool,
}

/// How often a log refuses before what stays is taken away.
const REFUSALS: usize = 3;

/// Plays the history of `seed` with trouble; answers whether it was met.
pub(crate) fn play(setup: Setup, seed: u64, plan: Plan) -> Result<bool, Finding> {
    let (model, clock) = new_model();
    let disk = SimDisk::default();
    let log = LogSubject::open(&disk, &setup, clock.clone())
        .map_err(|error| format!("the first opening: {error:?}"))?;
    disk.faults(|faults| match plan.stays {
        true => faults.from(plan.call, plan.nth, plan.trouble),
        false => faults.once(plan.call, plan.nth, plan.trouble),
    });
    let mut run = Run {
        setup,
        disk,
        log,
        model,
        clock,
        refusals: 0,
    };
    run.history(seed)
        .map_err(|finding| format!("seed {seed}, {plan:?}: {finding}"))?;
    Ok(run.disk.faults(|faults| faults.was_met()))
}

struct Run {
    setup: Setup,
    disk: SimDisk,
    log: LogSubject,
    model: MemoryStore,
    clock: Arc<ManualClock>,
    refusals: usize,
}

impl Run {
    fn history(&mut self, seed: u64) -> Result<(), Finding> {
        let mut random = Random::new(seed);
        for _ in 0..self.setup.calls {
            let call = Author {
                random: Random::new(random.next()),
                model: &self.model,
                clock: &self.clock,
            }
            .next_call();
            tick(&call, &self.clock);
            let before = self.expected();
            let answers = call.play(&self.log);
            if answers.iter().any(is_poison) {
                return self.poisoned(&call, &answers, before, &mut random);
            }
            self.go_on(&call, answers)?;
        }
        self.survives(&[self.expected()], &mut random)
    }

    fn expected(&self) -> Observed {
        Observed::of(&self.model).expect("the model answers")
    }

    /// What failed has changed nothing; the model makes the rest of the call.
    fn go_on(&mut self, call: &Call, answers: Vec<Answer>) -> Result<(), Finding> {
        let failed = answers.iter().any(is_failure);
        match (call, failed) {
            (Call::Append(batches), true) => {
                let (kept, batches): (Vec<_>, Vec<_>) = answers
                    .into_iter()
                    .zip(batches.iter().cloned())
                    .filter(|(answer, _)| !is_failure(answer))
                    .unzip();
                let call = Call::Append(batches);
                compare(&call, &kept, &call.play(&self.model))?;
            }
            (_, true) => {}
            (_, false) => compare(call, &answers, &call.play(&self.model))?,
        }
        if failed {
            self.refused()?;
        }
        self.shows(&[self.expected()])
            .map_err(|finding| format!("after {call:?}: {finding}"))
    }

    /// After a few refusals there is no more trouble.
    fn refused(&mut self) -> Result<(), Finding> {
        self.refusals += 1;
        if self.refusals >= REFUSALS || !self.log.is_open() {
            self.disk.faults(|faults| faults.clear());
        }
        if !self.log.is_open() {
            let opened = self.log.open_again();
            opened.map_err(|error| format!("opening without trouble: {error:?}"))?;
        }
        Ok(())
    }

    /// Nobody knows whether the call has happened; everybody knows that it may have, and what was before.
    fn poisoned(
        &mut self,
        call: &Call,
        answers: &[Answer],
        before: Observed,
        random: &mut Random,
    ) -> Result<(), Finding> {
        let acknowledged = answers
            .iter()
            .take_while(|answer| !is_failure(answer))
            .count();
        let mut possible = vec![before];
        call.play_slowly(&self.model, || possible.push(self.expected()));
        self.shows(&possible[acknowledged..=acknowledged])
            .map_err(|finding| format!("poisoned in {call:?}: {finding}"))?;
        let more = Call::Append(vec![Batch::new(
            "orders",
            vec![NewEntry::new(Payload::json("1"))],
        )]);
        // After a failed close it has been opened again, and is sound.
        let is_reopened = matches!(call, Call::Maintain(Care::Reopen));
        if !is_reopened && !more.play(&self.log).iter().all(is_poison) {
            return Err(format!("poisoned in {call:?}, and goes on"));
        }
        self.survives(&possible[acknowledged..], random)
            .and_then(|()| self.goes_on_poisoned(&possible[acknowledged..], &more, random))
            .map_err(|finding| format!("poisoned in {call:?}: {finding}"))
    }

    /// Opens the log again, on a disk that still shows what it could not make durable, and has forgotten that it could
    /// not: what is found then is there to stay.
    fn goes_on_poisoned(
        &self,
        possible: &[Observed],
        more: &Call,
        random: &mut Random,
    ) -> Result<(), Finding> {
        self.disk.faults(|faults| faults.clear());
        let _poisoned = self.log.maintain(Care::Reopen);
        if !self.log.is_open() {
            return Err("it is not opened again".into());
        }
        self.shows(possible)?;
        let answers = more.play(&self.log);
        if answers.iter().any(is_failure) {
            return Err(format!("opened again, it answers {answers:?}"));
        }
        let seen = Observed::of(&self.log);
        let seen = seen.map_err(|error| format!("looking: {error:?}"))?;
        self.survives(&[seen], random)
    }

    fn shows(&self, possible: &[Observed]) -> Result<(), Finding> {
        // A read that runs into the trouble is an error, which is right, and makes no page.
        let seen = Observed::of(&self.log).or_else(|_| {
            self.disk.faults(|faults| faults.clear());
            Observed::of(&self.log)
        });
        let seen = seen.map_err(|error| format!("looking: {error:?}"))?;
        match possible.contains(&seen) {
            true => Ok(()),
            false => Err(seen.difference(&possible[0])),
        }
    }

    /// After the end of the process, and after power cuts if all was synced, one of the `possible` states is found.
    fn survives(&self, possible: &[Observed], random: &mut Random) -> Result<(), Finding> {
        self.finds("a kill", self.disk.state(), possible)?;
        if self.setup.durability != Durability::Sync && self.log.maintain(Care::Sync).is_err() {
            return Ok(());
        }
        let now = self.disk.state();
        for survival in [
            Survival::Oldest,
            Survival::Newest,
            Survival::Any,
            Survival::Any,
        ] {
            let left = now.after_power_cut(survival, random);
            self.finds(&format!("{survival:?}"), left, possible)?;
        }
        Ok(())
    }

    fn finds(&self, after: &str, left: State, possible: &[Observed]) -> Result<(), Finding> {
        let log = LogSubject::open(&SimDisk::new(left), &self.setup, self.clock.clone())
            .map_err(|error| format!("opening after {after}: {error:?}"))?;
        let seen = Observed::of(&log).map_err(|error| format!("looking: {error:?}"))?;
        match possible.contains(&seen) {
            true => seen.check_indexes(&log),
            false => {
                let (journal, difference) = (self.disk.journal(), seen.difference(&possible[0]));
                Err(format!("after {after} and {journal:?}: {difference}"))
            }
        }
    }
}

fn is_poison(answer: &Answer) -> bool {
    matches!(
        answer,
        Err(Error::Poisoned { .. } | Error::OutcomeUnknown { .. })
    )
}
