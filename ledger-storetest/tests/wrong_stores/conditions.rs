//! Stores that decide conditions at the wrong moment, or by the wrong things (C4).

use ledger_core::{
    Batch, Condition, Error, Evidence, Filter, MemoryStore, Page, ReadOptions, Receipt, Result,
    Store, StreamName, async_trait,
};

use crate::caught::assert_caught;
use crate::faulty::Fault;
use crate::moment::Moment;

/// What a read of the whole stream showed, which may be over by now.
struct Seen(Page<u64>);

impl Evidence<u64> for Seen {
    fn newest(&mut self, filter: &Filter) -> Result<Option<u64>> {
        Ok(self
            .0
            .entries
            .iter()
            .filter(|entry| filter.matches(entry))
            .map(|entry| entry.id)
            .max())
    }

    fn head(&mut self) -> Result<Option<u64>> {
        Ok(self.0.head)
    }

    fn is_gone(&mut self, id: u64) -> Result<bool> {
        Ok((1..=self.0.head.unwrap_or(0)).contains(&id)
            && !self.0.entries.iter().any(|entry| entry.id == id))
    }
}

/// Decides a condition by reading first.
async fn check_apart(
    store: &MemoryStore,
    stream: &StreamName,
    condition: &Condition<u64>,
) -> Result<()> {
    let page = store
        .read(stream, &ReadOptions::new().limit(usize::MAX))
        .await?;
    condition.check(stream, &mut Seen(page))
}

/// The condition is decided some time before the write.
#[derive(Default)]
pub(crate) struct ConditionsOutsideTheCommit(Moment);

#[async_trait]
impl Fault for ConditionsOutsideTheCommit {
    async fn append(&self, store: &MemoryStore, mut batch: Batch<u64>) -> Result<Receipt<u64>> {
        if let Some(condition) = batch.condition.take() {
            check_apart(store, &batch.stream, &condition).await?;
            self.0.linger(self.0.pass()).await;
        }
        store.append(batch).await
    }
}

#[test]
fn conditions_decided_before_the_commit_are_caught() {
    assert_caught::<ConditionsOutsideTheCommit>("c4_1_one_racer_wins_each_round");
}

/// The condition is decided before duplicates are looked for.
#[derive(Default)]
pub(crate) struct ConditionsBeforeDedup;

#[async_trait]
impl Fault for ConditionsBeforeDedup {
    async fn append(&self, store: &MemoryStore, batch: Batch<u64>) -> Result<Receipt<u64>> {
        if let Some(condition) = &batch.condition {
            check_apart(store, &batch.stream, condition).await?;
        }
        store.append(batch).await
    }
}

#[test]
fn conditions_decided_before_dedup_are_caught() {
    assert_caught::<ConditionsBeforeDedup>("c4_3_a_retry_succeeds_whatever_its_condition");
}

/// One duplicate in a batch spares it its condition.
#[derive(Default)]
pub(crate) struct OneDuplicateIsEnough;

#[async_trait]
impl Fault for OneDuplicateIsEnough {
    async fn append(&self, store: &MemoryStore, mut batch: Batch<u64>) -> Result<Receipt<u64>> {
        let page = store
            .read(&batch.stream, &ReadOptions::new().limit(usize::MAX))
            .await?;
        let keys: Vec<_> = page
            .entries
            .iter()
            .filter_map(|entry| entry.dedup_key.as_ref())
            .collect();
        if batch.entries.iter().any(|new| {
            new.dedup_key
                .as_ref()
                .is_some_and(|key| keys.contains(&key))
        }) {
            batch.condition = None;
        }
        store.append(batch).await
    }
}

#[test]
fn a_partly_new_batch_without_its_condition_is_caught() {
    assert_caught::<OneDuplicateIsEnough>("c4_3_a_partly_new_batch_is_held_to_its_condition");
}

/// A conflict names the oldest entry instead of the newest in the way.
#[derive(Default)]
pub(crate) struct ConflictsNameTheOldest;

#[async_trait]
impl Fault for ConflictsNameTheOldest {
    async fn append(&self, store: &MemoryStore, batch: Batch<u64>) -> Result<Receipt<u64>> {
        let oldest = store
            .stat(&batch.stream)
            .await?
            .first
            .map(|id| id.to_string());
        store.append(batch).await.map_err(|error| match error {
            Error::Conflict {
                stream, expected, ..
            } => Error::Conflict {
                stream,
                expected,
                found: oldest,
            },
            other => other,
        })
    }
}

#[test]
fn conflicts_that_name_another_entry_are_caught() {
    assert_caught::<ConflictsNameTheOldest>("c4_2_a_conflict_names_the_newest_in_the_way");
}

/// An id beyond what is there is believed.
#[derive(Default)]
pub(crate) struct ConditionsNeverExact;

impl Fault for ConditionsNeverExact {
    fn batch(&self, mut batch: Batch<u64>) -> Batch<u64> {
        batch.condition = batch
            .condition
            .map(|condition| Condition::none_after(condition.filter, condition.after));
        batch
    }
}

#[test]
fn a_head_that_was_guessed_is_caught() {
    assert_caught::<ConditionsNeverExact>("c4_1_the_head_is_exact");
}

#[test]
fn a_last_entry_that_was_guessed_is_caught() {
    assert_caught::<ConditionsNeverExact>("c4_1_the_last_of_an_order_key_is_exact");
}

/// The entry named by a condition must still be there.
#[derive(Default)]
pub(crate) struct AnchorsMustBeThere;

#[async_trait]
impl Fault for AnchorsMustBeThere {
    async fn append(&self, store: &MemoryStore, batch: Batch<u64>) -> Result<Receipt<u64>> {
        let Some(condition) = batch.condition.clone().filter(|condition| condition.exact) else {
            return store.append(batch).await;
        };
        let page = store
            .read(&batch.stream, &ReadOptions::new().limit(usize::MAX))
            .await?;
        let newest = Seen(page).newest(&condition.filter)?;
        if newest == condition.after {
            return store.append(batch).await;
        }
        let text = |id: Option<u64>| id.map(|id| id.to_string());
        Err(Error::Conflict {
            stream: batch.stream,
            expected: text(condition.after),
            found: text(newest),
        })
    }
}

#[test]
fn a_trimmed_anchor_that_is_not_believed_is_caught() {
    assert_caught::<AnchorsMustBeThere>("c4_1_a_trimmed_anchor_is_believed");
}

/// Only the order keys of a condition's filter are looked at.
#[derive(Default)]
pub(crate) struct ConditionsByOrderKeyOnly;

impl Fault for ConditionsByOrderKeyOnly {
    fn batch(&self, mut batch: Batch<u64>) -> Batch<u64> {
        if let Some(condition) = &mut batch.condition {
            condition.filter.kinds.clear();
            condition.filter.tags.clear();
            condition.filter.metadata.clear();
        }
        batch
    }
}

#[test]
fn a_condition_that_forgets_its_filter_is_caught() {
    assert_caught::<ConditionsByOrderKeyOnly>("c4_1_a_condition_takes_every_filter");
}
