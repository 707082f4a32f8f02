//! The store: a log, and the waiting for it, on any runtime.
//!
//! What memory and the system's cache can answer is answered where it is asked. Whatever would have to wait for a disk is
//! done on threads that may wait: flushes by a `committer`, the rest by the pool of the `blocking` crate. What another
//! process appends is noticed by a `watch`. A `scan` lends entries.

mod appending;
mod committer;
mod scan;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use blocking::{Task, unblock};
use ledger_core::{
    Batch, Bytes, Capabilities, Checkpoint, Durability, Error, Health, Page, ReadOptions, Receipt,
    Result, Retention, Revision, Stat, Store, StreamName, async_trait,
};
use smallvec::{SmallVec, smallvec};

use self::appending::Appending;
use self::committer::Committer;
use self::watch::Watch;
use crate::disk::Patience;
use crate::error;
use crate::log::{Decided, Log};
use crate::options::FileOptions;

/// A store in a directory. A cheap handle: clones share one opening.
///
/// One opening writes to a directory at a time, whatever the process; a second one is refused, and told who the first
/// is. Appends of any number of tasks, to any streams, share their flushes of the disk. An append is decided and on its
/// way with the first poll of its future, and comes to its end whether or not somebody still waits for it. Small payloads
/// of a page that is read share memory, as [`Log::read`] says.
///
/// Dropping the last handle closes the log, and waits for that; [`close`](Store::close) does so on another thread. A call whose
/// future was dropped, but which another thread has begun, comes before that, and nobody waits for it then.
#[derive(Clone)]
pub struct FileStore(Arc<Opening>);

struct Opening {
    // Dropped first: it leads what is under way to its end.
    committer: Option<Committer>,
    /// If another process writes.
    watch: Option<Watch>,
    log: Arc<Log>,
    capabilities: Capabilities,
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FileStore")
            .field(&self.0.log.place())
            .finish()
    }
}

impl FileStore {
    /// Opens the store in the directory at `path` with the default options, making it if it is not there.
    ///
    /// # Errors
    /// As [`open_with`](FileStore::open_with).
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self> {
        Self::open_with(path, FileOptions::default()).await
    }

    /// Opens the store in the directory at `path`, making it if it is not there.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub async fn open_with(path: impl Into<PathBuf>, options: FileOptions) -> Result<Self> {
        let path = path.into();
        unblock(move || {
            let log = Log::open(path, options)?;
            log.begin()?;
            let committer = match log.durability() {
                Durability::Sync => {
                    Some(Committer::start().map_err(|error| no_thread(&log, error))?)
                }
                _ => None,
            };
            Ok(Self::over(Arc::new(log), committer, None))
        })
        .await
    }

    /// Opens the store in the directory at `path` for reading, while another process may write to it.
    ///
    /// Whoever waits or follows learns of an append after 5 ms at the latest. Changes are refused with
    /// [`ReadOnly`](Error::ReadOnly).
    ///
    /// # Errors
    /// As [`Log::open_read_only`].
    pub async fn open_read_only(path: impl Into<PathBuf>, options: FileOptions) -> Result<Self> {
        let path = path.into();
        unblock(move || {
            let log = Arc::new(Log::open_read_only(path, options)?);
            let watch = Watch::start(Arc::clone(&log)).map_err(|error| no_thread(&log, error))?;
            Ok(Self::over(log, None, Some(watch)))
        })
        .await
    }

    fn over(log: Arc<Log>, committer: Option<Committer>, watch: Option<Watch>) -> Self {
        let capabilities = log.capabilities();
        Self(Arc::new(Opening {
            committer,
            watch,
            log,
            capabilities,
        }))
    }

    /// The log under the store, for code that wants to call it without futures.
    pub fn log(&self) -> &Log {
        &self.0.log
    }

    /// Asks what may have to be read from a disk.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl Fn(&Log, Patience) -> error::Result<T> + Send + 'static,
    ) -> Result<T> {
        let log = &self.0.log;
        if let Some(answer) = log.ask_now(|| question(log, Patience::Now))? {
            return Ok(answer);
        }
        let log = Arc::clone(log);
        unblock(move || log.ask(|| question(&log, Patience::Wait))).await
    }

    /// Makes a change that waits for the disk.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Log) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let log = Arc::clone(&self.0.log);
        unblock(move || change(&log)).await
    }

    /// Decides about batches, which are one commit, if that needs no waiting, and sees to it that they become durable.
    #[inline]
    fn decide_now(&self, batches: &[Batch<u64>]) -> Result<Option<Decided>> {
        let log = &self.0.log;
        let decided = log.ask_now(|| log.decide(batches, Patience::Now))?;
        decided.iter().for_each(|decided| self.0.have_led(decided));
        Ok(decided)
    }

    /// Does so on a thread that may wait.
    fn decide(&self, batches: SmallVec<[Batch<u64>; 1]>) -> Task<Result<Decided>> {
        let opening = Arc::clone(&self.0);
        unblock(move || {
            let log = &opening.log;
            let decided = log.ask(|| log.decide(&batches, Patience::Wait))?;
            opening.have_led(&decided);
            Ok(decided)
        })
    }
}

fn no_thread(log: &Log, source: std::io::Error) -> Error {
    Error::Engine {
        place: log.place().into(),
        source: source.into(),
    }
}

/// What the trait's methods answer, spelled out where a future is written by hand.
type BoxFuture<'f, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'f>>;

impl Opening {
    fn have_led(&self, decided: &Decided) {
        if let Some(committer) = &self.committer
            && let Some(lead) = decided.take_lead(&self.log)
        {
            committer.lead(lead);
        }
    }
}

#[async_trait]
impl Store for FileStore {
    type Id = u64;

    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    fn append<'a, 'f>(&'a self, batch: Batch<u64>) -> BoxFuture<'f, Receipt<u64>>
    where
        'a: 'f,
    {
        Box::pin(Appending::new(self, smallvec![batch], |mut receipts| {
            receipts.pop().expect("every batch has its receipt")
        }))
    }

    fn append_many<'a, 'f>(&'a self, batches: Vec<Batch<u64>>) -> BoxFuture<'f, Vec<Receipt<u64>>>
    where
        'a: 'f,
    {
        Box::pin(Appending::new(self, batches.into(), SmallVec::into_vec))
    }

    async fn read(&self, stream: &StreamName, options: &ReadOptions<u64>) -> Result<Page<u64>> {
        let (stream, options) = (stream.clone(), options.clone());
        self.ask(move |log, patience| log.read_with(&stream, &options, patience))
            .await
    }

    async fn stat(&self, stream: &StreamName) -> Result<Stat<u64>> {
        let stream = stream.clone();
        self.ask(move |log, patience| log.stat_with(&stream, patience))
            .await
    }

    async fn trim(&self, stream: &StreamName, through: u64) -> Result<u64> {
        let stream = stream.clone();
        self.change(move |log| log.trim(&stream, through)).await
    }

    async fn retain(&self, stream: &StreamName, retention: &Retention) -> Result<u64> {
        let (stream, retention) = (stream.clone(), retention.clone());
        self.change(move |log| log.retain(&stream, &retention))
            .await
    }

    async fn purge_expired(&self, stream: &StreamName) -> Result<u64> {
        let stream = stream.clone();
        self.change(move |log| log.purge_expired(&stream)).await
    }

    async fn set_tags(&self, stream: &StreamName, id: u64, tags: BTreeSet<String>) -> Result<()> {
        let stream = stream.clone();
        self.change(move |log| log.set_tags(&stream, id, tags))
            .await
    }

    async fn annotate(
        &self,
        stream: &StreamName,
        id: u64,
        changes: BTreeMap<String, Option<String>>,
    ) -> Result<()> {
        let stream = stream.clone();
        self.change(move |log| log.annotate(&stream, id, &changes))
            .await
    }

    async fn list(&self, after: Option<&StreamName>, limit: usize) -> Result<Vec<StreamName>> {
        let after = after.cloned();
        self.ask(move |log, patience| log.list_with(after.as_ref(), limit, patience))
            .await
    }

    async fn rename(&self, from: &StreamName, to: &StreamName) -> Result<()> {
        let (from, to) = (from.clone(), to.clone());
        self.change(move |log| log.rename(&from, &to)).await
    }

    async fn wait(&self, stream: &StreamName, after: Option<u64>) -> Result<()> {
        loop {
            let follower = self.0.log.followers().listen(stream);
            self.0.watch.iter().for_each(Watch::ring);
            if self.stat(stream).await?.head > after {
                return Ok(());
            }
            follower.wait().await;
        }
    }

    async fn load_checkpoint(&self, stream: &StreamName, name: &str) -> Result<Option<Checkpoint>> {
        let (stream, name) = (stream.clone(), name.to_owned());
        self.ask(move |log, patience| log.load_checkpoint_with(&stream, &name, patience))
            .await
    }

    async fn save_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
        value: Bytes,
        expected: Option<Revision>,
    ) -> Result<Revision> {
        let (stream, name) = (stream.clone(), name.to_owned());
        self.change(move |log| log.save_checkpoint(&stream, &name, &value, expected))
            .await
    }

    async fn delete_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
        expected: Revision,
    ) -> Result<()> {
        let (stream, name) = (stream.clone(), name.to_owned());
        self.change(move |log| log.delete_checkpoint(&stream, &name, expected))
            .await
    }

    async fn list_checkpoints(
        &self,
        stream: &StreamName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        let (stream, after) = (stream.clone(), after.map(str::to_owned));
        let names = self.ask(move |log, patience| {
            log.list_checkpoints_with(&stream, after.as_deref(), limit, patience)
        });
        names.await
    }

    async fn health(&self) -> Result<Health> {
        let start = Instant::now();
        self.change(Log::check_disk).await?;
        Ok(Health::new("ledger file log", start.elapsed()))
    }

    async fn close(&self) -> Result<()> {
        self.change(Log::close).await
    }
}
