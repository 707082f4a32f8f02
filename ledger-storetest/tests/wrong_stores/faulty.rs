//! A store with one fault: the reference store, with something between it and whoever uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledger_core::{
    Batch, Bytes, Capabilities, Checkpoint, Health, MemoryOptions, MemoryStore, Page, ReadOptions,
    Receipt, Result, Retention, Revision, Stat, Store, StreamName, async_trait,
};
use ledger_storetest::{Harness, Setup};

/// One broken promise. All openings at a place share it.
///
/// Whatever a fault does not override is as it should be. Small faults change a request or an answer by the first
/// few methods; larger ones take the place of a call.
#[async_trait]
pub(crate) trait Fault: Send + Sync + 'static {
    /// What is appended instead of `batch`.
    fn batch(&self, batch: Batch<u64>) -> Batch<u64> {
        batch
    }

    /// What is read instead of what `options` ask for.
    fn options(&self, options: ReadOptions<u64>) -> ReadOptions<u64> {
        options
    }

    /// What is answered instead of `page`.
    fn page(&self, page: Page<u64>) -> Page<u64> {
        page
    }

    /// What the store says that it can do.
    fn capabilities(&self, capabilities: Capabilities) -> Capabilities {
        capabilities
    }

    /// What is opened instead of `setup`.
    fn setup(&self, setup: Setup) -> Setup {
        setup
    }

    /// What happens to the store as it is opened.
    async fn opened(&self, _store: &MemoryStore) {}

    async fn append(&self, store: &MemoryStore, batch: Batch<u64>) -> Result<Receipt<u64>> {
        store.append(self.batch(batch)).await
    }

    async fn append_many(
        &self,
        store: &MemoryStore,
        batches: Vec<Batch<u64>>,
    ) -> Result<Vec<Receipt<u64>>> {
        store
            .append_many(batches.into_iter().map(|batch| self.batch(batch)).collect())
            .await
    }

    async fn read(
        &self,
        store: &MemoryStore,
        stream: &StreamName,
        options: &ReadOptions<u64>,
    ) -> Result<Page<u64>> {
        store
            .read(stream, &self.options(options.clone()))
            .await
            .map(|page| self.page(page))
    }

    async fn stat(&self, store: &MemoryStore, stream: &StreamName) -> Result<Stat<u64>> {
        store.stat(stream).await
    }

    async fn trim(&self, store: &MemoryStore, stream: &StreamName, through: u64) -> Result<u64> {
        store.trim(stream, through).await
    }

    async fn retain(
        &self,
        store: &MemoryStore,
        stream: &StreamName,
        retention: &Retention,
    ) -> Result<u64> {
        store.retain(stream, retention).await
    }

    async fn purge_expired(&self, store: &MemoryStore, stream: &StreamName) -> Result<u64> {
        store.purge_expired(stream).await
    }

    async fn set_tags(
        &self,
        store: &MemoryStore,
        stream: &StreamName,
        id: u64,
        tags: BTreeSet<String>,
    ) -> Result<()> {
        store.set_tags(stream, id, tags).await
    }

    async fn annotate(
        &self,
        store: &MemoryStore,
        stream: &StreamName,
        id: u64,
        changes: Changes,
    ) -> Result<()> {
        store.annotate(stream, id, changes).await
    }

    async fn list(
        &self,
        store: &MemoryStore,
        after: Option<&StreamName>,
        limit: usize,
    ) -> Result<Vec<StreamName>> {
        store.list(after, limit).await
    }

    async fn rename(&self, store: &MemoryStore, from: &StreamName, to: &StreamName) -> Result<()> {
        store.rename(from, to).await
    }

    async fn wait(
        &self,
        store: &MemoryStore,
        stream: &StreamName,
        after: Option<u64>,
    ) -> Result<()> {
        store.wait(stream, after).await
    }

    async fn save_checkpoint(
        &self,
        store: &MemoryStore,
        stream: &StreamName,
        name: &str,
        value: Bytes,
        expected: Option<Revision>,
    ) -> Result<Revision> {
        store.save_checkpoint(stream, name, value, expected).await
    }

    async fn delete_checkpoint(
        &self,
        store: &MemoryStore,
        stream: &StreamName,
        name: &str,
        expected: Revision,
    ) -> Result<()> {
        store.delete_checkpoint(stream, name, expected).await
    }

    async fn close(&self, store: &MemoryStore) -> Result<()> {
        store.close().await
    }
}

/// What `annotate` takes.
pub(crate) type Changes = BTreeMap<String, Option<String>>;

/// No fault at all.
#[derive(Default)]
pub(crate) struct Faultless;

impl Fault for Faultless {}

/// What a fault remembers.
pub(crate) fn lock<T>(memory: &Mutex<T>) -> MutexGuard<'_, T> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the fault of every new place.
pub(crate) static FAULT: Mutex<fn() -> Arc<dyn Fault>> = Mutex::new(|| Arc::new(Faultless));

/// A place whose stores have the fault that [`FAULT`] makes.
pub(crate) struct WrongPlace {
    fault: Arc<dyn Fault>,
    store: MemoryStore,
}

#[async_trait]
impl Harness for WrongPlace {
    type Store = Faulty;

    async fn fresh() -> Self {
        let make = *lock(&FAULT);
        Self {
            fault: make(),
            store: MemoryStore::new(),
        }
    }

    async fn open(&self, setup: Setup) -> Result<Faulty> {
        let setup = self.fault.setup(setup);
        let options = MemoryOptions::default()
            .with_clock(setup.clock)
            .with_limits(setup.limits);
        let options = if setup.append_only {
            options.append_only()
        } else {
            options
        };
        let store = self.store.reopen(options);
        self.fault.opened(&store).await;
        Ok(Faulty {
            capabilities: self.fault.capabilities(store.capabilities().clone()),
            fault: Arc::clone(&self.fault),
            store,
        })
    }
}

/// An opening of a store with a fault.
pub(crate) struct Faulty {
    capabilities: Capabilities,
    fault: Arc<dyn Fault>,
    store: MemoryStore,
}

#[async_trait]
impl Store for Faulty {
    type Id = u64;

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn append(&self, batch: Batch<u64>) -> Result<Receipt<u64>> {
        self.fault.append(&self.store, batch).await
    }

    async fn append_many(&self, batches: Vec<Batch<u64>>) -> Result<Vec<Receipt<u64>>> {
        self.fault.append_many(&self.store, batches).await
    }

    async fn read(&self, stream: &StreamName, options: &ReadOptions<u64>) -> Result<Page<u64>> {
        self.fault.read(&self.store, stream, options).await
    }

    async fn stat(&self, stream: &StreamName) -> Result<Stat<u64>> {
        self.fault.stat(&self.store, stream).await
    }

    async fn trim(&self, stream: &StreamName, through: u64) -> Result<u64> {
        self.fault.trim(&self.store, stream, through).await
    }

    async fn retain(&self, stream: &StreamName, retention: &Retention) -> Result<u64> {
        self.fault.retain(&self.store, stream, retention).await
    }

    async fn purge_expired(&self, stream: &StreamName) -> Result<u64> {
        self.fault.purge_expired(&self.store, stream).await
    }

    async fn set_tags(&self, stream: &StreamName, id: u64, tags: BTreeSet<String>) -> Result<()> {
        self.fault.set_tags(&self.store, stream, id, tags).await
    }

    async fn annotate(&self, stream: &StreamName, id: u64, changes: Changes) -> Result<()> {
        self.fault.annotate(&self.store, stream, id, changes).await
    }

    async fn list(&self, after: Option<&StreamName>, limit: usize) -> Result<Vec<StreamName>> {
        self.fault.list(&self.store, after, limit).await
    }

    async fn rename(&self, from: &StreamName, to: &StreamName) -> Result<()> {
        self.fault.rename(&self.store, from, to).await
    }

    async fn wait(&self, stream: &StreamName, after: Option<u64>) -> Result<()> {
        self.fault.wait(&self.store, stream, after).await
    }

    async fn load_checkpoint(&self, stream: &StreamName, name: &str) -> Result<Option<Checkpoint>> {
        self.store.load_checkpoint(stream, name).await
    }

    async fn save_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
        value: Bytes,
        expected: Option<Revision>,
    ) -> Result<Revision> {
        self.fault
            .save_checkpoint(&self.store, stream, name, value, expected)
            .await
    }

    async fn delete_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
        expected: Revision,
    ) -> Result<()> {
        self.fault
            .delete_checkpoint(&self.store, stream, name, expected)
            .await
    }

    async fn list_checkpoints(
        &self,
        stream: &StreamName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        self.store.list_checkpoints(stream, after, limit).await
    }

    async fn health(&self) -> Result<Health> {
        self.store.health().await
    }

    async fn close(&self) -> Result<()> {
        self.fault.close(&self.store).await
    }
}
