//! Stores that break the order of entries (C1).

use std::collections::BTreeSet;
use std::sync::Mutex;

use ledger_core::{
    Batch, Error, MemoryStore, NewEntry, Page, Payload, Receipt, Result, Retention, Store,
    StreamName, Timestamp, async_trait,
};

use crate::caught::assert_caught;
use crate::faulty::{Fault, lock};

/// Every fifth entry is seen a moment after the one behind it, as with ids drawn from a sequence before the commit.
#[derive(Default)]
pub(crate) struct LateArrivals(Mutex<BTreeSet<(StreamName, u64)>>);

impl Fault for LateArrivals {
    fn page(&self, mut page: Page<u64>) -> Page<u64> {
        let mut arrived = lock(&self.0);
        page.entries
            .retain(|entry| entry.id % 5 != 0 || !arrived.insert((entry.stream.clone(), entry.id)));
        page
    }
}

#[test]
fn late_arrivals_are_caught() {
    assert_caught::<LateArrivals>("c1_2_a_tailing_reader_misses_nothing_of_many_writers");
}

/// A stream that was trimmed away counts from one again.
#[derive(Default)]
pub(crate) struct TrimRestartsIds;

#[async_trait]
impl Fault for TrimRestartsIds {
    async fn trim(&self, store: &MemoryStore, stream: &StreamName, through: u64) -> Result<u64> {
        let count = store.trim(stream, through).await?;
        restart_if_empty(store, stream).await?;
        Ok(count)
    }
}

/// Moves a stream without entries out of the way, so that the next append finds none.
async fn restart_if_empty(store: &MemoryStore, stream: &StreamName) -> Result<()> {
    let stat = store.stat(stream).await?;
    if stat.head.is_some() && stat.first.is_none() {
        let attic = StreamName::from(format!("{stream} trimmed at {:?}", stat.head));
        store.rename(stream, &attic).await?;
    }
    Ok(())
}

#[test]
fn ids_used_again_after_a_trim_are_caught() {
    assert_caught::<TrimRestartsIds>("c1_4_a_trimmed_id_is_never_given_out_again");
}

/// Retention that empties a stream lets it count from one again.
#[derive(Default)]
pub(crate) struct RetentionRestartsIds;

#[async_trait]
impl Fault for RetentionRestartsIds {
    async fn retain(
        &self,
        store: &MemoryStore,
        stream: &StreamName,
        retention: &Retention,
    ) -> Result<u64> {
        let count = store.retain(stream, retention).await?;
        restart_if_empty(store, stream).await?;
        Ok(count)
    }
}

#[test]
fn ids_used_again_after_retention_are_caught() {
    assert_caught::<RetentionRestartsIds>("c1_4_an_id_lost_to_retention_is_never_given_out_again");
}

/// The next id is found by looking for the greatest one as the store is opened.
#[derive(Default)]
pub(crate) struct ReopenRestartsIds(Mutex<BTreeSet<StreamName>>);

#[async_trait]
impl Fault for ReopenRestartsIds {
    async fn opened(&self, store: &MemoryStore) {
        let streams = std::mem::take(&mut *lock(&self.0));
        for stream in streams {
            restart_if_empty(store, &stream)
                .await
                .expect("the reference store is open");
        }
    }

    async fn trim(&self, store: &MemoryStore, stream: &StreamName, through: u64) -> Result<u64> {
        lock(&self.0).insert(stream.clone());
        store.trim(stream, through).await
    }
}

#[test]
fn ids_used_again_after_a_reopen_are_caught() {
    assert_caught::<ReopenRestartsIds>("c1_4_a_trimmed_id_is_not_given_out_after_a_reopen");
}

/// A duplicate uses up the id that was drawn for it.
#[derive(Default)]
pub(crate) struct DuplicatesUseUpIds;

#[async_trait]
impl Fault for DuplicatesUseUpIds {
    async fn append(&self, store: &MemoryStore, batch: Batch<u64>) -> Result<Receipt<u64>> {
        let stream = batch.stream.clone();
        let receipt = store.append(batch).await?;
        if receipt
            .outcomes
            .iter()
            .any(|outcome| outcome.is_duplicate())
        {
            use_up_an_id(store, stream).await?;
        }
        Ok(receipt)
    }
}

/// Leaves a gap: an entry that nobody will see.
async fn use_up_an_id(store: &MemoryStore, stream: StreamName) -> Result<()> {
    let unseen = NewEntry::new(Payload::octets("")).expires_at(Timestamp::from_micros(i64::MIN));
    store
        .append(Batch::new(stream, vec![unseen]))
        .await
        .map(drop)
}

#[test]
fn gaps_left_by_duplicates_are_caught() {
    assert_caught::<DuplicatesUseUpIds>("c1_3_duplicates_use_up_no_id");
}

/// An append whose condition fails uses up the id that was drawn for it.
#[derive(Default)]
pub(crate) struct ConflictsUseUpIds;

#[async_trait]
impl Fault for ConflictsUseUpIds {
    async fn append(&self, store: &MemoryStore, batch: Batch<u64>) -> Result<Receipt<u64>> {
        let stream = batch.stream.clone();
        let answer = store.append(batch).await;
        if matches!(answer, Err(Error::Conflict { .. })) {
            use_up_an_id(store, stream).await?;
        }
        answer
    }
}

#[test]
fn gaps_left_by_conflicts_are_caught() {
    assert_caught::<ConflictsUseUpIds>("c1_3_failed_appends_use_up_no_id");
}
