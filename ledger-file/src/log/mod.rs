//! The log: the synchronous engine under the store, for programs that want neither a runtime nor futures.
//!
//! Rooms:
//! - an `opening` sets a log right, with `recovery`, or has it made by a `creation`; one for `reading` does neither; `shared` is
//!   what its parts have in common;
//! - in a `writer`'s turn frames are `put` at the end, which the `tail` holds until they are in the segment file; `commit` says
//!   who flushes a group, `flush` how, with zeroes `ahead`, and `roll` goes on in the next segment; `page` tells other processes;
//! - an `append` is a `plan`, decided by `evidence`, and then a `section` for each stream; `retention`, `marks`, `names` and
//!   `checkpoints` are the rarer changes;
//! - the `seam` is where the store asks without waiting, and `followers` are woken;
//! - a `view` is the log at one moment, through a `picture` of its `segment`s, of which it reads `frames` and `walk`s through entries
//!   with whoever `visit`s them; what was `checked` is not checked again; `streams` remembers what was looked up last; `read` makes pages, with the `changes`
//!   made to entries since, and `scan` lends entries;
//! - the `keeper` knows which files are the log, and `tidy` does what can be done later;
//! - `repair` takes out of a log what is damaged.

mod ahead;
mod append;
mod carry;
mod changes;
mod checked;
mod checkpoints;
mod closing;
mod commit;
mod compaction;
mod creation;
mod evidence;
mod flush;
mod follower;
mod followers;
mod frames;
mod housekeeping;
mod index_files;
mod keeper;
mod limits;
mod marks;
mod names;
mod notes;
mod opening;
mod page;
mod picture;
mod plan;
mod put;
mod random;
mod read;
mod reading;
mod recovery;
mod repair;
mod retention;
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

pub use self::repair::{Damage, LostEntries, Repair};
pub use self::scan::RecordRef;
pub(crate) use self::seam::Lead;
pub use self::verify::{LogStats, Verified};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ledger_core::{
    Batch, Checkpoint, Condition, Outcome, Page, ReadOptions, Receipt, Result, Retention, Revision,
    Stat, StreamName,
};
use smallvec::SmallVec;

use self::append::Wanted;
use self::commit::Group;
use self::read::Reading;
use self::shared::Shared;
use self::writer::Turn;
use crate::disk::{Directory, Disk, Patience};
use crate::error::{self, Failure};
use crate::fault::{Mistake, is_planted};
use crate::format::NewRecord;
use crate::options::FileOptions;

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

// Life.
impl Log {
    /// Opens the log in the directory at `path`, making it if it is not there.
    ///
    /// # Errors
    /// [`Busy`](ledger_core::Error::Busy): another process writes to it, and is named.
    /// [`Corrupt`](ledger_core::Error::Corrupt): it is damaged; nothing was touched.
    /// [`NotAStore`](ledger_core::Error::NotAStore), [`FormatTooNew`](ledger_core::Error::FormatTooNew), [`Open`](ledger_core::Error::Open),
    /// [`ReadOnly`](ledger_core::Error::ReadOnly): it was left as it is.
    /// [`InvalidInput`](ledger_core::Error::InvalidInput): the options make no sense.
    pub fn open(path: impl AsRef<Path>, options: FileOptions) -> Result<Self> {
        options.check_intervals()?;
        let path = path.as_ref();
        let place = path.display().to_string();
        let directory =
            Directory::create(path).map_err(|error| crate::disk::failure(&*place, error))?;
        Self::open_on(Arc::new(directory), place, options)
    }

    /// Opens the log in the directory at `path` for reading, while another process may write it: every question is
    /// answered by what that shows at the moment. Nothing is locked, and nothing written.
    ///
    /// # Errors
    /// As [`open`](Log::open), apart from [`Busy`](ledger_core::Error::Busy). Every change answers [`ReadOnly`](ledger_core::Error::ReadOnly).
    pub fn open_read_only(path: impl AsRef<Path>, options: FileOptions) -> Result<Self> {
        let path = path.as_ref();
        let place = path.display().to_string();
        let directory =
            Directory::open(path).map_err(|error| crate::disk::failure(&*place, error))?;
        Self::read_only_on(Arc::new(directory), place, options)
    }

    /// Opens the log in the directory that `disk` is for reading.
    pub(crate) fn read_only_on(
        disk: Arc<dyn Disk>,
        place: String,
        options: FileOptions,
    ) -> Result<Self> {
        options.validate()?;
        let opened = reading::open_read_only(disk, place.clone(), options);
        let shared = opened.map_err(|failure| failure.into_error(&place))?;
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Sees what the process that writes shows by now. Reading does so by itself; in that process it does nothing.
    ///
    /// # Errors
    /// Those of the files.
    pub fn refresh(&self) -> Result<()> {
        self.answer(self.shared.check_open())?;
        self.ask(|| self.shared.refresh())
    }

    /// Opens the log in the directory that `disk` is, and that messages call `place`.
    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        place: String,
        options: FileOptions,
    ) -> Result<Self> {
        options.validate()?;
        let opened = opening::open(disk, place.clone(), options);
        let shared = Arc::new(opened.map_err(|failure| failure.into_error(&place))?);
        shared.begin_intervals();
        Ok(Self { shared })
    }

    /// Tells what is damaged in the log in the directory at `path`, and what [`repair`](Log::repair) would make of it.
    ///
    /// Nobody may have it open for writing. Nothing of it is changed.
    ///
    /// # Errors
    /// As [`repair`](Log::repair).
    pub fn examine(path: impl AsRef<Path>) -> Result<Repair> {
        let (directory, place) = Self::find(path.as_ref())?;
        Self::examine_on(&directory, &place)
    }

    /// Repairs the log in the directory at `path`, if it is damaged: what cannot be read is left out of it, and
    /// everything else stays. Afterwards it can be opened.
    ///
    /// Entries that are lost leave tombstones; no id is used twice, as far as it can be told. Every file that is damaged
    /// is kept beside the log as it was found, and durable there. A repair that is cut short has either happened or not,
    /// and is made again by calling it again.
    ///
    /// It reads all of the log, one segment at a time, and writes those that are damaged once more.
    ///
    /// # Errors
    /// [`Busy`](ledger_core::Error::Busy): another process writes to it, and is named.
    /// [`NotAStore`](ledger_core::Error::NotAStore), [`FormatTooNew`](ledger_core::Error::FormatTooNew): it was left as it is.
    /// [`Corrupt`](ledger_core::Error::Corrupt): its files contradict each other, and it was left as it is.
    /// Those of the files: a file that cannot be read is not taken for a damaged one. Copy it to a disk that can.
    pub fn repair(path: impl AsRef<Path>, options: FileOptions) -> Result<Repair> {
        let (directory, place) = Self::find(path.as_ref())?;
        Self::repair_on(&directory, &place, &options)
    }

    fn find(path: &Path) -> Result<(Directory, String)> {
        let place = path.display().to_string();
        match Directory::open(path) {
            Ok(directory) => Ok((directory, place)),
            Err(error) => Err(crate::disk::failure(place, error)),
        }
    }

    pub(crate) fn examine_on(disk: &dyn Disk, place: &str) -> Result<Repair> {
        repair::examine(disk, place).map_err(|failure| failure.into_error(place))
    }

    pub(crate) fn repair_on(disk: &dyn Disk, place: &str, options: &FileOptions) -> Result<Repair> {
        options.validate()?;
        repair::repair(disk, place, options).map_err(|failure| failure.into_error(place))
    }

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

/// Appends that were decided, and are on their way to the disk.
#[derive(Debug)]
pub struct Pending {
    shared: Arc<Shared>,
    answer: Result<Vec<Receipt<u64>>>,
    group: Option<Arc<Group>>,
}

impl Pending {
    /// Waits until they are as durable as was promised.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn wait(self) -> Result<Vec<Receipt<u64>>> {
        if let Some(group) = &self.group
            && let Err(fault) = self.shared.finish(group)
        {
            return Err(fault.error(&self.shared.place));
        }
        self.answer
    }
}

// Appending.
impl Log {
    /// Appends a batch as one atomic commit.
    ///
    /// # Errors
    /// As [`Store::append`](ledger_core::Store::append).
    pub fn append(&self, batch: Batch<u64>) -> Result<Receipt<u64>> {
        let mut receipts = self.append_many(vec![batch])?;
        Ok(receipts.pop().expect("every batch has its receipt"))
    }

    /// Appends batches to several streams as one atomic commit.
    ///
    /// # Errors
    /// As [`Store::append_many`](ledger_core::Store::append_many).
    pub fn append_many(&self, batches: Vec<Batch<u64>>) -> Result<Vec<Receipt<u64>>> {
        self.begin_append(batches)?.wait()
    }

    /// Decides about batches, which are one commit, and leaves the waiting to the caller.
    ///
    /// # Errors
    /// What has nothing to do with what is in the log: `Closed`, `InvalidInput`, `LimitExceeded`.
    pub fn begin_append(&self, batches: Vec<Batch<u64>>) -> Result<Pending> {
        self.ask(|| self.begin(&batches, Patience::Wait))
    }

    fn begin(&self, batches: &[Batch<u64>], patience: Patience) -> error::Result<Pending> {
        self.shared.check_open()?;
        self.shared.options.limits.check_batches(batches)?;
        let wanted: SmallVec<[_; 1]> = batches
            .iter()
            .map(|batch| Wanted {
                stream: &batch.stream,
                records: &batch.entries,
                condition: batch.condition.as_ref(),
            })
            .collect();
        let mut turn = self.shared.turn(patience)?;
        let appended = turn.append(&wanted, self.shared.now());
        let group = turn.unfinished().filter(|_| {
            let mut outcomes = turn.writer.scratch.outcomes.iter();
            !is_planted(Mistake::DuplicateNotWaitedFor)
                || appended.is_ok() && outcomes.any(|outcome| !outcome.is_duplicate())
        });
        let answer = match appended {
            Ok(()) => {
                let mut outcomes = turn.writer.scratch.outcomes.iter().copied();
                let receipt = |wanted: &Wanted<'_, _>| Receipt {
                    outcomes: outcomes.by_ref().take(wanted.records.len()).collect(),
                    durability: self.shared.options.durability,
                };
                Ok(wanted.iter().map(receipt).collect())
            }
            Err(Failure::Error(error)) => Err(error),
            Err(failure) => return Err(failure),
        };
        self.end_turn(turn);
        Ok(Pending {
            shared: Arc::clone(&self.shared),
            answer,
            group,
        })
    }

    /// Gives the turn back, and sees to what can be done later.
    fn end_turn(&self, mut turn: Turn<'_>) {
        let wants_tidying = std::mem::take(&mut turn.writer.wants_tidying);
        drop(turn);
        if wants_tidying {
            self.shared.tidy_up();
        }
        if self.shared.ahead.take_wish() {
            self.shared.zero_ahead();
        }
    }

    /// Appends records that borrow what they hold, as one atomic commit, and tells in `outcomes` what became of each.
    ///
    /// # Errors
    /// As [`append`](Log::append).
    pub fn append_records(
        &self,
        stream: &StreamName,
        records: &[NewRecord<'_>],
        condition: Option<&Condition<u64>>,
        outcomes: &mut Vec<Outcome<u64>>,
    ) -> Result<()> {
        self.answer(self.shared.check_open())?;
        limits::check_records(&self.shared.options.limits, stream, records, condition)?;
        let wanted = [Wanted {
            stream,
            records,
            condition,
        }];
        self.ask(|| {
            let mut turn = self.shared.turn(Patience::Wait)?;
            let appended = turn.append(&wanted, self.shared.now());
            std::mem::swap(outcomes, &mut turn.writer.scratch.outcomes);
            let group = turn.unfinished();
            self.end_turn(turn);
            if let Some(group) = group
                && let Err(fault) = self.shared.finish(&group)
            {
                return Err(fault.error(&self.shared.place).into());
            }
            appended
        })
    }
}

// Reading.
impl Log {
    /// Reads one page: one consistent state of the stream.
    ///
    /// Small payloads of a page share memory: whoever keeps an entry for long keeps up to 16 KiB of its neighbours with it.
    ///
    /// # Errors
    /// As [`Store::read`](ledger_core::Store::read).
    pub fn read(&self, stream: &StreamName, options: &ReadOptions<u64>) -> Result<Page<u64>> {
        self.ask(|| self.read_with(stream, options, Patience::Wait))
    }

    fn page(
        &self,
        stream: &StreamName,
        options: &ReadOptions<u64>,
        patience: Patience,
    ) -> error::Result<Page<u64>> {
        let (view, state) = self.shared.seen(stream, patience)?;
        let Some(state) = state else {
            return Ok(Page::empty());
        };
        let reading = Reading {
            view: &view,
            name: stream,
            state: &state,
            now: self.shared.now(),
        };
        reading.page(options)
    }

    /// Tells a stream's first id, head, count and bytes.
    ///
    /// # Errors
    /// Those of the files.
    pub fn stat(&self, stream: &StreamName) -> Result<Stat<u64>> {
        self.ask(|| self.stat_with(stream, Patience::Wait))
    }

    /// Lists up to `limit` streams that hold entries, in the byte order of their names, behind the name `after`.
    ///
    /// # Errors
    /// [`InvalidInput`](ledger_core::Error::InvalidInput) for a limit of zero.
    pub fn list(&self, after: Option<&StreamName>, limit: usize) -> Result<Vec<StreamName>> {
        self.ask(|| self.list_with(after, limit, Patience::Wait))
    }
}

// Reading without owning.
impl Log {
    /// Shows `each` the entries of a stream behind the id `after` (0: all), as of one moment, until it says to stop.
    /// Answers the last id that was shown.
    ///
    /// Expired entries are passed over, and marks are not applied.
    ///
    /// # Errors
    /// Those of the files.
    pub fn scan(
        &self,
        stream: &StreamName,
        after: u64,
        mut each: impl FnMut(RecordRef<'_>) -> ControlFlow<()>,
    ) -> Result<Option<u64>> {
        self.enter(stream)?;
        // What was shown is not shown again when an index had to be made anew.
        let mut last = None;
        self.ask(|| self.shared.scan(stream, after, &mut last, &mut each))?;
        Ok(last)
    }
}

// Changing what is there.
impl Log {
    /// Removes the entries with an id up to `through`, and answers how many that were.
    ///
    /// # Errors
    /// Those of the files.
    pub fn trim(&self, stream: &StreamName, through: u64) -> Result<u64> {
        self.enter(stream)?;
        let removed = self.ask(|| self.shared.trim(stream, through))?;
        self.shared.tidy_after(removed);
        Ok(removed)
    }

    /// Removes from the old end what `retention` does not keep, and answers how many that were.
    ///
    /// # Errors
    /// [`InvalidInput`](ledger_core::Error::InvalidInput) for a retention without any bound.
    pub fn retain(&self, stream: &StreamName, retention: &Retention) -> Result<u64> {
        self.enter(stream)?;
        retention.validate()?;
        let removed = self.ask(|| self.shared.retain(stream, retention))?;
        self.shared.tidy_after(removed);
        Ok(removed)
    }

    /// Erases what expired entries held, and answers how many were erased.
    ///
    /// # Errors
    /// Those of the files.
    pub fn purge_expired(&self, stream: &StreamName) -> Result<u64> {
        self.enter(stream)?;
        self.ask(|| self.shared.purge_expired(stream))
    }

    /// Replaces an entry's tags.
    ///
    /// # Errors
    /// As [`Store::set_tags`](ledger_core::Store::set_tags).
    pub fn set_tags(&self, stream: &StreamName, id: u64, tags: BTreeSet<String>) -> Result<()> {
        self.enter(stream)?;
        self.check_marks()?;
        self.shared.options.limits.check_tags(&tags)?;
        self.ask(|| self.shared.set_tags(stream, id, &tags))
    }

    /// Merges `changes` into an entry's annotations. A value of none deletes the key.
    ///
    /// # Errors
    /// As [`Store::annotate`](ledger_core::Store::annotate).
    pub fn annotate(
        &self,
        stream: &StreamName,
        id: u64,
        changes: &BTreeMap<String, Option<String>>,
    ) -> Result<()> {
        self.enter(stream)?;
        self.check_marks()?;
        self.ask(|| self.shared.annotate(stream, id, changes))
    }

    /// Renames a stream, which keeps its entries, ids and checkpoints.
    ///
    /// # Errors
    /// As [`Store::rename`](ledger_core::Store::rename).
    pub fn rename(&self, from: &StreamName, to: &StreamName) -> Result<()> {
        self.enter(from)?;
        self.shared.options.limits.check_stream_name(to)?;
        self.ask(|| self.shared.rename(from, to))
    }
}

// Checkpoints.
impl Log {
    /// Loads a checkpoint of a stream; none if there is none of that name.
    ///
    /// # Errors
    /// Those of the files.
    pub fn load_checkpoint(&self, stream: &StreamName, name: &str) -> Result<Option<Checkpoint>> {
        self.ask(|| self.load_checkpoint_with(stream, name, Patience::Wait))
    }

    /// Saves a checkpoint that still is at revision `expected` (none: that does not exist), and answers the new one.
    ///
    /// # Errors
    /// [`CheckpointConflict`](ledger_core::Error::CheckpointConflict): load again, decide again.
    pub fn save_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
        value: &[u8],
        expected: Option<Revision>,
    ) -> Result<Revision> {
        self.enter_checkpoint(stream, name)?;
        self.shared.options.limits.check_checkpoint_value(value)?;
        self.ask(|| self.shared.save_checkpoint(stream, name, value, expected))
    }

    /// Deletes a checkpoint that still is at revision `expected`.
    ///
    /// # Errors
    /// [`CheckpointConflict`](ledger_core::Error::CheckpointConflict): load again, decide again.
    pub fn delete_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
        expected: Revision,
    ) -> Result<()> {
        self.enter_checkpoint(stream, name)?;
        self.ask(|| self.shared.delete_checkpoint(stream, name, expected))
    }

    /// Lists up to `limit` names of a stream's checkpoints, in byte order, behind the name `after`.
    ///
    /// # Errors
    /// [`InvalidInput`](ledger_core::Error::InvalidInput) for a limit of zero.
    pub fn list_checkpoints(
        &self,
        stream: &StreamName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        self.ask(|| self.list_checkpoints_with(stream, after, limit, Patience::Wait))
    }
}

// Files.
impl Log {
    /// Makes everything that was appended so far survive the loss of power, whatever the durability is.
    ///
    /// # Errors
    /// [`Poisoned`](ledger_core::Error::Poisoned): it is not known what did survive; open the log again.
    pub fn sync(&self) -> Result<()> {
        self.answer(self.shared.sync())
    }

    /// Does what a log does when there is time: lists full segments, indexes them, makes the next.
    ///
    /// A log with a thread for it does so by itself.
    ///
    /// # Errors
    /// Those of the files; what was not done is done the next time.
    pub fn tidy(&self) -> Result<()> {
        self.answer(self.shared.check_open())?;
        self.answer(self.shared.tidy())
    }

    /// Rewrites full segments of which little is alive, so that their space comes back, and what was purged is gone from
    /// the disk.
    ///
    /// # Errors
    /// Those of the files; every segment is either as it was or rewritten.
    pub fn compact(&self) -> Result<()> {
        self.answer(self.shared.check_open())?;
        self.ask(|| self.shared.compact())
    }

    /// Reads everything that is in the files, and checks it.
    ///
    /// An index that is damaged is made anew from the log.
    ///
    /// # Errors
    /// [`Corrupt`](ledger_core::Error::Corrupt): what is damaged, and where.
    pub fn verify(&self) -> Result<Verified> {
        self.answer(self.shared.check_open())?;
        self.ask(|| self.shared.verify())
    }

    /// Tells how much there is.
    ///
    /// # Errors
    /// [`Closed`](ledger_core::Error::Closed).
    pub fn stats(&self) -> Result<LogStats> {
        self.answer(self.shared.check_open())?;
        Ok(self.shared.stats())
    }

    /// Finishes what was begun, and closes. Every later call answers [`Closed`](ledger_core::Error::Closed).
    ///
    /// # Errors
    /// Those of the files; the log is closed all the same.
    pub fn close(&self) -> Result<()> {
        self.answer(self.shared.close())
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
