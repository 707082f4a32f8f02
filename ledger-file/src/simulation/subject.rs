//! What a history is played on: the model, which is the strict reference in memory, or a log on a simulated disk.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::FutureExt;
use ledger_core::{
    Batch, Bytes, Checkpoint, MemoryStore, Page, ReadOptions, Receipt, Result, Retention, Revision,
    Stat, Store, StreamName,
};

/// The part of a store's contract that histories are made of, without waiting.
pub(crate) trait Subject {
    /// Begins one append after the other, and waits for all of them then.
    fn append_together(&self, batches: &[Batch<u64>]) -> Vec<Result<Receipt<u64>>>;
    fn append_many(&self, batches: Vec<Batch<u64>>) -> Result<Vec<Receipt<u64>>>;
    fn read(&self, stream: &StreamName, options: &ReadOptions<u64>) -> Result<Page<u64>>;
    fn stat(&self, stream: &StreamName) -> Result<Stat<u64>>;
    fn trim(&self, stream: &StreamName, through: u64) -> Result<u64>;
    fn retain(&self, stream: &StreamName, retention: &Retention) -> Result<u64>;
    fn purge_expired(&self, stream: &StreamName) -> Result<u64>;
    fn set_tags(&self, stream: &StreamName, id: u64, tags: BTreeSet<String>) -> Result<()>;
    fn annotate(
        &self,
        stream: &StreamName,
        id: u64,
        changes: BTreeMap<String, Option<String>>,
    ) -> Result<()>;
    fn list(&self) -> Result<Vec<StreamName>>;
    fn rename(&self, from: &StreamName, to: &StreamName) -> Result<()>;
    fn load_checkpoint(&self, stream: &StreamName, name: &str) -> Result<Option<Checkpoint>>;
    fn save_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
        value: Bytes,
        expected: Option<Revision>,
    ) -> Result<Revision>;
    fn delete_checkpoint(&self, stream: &StreamName, name: &str, expected: Revision) -> Result<()>;
    fn list_checkpoints(&self, stream: &StreamName) -> Result<Vec<String>>;
    /// Does what changes nothing that anybody can see.
    fn maintain(&self, care: Care) -> Result<()>;
}

/// What keeps a log in shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    Sync,
    Tidy,
    Compact,
    Reopen,
}

/// More than any stream of a history holds.
pub(crate) const ALL: usize = 1_000_000;

/// Polls a future of the model, which never waits.
macro_rules! now {
    ($future:expr) => {
        $future.now_or_never().expect("the model does not wait")
    };
}

impl Subject for MemoryStore {
    fn append_together(&self, batches: &[Batch<u64>]) -> Vec<Result<Receipt<u64>>> {
        let append = |batch: &Batch<u64>| now!(self.append(batch.clone()));
        batches.iter().map(append).collect()
    }
    fn append_many(&self, batches: Vec<Batch<u64>>) -> Result<Vec<Receipt<u64>>> {
        now!(Store::append_many(self, batches))
    }
    fn read(&self, stream: &StreamName, options: &ReadOptions<u64>) -> Result<Page<u64>> {
        now!(Store::read(self, stream, options))
    }
    fn stat(&self, stream: &StreamName) -> Result<Stat<u64>> {
        now!(Store::stat(self, stream))
    }
    fn trim(&self, stream: &StreamName, through: u64) -> Result<u64> {
        now!(Store::trim(self, stream, through))
    }
    fn retain(&self, stream: &StreamName, retention: &Retention) -> Result<u64> {
        now!(Store::retain(self, stream, retention))
    }
    fn purge_expired(&self, stream: &StreamName) -> Result<u64> {
        now!(Store::purge_expired(self, stream))
    }
    fn set_tags(&self, stream: &StreamName, id: u64, tags: BTreeSet<String>) -> Result<()> {
        now!(Store::set_tags(self, stream, id, tags))
    }
    fn annotate(
        &self,
        stream: &StreamName,
        id: u64,
        changes: BTreeMap<String, Option<String>>,
    ) -> Result<()> {
        now!(Store::annotate(self, stream, id, changes))
    }
    fn list(&self) -> Result<Vec<StreamName>> {
        now!(Store::list(self, None, ALL))
    }
    fn rename(&self, from: &StreamName, to: &StreamName) -> Result<()> {
        now!(Store::rename(self, from, to))
    }
    fn load_checkpoint(&self, stream: &StreamName, name: &str) -> Result<Option<Checkpoint>> {
        now!(Store::load_checkpoint(self, stream, name))
    }
    fn save_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
        value: Bytes,
        expected: Option<Revision>,
    ) -> Result<Revision> {
        now!(Store::save_checkpoint(self, stream, name, value, expected))
    }
    fn delete_checkpoint(&self, stream: &StreamName, name: &str, expected: Revision) -> Result<()> {
        now!(Store::delete_checkpoint(self, stream, name, expected))
    }
    fn list_checkpoints(&self, stream: &StreamName) -> Result<Vec<String>> {
        now!(Store::list_checkpoints(self, stream, None, ALL))
    }
    fn maintain(&self, _: Care) -> Result<()> {
        Ok(())
    }
}
