//! Stores whose appends are not what was asked for (C2).

use ledger_core::{Batch, Error, Limits, MemoryStore, Page, Receipt, Result, Store, async_trait};
use ledger_storetest::Setup;

use crate::caught::assert_caught;
use crate::faulty::Fault;
use crate::moment::Moment;

/// The entries of a batch become visible one by one.
#[derive(Default)]
pub(crate) struct TornBatches(Moment);

#[async_trait]
impl Fault for TornBatches {
    fn page(&self, page: Page<u64>) -> Page<u64> {
        self.0.pass();
        page
    }

    async fn append(&self, store: &MemoryStore, batch: Batch<u64>) -> Result<Receipt<u64>> {
        let Batch {
            stream,
            entries,
            condition,
            ..
        } = batch;
        let mut first = Batch::new(stream.clone(), Vec::new());
        first.condition = condition;
        let mut receipt = store.append(first.clone()).await?;
        for entry in entries {
            let mut one = std::mem::replace(&mut first, Batch::new(stream.clone(), Vec::new()));
            one.entries.push(entry);
            receipt.outcomes.extend(store.append(one).await?.outcomes);
            self.0.linger(self.0.pass()).await;
        }
        Ok(receipt)
    }
}

#[test]
fn batches_seen_in_part_are_caught() {
    assert_caught::<TornBatches>("c2_1_a_racing_reader_sees_whole_batches");
}

#[test]
fn batches_that_are_not_adjacent_are_caught() {
    assert_caught::<TornBatches>("c2_1_a_batch_is_adjacent_under_many_writers");
}

#[test]
fn batches_cut_by_a_cancelled_append_are_caught() {
    assert_caught::<TornBatches>("c2_5_a_cancelled_append_is_whole_or_absent");
}

/// The streams of an append to several are written one by one.
#[derive(Default)]
pub(crate) struct TornAcrossStreams(Moment);

#[async_trait]
impl Fault for TornAcrossStreams {
    fn page(&self, page: Page<u64>) -> Page<u64> {
        self.0.pass();
        page
    }

    async fn append_many(
        &self,
        store: &MemoryStore,
        batches: Vec<Batch<u64>>,
    ) -> Result<Vec<Receipt<u64>>> {
        let mut receipts = Vec::new();
        for batch in batches {
            receipts.push(store.append(batch).await?);
            // Long enough for a reader that looks at one stream, and then at the other.
            self.0.linger(self.0.pass() + 2).await;
        }
        Ok(receipts)
    }
}

#[test]
fn streams_written_one_by_one_are_caught() {
    assert_caught::<TornAcrossStreams>("c2_1_streams_appended_as_one_are_seen_as_one");
}

#[test]
fn a_conflict_that_stops_half_way_is_caught() {
    assert_caught::<TornAcrossStreams>("c2_1_one_conflict_fails_all_streams");
}

/// The conditions of an append to several streams are not looked at.
#[derive(Default)]
pub(crate) struct ConditionsOfManyIgnored;

#[async_trait]
impl Fault for ConditionsOfManyIgnored {
    async fn append_many(
        &self,
        store: &MemoryStore,
        mut batches: Vec<Batch<u64>>,
    ) -> Result<Vec<Receipt<u64>>> {
        batches.iter_mut().for_each(|batch| batch.condition = None);
        store.append_many(batches).await
    }
}

#[test]
fn conditions_that_many_ignores_are_caught() {
    assert_caught::<ConditionsOfManyIgnored>("c2_1_one_conflict_fails_all_streams");
}

/// The first condition of an append to several streams is held against all of them.
#[derive(Default)]
pub(crate) struct OneConditionForAll;

#[async_trait]
impl Fault for OneConditionForAll {
    async fn append_many(
        &self,
        store: &MemoryStore,
        mut batches: Vec<Batch<u64>>,
    ) -> Result<Vec<Receipt<u64>>> {
        let first = batches.iter().find_map(|batch| batch.condition.clone());
        batches
            .iter_mut()
            .for_each(|batch| batch.condition.clone_from(&first));
        store.append_many(batches).await
    }
}

#[test]
fn a_condition_held_against_another_stream_is_caught() {
    assert_caught::<OneConditionForAll>("c2_1_append_many_checks_each_condition");
}

/// The answer lists what was written before what was there.
#[derive(Default)]
pub(crate) struct OutcomesOutOfOrder;

#[async_trait]
impl Fault for OutcomesOutOfOrder {
    async fn append(&self, store: &MemoryStore, batch: Batch<u64>) -> Result<Receipt<u64>> {
        let mut receipt = store.append(batch).await?;
        receipt
            .outcomes
            .sort_by_key(|outcome| outcome.is_duplicate());
        Ok(receipt)
    }
}

#[test]
fn outcomes_out_of_order_are_caught() {
    assert_caught::<OutcomesOutOfOrder>("c2_2_answers_are_in_the_order_of_the_batch");
}

/// A batch without entries is taken for a mistake.
#[derive(Default)]
pub(crate) struct EmptyBatchesRefused;

#[async_trait]
impl Fault for EmptyBatchesRefused {
    async fn append(&self, store: &MemoryStore, batch: Batch<u64>) -> Result<Receipt<u64>> {
        if batch.entries.is_empty() {
            return Err(Error::InvalidInput {
                reason: "the batch is empty".into(),
            });
        }
        store.append(batch).await
    }
}

#[test]
fn a_refused_empty_batch_is_caught() {
    assert_caught::<EmptyBatchesRefused>("c2_2_an_empty_batch_touches_nothing");
}

/// Limits are checked entry by entry, as they are written.
#[derive(Default)]
pub(crate) struct LimitsCheckedTooLate;

#[async_trait]
impl Fault for LimitsCheckedTooLate {
    async fn append(&self, store: &MemoryStore, batch: Batch<u64>) -> Result<Receipt<u64>> {
        let mut receipt = store
            .append(Batch::new(batch.stream.clone(), Vec::new()))
            .await?;
        for entry in batch.entries {
            let mut one = Batch::new(batch.stream.clone(), vec![entry]);
            one.condition.clone_from(&batch.condition);
            receipt.outcomes.extend(store.append(one).await?.outcomes);
        }
        Ok(receipt)
    }
}

#[test]
fn limits_checked_after_a_write_are_caught() {
    assert_caught::<LimitsCheckedTooLate>("c1_3_failed_appends_use_up_no_id");
}

/// A missing schema version is made up.
#[derive(Default)]
pub(crate) struct VersionsMadeUp;

impl Fault for VersionsMadeUp {
    fn batch(&self, mut batch: Batch<u64>) -> Batch<u64> {
        batch
            .entries
            .iter_mut()
            .for_each(|new| new.schema_version = new.schema_version.max(1));
        batch
    }
}

#[test]
fn a_schema_version_that_is_made_up_is_caught() {
    assert_caught::<VersionsMadeUp>("c2_4_schema_version_zero_is_refused");
}

/// The limits that the store was opened with are not those that count.
#[derive(Default)]
pub(crate) struct OtherLimits;

impl Fault for OtherLimits {
    fn setup(&self, mut setup: Setup) -> Setup {
        setup.limits = Limits::default();
        setup
    }
}

#[test]
fn limits_that_do_not_count_are_caught() {
    assert_caught::<OtherLimits>("c2_4_payloads_have_a_limit");
}
