//! The log: the synchronous engine under the store, for programs that want neither a runtime nor futures.
//!
//! Rooms:
//! - `calls` are what users call;
//! - an `opening` sets a log right, with `recovery`, or has it made by a `creation`; one for `reading` does neither, and follows as a `follower`, who sees by the lock when the log is `idle`; `shared` is
//!   what its parts have in common;
//! - in a `writer`'s turn, for the first of which some things are made ready (`first_turn`), frames are `put` at the end, which the `tail` holds until they are in the segment file; `commit` says
//!   who flushes a group, `flush` how, with zeroes `ahead`, and `roll` goes on in the next segment; `page` tells other processes;
//! - an `append` is a `plan`, decided by `evidence`, and then a `section` for each stream; `retention`, `marks`, `names` and
//!   `checkpoints` are the rarer changes;
//! - the `seam` is where the store asks without waiting, and `followers` are woken;
//! - a `view` is the log at one moment, through a `picture` of its `segment`s, of which it `announce`s and reads `frames`, and `walk`s through entries
//!   with whoever `visit`s them; what was `checked` is not checked again; `streams` remembers what was looked up last, those that are `resting` in few bytes; `read` makes pages, with the `changes`
//!   made to entries since, and `scan` lends entries, or what another thread has `fetched` of them;
//! - the `keeper` knows which files are the log, and `tidy` does what can be done later, `packing` of full segments last, which are then
//!   read as `packed` ones;
//! - `repair` takes out of a log what is damaged; both it and compaction write segments anew by `rewriting`.

mod ahead;
mod announce;
mod append;
mod calls;
mod carry;
mod changes;
mod checked;
mod checkpoints;
mod closing;
mod commit;
mod compaction;
mod creation;
mod evidence;
mod fetched;
mod first_turn;
mod flush;
mod follower;
mod followers;
mod frames;
mod housekeeping;
mod idle;
mod index_files;
mod joining;
mod keeper;
#[cfg(test)]
mod last_offset;
mod limits;
mod marks;
mod merging;
mod names;
#[cfg(test)]
pub(crate) mod not_waiting;
mod notes;
mod opening;
mod packed;
mod packing;
mod page;
mod picture;
mod plan;
mod put;
mod random;
mod read;
mod reading;
mod recall;
mod recovery;
mod repair;
mod resting;
mod retention;
mod rewriting;
mod roll;
mod scan;
mod seam;
mod section;
mod segment;
mod shared;
mod streams;
mod tail;
mod tidy;
mod verify;
mod view;
mod visit;
mod walk;
mod writer;

pub use self::calls::Pending;
pub(crate) use self::calls::{Decided, Receipts};
pub use self::repair::{Damage, LostEntries, Repair};
pub(crate) use self::scan::Progress;
pub use self::scan::RecordRef;
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
