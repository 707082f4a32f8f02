//! Logs whose files are damaged: a bit flipped anywhere, a file cut anywhere, a file lost or put in place of another.
//!
//! What must hold: an altered entry is never handed out, and nothing is missing in silence but what lies behind the
//! last claim: the newest frames may be taken for a write that was under way when the power went.

use std::sync::Arc;

use ledger_core::{Error, ManualClock};

use super::call::Call;
use super::observed::Observed;
use super::played::{Crash, Finding, Played};
use super::subject::Care;
use super::{LogSubject, SimDisk, State, Step};
use crate::format::FileName;

/// What became of a damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// The log, or a read, or `verify` answered an error that names a file.
    Found,
    /// Nothing is missing, and nothing in use was damaged.
    Harmless,
    /// The newest frames, which nothing behind them claims, were taken for a write that was never finished.
    TornTail,
    /// The log ends earlier, in a state that it was in.
    Shorter,
}

/// A log at rest, and everything that can be seen of it.
pub(crate) struct AtRest {
    pub(crate) state: State,
    pub(crate) played: Played,
    clock: Arc<ManualClock>,
    /// The newest moment that something in the log claims was durable.
    claimed: usize,
}

impl AtRest {
    /// The log of a history, as its process left it: after a clean close or without one.
    pub(crate) fn new(played: Played, is_closed: bool) -> Result<Self, Finding> {
        let mut state = State::default();
        played.journal.iter().for_each(|step| state.apply(step));
        let newest = played.moments.last().expect("there is one from the start");
        let clock = Arc::new(ManualClock::new(newest.now));
        let claimed = claimed(&played, &state);
        let mut at_rest = Self {
            state,
            played,
            clock,
            claimed,
        };
        if is_closed {
            let disk = SimDisk::new(at_rest.state.clone());
            let log = at_rest.open(&disk).map_err(|error| format!("{error:?}"))?;
            let closed = Call::Maintain(Care::Reopen).play(&log);
            closed
                .into_iter()
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| format!("{error:?}"))?;
            at_rest.state = disk.state();
        }
        Ok(at_rest)
    }

    pub(crate) fn open(&self, disk: &SimDisk) -> ledger_core::Result<LogSubject> {
        LogSubject::open(disk, &self.played.setup, self.clock.clone())
    }

    /// The files of one kind.
    pub(crate) fn files(&self, is_wanted: impl Fn(&FileName) -> bool) -> Vec<String> {
        let is_wanted = |name: &&String| FileName::parse(name).is_some_and(|name| is_wanted(&name));
        self.state.names().filter(is_wanted).cloned().collect()
    }

    /// How many bytes a file has.
    pub(crate) fn len(&self, name: &str) -> u64 {
        let number = self.state.find(name).expect("it is one of its files");
        self.state.file(number).len()
    }

    /// How many bytes a file has up to the last one that is not zero.
    pub(crate) fn used(&self, name: &str) -> u64 {
        let bytes = &self.state.contents()[name];
        bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last as u64 + 1)
    }

    /// The state with one bit of a file flipped.
    pub(crate) fn with_flipped(&self, name: &str, bit: u64) -> State {
        let mut state = self.state.clone();
        let number = state.find(name).expect("it is one of its files");
        state.file_mut(number).flip(bit);
        state
    }

    /// The state with a file cut.
    pub(crate) fn with_cut(&self, name: &str, len: u64) -> State {
        let mut state = self.state.clone();
        let number = state.find(name).expect("it is one of its files");
        state.file_mut(number).truncate(len);
        state.file_mut(number).all_synced();
        state
    }

    /// What a file holds, up to the last byte that is not zero.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        let mut bytes = self.state.contents().remove(name).unwrap_or_default();
        bytes.truncate(self.used(name) as usize);
        bytes
    }

    /// The state with other bytes in a file.
    pub(crate) fn with_bytes(&self, name: &str, offset: u64, bytes: &[u8]) -> State {
        let mut state = self.state.clone();
        let number = state.find(name).expect("it is one of its files");
        state.file_mut(number).write(bytes, offset);
        state.file_mut(number).all_synced();
        state
    }

    /// The state without a file.
    pub(crate) fn without(&self, name: &str) -> State {
        let mut state = self.state.clone();
        state.apply(&Step::Remove { name: name.into() });
        state.apply(&Step::DirectorySynced);
        state
    }

    /// Whether the log is refused when it is opened on a damaged state.
    pub(crate) fn is_refused(&self, damaged: State) -> Result<bool, Finding> {
        match self.open(&SimDisk::new(damaged)) {
            Ok(_) => Ok(false),
            Err(error) => found(&error).map(|class| class == Class::Found),
        }
    }

    /// Opens the log on a damaged state, looks at everything, and tells what became of the damage.
    pub(crate) fn class(&self, damaged: State) -> Result<Class, Finding> {
        let disk = SimDisk::new(damaged);
        let log = match self.open(&disk) {
            Ok(log) => log,
            Err(error) => return found(&error),
        };
        let seen = match Observed::of(&log) {
            Ok(seen) => seen,
            Err(error) => return found(&error),
        };
        let moments = &self.played.moments;
        let newest = moments.len() - 1;
        match moments.iter().rposition(|moment| seen == *moment.observed) {
            Some(_) if seen == *moments[newest].observed => self.harm(&seen, &log),
            Some(index) if index >= self.claimed => Ok(Class::TornTail),
            Some(_) => Ok(Class::Shorter),
            None => Err(format!(
                "handed out: {}",
                seen.difference(&moments[newest].observed)
            )),
        }
    }

    /// Nothing is missing: whether the damage can be found all the same.
    fn harm(&self, seen: &Observed, log: &LogSubject) -> Result<Class, Finding> {
        match seen.check_indexes(log).and_then(|()| log.verify()) {
            Ok(()) => Ok(Class::Harmless),
            Err(finding) if finding.starts_with("verify") => Ok(Class::Found),
            Err(finding) => Err(finding),
        }
    }
}

/// The newest moment that was acknowledged before the last bytes were written at the log's end: those claim that it was
/// durable. (What a compaction writes claims nothing.)
fn claimed(played: &Played, state: &State) -> usize {
    let is_segment =
        |name: &&String| matches!(FileName::parse(name), Some(FileName::Segment { .. }));
    let mut segments: Vec<_> = state.names().filter(is_segment).collect();
    let is_frame_of = |segment: Option<usize>, step: &Step| matches!(step, Step::Write { file, offset, .. } if Some(*file) == segment && *offset > 0);
    while let Some(name) = segments.pop() {
        let segment = state.find(name);
        let is_frame = |step: &Step| is_frame_of(segment, step);
        if let Some(last) = played.journal.iter().rposition(is_frame) {
            return *played.possible(last, Crash::Kill).start();
        }
    }
    0
}

fn found(error: &Error) -> Result<Class, Finding> {
    match error {
        Error::Corrupt { .. } | Error::NotAStore { .. } | Error::FormatTooNew { .. } => {
            Ok(Class::Found)
        }
        error => Err(format!("damage is called {error:?}")),
    }
}
