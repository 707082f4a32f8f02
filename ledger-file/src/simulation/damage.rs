//! Logs whose files are damaged: a bit flipped anywhere, a file cut anywhere, a file lost or put in place of another.
//!
//! What must hold: an altered entry is never handed out, and nothing is missing in silence but what lies behind the
//! last claim: the newest frame may be taken for one that was being written when the power went.

use std::sync::Arc;

use ledger_core::{Error, ManualClock};

use super::call::Call;
use super::observed::Observed;
use super::played::{Finding, Played};
use super::subject::Care;
use super::{LogSubject, SimDisk, State};
use crate::format::FileName;

/// What became of a damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// The log, or a read, or `verify` answered an error that names a file.
    Found,
    /// Nothing is missing, and nothing in use was damaged.
    Harmless,
    /// The newest frame was taken for one that was never finished.
    TornTail,
    /// The log ends earlier, in a state that it was in.
    Shorter,
}

/// A log at rest, and everything that can be seen of it.
pub(crate) struct AtRest {
    pub(crate) state: State,
    played: Played,
    clock: Arc<ManualClock>,
}

impl AtRest {
    /// The log of a history, as its process left it: after a clean close or without one.
    pub(crate) fn new(played: Played, is_closed: bool) -> Result<Self, Finding> {
        let mut state = State::default();
        played.journal.iter().for_each(|step| state.apply(step));
        let newest = played.moments.last().expect("there is one from the start");
        let clock = Arc::new(ManualClock::new(newest.now));
        let mut at_rest = Self {
            state,
            played,
            clock,
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

    fn open(&self, disk: &SimDisk) -> ledger_core::Result<LogSubject> {
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
        let mut expected = self
            .played
            .moments
            .iter()
            .rev()
            .map(|moment| &moment.observed);
        let newest = expected.next().expect("there is one from the start");
        if seen == **newest {
            return match seen.check_indexes(&log).and_then(|()| log.verify()) {
                Ok(()) => Ok(Class::Harmless),
                Err(finding) if finding.starts_with("verify") => Ok(Class::Found),
                Err(finding) => Err(finding),
            };
        }
        // Calls that changed nothing lie between.
        let before = expected.find(|observed| *observed != newest);
        if before.is_some_and(|before| seen == **before) {
            return Ok(Class::TornTail);
        }
        match expected.any(|observed| seen == **observed) {
            true => Ok(Class::Shorter),
            false => Err(format!("handed out: {}", seen.difference(newest))),
        }
    }
}

fn found(error: &Error) -> Result<Class, Finding> {
    match error {
        Error::Corrupt { .. } | Error::NotAStore { .. } | Error::FormatTooNew { .. } => {
            Ok(Class::Found)
        }
        error => Err(format!("damage is called {error:?}")),
    }
}
