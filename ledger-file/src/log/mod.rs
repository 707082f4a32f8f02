//! The log: the synchronous engine under the store, for programs that want neither a runtime nor futures.
//!
//! Rooms:
//! - `calls` are what users call; `shared` is what its parts have in common;
//! - how a log comes to be `open`, and `closing`;
//! - how it grows: `write`, a turn at a time; `retention`, `marks`, `names` and `checkpoints` are the rarer changes, within `limits`;
//! - how it is `read`: a view of one moment, pages, scans; `streams` remembers what was looked up last, those that are `resting` in few
//!   bytes, which the next opening may `recall`;
//! - the `seam` is where the store asks without waiting, and `followers` are woken;
//! - the `keeper` knows which files are the log, `upkeep` does what can be done later, `verify` looks at all of it, and `repair` takes out
//!   what is damaged.

mod calls;
mod checkpoints;
mod closing;
mod continuity;
mod followers;
mod keeper;
#[cfg(test)]
mod last_offset;
mod limits;
mod marks;
mod names;
#[cfg(test)]
pub(crate) mod not_waiting;
mod open;
mod random;
mod read;
mod recall;
mod repair;
mod resting;
mod retention;
mod seam;
mod shared;
mod streams;
mod upkeep;
mod verify;
mod write;

pub use self::calls::Pending;
pub(crate) use self::calls::{Decided, Receipts};
pub(crate) use self::read::scan::Progress;
pub use self::read::scan::RecordRef;
pub use self::repair::{Damage, LostEntries, Repair};
pub(crate) use self::seam::Lead;
pub use self::verify::{LogStats, Verified};

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ledger_core::{Result, StreamName};

use self::shared::Shared;
use crate::error;

/// A log in a directory: many streams in one sequence of segment files.
///
/// One process writes to it; every call may be made from any thread. Appends of many threads share their flushes.
pub struct Log {
    shared: Arc<Shared>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Log").field(&self.shared.place).finish()
    }
}

impl Log {
    fn answer<T>(&self, answer: error::Result<T>) -> Result<T> {
        answer.map_err(|failure| failure.into_error(&self.shared.place))
    }

    /// Checks that the log is open and the name is one, before anything is looked at.
    fn enter(&self, stream: &StreamName) -> Result<()> {
        self.answer(self.shared.check_open())?;
        self.shared.options.limits.check_stream_name(stream)
    }

    fn enter_checkpoint(&self, stream: &StreamName, name: &str) -> Result<()> {
        self.enter(stream)?;
        self.shared.options.limits.check_checkpoint_name(name)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if !self.shared.is_closed.load(Ordering::Acquire)
            && let Err(failure) = self.shared.close()
        {
            let error = failure.into_error(&self.shared.place);
            tracing::warn!(%error, "a log could not be closed well");
        }
    }
}
