//! Stores whose checkpoints can be lost or overwritten (C10).

use std::collections::BTreeMap;
use std::sync::Mutex;

use ledger_core::{Bytes, MemoryStore, Result, Revision, Store, StreamName, async_trait};

use crate::caught::assert_caught;
use crate::faulty::{Fault, lock};
use crate::moment::Moment;

async fn revision(
    store: &MemoryStore,
    stream: &StreamName,
    name: &str,
) -> Result<Option<Revision>> {
    Ok(store
        .load_checkpoint(stream, name)
        .await?
        .map(|checkpoint| checkpoint.revision))
}

/// The last writer wins.
#[derive(Default)]
pub(crate) struct LastWriterWins;

#[async_trait]
impl Fault for LastWriterWins {
    async fn save_checkpoint(
        &self,
        store: &MemoryStore,
        stream: &StreamName,
        name: &str,
        value: Bytes,
        _expected: Option<Revision>,
    ) -> Result<Revision> {
        let current = revision(store, stream, name).await?;
        store.save_checkpoint(stream, name, value, current).await
    }
}

#[test]
fn a_stale_save_that_wins_is_caught() {
    assert_caught::<LastWriterWins>("c10_a_stale_save_is_refused");
}

/// The revision is compared some time before the write.
#[derive(Default)]
pub(crate) struct RevisionsComparedTooEarly(Moment);

#[async_trait]
impl Fault for RevisionsComparedTooEarly {
    async fn save_checkpoint(
        &self,
        store: &MemoryStore,
        stream: &StreamName,
        name: &str,
        value: Bytes,
        expected: Option<Revision>,
    ) -> Result<Revision> {
        if revision(store, stream, name).await? != expected {
            return store.save_checkpoint(stream, name, value, expected).await;
        }
        self.0.linger(self.0.pass()).await;
        let current = revision(store, stream, name).await?;
        store.save_checkpoint(stream, name, value, current).await
    }
}

#[test]
fn revisions_compared_before_the_write_are_caught() {
    assert_caught::<RevisionsComparedTooEarly>("c10_one_racing_save_wins_each_round");
}

/// A checkpoint that is deleted and saved again counts its changes from one again.
#[derive(Default)]
pub(crate) struct RevisionsStartAgain(Mutex<BTreeMap<String, Vec<Revision>>>);

impl RevisionsStartAgain {
    /// The revision in the reference store.
    fn real(&self, name: &str, told: Revision) -> Revision {
        let changes = lock(&self.0);
        let index = usize::try_from(told.0)
            .ok()
            .and_then(|count| count.checked_sub(1));
        let real = changes
            .get(name)
            .zip(index)
            .and_then(|(changes, index)| changes.get(index));
        *real.unwrap_or(&Revision(0))
    }
}

#[async_trait]
impl Fault for RevisionsStartAgain {
    async fn save_checkpoint(
        &self,
        store: &MemoryStore,
        stream: &StreamName,
        name: &str,
        value: Bytes,
        expected: Option<Revision>,
    ) -> Result<Revision> {
        let expected = expected.map(|told| self.real(name, told));
        let real = store.save_checkpoint(stream, name, value, expected).await?;
        let mut all = lock(&self.0);
        let changes = all.entry(name.to_owned()).or_default();
        changes.push(real);
        Ok(Revision(changes.len() as u64))
    }

    async fn delete_checkpoint(
        &self,
        store: &MemoryStore,
        stream: &StreamName,
        name: &str,
        expected: Revision,
    ) -> Result<()> {
        store
            .delete_checkpoint(stream, name, self.real(name, expected))
            .await?;
        lock(&self.0).remove(name);
        Ok(())
    }
}

#[test]
fn a_revision_used_again_is_caught() {
    assert_caught::<RevisionsStartAgain>("c10_a_revision_is_never_used_again");
}

/// A trim takes checkpoints along.
#[derive(Default)]
pub(crate) struct TrimForgetsCheckpoints;

#[async_trait]
impl Fault for TrimForgetsCheckpoints {
    async fn trim(&self, store: &MemoryStore, stream: &StreamName, through: u64) -> Result<u64> {
        for name in store.list_checkpoints(stream, None, usize::MAX).await? {
            if let Some(revision) = revision(store, stream, &name).await? {
                store.delete_checkpoint(stream, &name, revision).await?;
            }
        }
        store.trim(stream, through).await
    }
}

#[test]
fn checkpoints_lost_in_a_trim_are_caught() {
    assert_caught::<TrimForgetsCheckpoints>("c10_checkpoints_survive_a_trim");
}
