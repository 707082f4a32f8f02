//! A log on a simulated disk, as a [`Subject`].
//!
//! Of what the store asks by who must not wait, every other call is made in that way, and the rest as the log's callers do.

use std::cell::{Cell, Ref, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ledger_core::{
    Batch, Bytes, Checkpoint, Clock, ManualClock, Page, ReadOptions, Receipt, Result, Retention,
    Revision, Stat, StreamName,
};

use super::SimDisk;
use super::played::{Finding, Setup};
use super::subject::{ALL, Care, Subject};
use crate::disk::Patience;
use crate::error;
use crate::log::{Log, Pending};
use crate::options::{FileOptions, Housekeeping};

/// An open log, which can be opened again.
#[derive(Debug)]
pub(crate) struct LogSubject {
    disk: SimDisk,
    options: FileOptions,
    log: RefCell<Option<Log>>,
    answered: RefCell<Vec<usize>>,
    is_hurried: Cell<bool>,
}

/// How the log of a history is opened.
pub(crate) fn options(setup: &Setup, clock: Arc<ManualClock>) -> FileOptions {
    let options = FileOptions {
        zeroes_inline: setup.zeroes_ahead,
        ..FileOptions::default()
    };
    options
        .with_clock(clock as Arc<dyn Clock>)
        .with_durability(setup.durability)
        .with_segment_bytes_max(setup.segment_bytes)
        .with_stage_bytes(setup.stage_bytes)
        .with_sealed_compression(setup.sealed_compression)
        .with_stream_cache_bytes(setup.stream_cache_bytes)
        .with_housekeeping(Housekeeping::Inline)
}

impl LogSubject {
    pub(crate) fn open(disk: &SimDisk, setup: &Setup, clock: Arc<ManualClock>) -> Result<Self> {
        let options = options(setup, clock);
        let subject = Self {
            disk: disk.clone(),
            options,
            log: RefCell::new(None),
            answered: RefCell::default(),
            is_hurried: Cell::default(),
        };
        subject.open_again()?;
        Ok(subject)
    }

    /// Opens the log on `disk` for reading, whoever writes it.
    pub(crate) fn read_only(
        disk: &SimDisk,
        setup: &Setup,
        clock: Arc<ManualClock>,
    ) -> Result<Self> {
        let options = options(setup, clock);
        let log = Log::read_only_on(Arc::new(disk.clone()), "sim".into(), options.clone())?;
        Ok(Self {
            disk: disk.clone(),
            options,
            log: RefCell::new(Some(log)),
            answered: RefCell::default(),
            is_hurried: Cell::default(),
        })
    }

    /// Sees what the one who writes shows by now.
    pub(crate) fn refresh(&self) -> Result<()> {
        self.log().refresh()
    }

    /// Opens the log, which is not open.
    pub(crate) fn open_again(&self) -> Result<()> {
        let disk = Arc::new(self.disk.clone());
        let log = Log::open_on(disk, "sim".into(), self.options.clone())?;
        *self.log.borrow_mut() = Some(log);
        Ok(())
    }

    pub(crate) fn is_open(&self) -> bool {
        self.log.borrow().is_some()
    }

    /// How many steps the disk had made when each of the last appends was answered.
    pub(crate) fn answered(&self) -> Vec<usize> {
        self.answered.take()
    }

    pub(crate) fn verify(&self) -> Result<(), Finding> {
        let verified = self.log().verify();
        verified
            .map(drop)
            .map_err(|error| format!("verify: {error:?}"))
    }

    fn log(&self) -> Ref<'_, Log> {
        Ref::map(self.log.borrow(), |log| {
            log.as_ref().expect("the log is open")
        })
    }

    /// Whether the next call is made by who must not wait.
    fn is_hurried(&self) -> bool {
        self.is_hurried.replace(!self.is_hurried.get())
    }

    fn ask<T>(&self, mut ask: impl FnMut(&Log, Patience) -> error::Result<T>) -> Result<T> {
        let log = self.log();
        match self.is_hurried() {
            true => log.ask_hurriedly(|patience| ask(&log, patience)),
            false => log.ask(|| ask(&log, Patience::Wait)),
        }
    }

    fn begin_append(&self, batches: &[Batch<u64>]) -> Result<Pending> {
        let log = self.log();
        match self.is_hurried() {
            true => log.begin_hurried_append(batches),
            false => log.begin_append(batches.to_vec()),
        }
    }

    fn reopen(&self) -> Result<()> {
        let log = self.log.borrow_mut().take();
        let closed = log.map_or(Ok(()), |log| log.close());
        self.open_again()?;
        closed
    }
}

impl Subject for LogSubject {
    fn append_together(&self, batches: &[Batch<u64>]) -> Vec<Result<Receipt<u64>>> {
        let begin = |batch| self.begin_append(std::slice::from_ref(batch));
        let begun: Vec<_> = batches.iter().map(begin).collect();
        // The last one waits first, so that whoever rests on what is under way cannot rely on others to wait for it.
        let waited = begun.into_iter().rev().map(|pending| {
            let receipts = pending.and_then(Pending::wait);
            let receipt = receipts.map(|mut receipts| receipts.remove(0));
            (receipt, self.disk.steps())
        });
        let (mut receipts, mut answered): (Vec<_>, Vec<_>) = waited.unzip();
        receipts.reverse();
        answered.reverse();
        *self.answered.borrow_mut() = answered;
        receipts
    }
    fn append_many(&self, batches: Vec<Batch<u64>>) -> Result<Vec<Receipt<u64>>> {
        self.begin_append(&batches)?.wait()
    }
    fn read(&self, stream: &StreamName, options: &ReadOptions<u64>) -> Result<Page<u64>> {
        self.ask(|log, patience| log.read_with(stream, options, patience))
    }
    fn stat(&self, stream: &StreamName) -> Result<Stat<u64>> {
        self.ask(|log, patience| log.stat_with(stream, patience))
    }
    fn trim(&self, stream: &StreamName, through: u64) -> Result<u64> {
        self.log().trim(stream, through)
    }
    fn retain(&self, stream: &StreamName, retention: &Retention) -> Result<u64> {
        self.log().retain(stream, retention)
    }
    fn purge_expired(&self, stream: &StreamName) -> Result<u64> {
        self.log().purge_expired(stream)
    }
    fn set_tags(&self, stream: &StreamName, id: u64, tags: BTreeSet<String>) -> Result<()> {
        self.log().set_tags(stream, id, tags)
    }
    fn annotate(
        &self,
        stream: &StreamName,
        id: u64,
        changes: BTreeMap<String, Option<String>>,
    ) -> Result<()> {
        self.log().annotate(stream, id, &changes)
    }
    fn list(&self) -> Result<Vec<StreamName>> {
        self.ask(|log, patience| log.list_with(None, ALL, patience))
    }
    fn rename(&self, from: &StreamName, to: &StreamName) -> Result<()> {
        self.log().rename(from, to)
    }
    fn load_checkpoint(&self, stream: &StreamName, name: &str) -> Result<Option<Checkpoint>> {
        self.ask(|log, patience| log.load_checkpoint_with(stream, name, patience))
    }
    fn save_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
        value: Bytes,
        expected: Option<Revision>,
    ) -> Result<Revision> {
        self.log().save_checkpoint(stream, name, &value, expected)
    }
    fn delete_checkpoint(&self, stream: &StreamName, name: &str, expected: Revision) -> Result<()> {
        self.log().delete_checkpoint(stream, name, expected)
    }
    fn list_checkpoints(&self, stream: &StreamName) -> Result<Vec<String>> {
        self.ask(|log, patience| log.list_checkpoints_with(stream, None, ALL, patience))
    }
    fn maintain(&self, care: Care) -> Result<()> {
        match care {
            Care::Sync => self.log().sync(),
            Care::Tidy => self.log().tidy(),
            Care::Compact => self.log().compact(),
            Care::Reopen => self.reopen(),
        }
    }
}
