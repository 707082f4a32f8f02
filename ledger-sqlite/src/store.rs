//! The store: checks its arguments, and leaves the rest to the threads of its opening.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ledger_core::{
    Batch, Bytes, Capabilities, Checkpoint, Error, Health, Limits, Outcome, Page, ReadOptions,
    Receipt, Result, Retention, Revision, Stat, Store, StreamName, async_trait,
};
use rusqlite::Connection;

use crate::checkpoints;
use crate::connection::Location;
use crate::error::Failure;
use crate::opening::{self, Context, Opening};
use crate::options::SqliteOptions;
use crate::read;
use crate::streams::{self, StreamRow};

/// A store in a SQLite file, or in memory. A cheap handle: clones share one opening.
///
/// Any number of openings, in this process and in others, may read and write the same file at once. An append by
/// another opening is noticed after [`SqliteOptions::poll_interval`] at the latest.
///
/// Dropping the last handle finishes what was begun, in the background; [`close`](Store::close) does so before it
/// answers.
#[derive(Clone)]
pub struct SqliteStore(Arc<Opening>);

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqliteStore")
            .field(&self.context().place.name)
            .finish()
    }
}

impl SqliteStore {
    /// Opens the store in the file at `path` with the default options, creating it if it is not there.
    ///
    /// # Errors
    /// As [`open_with`](SqliteStore::open_with).
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self> {
        Self::open_with(path, SqliteOptions::default()).await
    }

    /// Opens the store in the file at `path`, creating it if it is not there, migrating it if it is of an older format.
    ///
    /// A file that is created can be read and written by its owner only. The file may hold other tables too; it is
    /// turned to write-ahead logging, and stays so. It must lie on a local disk.
    ///
    /// # Errors
    /// [`Open`](Error::Open): the path is a directory or a symbolic link, or its directory is missing.
    /// [`NotAStore`](Error::NotAStore), [`FormatTooNew`](Error::FormatTooNew), [`Corrupt`](Error::Corrupt),
    /// [`ReadOnly`](Error::ReadOnly): the file was left as it is.
    /// [`InvalidInput`](Error::InvalidInput): the options make no sense.
    /// [`Busy`](Error::Busy): somebody else held the file for longer than [`SqliteOptions::busy_timeout`].
    pub async fn open_with(path: impl Into<PathBuf>, options: SqliteOptions) -> Result<Self> {
        Self::open_at(Location::File(path.into()), options).await
    }

    /// Opens a new store in memory with the default options. It is gone with its last handle.
    ///
    /// # Errors
    /// As [`in_memory_with`](SqliteStore::in_memory_with).
    pub async fn in_memory() -> Result<Self> {
        Self::in_memory_with(SqliteOptions::default()).await
    }

    /// Opens a new store in memory. It is gone with its last handle.
    ///
    /// # Errors
    /// [`InvalidInput`](Error::InvalidInput): the options make no sense.
    pub async fn in_memory_with(options: SqliteOptions) -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("unnamed {}", COUNT.fetch_add(1, Ordering::Relaxed));
        Self::in_memory_named(name, options).await
    }

    /// Opens the store in memory that all openings of this name in this process share. It is gone with the last of
    /// them.
    ///
    /// # Errors
    /// As [`in_memory_with`](SqliteStore::in_memory_with), and those of [`open_with`](SqliteStore::open_with) that do
    /// not speak of files.
    pub async fn in_memory_named(name: impl Into<String>, options: SqliteOptions) -> Result<Self> {
        Self::open_at(Location::Memory(name.into()), options).await
    }

    async fn open_at(location: Location, options: SqliteOptions) -> Result<Self> {
        Ok(Self(Arc::new(opening::open(location, options).await?)))
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.0.0
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.context().capabilities.limits
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.context().jobs.is_closed() {
            return Err(Error::Closed);
        }
        Ok(())
    }

    /// Puts outcomes into receipts.
    pub(crate) fn receipts(&self, outcomes: Vec<Vec<Outcome<u64>>>) -> Vec<Receipt<u64>> {
        let durability = self.context().capabilities.durability;
        let receipt = |outcomes| Receipt {
            outcomes,
            durability,
        };
        outcomes.into_iter().map(receipt).collect()
    }

    /// Checks that the store is open and the name is one, before anything else is looked at.
    fn enter(&self, stream: &StreamName) -> Result<()> {
        self.check_open()?;
        self.limits().check_stream_name(stream)
    }

    fn enter_checkpoint(&self, stream: &StreamName, name: &str) -> Result<()> {
        self.enter(stream)?;
        self.limits().check_checkpoint_name(name)
    }

    fn check_marks(&self) -> Result<()> {
        match self.context().capabilities.marks {
            true => Ok(()),
            false => Err(Error::AppendOnly),
        }
    }

    /// Asks about a stream; nothing is the answer if it was never named.
    async fn ask_stream<T: Default + Send + 'static>(
        &self,
        name: &StreamName,
        question: impl FnOnce(&Connection, &Context, &StreamRow) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let name = name.clone();
        let answer = self.context().ask(move |connection, context| {
            match StreamRow::find(connection, &context.sql, &name)? {
                Some(stream) => question(connection, context, &stream),
                None => Ok(T::default()),
            }
        });
        answer.await
    }
}

#[async_trait]
impl Store for SqliteStore {
    type Id = u64;

    fn capabilities(&self) -> &Capabilities {
        &self.context().capabilities
    }

    async fn append(&self, batch: Batch<u64>) -> Result<Receipt<u64>> {
        let mut receipts = self.append_many(vec![batch]).await?;
        Ok(receipts.pop().expect("every batch has its receipt"))
    }

    async fn append_many(&self, batches: Vec<Batch<u64>>) -> Result<Vec<Receipt<u64>>> {
        self.check_open()?;
        self.limits().check_batches(&batches)?;
        let weight = batches.iter().map(|batch| batch.entries.len()).sum();
        if weight == 0 {
            return Ok(self.receipts(vec![Vec::new(); batches.len()]));
        }
        let work = self
            .context()
            .change(weight, move |session| session.append(&batches));
        Ok(self.receipts(work.await?))
    }

    async fn read(&self, stream: &StreamName, options: &ReadOptions<u64>) -> Result<Page<u64>> {
        self.enter(stream)?;
        options.validate()?;
        self.limits().check_filter(&options.filter)?;
        let (name, options, now) = (stream.clone(), options.clone(), self.context().now());
        let page = self.context().ask(move |connection, context| {
            read::page(connection, &context.sql, &name, &options, now)
        });
        page.await
    }

    async fn stat(&self, stream: &StreamName) -> Result<Stat<u64>> {
        self.enter(stream)?;
        let durability = self.context().capabilities.durability;
        let stat = self.ask_stream(stream, move |_, _, row| Ok(Some(row.stat(durability))));
        Ok(stat.await?.unwrap_or_else(|| Stat::empty(durability)))
    }

    async fn trim(&self, stream: &StreamName, through: u64) -> Result<u64> {
        self.enter(stream)?;
        let name = stream.clone();
        let work = self
            .context()
            .change(1, move |session| session.trim(&name, through));
        work.await
    }

    async fn retain(&self, stream: &StreamName, retention: &Retention) -> Result<u64> {
        self.enter(stream)?;
        retention.validate()?;
        let (name, retention) = (stream.clone(), retention.clone());
        let work = self
            .context()
            .change(1, move |session| session.retain(&name, &retention));
        work.await
    }

    async fn purge_expired(&self, stream: &StreamName) -> Result<u64> {
        self.enter(stream)?;
        let name = stream.clone();
        let work = self
            .context()
            .change(1, move |session| session.purge_expired(&name));
        work.await
    }

    async fn set_tags(&self, stream: &StreamName, id: u64, tags: BTreeSet<String>) -> Result<()> {
        self.enter(stream)?;
        self.check_marks()?;
        self.limits().check_tags(&tags)?;
        let name = stream.clone();
        let work = self
            .context()
            .change(1, move |session| session.set_tags(&name, id, &tags));
        work.await
    }

    async fn annotate(
        &self,
        stream: &StreamName,
        id: u64,
        changes: BTreeMap<String, Option<String>>,
    ) -> Result<()> {
        self.enter(stream)?;
        self.check_marks()?;
        let (name, limits) = (stream.clone(), self.limits().clone());
        let work = self.context().change(1, move |session| {
            session.annotate(&name, id, &changes, &limits)
        });
        work.await
    }

    async fn list(&self, after: Option<&StreamName>, limit: usize) -> Result<Vec<StreamName>> {
        self.check_open()?;
        check_list_limit(limit)?;
        let after = after.cloned();
        let names = self.context().ask(move |connection, context| {
            streams::list(connection, &context.sql, after.as_ref(), limit)
        });
        names.await
    }

    async fn rename(&self, from: &StreamName, to: &StreamName) -> Result<()> {
        self.enter(from)?;
        self.limits().check_stream_name(to)?;
        let (from, to) = (from.clone(), to.clone());
        let work = self
            .context()
            .change(1, move |session| session.rename(&from, &to));
        work.await
    }

    async fn wait(&self, stream: &StreamName, after: Option<u64>) -> Result<()> {
        loop {
            let listener = self.context().wakeups.listen(stream);
            self.context().bell.ring();
            self.enter(stream)?;
            let head = self.ask_stream(stream, |_, _, row| Ok(row.head())).await?;
            if head > after {
                return Ok(());
            }
            listener.wait().await;
        }
    }

    async fn load_checkpoint(&self, stream: &StreamName, name: &str) -> Result<Option<Checkpoint>> {
        self.enter_checkpoint(stream, name)?;
        let name = name.to_owned();
        let checkpoint = self.ask_stream(stream, move |connection, context, row| {
            checkpoints::load(connection, &context.sql, row, &name)
        });
        checkpoint.await
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
        let (stream, name) = (stream.clone(), name.to_owned());
        let work = self.context().change(1, move |session| {
            session.save_checkpoint(&stream, &name, &value, expected)
        });
        work.await
    }

    async fn delete_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
        expected: Revision,
    ) -> Result<()> {
        self.enter_checkpoint(stream, name)?;
        let (stream, name) = (stream.clone(), name.to_owned());
        let work = self.context().change(1, move |session| {
            session.delete_checkpoint(&stream, &name, expected)
        });
        work.await
    }

    async fn list_checkpoints(
        &self,
        stream: &StreamName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        self.enter(stream)?;
        check_list_limit(limit)?;
        let after = after.map(str::to_owned);
        let names = self.ask_stream(stream, move |connection, context, row| {
            checkpoints::list(connection, &context.sql, row, after.as_deref(), limit)
        });
        names.await
    }

    async fn health(&self) -> Result<Health> {
        self.check_open()?;
        let start = Instant::now();
        let format = self.context().ask(|connection, context| {
            Ok(connection.query_row(&context.sql.find_format, [], |row| row.get::<_, u32>(0))?)
        });
        format.await?;
        let engine = format!("SQLite {}", rusqlite::version());
        Ok(Health::new(engine, start.elapsed()))
    }

    async fn close(&self) -> Result<()> {
        self.context().close().await
    }
}

fn check_list_limit(limit: usize) -> Result<()> {
    if limit == 0 {
        return Err(Error::InvalidInput {
            reason: "the limit of a list is zero".into(),
        });
    }
    Ok(())
}
