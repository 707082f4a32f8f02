//! The store that users hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ledger_core::{
    Batch, Bytes, Capabilities, Checkpoint, Clock, Durability, Error, Health, Limits, Page,
    ReadOptions, Receipt, Result, Retention, Revision, Stat, Store, StreamName, Timestamp,
    async_trait, check_limit,
};
use sqlx_core::connection::Connection;
use sqlx_core::sql_str::SqlStr;
use sqlx_postgres::{PgConnectOptions, PgPool, PgRow, PgTransaction};
use tokio::sync::RwLock;

use crate::append::{Call, Outcomes};
use crate::database::{Arguments, Database, Entered};
use crate::group::Groups;
use crate::health;
use crate::options::PostgresOptions;
use crate::read;
use crate::schema;
use crate::sql::Sql;
use crate::watch::Watch;

/// A store in a Postgres database.
///
/// Cloning gives another handle of the same opening: the same pool, queues and wake-ups. Any number of openings, in any
/// number of processes, may use the same tables at once.
///
/// Appends of one process to one stream that come while another one is being committed are committed together, and each
/// keeps its own outcome. Calls need a tokio runtime with I/O and time.
#[derive(Clone)]
pub struct PostgresStore(Arc<Opening>);

/// One opening of a store.
pub(crate) struct Opening {
    pub(crate) database: Database,
    pub(crate) sql: Arc<Sql>,
    pub(crate) capabilities: Capabilities,
    clock: Option<Arc<dyn Clock>>,
    groups: Arc<Groups>,
    watch: Watch,
    closed: AtomicBool,
    /// Shared by the changes under way; taken whole by `close`.
    gate: Arc<RwLock<()>>,
}

impl PostgresStore {
    /// Opens the store that `url` leads to, creating or migrating it if need be:
    /// `postgres://user:password@host:port/database`, and what else libpq's environment and `.pgpass` say.
    ///
    /// # Errors
    /// As [`open_with`](Self::open_with).
    pub async fn open(url: &str) -> Result<Self> {
        Self::open_with(url, PostgresOptions::default()).await
    }

    /// Opens the store that `url` leads to, with `options`.
    ///
    /// # Errors
    /// [`InvalidInput`](Error::InvalidInput): the URL or the options make no sense.
    /// [`Unavailable`](Error::Unavailable): there is no server to reach.
    /// [`Open`](Error::Open): it turned the connection away, or a permission is missing; the source says which.
    /// [`NotAStore`](Error::NotAStore): the database cannot hold a store, or the names belong to something else.
    /// [`FormatTooNew`](Error::FormatTooNew): update the program.
    /// [`ReadOnly`](Error::ReadOnly): the server is a replica, and the store is still to be made.
    pub async fn open_with(url: &str, options: PostgresOptions) -> Result<Self> {
        // What is wrong with the URL is not told in detail, because a part of it is a password.
        let connect = PgConnectOptions::from_str(url).map_err(|_| Error::InvalidInput {
            reason: "the URL of the Postgres server is not one".into(),
        })?;
        Self::open_at(connect, options).await
    }

    /// Opens the store that `connect` leads to, with `options`: for certificates and the like.
    ///
    /// # Errors
    /// As [`open_with`](Self::open_with).
    pub async fn open_at(connect: PgConnectOptions, options: PostgresOptions) -> Result<Self> {
        options.validate()?;
        let database = Database::new(connect, &options);
        Self::open_on(database, options).await
    }

    /// Opens the store in the database of `pool`, which stays open when the store is closed.
    ///
    /// The number of connections, and their settings and timeouts, are those of the pool. One more connection is made
    /// for notifications.
    ///
    /// # Errors
    /// As [`open_with`](Self::open_with).
    pub async fn with_pool(pool: PgPool, options: PostgresOptions) -> Result<Self> {
        options.validate()?;
        let database = Database::borrowed(pool, &options);
        Self::open_on(database, options).await
    }

    async fn open_on(database: Database, options: PostgresOptions) -> Result<Self> {
        let mut connection = database.connect().await?;
        schema::prepare(&mut connection, &options, &database.place).await?;
        health::warn_if_plain(&mut connection, &database).await?;
        let sql = Arc::new(Sql::new(options.names()));
        let durability = health::durability(&mut connection, &sql, &database.place).await?;
        // It has done its work; the server notices if it is not told.
        let _ = connection.close().await;
        Ok(Self(Arc::new(Opening::new(
            database, sql, durability, options,
        ))))
    }

    /// The store's connections, on which a caller may begin transactions for [`append_in`](Self::append_in).
    pub fn pool(&self) -> &PgPool {
        &self.0.database.pool
    }

    /// Appends a batch inside a transaction of the caller's, whose own changes then become visible in the same commit.
    ///
    /// The stream stays locked for all other appends until the transaction ends, so end it soon; and if a transaction
    /// appends to several streams in several calls, always in the same order, or Postgres may have to break a deadlock.
    /// A conflict writes nothing and leaves the transaction usable.
    ///
    /// # Errors
    /// As [`append`](Store::append), and those of the transaction, which is then at its end.
    pub async fn append_in(
        &self,
        transaction: &mut PgTransaction<'_>,
        batch: Batch<u64>,
    ) -> Result<Receipt<u64>> {
        let receipts = self.append_many_in(transaction, vec![batch]).await?;
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
        transaction: &mut PgTransaction<'_>,
        batches: Vec<Batch<u64>>,
    ) -> Result<Vec<Receipt<u64>>> {
        let opening = &self.0;
        opening.check_append(&batches)?;
        let (call, places) = split_off_empty(batches);
        if call.batches.is_empty() {
            return Ok(opening.receipts(places, Vec::new()));
        }
        let answers = call
            .run_in(transaction, &opening.sql, opening.now(), &opening.database)
            .await?;
        Ok(opening.receipts(places, answers.into_iter().collect::<Result<_>>()?))
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresStore({})", self.0.database.place.name)
    }
}

impl Opening {
    fn new(
        database: Database,
        sql: Arc<Sql>,
        durability: Durability,
        options: PostgresOptions,
    ) -> Self {
        let mut capabilities = Capabilities::full(durability);
        capabilities.limits = options.limits;
        capabilities.marks = !options.append_only;
        capabilities.read_ahead = true;
        Self {
            groups: Groups::new(database.clone(), Arc::clone(&sql), options.clock.clone()),
            watch: Watch::new(database.clone(), Arc::clone(&sql), options.poll_interval),
            database,
            sql,
            capabilities,
            clock: options.clock,
            closed: AtomicBool::new(false),
            gate: Arc::default(),
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.capabilities.limits
    }

    /// The program's time, if it brings one.
    fn now(&self) -> Option<Timestamp> {
        self.clock.as_ref().map(|clock| clock.now())
    }

    pub(crate) fn now_micros(&self) -> Option<i64> {
        self.now().map(Timestamp::as_micros)
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
        self.limits().check_batches(batches)
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

    /// Runs a statement that changes something.
    pub(crate) async fn change<F>(&self, statement: &SqlStr, arguments: F) -> Result<PgRow>
    where
        F: Fn() -> Arguments + Send + Sync + 'static,
    {
        let entered = self.enter().await?;
        self.database
            .change(entered, statement.clone(), arguments)
            .await
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
        let (call, places) = split_off_empty(batches);
        if call.batches.is_empty() {
            return Ok(self.receipts(places, Vec::new()));
        }
        let names: Vec<_> = call
            .batches
            .iter()
            .map(|batch| batch.stream.clone())
            .collect();
        let call = Arc::new(call);
        let (sent, now) = (Arc::clone(&call), self.now());
        let row = self
            .change(&call.statement(&self.sql), move || sent.arguments(now))
            .await?;
        let answers = call.answers(&row, &self.database.place)?;
        let receipts = self.receipts(places, answers.into_iter().collect::<Result<_>>()?);
        names.iter().for_each(|name| self.watch.wake(name));
        Ok(receipts)
    }
}

/// Takes out what has no entries, and notes for each batch whether it was kept.
fn split_off_empty(batches: Vec<Batch<u64>>) -> (Call, Vec<bool>) {
    let places = batches
        .iter()
        .map(|batch| !batch.entries.is_empty())
        .collect();
    let sent = batches
        .into_iter()
        .filter(|batch| !batch.entries.is_empty());
    (Call::together(sent.collect()), places)
}

#[async_trait]
impl Store for PostgresStore {
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
        read::page(
            &opening.database,
            &opening.sql,
            stream,
            options,
            opening.now(),
        )
        .await
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
        health::health(&self.0.database, &self.0.sql).await
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
