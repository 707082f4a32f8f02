//! The store that users hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ledger_core::{
    Batch, Bytes, Capabilities, Checkpoint, Durability, Error, Health, Limits, Page, ReadOptions,
    Receipt, Result, Retention, Revision, Stat, Store, StreamName, async_trait, check_limit,
};
use mongodb::ClientSession;
use tokio::sync::RwLock;

use crate::append::{Append, Bond, Outcomes, Trust};
use crate::database::{Database, Entered};
use crate::error::Failure;
use crate::group::Groups;
use crate::health;
use crate::insert;
use crate::options::{Indexes, MongoOptions};
use crate::read::PageOf;
use crate::schema;
use crate::transaction::Change;
use crate::watch::Watch;

/// A store in a MongoDB database.
///
/// Cloning gives another handle of the same opening: the same client, queues and wake-ups. Any number of openings, in any
/// number of processes, may use the same collections at once.
///
/// Appends of one process to one stream that come while another one is being committed are committed together, and each
/// keeps its own outcome. Calls need a tokio runtime with I/O and time.
#[derive(Clone)]
pub struct MongoStore(pub(crate) Arc<Opening>);

/// One opening of a store.
pub(crate) struct Opening {
    pub(crate) database: Database,
    pub(crate) capabilities: Capabilities,
    indexes: Indexes,
    groups: Arc<Groups>,
    watch: Watch,
    closed: AtomicBool,
    /// Shared by the changes under way; taken whole by `close`.
    gate: Arc<RwLock<()>>,
}

impl MongoStore {
    /// Opens the store that `uri` leads to, creating it if need be: `mongodb://user:password@host:port/database`, and what
    /// else the driver knows. `mongodb+srv://` needs the feature `srv`.
    ///
    /// # Errors
    /// As [`open_with`](Self::open_with).
    pub async fn open(uri: &str) -> Result<Self> {
        Self::open_with(uri, MongoOptions::default()).await
    }

    /// Opens the store that `uri` leads to, with `options`.
    ///
    /// Concerns and read preference of the URI do not matter: the store always writes to a majority of journals, and reads
    /// from the primary what a majority has.
    ///
    /// # Errors
    /// [`InvalidInput`](Error::InvalidInput): the URI or the options make no sense.
    /// [`Unavailable`](Error::Unavailable): there is no server to reach.
    /// [`Open`](Error::Open): it turned the user away, or a permission is missing; the source says which.
    /// [`NotAStore`](Error::NotAStore): the server is a standalone one or too old, or the names belong to something else.
    /// [`FormatTooNew`](Error::FormatTooNew): update the program.
    pub async fn open_with(uri: &str, options: MongoOptions) -> Result<Self> {
        options.validate()?;
        let database = Database::new(uri, &options).await?;
        Self::open_on(database, options).await
    }

    /// Opens the store in the caller's `database`, or in the one of the options on the same client, which stays open when
    /// the store is closed.
    ///
    /// # Errors
    /// As [`open_with`](Self::open_with).
    pub async fn with_database(
        database: &mongodb::Database,
        options: MongoOptions,
    ) -> Result<Self> {
        options.validate()?;
        let database = Database::borrowed(database, &options);
        Self::open_on(database, options).await
    }

    async fn open_on(database: Database, options: MongoOptions) -> Result<Self> {
        schema::prepare(&database, options.indexes).await?;
        let durability = health::durability(&database).await?;
        Ok(Self(Arc::new(Opening::new(database, durability, options))))
    }

    /// The store's database, on whose client a caller may start sessions for [`append_in`](Self::append_in).
    pub fn database(&self) -> &mongodb::Database {
        &self.0.database.handle
    }

    /// Appends a batch inside a transaction of the caller's, whose own changes then become visible in the same commit.
    ///
    /// The session must be one of the store's client, with a transaction begun. The receipt holds once the caller has
    /// committed, and as durably as the transaction's write concern says. A conflict writes nothing and leaves the
    /// transaction usable. Until it ends, appends of others to the stream are refused by MongoDB and tried again by the
    /// store, so end it soon.
    ///
    /// # Errors
    /// As [`append`](Store::append). After any other than [`Conflict`](Error::Conflict) the transaction is at its end; its
    /// `source()` is the driver's error, whose labels say whether to run the whole transaction again.
    pub async fn append_in(
        &self,
        session: &mut ClientSession,
        batch: Batch<u64>,
    ) -> Result<Receipt<u64>> {
        let receipts = self.append_many_in(session, vec![batch]).await?;
        Ok(receipts
            .into_iter()
            .next()
            .expect("every batch has its receipt"))
    }

    /// Appends batches to several streams inside a transaction of the caller's.
    ///
    /// # Errors
    /// As [`append_in`](Self::append_in).
    pub async fn append_many_in(
        &self,
        session: &mut ClientSession,
        batches: Vec<Batch<u64>>,
    ) -> Result<Vec<Receipt<u64>>> {
        let opening = &self.0;
        opening.check_append(&batches)?;
        let (batches, places) = split_off_empty(batches);
        if batches.is_empty() {
            return Ok(opening.receipts(places, Vec::new()));
        }
        // Whatever the unique index refuses would be the end of the caller's transaction.
        let append = Append::new(batches, Bond::Together, Trust::LookUp, opening.indexes);
        let written = append.write(&opening.database, session).await;
        let (answers, _) = written.map_err(|failure| opening.database.place.error(failure))?;
        Ok(opening.receipts(places, answers.into_iter().collect::<Result<_>>()?))
    }
}

impl fmt::Debug for MongoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MongoStore({})", self.0.database.place.name)
    }
}

impl Opening {
    fn new(database: Database, durability: Durability, options: MongoOptions) -> Self {
        let mut capabilities = Capabilities::full(durability);
        capabilities.limits = options.limits;
        capabilities.marks = !options.append_only;
        Self {
            groups: Groups::new(database.clone(), options.indexes),
            watch: Watch::new(database.clone(), options.poll_interval),
            indexes: options.indexes,
            database,
            capabilities,
            closed: AtomicBool::new(false),
            gate: Arc::default(),
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.capabilities.limits
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(Error::Closed);
        }
        Ok(())
    }

    fn check_stream(&self, stream: &StreamName) -> Result<()> {
        self.check_open()?;
        self.limits().check_stream_name(stream)
    }

    fn check_checkpoint(&self, stream: &StreamName, name: &str) -> Result<()> {
        self.check_stream(stream)?;
        self.limits().check_checkpoint_name(name)
    }

    fn check_append(&self, batches: &[Batch<u64>]) -> Result<()> {
        self.check_open()?;
        self.limits().check_batches(batches)?;
        batches
            .iter()
            .flat_map(|batch| &batch.entries)
            .try_for_each(insert::check_size)
    }

    fn check_marks(&self, stream: &StreamName) -> Result<()> {
        self.check_stream(stream)?;
        if !self.capabilities.marks {
            return Err(Error::AppendOnly);
        }
        Ok(())
    }

    /// Begins a change: `close` waits for it. What it gives must go along into the task that makes the change, because
    /// the caller's future may never be polled again.
    async fn enter(&self) -> Result<Entered> {
        let entered = Arc::clone(&self.gate).read_owned().await;
        self.check_open()?;
        Ok(entered)
    }

    /// Makes a change in a transaction of its own.
    pub(crate) async fn change<C>(&self, change: C) -> Result<C::Answer>
    where
        C: Change + 'static,
        C::Answer: 'static,
    {
        let entered = self.enter().await?;
        self.database.change(entered, change).await
    }

    /// Does `work`, which changes something, whether or not the caller goes on waiting for it.
    pub(crate) async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T> {
        let entered = self.enter().await?;
        self.database.finish(entered, work).await
    }

    fn receipt(&self, outcomes: Outcomes) -> Receipt<u64> {
        Receipt {
            outcomes,
            durability: self.capabilities.durability,
        }
    }

    /// Puts the outcomes where their batches were; the others had no entries.
    fn receipts(&self, places: Vec<bool>, outcomes: Vec<Outcomes>) -> Vec<Receipt<u64>> {
        let mut outcomes = outcomes.into_iter();
        let mut next = |was_sent| {
            if was_sent {
                outcomes.next().unwrap_or_default()
            } else {
                Vec::new()
            }
        };
        places
            .into_iter()
            .map(|was_sent| self.receipt(next(was_sent)))
            .collect()
    }

    async fn append_together(&self, batches: Vec<Batch<u64>>) -> Result<Vec<Receipt<u64>>> {
        let (batches, places) = split_off_empty(batches);
        if batches.is_empty() {
            return Ok(self.receipts(places, Vec::new()));
        }
        let names: Vec<_> = batches.iter().map(|batch| batch.stream.clone()).collect();
        let append = Append::new(batches, Bond::Together, Trust::New, self.indexes);
        let answers = self.change(append).await?;
        let receipts = self.receipts(places, answers.into_iter().collect::<Result<_>>()?);
        names.iter().for_each(|name| self.watch.wake(name));
        Ok(receipts)
    }
}

/// Takes out what has no entries, and notes for each batch whether it was kept.
fn split_off_empty(batches: Vec<Batch<u64>>) -> (Vec<Batch<u64>>, Vec<bool>) {
    let places = batches
        .iter()
        .map(|batch| !batch.entries.is_empty())
        .collect();
    let kept = batches
        .into_iter()
        .filter(|batch| !batch.entries.is_empty());
    (kept.collect(), places)
}

#[async_trait]
impl Store for MongoStore {
    type Id = u64;

    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    async fn append(&self, batch: Batch<u64>) -> Result<Receipt<u64>> {
        self.0.check_append(std::slice::from_ref(&batch))?;
        if batch.entries.is_empty() {
            return Ok(self.0.receipt(Vec::new()));
        }
        let stream = batch.stream.clone();
        let receipt = self
            .0
            .receipt(self.0.groups.append(batch, self.0.enter().await?).await?);
        if receipt.appended() > 0 {
            self.0.watch.wake(&stream);
        }
        Ok(receipt)
    }

    async fn append_many(&self, batches: Vec<Batch<u64>>) -> Result<Vec<Receipt<u64>>> {
        self.0.check_append(&batches)?;
        self.0.append_together(batches).await
    }

    async fn read(&self, stream: &StreamName, options: &ReadOptions<u64>) -> Result<Page<u64>> {
        let opening = &self.0;
        opening.check_stream(stream)?;
        options.validate()?;
        opening.limits().check_filter(&options.filter)?;
        let page = PageOf {
            stream: stream.clone(),
            options: options.clone(),
            indexes: opening.indexes,
        };
        opening.database.ask(page).await
    }

    async fn stat(&self, stream: &StreamName) -> Result<Stat<u64>> {
        self.0.check_stream(stream)?;
        self.0.stat(stream).await
    }

    async fn trim(&self, stream: &StreamName, through: u64) -> Result<u64> {
        self.0.check_stream(stream)?;
        self.0.trim(stream, through).await
    }

    async fn retain(&self, stream: &StreamName, retention: &Retention) -> Result<u64> {
        self.0.check_stream(stream)?;
        retention.validate()?;
        self.0.retain(stream, retention).await
    }

    async fn purge_expired(&self, stream: &StreamName) -> Result<u64> {
        self.0.check_stream(stream)?;
        self.0.purge_expired(stream).await
    }

    async fn set_tags(&self, stream: &StreamName, id: u64, tags: BTreeSet<String>) -> Result<()> {
        self.0.check_marks(stream)?;
        self.0.limits().check_tags(&tags)?;
        self.0.set_tags(stream, id, tags).await
    }

    async fn annotate(
        &self,
        stream: &StreamName,
        id: u64,
        changes: BTreeMap<String, Option<String>>,
    ) -> Result<()> {
        self.0.check_marks(stream)?;
        self.0.annotate(stream, id, changes).await
    }

    async fn list(&self, after: Option<&StreamName>, limit: usize) -> Result<Vec<StreamName>> {
        self.0.check_open()?;
        check_limit(limit)?;
        self.0.list(after, limit).await
    }

    async fn rename(&self, from: &StreamName, to: &StreamName) -> Result<()> {
        self.0.check_stream(from)?;
        self.0.limits().check_stream_name(to)?;
        self.0.rename(from, to).await?;
        self.0.watch.wake(to);
        Ok(())
    }

    async fn wait(&self, stream: &StreamName, after: Option<u64>) -> Result<()> {
        loop {
            let listener = self.0.watch.listen(stream);
            self.0.check_stream(stream)?;
            if self.0.stat(stream).await?.head > after {
                return Ok(());
            }
            self.0.watch.wait(listener).await;
        }
    }

    async fn load_checkpoint(&self, stream: &StreamName, name: &str) -> Result<Option<Checkpoint>> {
        self.0.check_checkpoint(stream, name)?;
        self.0.load_checkpoint(stream, name).await
    }

    async fn save_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
        value: Bytes,
        expected: Option<Revision>,
    ) -> Result<Revision> {
        self.0.check_checkpoint(stream, name)?;
        self.0.limits().check_checkpoint_value(&value)?;
        self.0.save_checkpoint(stream, name, value, expected).await
    }

    async fn delete_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
        expected: Revision,
    ) -> Result<()> {
        self.0.check_checkpoint(stream, name)?;
        self.0.delete_checkpoint(stream, name, expected).await
    }

    async fn list_checkpoints(
        &self,
        stream: &StreamName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        self.0.check_stream(stream)?;
        check_limit(limit)?;
        self.0.list_checkpoints(stream, after, limit).await
    }

    async fn health(&self) -> Result<Health> {
        self.0.check_open()?;
        health::health(&self.0.database).await
    }

    async fn close(&self) -> Result<()> {
        if self.0.closed.swap(true, Ordering::SeqCst) {
            return Err(Error::Closed);
        }
        self.0.watch.stop();
        drop(self.0.gate.write().await);
        self.0.database.close();
        Ok(())
    }
}
