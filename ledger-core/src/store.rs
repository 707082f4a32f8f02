//! The contract of a store: what every backend implements, and no more than that.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::batch::{Batch, Receipt};
use crate::capabilities::Capabilities;
use crate::checkpoint::{Checkpoint, Revision};
use crate::error::Result;
use crate::id::Id;
use crate::name::StreamName;
use crate::read::{Page, ReadOptions};
use crate::retention::Retention;
use crate::stat::{Health, Stat};

/// One log database holding many streams of bytes.
///
/// This is the minimum that a backend writes; everything convenient is written once, on [`Stream`](crate::Stream).
/// There are no default methods, so that a wrapper cannot lose behaviour silently.
///
/// # What holds for every method
/// - Limits and arguments are checked before anything is touched.
/// - Dropping a future is safe at any point: a change is then wholly made or wholly absent.
/// - No method blocks the thread that polls it.
/// - After [`close`](Store::close) every method answers [`Error::Closed`](crate::Error::Closed).
/// - A store is a handle: cloning one, or sharing it in an `Arc`, shares the same openings, queues and wake-ups.
///
/// The clauses named below (C1 to C11) are those of the contract that `ledger-storetest` checks.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The store's id type; `u64` in all built-in stores.
    type Id: Id;

    /// Tells what the store can do. Answers at once, and the same for as long as it is open.
    fn capabilities(&self) -> &Capabilities;

    /// Appends a batch as one atomic commit (C1, C2, C3, C4).
    ///
    /// Readers see all of its new entries, with adjacent ids, or none. Duplicates are answered with the id of the
    /// entry that is there, and write nothing; a batch of nothing but duplicates succeeds whatever its condition.
    /// A dedup key whose holder has expired is free: taking it purges the holder. Entries are recorded at the store's
    /// time, or at that of the entry before them if that is later.
    ///
    /// # Errors
    /// [`Conflict`](crate::Error::Conflict): the condition does not hold; read again, decide again.
    /// [`LimitExceeded`](crate::Error::LimitExceeded), [`InvalidInput`](crate::Error::InvalidInput): fix the request.
    /// [`OutcomeUnknown`](crate::Error::OutcomeUnknown): append the same again if it has dedup keys.
    /// Except after the last, nothing was written.
    async fn append(&self, batch: Batch<Self::Id>) -> Result<Receipt<Self::Id>>;

    /// Appends batches to several streams as one atomic commit, each with its own condition (C2.1).
    ///
    /// Conditions are decided by the state before the commit. No stream may be named twice; a batch without entries
    /// is answered with an empty receipt and its condition is not looked at.
    ///
    /// # Errors
    /// As [`append`](Store::append); one conflict fails all.
    async fn append_many(&self, batches: Vec<Batch<Self::Id>>) -> Result<Vec<Receipt<Self::Id>>>;

    /// Reads one page: one consistent state of the stream (C5).
    ///
    /// A stream that does not exist is an empty page, and does not come into being.
    ///
    /// An entry has expired when its `expires_at` is not later than the store's clock. So if that clock is set back, an
    /// entry may be returned again that was not; [`purge_expired`](Store::purge_expired) is final.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::Error::InvalidInput) for a limit of zero,
    /// [`LimitExceeded`](crate::Error::LimitExceeded) for a filter that is too large.
    async fn read(
        &self,
        stream: &StreamName,
        options: &ReadOptions<Self::Id>,
    ) -> Result<Page<Self::Id>>;

    /// Tells a stream's first id, head, count and bytes (C6.1).
    ///
    /// # Errors
    /// Those of the engine.
    async fn stat(&self, stream: &StreamName) -> Result<Stat<Self::Id>>;

    /// Removes the entries with an id less than or equal to `through`, and answers how many that were, tombstones
    /// included (C6.1).
    ///
    /// Their ids are never used again; their dedup keys are forgotten. May be repeated. A `through` beyond the head
    /// removes everything and leaves the head where it is.
    ///
    /// # Errors
    /// Those of the engine.
    async fn trim(&self, stream: &StreamName, through: Self::Id) -> Result<u64>;

    /// Removes from the old end what `retention` does not keep, and answers how many that were (C6.2).
    ///
    /// # Errors
    /// [`InvalidInput`](crate::Error::InvalidInput) for a retention without any bound.
    async fn retain(&self, stream: &StreamName, retention: &Retention) -> Result<u64>;

    /// Erases what expired entries held and answers how many were erased; only their ids stay, as tombstones (C5.5).
    ///
    /// Reads stop returning an entry when it expires; this takes the bytes away for good, wherever in the stream.
    ///
    /// # Errors
    /// Those of the engine.
    async fn purge_expired(&self, stream: &StreamName) -> Result<u64>;

    /// Replaces an entry's tags and stamps its `updated_at` with the store's time (C7).
    ///
    /// # Errors
    /// [`EntryNotFound`](crate::Error::EntryNotFound), [`AppendOnly`](crate::Error::AppendOnly),
    /// [`LimitExceeded`](crate::Error::LimitExceeded).
    async fn set_tags(
        &self,
        stream: &StreamName,
        id: Self::Id,
        tags: BTreeSet<String>,
    ) -> Result<()>;

    /// Merges `changes` into an entry's annotations and stamps its `updated_at` with the store's time (C7). A value of
    /// none deletes the key.
    ///
    /// # Errors
    /// As [`set_tags`](Store::set_tags). The limit is that of the merged annotations.
    async fn annotate(
        &self,
        stream: &StreamName,
        id: Self::Id,
        changes: BTreeMap<String, Option<String>>,
    ) -> Result<()>;

    /// Lists up to `limit` streams that hold entries, in the byte order of their names, behind the name `after` (C8).
    /// An expired entry is held until it is trimmed.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::Error::InvalidInput) for a limit of zero.
    async fn list(&self, after: Option<&StreamName>, limit: usize) -> Result<Vec<StreamName>>;

    /// Renames a stream, which keeps its entries, ids and checkpoints (C8).
    ///
    /// The old name is free again. A name is in use if a stream of that name was ever appended to, also when it is
    /// wholly trimmed, or has checkpoints. Renaming a stream to its own name changes nothing.
    ///
    /// # Errors
    /// [`StreamNotFound`](crate::Error::StreamNotFound): it was never appended to, even if it has checkpoints.
    /// [`StreamExists`](crate::Error::StreamExists): the name is in use.
    async fn rename(&self, from: &StreamName, to: &StreamName) -> Result<()>;

    /// Returns when the stream's head is beyond `after` (none: when it has a head at all).
    ///
    /// A hint and no more (C9): it may return too early, and a caller reads, then waits again. It must not sleep
    /// through an append or a renaming, whoever made it, for longer than the store's documented polling interval.
    ///
    /// # Errors
    /// Those of the engine.
    async fn wait(&self, stream: &StreamName, after: Option<Self::Id>) -> Result<()>;

    /// Loads a checkpoint of a stream; none if there is none of that name (C10).
    ///
    /// # Errors
    /// Those of the engine.
    async fn load_checkpoint(&self, stream: &StreamName, name: &str) -> Result<Option<Checkpoint>>;

    /// Saves a checkpoint if it still is at revision `expected` (none: if it does not exist), and answers the new
    /// revision (C10). The stream need not exist.
    ///
    /// # Errors
    /// [`CheckpointConflict`](crate::Error::CheckpointConflict): load again, decide again.
    async fn save_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
        value: Bytes,
        expected: Option<Revision>,
    ) -> Result<Revision>;

    /// Deletes a checkpoint if it still is at revision `expected` (C10). The revisions of that name are not reused.
    ///
    /// # Errors
    /// [`CheckpointConflict`](crate::Error::CheckpointConflict): load again, decide again.
    async fn delete_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
        expected: Revision,
    ) -> Result<()>;

    /// Lists up to `limit` names of a stream's checkpoints, in byte order, behind the name `after`.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::Error::InvalidInput) for a limit of zero.
    async fn list_checkpoints(
        &self,
        stream: &StreamName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>>;

    /// Does a real round trip, reading and writing nothing of the user's (C11).
    ///
    /// # Errors
    /// Those of the engine.
    async fn health(&self) -> Result<Health>;

    /// Finishes what was begun, flushes, and closes (C11). Every later call answers
    /// [`Closed`](crate::Error::Closed), a second close too; waiting calls are woken with it.
    ///
    /// # Errors
    /// Those of the engine.
    async fn close(&self) -> Result<()>;
}

/// A store of any kind, shared. What a [`Stream`](crate::Stream) holds; made from any store, or from an
/// `Arc<dyn Store>`.
pub struct SharedStore<I>(Arc<dyn Store<Id = I>>);

impl<I> Clone for SharedStore<I> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<I> fmt::Debug for SharedStore<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedStore")
    }
}

impl<I> Deref for SharedStore<I> {
    type Target = dyn Store<Id = I>;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl<I, S: Store<Id = I>> From<S> for SharedStore<I> {
    fn from(store: S) -> Self {
        Self(Arc::new(store))
    }
}

impl<I> From<Arc<dyn Store<Id = I>>> for SharedStore<I> {
    fn from(store: Arc<dyn Store<Id = I>>) -> Self {
        Self(store)
    }
}

impl<I> From<&SharedStore<I>> for SharedStore<I> {
    fn from(store: &SharedStore<I>) -> Self {
        store.clone()
    }
}
