//! A history that was played once, on a log and on the model side by side.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ledger_core::{Clock, Durability, ManualClock, MemoryOptions, MemoryStore, Timestamp};

use super::call::{Answer, Call, refusal};
use super::history::{Author, Theme};
use super::observed::Observed;
use super::subject::Care;
use super::{LogSubject, Random, SimDisk, Step};
use crate::options::Compression;

/// What is wrong, and where.
pub(crate) type Finding = String;

/// How a history's log is opened, and how long it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) theme: Theme,
    pub(crate) durability: Durability,
    pub(crate) segment_bytes: u64,
    pub(crate) stage_bytes: usize,
    pub(crate) calls: usize,
    pub(crate) sealed_compression: Compression,
    pub(crate) zeroes_ahead: bool,
    pub(crate) stream_cache_bytes: usize,
}

/// A log that is synced with each append, in segments that are soon full.
pub(crate) const SYNC: Setup = Setup {
    theme: Theme::Calls,
    durability: Durability::Sync,
    segment_bytes: 4 << 10,
    stage_bytes: 4 << 10,
    calls: 60,
    sealed_compression: Compression::Off,
    zeroes_ahead: false,
    stream_cache_bytes: 1 << 20,
};

/// Memory for one stream at a time, and for none.
const LITTLE_CACHE: [usize; 2] = [3 << 10, 0];

impl Setup {
    /// The same, with full segments that are packed.
    pub(crate) fn packing(self) -> Self {
        Self {
            sealed_compression: Compression::Lz4,
            ..self
        }
    }

    /// The same, with zeroes ahead of the writer.
    pub(crate) fn zeroing(self) -> Self {
        Self {
            zeroes_ahead: true,
            ..self
        }
    }

    /// The same, with hardly any memory for what is known of streams.
    pub(crate) fn forgetting(self, seed: u64) -> Self {
        Self {
            stream_cache_bytes: LITTLE_CACHE[seed as usize % LITTLE_CACHE.len()],
            ..self
        }
    }

    /// The same in one half of all histories, and packing in the other; with zeroes in one half of each, and forgetting streams in one
    /// half of those.
    pub(crate) fn of_seed(self, seed: u64) -> Self {
        let setup = match seed % 4 {
            0 => self,
            1 => self.packing(),
            2 => self.zeroing(),
            _ => self.packing().zeroing(),
        };
        match seed / 4 % 2 {
            0 => setup,
            _ => setup.forgetting(seed / 8),
        }
    }
}

/// A history: its calls, everything that could be seen in between, and what the disk was told.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) setup: Setup,
    pub(crate) calls: Vec<Call>,
    pub(crate) moments: Vec<Moment>,
    pub(crate) journal: Vec<Step>,
}

/// A state that the store may be found in, and between which steps of the disk.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    pub(crate) observed: Arc<Observed>,
    pub(crate) now: Timestamp,
    /// How many calls were made; none in the middle of appends that are under way together.
    pub(crate) calls: Option<usize>,
    /// From this step on it may be found.
    begun: usize,
    /// From this step on it, or a later one, must be found after the process was killed.
    acknowledged: usize,
    /// The same after a power cut.
    power_safe: usize,
}

/// What ended the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    Kill,
    PowerCut,
}

/// When every history begins.
const BEGINNING: Timestamp = Timestamp::from_micros(1_000_000);

/// A model, and the clock that it goes by.
pub(crate) fn new_model() -> (MemoryStore, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(BEGINNING));
    let options = MemoryOptions::default().with_clock(clock.clone());
    (MemoryStore::with_options(options), clock)
}

/// Does what a call does to the clock.
pub(crate) fn tick(call: &Call, clock: &ManualClock) {
    if let Call::Tick(by) = call {
        clock.set(Timestamp::from_micros(clock.now().as_micros() + by));
    }
}

impl Played {
    /// Plays the history of `seed`, comparing each answer with the model's.
    pub(crate) fn new(setup: Setup, seed: u64) -> Result<Self, Finding> {
        let (model, clock) = new_model();
        let disk = SimDisk::default();
        let log = LogSubject::open(&disk, &setup, clock.clone())
            .map_err(|error| format!("the first opening: {error:?}"))?;
        let mut played = Self {
            setup,
            calls: Vec::new(),
            moments: vec![Moment::first(&model)],
            journal: Vec::new(),
        };
        let mut author = Author {
            theme: setup.theme,
            random: Random::new(seed),
            model: &model,
            clock: &clock,
        };
        for _ in 0..setup.calls {
            let call = author.next_call();
            tick(&call, &clock);
            played.play(call, &disk, &log, &model, &clock)?;
        }
        played.journal = disk.journal();
        Ok(played)
    }

    fn play(
        &mut self,
        call: Call,
        disk: &SimDisk,
        log: &LogSubject,
        model: &MemoryStore,
        clock: &ManualClock,
    ) -> Result<(), Finding> {
        let (begun, known) = (disk.steps(), self.moments.len());
        let answers = call.play(log);
        let expected = call.play_slowly(model, || {
            let observed = Observed::of(model).expect("the model answers");
            self.moments.push(Moment {
                observed: Arc::new(observed),
                now: clock.now(),
                calls: None,
                begun,
                acknowledged: disk.steps(),
                power_safe: usize::MAX,
            });
        });
        compare(&call, &answers, &expected)?;
        for (moment, step) in self.moments[known..].iter_mut().zip(log.answered()) {
            moment.acknowledged = step;
        }
        self.calls.push(call);
        let last = self
            .moments
            .last_mut()
            .expect("there is one from the start");
        last.calls = Some(self.calls.len());
        self.note_power_safety(known, disk.steps());
        self.compare_now(log)
    }

    /// Notes since when the moments are safe that the last call has made so.
    fn note_power_safety(&mut self, known: usize, steps: usize) {
        if self.setup.durability == Durability::Sync {
            for moment in &mut self.moments[known..] {
                moment.power_safe = moment.acknowledged;
            }
        }
        let all = matches!(
            self.calls.last(),
            Some(Call::Maintain(Care::Sync | Care::Reopen))
        );
        if all {
            for moment in &mut self.moments {
                moment.power_safe = moment.power_safe.min(steps);
            }
        }
    }

    fn compare_now(&self, log: &LogSubject) -> Result<(), Finding> {
        let last = self.moments.last().expect("there is one from the start");
        let seen = Observed::of(log).map_err(|error| format!("looking: {error:?}"))?;
        if seen != *last.observed {
            let difference = seen.difference(&last.observed);
            return Err(format!("after {:?}: {difference}", self.calls.last()));
        }
        seen.check_indexes(log)
    }

    /// Which moments may be found when the world ends before the step `step`.
    pub(crate) fn possible(&self, step: usize, crash: Crash) -> RangeInclusive<usize> {
        let is_promised = |moment: &&Moment| match crash {
            Crash::Kill => moment.acknowledged <= step,
            Crash::PowerCut => moment.power_safe <= step,
        };
        let begun = self
            .moments
            .iter()
            .take_while(|moment| moment.begun <= step)
            .count();
        let promised = self.moments.iter().rposition(|moment| is_promised(&moment));
        promised.unwrap_or(0)..=begun - 1
    }

    /// Whether a call was answered just before the step `step`.
    pub(crate) fn is_answered(&self, step: usize) -> bool {
        let moments = self.moments.iter().skip(1);
        let mut answered = moments.map(|moment| moment.acknowledged);
        answered.any(|acknowledged| acknowledged == step)
    }

    /// The newest of the `possible` moments that looks like `log`. What has expired depends on the time, so each is
    /// compared at its own.
    pub(crate) fn find(
        &self,
        log: &LogSubject,
        clock: &ManualClock,
        possible: RangeInclusive<usize>,
    ) -> Result<usize, Finding> {
        let mut seen: BTreeMap<_, Observed> = BTreeMap::new();
        for index in possible.clone().rev() {
            let Moment { now, observed, .. } = &self.moments[index];
            if !seen.contains_key(now) {
                clock.set(*now);
                let looked = Observed::of(log).map_err(|error| format!("looking: {error:?}"))?;
                seen.insert(*now, looked);
            }
            if seen[now] == **observed {
                return Ok(index);
            }
        }
        let oldest = &self.moments[*possible.start()];
        let newest = &self.moments[*possible.end()];
        Err(format!(
            "found in none of the moments {possible:?}: from the oldest {}\nfrom the newest {}",
            seen[&oldest.now].difference(&oldest.observed),
            seen[&newest.now].difference(&newest.observed)
        ))
    }
}

impl Moment {
    fn first(model: &MemoryStore) -> Self {
        Self {
            observed: Arc::new(Observed::of(model).expect("the model answers")),
            now: BEGINNING,
            calls: Some(0),
            begun: 0,
            acknowledged: 0,
            power_safe: 0,
        }
    }
}

pub(crate) fn compare(call: &Call, got: &[Answer], expected: &[Answer]) -> Result<(), Finding> {
    let same = got.len() == expected.len()
        && got
            .iter()
            .zip(expected)
            .all(|(got, expected)| is_same(got, expected));
    match same {
        true => Ok(()),
        false => Err(format!("{call:#?} answered {got:?}, not {expected:?}")),
    }
}

/// Whether two answers say the same, refusals too.
pub(crate) fn is_same(got: &Answer, expected: &Answer) -> bool {
    match (got, expected) {
        (Ok(got), Ok(expected)) => got == expected,
        (Err(got), Err(expected)) => refusal(got) == refusal(expected),
        _ => false,
    }
}
