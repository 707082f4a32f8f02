//! The reference store: all of the contract, in memory, under one lock.
//!
//! It favours being obviously right over being fast, and is what tests of programs that use ledger should run on.
//! Every change happens in the first poll of its future, while the lock is held, and no lock is held across an await.

mod state;
mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::batch::{Batch, Receipt};
use crate::capabilities::{Capabilities, Durability};
use crate::checkpoint::{Checkpoint, Revision};
use crate::clock::{Clock, SystemClock};
use crate::entry::merge_annotations;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::name::StreamName;
use crate::read::{Page, ReadOptions, check_limit};
use crate::retention::Retention;
use crate::stat::{Health, Stat};
use crate::store::Store;
use crate::timestamp::Timestamp;
use crate::wakeups::Wakeups;
use state::State;

/// How a [`MemoryStore`] is opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MemoryOptions {
    /// Where the time comes from. Default: the machine's clock.
    pub clock: Arc<dyn Clock>,
    /// The sizes beyond which the store refuses.
    pub limits: Limits,
    /// Whether changes to entries are refused. Default: no.
    pub append_only: bool,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            limits: Limits::default(),
            append_only: false,
        }
    }
}

impl MemoryOptions {
    /// Takes the time from `clock`.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Refuses beyond these sizes.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Refuses tags and annotations.
    pub fn append_only(mut self) -> Self {
        self.append_only = true;
        self
    }
}

/// A store in memory: the strict reference for the contract, and the store for other people's tests.
///
/// Cloning gives another handle of the same opening; [`reopen`](MemoryStore::reopen) gives another opening.
///
/// ```
/// use ledger_core::{Batch, MemoryStore, NewEntry, Outcome, Payload, Store};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> ledger_core::Result<()> {
/// let store = MemoryStore::new();
/// let receipt = store.append(Batch::new("orders", vec![NewEntry::new(Payload::json("{}"))])).await?;
/// assert_eq!(receipt.outcomes, [Outcome::Appended(1)]);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct MemoryStore(Arc<Opening>);

#[derive(Debug)]
struct Opening {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    capabilities: Capabilities,
    closed: AtomicBool,
}

/// What all openings of one store share.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wakeups: Wakeups,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// Opens a new store.
    pub fn new() -> Self {
        Self::with_options(MemoryOptions::default())
    }

    /// Opens a new store with `options`.
    pub fn with_options(options: MemoryOptions) -> Self {
        Self::open(Arc::default(), options)
    }

    /// Opens the same data once more, also after a close: what a test does to see what a restart would.
    pub fn reopen(&self, options: MemoryOptions) -> Self {
        Self::open(Arc::clone(&self.0.shared), options)
    }

    fn open(shared: Arc<Shared>, options: MemoryOptions) -> Self {
        let capabilities = Capabilities {
            limits: options.limits,
            marks: !options.append_only,
            ..Capabilities::full(Durability::Volatile)
        };
        Self(Arc::new(Opening {
            shared,
            clock: options.clock,
            capabilities,
            closed: AtomicBool::new(false),
        }))
    }

    fn wakeups(&self) -> &Wakeups {
        &self.0.shared.wakeups
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    fn limits(&self) -> &Limits {
        &self.0.capabilities.limits
    }

    fn check_open(&self) -> Result<()> {
        if self.0.closed.load(Ordering::SeqCst) {
            return Err(Error::Closed);
        }
        Ok(())
    }

    /// Checks that the store is open and the name is one, before anything is looked at.
    fn enter(&self, stream: &StreamName) -> Result<()> {
        self.check_open()?;
        self.limits().check_stream_name(stream)
    }

    fn enter_checkpoint(&self, stream: &StreamName, name: &str) -> Result<()> {
        self.enter(stream)?;
        self.limits().check_checkpoint_name(name)
    }

    fn check_marks(&self) -> Result<()> {
        if self.0.capabilities.marks {
            Ok(())
        } else {
            Err(Error::AppendOnly)
        }
    }

    fn lock(&self) -> Result<MutexGuard<'_, State>> {
        self.0.shared.state.lock().map_err(|_| Error::Poisoned {
            place: "memory".into(),
            source: "a thread panicked while it changed the store".into(),
        })
    }

    fn append_now(&self, batches: Vec<Batch<u64>>) -> Result<Vec<Receipt<u64>>> {
        self.check_open()?;
        self.limits().check_batches(&batches)?;
        let names: Vec<_> = batches.iter().map(|batch| batch.stream.clone()).collect();
        let outcomes = self.lock()?.append(batches, self.now())?;
        let durability = self.0.capabilities.durability;
        let receipts: Vec<_> = outcomes
            .into_iter()
            .map(|outcomes| Receipt {
                outcomes,
                durability,
            })
            .collect();
        for (name, receipt) in names.iter().zip(&receipts) {
            if receipt.appended() > 0 {
                self.wakeups().wake(name);
            }
        }
        Ok(receipts)
    }
}

#[async_trait]
impl Store for MemoryStore {
    type Id = u64;

    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    async fn append(&self, batch: Batch<u64>) -> Result<Receipt<u64>> {
        let receipts = self.append_now(vec![batch])?;
        Ok(receipts
            .into_iter()
            .next()
            .expect("every batch has its receipt"))
    }

    async fn append_many(&self, batches: Vec<Batch<u64>>) -> Result<Vec<Receipt<u64>>> {
        self.append_now(batches)
    }

    async fn read(&self, stream: &StreamName, options: &ReadOptions<u64>) -> Result<Page<u64>> {
        self.enter(stream)?;
        options.validate()?;
        self.limits().check_filter(&options.filter)?;
        let now = self.now();
        Ok(self
            .lock()?
            .get(stream)
            .map_or_else(Page::empty, |stream| stream.read(options, now)))
    }

    async fn stat(&self, stream: &StreamName) -> Result<Stat<u64>> {
        self.enter(stream)?;
        let durability = self.0.capabilities.durability;
        Ok(self
            .lock()?
            .get(stream)
            .map_or_else(|| Stat::empty(durability), |stream| stream.stat(durability)))
    }

    async fn trim(&self, stream: &StreamName, through: u64) -> Result<u64> {
        self.enter(stream)?;
        Ok(self
            .lock()?
            .get_mut(stream)
            .map_or(0, |stream| stream.trim(through)))
    }

    async fn retain(&self, stream: &StreamName, retention: &Retention) -> Result<u64> {
        self.enter(stream)?;
        retention.validate()?;
        let now = self.now();
        Ok(self
            .lock()?
            .get_mut(stream)
            .map_or(0, |stream| stream.retain(retention, now)))
    }

    async fn purge_expired(&self, stream: &StreamName) -> Result<u64> {
        self.enter(stream)?;
        let now = self.now();
        Ok(self
            .lock()?
            .get_mut(stream)
            .map_or(0, |stream| stream.purge_expired(now)))
    }

    async fn set_tags(&self, stream: &StreamName, id: u64, tags: BTreeSet<String>) -> Result<()> {
        self.enter(stream)?;
        self.check_marks()?;
        self.limits().check_tags(&tags)?;
        let now = self.now();
        let mut state = self.lock()?;
        let entry = state.entry_mut(stream, id, now)?;
        entry.tags = tags.into();
        entry.updated_at = Some(now);
        Ok(())
    }

    async fn annotate(
        &self,
        stream: &StreamName,
        id: u64,
        changes: BTreeMap<String, Option<String>>,
    ) -> Result<()> {
        self.enter(stream)?;
        self.check_marks()?;
        let now = self.now();
        let mut state = self.lock()?;
        let entry = state.entry_mut(stream, id, now)?;
        let mut merged = entry.annotations.clone();
        merge_annotations(&mut merged, &changes);
        self.limits().check_annotations(&merged)?;
        entry.annotations = merged;
        entry.updated_at = Some(now);
        Ok(())
    }

    async fn list(&self, after: Option<&StreamName>, limit: usize) -> Result<Vec<StreamName>> {
        self.check_open()?;
        check_limit(limit)?;
        Ok(self.lock()?.list(after, limit))
    }

    async fn rename(&self, from: &StreamName, to: &StreamName) -> Result<()> {
        self.enter(from)?;
        self.limits().check_stream_name(to)?;
        self.lock()?.rename(from, to)?;
        self.wakeups().wake(to);
        Ok(())
    }

    async fn wait(&self, stream: &StreamName, after: Option<u64>) -> Result<()> {
        loop {
            let listener = self.wakeups().listen(stream);
            self.enter(stream)?;
            if self.lock()?.get(stream).and_then(|stream| stream.head()) > after {
                return Ok(());
            }
            listener.wait().await;
        }
    }

    async fn load_checkpoint(&self, stream: &StreamName, name: &str) -> Result<Option<Checkpoint>> {
        self.enter_checkpoint(stream, name)?;
        Ok(self
            .lock()?
            .get(stream)
            .and_then(|stream| stream.load_checkpoint(name))
            .cloned())
    }

    async fn save_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
        value: Bytes,
        expected: Option<Revision>,
    ) -> Result<Revision> {
        self.enter_checkpoint(stream, name)?;
        self.limits().check_checkpoint_value(&value)?;
        self.lock()?.save_checkpoint(stream, name, value, expected)
    }

    async fn delete_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
        expected: Revision,
    ) -> Result<()> {
        self.enter_checkpoint(stream, name)?;
        self.lock()?.delete_checkpoint(stream, name, expected)
    }

    async fn list_checkpoints(
        &self,
        stream: &StreamName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        self.enter(stream)?;
        check_limit(limit)?;
        Ok(self
            .lock()?
            .get(stream)
            .map_or_else(Vec::new, |stream| stream.list_checkpoints(after, limit)))
    }

    async fn health(&self) -> Result<Health> {
        self.check_open()?;
        drop(self.lock()?);
        Ok(Health::new("memory", Duration::ZERO))
    }

    async fn close(&self) -> Result<()> {
        if self.0.closed.swap(true, Ordering::SeqCst) {
            return Err(Error::Closed);
        }
        self.wakeups().wake_all();
        Ok(())
    }
}
