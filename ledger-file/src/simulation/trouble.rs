//! Histories in which a call of the disk fails.
//!
//! What must hold: trouble that passes by itself is not noticed. A call that answers an error has changed nothing, and
//! the log goes on; or it is poisoned, shows what it showed before, and after it was opened again the call has happened
//! or not, and the log goes on from there. Nothing that was acknowledged is lost in any case.

use std::ops::ControlFlow;
use std::sync::Arc;

use ledger_core::{Batch, Durability, ManualClock, MemoryStore, NewEntry, Payload};

use super::call::{Answer, Call, is_failure};
use super::courses::{Course, courses, is_poison};
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
    /// What fails after it, the next time that it is called.
    pub(crate) then: Option<DiskCall>,
}

/// How often a log refuses before what stays is taken away.
const REFUSALS: usize = 3;

impl Plan {
    /// The first call of a kind runs into trouble.
    pub(crate) fn once(call: DiskCall, trouble: Trouble) -> Self {
        Self {
            call,
            nth: 0,
            trouble,
            stays: false,
            then: None,
        }
    }

    fn prepare(&self, disk: &SimDisk) {
        disk.faults(|faults| {
            match self.stays {
                true => faults.from(self.call, self.nth, self.trouble),
                false => faults.once(self.call, self.nth, self.trouble),
            }
            self.then.into_iter().for_each(|then| faults.and_then(then));
        });
    }
}

/// Plays the history of `seed` with trouble; answers whether it was met.
pub(crate) fn play(setup: Setup, seed: u64, plan: Plan) -> Result<bool, Finding> {
    let mut run = Run::new(setup)?;
    plan.prepare(&run.opened.disk);
    run.history(seed)
        .map_err(|finding| format!("seed {seed}, {plan:?}: {finding}"))?;
    Ok(run.opened.disk.faults(|faults| faults.was_met()))
}

/// A history that was played to its end, and opens again from there.
pub(crate) struct Ended {
    run: Run,
    seed: u64,
}

impl Ended {
    /// Plays the history of `seed` without trouble.
    pub(crate) fn new(setup: Setup, seed: u64) -> Result<Self, Finding> {
        let mut run = Run::new(setup)?;
        let _is_sound = run.calls(&mut Random::new(seed))?;
        Ok(Self { run, seed })
    }

    /// Opens the log with trouble, after a kill and after a power cut, or before it is made if nothing is in it; and once
    /// more without trouble if need be. Answers whether it was met.
    pub(crate) fn open(&self, plan: Plan) -> Result<bool, Finding> {
        let (seed, random) = (self.seed, &mut Random::new(self.seed));
        let opened = &self.run.opened;
        let killed = opened.disk.state();
        let is_sync = opened.setup.durability == Durability::Sync;
        let cut = is_sync.then(|| killed.after_power_cut(Survival::Any, random));
        let unmade = (opened.setup.calls == 0).then(State::default);
        let mut was_met = false;
        for left in [killed].into_iter().chain(cut).chain(unmade) {
            was_met |= self
                .open_on(left, plan, random)
                .map_err(|finding| format!("opening after seed {seed}, {plan:?}: {finding}"))?;
        }
        Ok(was_met)
    }

    fn open_on(&self, left: State, plan: Plan, random: &mut Random) -> Result<bool, Finding> {
        let disk = SimDisk::new(left);
        plan.prepare(&disk);
        let before = &self.run.opened;
        let open = || LogSubject::open(&disk, &before.setup, before.clock.clone());
        let log = open().or_else(|_| {
            disk.faults(|faults| faults.clear());
            open()
        });
        let opened = Opened {
            log: log.map_err(|error| format!("without trouble: {error:?}"))?,
            setup: before.setup,
            disk: disk.clone(),
            clock: Arc::clone(&before.clock),
        };
        opened.goes_on(&[self.run.expected()], random)?;
        Ok(disk.faults(|faults| faults.was_met()))
    }
}

/// A log, and the disk that it is on.
struct Opened {
    setup: Setup,
    disk: SimDisk,
    log: LogSubject,
    clock: Arc<ManualClock>,
}

struct Run {
    opened: Opened,
    model: MemoryStore,
    /// What has happened, as far as the model knows.
    made: Vec<Call>,
    refusals: usize,
}

impl Run {
    fn new(setup: Setup) -> Result<Self, Finding> {
        let ((model, clock), disk) = (new_model(), SimDisk::default());
        let log = LogSubject::open(&disk, &setup, clock.clone())
            .map_err(|error| format!("the first opening: {error:?}"))?;
        Ok(Self {
            opened: Opened {
                setup,
                disk,
                log,
                clock,
            },
            model,
            made: Vec::new(),
            refusals: 0,
        })
    }

    fn history(&mut self, seed: u64) -> Result<(), Finding> {
        let random = &mut Random::new(seed);
        match self.calls(random)? {
            ControlFlow::Continue(()) => self.opened.survives(&[self.expected()], random),
            ControlFlow::Break(()) => Ok(()),
        }
    }

    /// Makes the calls of a history, until the log is poisoned.
    fn calls(&mut self, random: &mut Random) -> Result<ControlFlow<()>, Finding> {
        for _ in 0..self.opened.setup.calls {
            let call = Author {
                theme: self.opened.setup.theme,
                random: Random::new(random.next()),
                model: &self.model,
                clock: &self.opened.clock,
            }
            .next_call();
            tick(&call, &self.opened.clock);
            let answers = call.play(&self.opened.log);
            if answers.iter().any(is_poison) {
                self.poisoned(&call, &answers, random)?;
                return Ok(ControlFlow::Break(()));
            }
            self.go_on(&call, answers)?;
        }
        Ok(ControlFlow::Continue(()))
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
                self.compare(Call::Append(batches), &kept)?;
            }
            (_, true) => {}
            (_, false) => self.compare(call.clone(), &answers)?,
        }
        if failed {
            self.refused()?;
        }
        self.opened
            .shows(&[self.expected()])
            .map_err(|finding| format!("after {call:?}: {finding}"))
    }

    /// Makes a call that has happened with the model, too.
    fn compare(&mut self, call: Call, answers: &[Answer]) -> Result<(), Finding> {
        compare(&call, answers, &call.play(&self.model))?;
        self.made.push(call);
        Ok(())
    }

    /// After a few refusals there is no more trouble.
    fn refused(&mut self) -> Result<(), Finding> {
        self.refusals += 1;
        if self.refusals >= REFUSALS || !self.opened.log.is_open() {
            self.opened.disk.faults(|faults| faults.clear());
        }
        if !self.opened.log.is_open() {
            let opened = self.opened.log.open_again();
            opened.map_err(|error| format!("opening without trouble: {error:?}"))?;
        }
        Ok(())
    }

    /// Nobody knows whether the call has happened; everybody knows that it may have, and what was before.
    fn poisoned(
        &mut self,
        call: &Call,
        answers: &[Answer],
        random: &mut Random,
    ) -> Result<(), Finding> {
        let course = self
            .course_of(call, answers, random)
            .map_err(|finding| format!("poisoned in {call:?}: {finding}"))?;
        // After a failed close it has been opened again, and is sound.
        let is_reopened = matches!(call, Call::Maintain(Care::Reopen));
        if !is_reopened && !one_more().play(&self.opened.log).iter().all(is_poison) {
            return Err(format!("poisoned in {call:?}, and goes on"));
        }
        self.opened
            .goes_on_poisoned(course.possible(), random)
            .map_err(|finding| format!("poisoned in {call:?}, opened again: {finding}"))
    }

    /// The course of the call that explains all that is seen now, and that is found after the end of the process.
    fn course_of(
        &self,
        call: &Call,
        answers: &[Answer],
        random: &Random,
    ) -> Result<Course, Finding> {
        let mut findings = Vec::new();
        for course in courses(&self.made, call, answers) {
            let explained = course.and_then(|course| {
                self.opened.explained_by(&course, &mut random.clone())?;
                Ok(course)
            });
            match explained {
                Ok(course) => return Ok(course),
                Err(finding) => findings.push(finding),
            }
        }
        // The first is the course in which all of it has happened.
        Err(findings.swap_remove(0))
    }
}

impl Opened {
    /// Whether a course shows what is seen, here and by others, and may leave what is found after the end of the process.
    fn explained_by(&self, course: &Course, random: &mut Random) -> Result<(), Finding> {
        self.shows(std::slice::from_ref(course.shown()))?;
        self.shows_others(course.shown())?;
        self.survives(course.possible(), random)
    }

    /// Opens the log again, on a disk that still shows what it could not make durable, and has forgotten that it could
    /// not: what is found then is there to stay.
    fn goes_on_poisoned(&self, possible: &[Observed], random: &mut Random) -> Result<(), Finding> {
        self.disk.faults(|faults| faults.clear());
        let _poisoned = self.log.maintain(Care::Reopen);
        match self.log.is_open() {
            true => self.goes_on(possible, random),
            false => Err("it is not opened again".into()),
        }
    }

    /// What is there is one of the `possible` states, stays, and so does what is appended.
    fn goes_on(&self, possible: &[Observed], random: &mut Random) -> Result<(), Finding> {
        self.shows(possible)?;
        self.disk.faults(|faults| faults.clear());
        let answers = one_more().play(&self.log);
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

    /// Who reads after the end of the process, before anybody has opened the log again, sees what was seen before.
    fn shows_others(&self, expected: &Observed) -> Result<(), Finding> {
        let disk = SimDisk::new(self.disk.state());
        let log = LogSubject::read_only(&disk, &self.setup, self.clock.clone());
        let seen = log.and_then(|log| Observed::of(&log));
        let seen = seen.map_err(|error| format!("read by others: {error:?}"))?;
        match seen == *expected {
            true => Ok(()),
            false => Err(format!("read by others: {}", seen.difference(expected))),
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

/// An append that nothing refuses.
fn one_more() -> Call {
    Call::Append(vec![Batch::new(
        "orders",
        vec![NewEntry::new(Payload::json("1"))],
    )])
}
