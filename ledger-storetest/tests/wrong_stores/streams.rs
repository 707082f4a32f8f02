//! Stores that mix their streams up (C8).

use std::sync::Mutex;

use ledger_core::{Batch, Error, MemoryStore, Receipt, Result, Store, StreamName, async_trait};

use crate::caught::assert_caught;
use crate::faulty::{Fault, lock};

/// Streams are listed as they came into being.
#[derive(Default)]
pub(crate) struct ListedByAge(Mutex<Vec<StreamName>>);

#[async_trait]
impl Fault for ListedByAge {
    async fn append(&self, store: &MemoryStore, batch: Batch<u64>) -> Result<Receipt<u64>> {
        let stream = batch.stream.clone();
        let receipt = store.append(batch).await?;
        let mut streams = lock(&self.0);
        if !streams.contains(&stream) {
            streams.push(stream);
        }
        Ok(receipt)
    }

    async fn list(
        &self,
        store: &MemoryStore,
        after: Option<&StreamName>,
        limit: usize,
    ) -> Result<Vec<StreamName>> {
        let mut names = store.list(after, limit).await?;
        let streams = lock(&self.0);
        names.sort_by_key(|name| streams.iter().position(|stream| stream == name));
        Ok(names)
    }
}

#[test]
fn streams_listed_by_age_are_caught() {
    assert_caught::<ListedByAge>("c8_streams_are_listed_in_byte_order");
}

/// A page of names begins with the name it should begin behind.
#[derive(Default)]
pub(crate) struct ListedOnceMore;

#[async_trait]
impl Fault for ListedOnceMore {
    async fn list(
        &self,
        store: &MemoryStore,
        after: Option<&StreamName>,
        limit: usize,
    ) -> Result<Vec<StreamName>> {
        let mut names: Vec<_> = after.into_iter().cloned().collect();
        names.extend(store.list(after, limit).await?);
        names.truncate(limit);
        Ok(names)
    }
}

#[test]
fn streams_listed_twice_are_caught() {
    assert_caught::<ListedOnceMore>("c8_lists_are_paged");
}

/// A stream is listed for having been there.
#[derive(Default)]
pub(crate) struct TrimmedAreListed(Mutex<Option<StreamName>>);

#[async_trait]
impl Fault for TrimmedAreListed {
    async fn trim(&self, store: &MemoryStore, stream: &StreamName, through: u64) -> Result<u64> {
        *lock(&self.0) = Some(stream.clone());
        store.trim(stream, through).await
    }

    async fn list(
        &self,
        store: &MemoryStore,
        after: Option<&StreamName>,
        limit: usize,
    ) -> Result<Vec<StreamName>> {
        let mut names = store.list(after, limit).await?;
        names.extend(lock(&self.0).clone().filter(|name| Some(name) > after));
        names.sort();
        names.dedup();
        Ok(names)
    }
}

#[test]
fn a_trimmed_stream_that_is_listed_is_caught() {
    assert_caught::<TrimmedAreListed>("c8_a_trimmed_stream_is_not_listed");
}

/// A rename takes a name from whoever has it.
#[derive(Default)]
pub(crate) struct RenameOverwrites;

#[async_trait]
impl Fault for RenameOverwrites {
    async fn rename(&self, store: &MemoryStore, from: &StreamName, to: &StreamName) -> Result<()> {
        if let Err(Error::StreamExists { .. }) = store.rename(from, to).await {
            store
                .rename(to, &format!("{to} overwritten").into())
                .await?;
            store.rename(from, to).await?;
        }
        Ok(())
    }
}

#[test]
fn a_rename_over_another_stream_is_caught() {
    assert_caught::<RenameOverwrites>("c8_a_name_in_use_is_refused");
}

#[test]
fn a_rename_over_a_trimmed_stream_is_caught() {
    assert_caught::<RenameOverwrites>("c8_a_trimmed_streams_name_is_in_use");
}

/// Checkpoints stay behind.
#[derive(Default)]
pub(crate) struct RenameLosesCheckpoints;

#[async_trait]
impl Fault for RenameLosesCheckpoints {
    async fn rename(&self, store: &MemoryStore, from: &StreamName, to: &StreamName) -> Result<()> {
        store.rename(from, to).await?;
        for name in store.list_checkpoints(to, None, usize::MAX).await? {
            if let Some(checkpoint) = store.load_checkpoint(to, &name).await? {
                store
                    .delete_checkpoint(to, &name, checkpoint.revision)
                    .await?;
            }
        }
        Ok(())
    }
}

#[test]
fn checkpoints_lost_in_a_rename_are_caught() {
    assert_caught::<RenameLosesCheckpoints>("c8_a_renamed_stream_keeps_everything");
}
