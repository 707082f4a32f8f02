//! Stores that remove something else than they were told to, or forget what they removed (C6).

use ledger_core::{
    MemoryStore, ReadOptions, Result, Retention, Stat, Store, StreamName, async_trait,
};

use crate::caught::assert_caught;
use crate::faulty::Fault;

/// A trim takes the entry behind its id along.
#[derive(Default)]
pub(crate) struct TrimsOneTooMany;

#[async_trait]
impl Fault for TrimsOneTooMany {
    async fn trim(&self, store: &MemoryStore, stream: &StreamName, through: u64) -> Result<u64> {
        store.trim(stream, through.saturating_add(1)).await
    }
}

#[test]
fn a_trim_of_one_too_many_is_caught() {
    assert_caught::<TrimsOneTooMany>("c6_1_a_trim_removes_through_its_id");
}

/// A trim answers how many ids it passed.
#[derive(Default)]
pub(crate) struct TrimsAreMiscounted;

#[async_trait]
impl Fault for TrimsAreMiscounted {
    async fn trim(&self, store: &MemoryStore, stream: &StreamName, through: u64) -> Result<u64> {
        store.trim(stream, through).await?;
        Ok(through)
    }
}

#[test]
fn a_trim_that_is_miscounted_is_caught() {
    assert_caught::<TrimsAreMiscounted>("c6_1_a_trim_may_be_repeated");
}

/// A stream without entries has no head.
#[derive(Default)]
pub(crate) struct HeadGoesWithTheEntries;

#[async_trait]
impl Fault for HeadGoesWithTheEntries {
    async fn stat(&self, store: &MemoryStore, stream: &StreamName) -> Result<Stat<u64>> {
        let mut stat = store.stat(stream).await?;
        stat.head = stat.head.filter(|_| stat.first.is_some());
        Ok(stat)
    }
}

#[test]
fn a_head_forgotten_after_a_trim_is_caught() {
    assert_caught::<HeadGoesWithTheEntries>("c6_1_a_trim_beyond_the_head_keeps_the_head");
}

/// Stat counts what can be read only.
#[derive(Default)]
pub(crate) struct StatForgetsTheExpired;

#[async_trait]
impl Fault for StatForgetsTheExpired {
    async fn stat(&self, store: &MemoryStore, stream: &StreamName) -> Result<Stat<u64>> {
        let mut stat = store.stat(stream).await?;
        stat.count = store.read(stream, &ReadOptions::new()).await?.entries.len() as u64;
        Ok(stat)
    }
}

#[test]
fn a_count_without_the_expired_is_caught() {
    assert_caught::<StatForgetsTheExpired>("c6_1_stat_counts_what_has_expired");
}

/// Retention keeps one entry less than it may.
#[derive(Default)]
pub(crate) struct RetainsOneTooFew;

#[async_trait]
impl Fault for RetainsOneTooFew {
    async fn retain(
        &self,
        store: &MemoryStore,
        stream: &StreamName,
        retention: &Retention,
    ) -> Result<u64> {
        let mut retention = retention.clone();
        retention.entries_max = retention.entries_max.map(|max| max.saturating_sub(1));
        store.retain(stream, &retention).await
    }
}

#[test]
fn retention_of_one_too_few_is_caught() {
    assert_caught::<RetainsOneTooFew>("c6_2_retention_by_count_keeps_the_newest");
}

/// Only the first bound of a retention counts.
#[derive(Default)]
pub(crate) struct OneBoundCounts;

#[async_trait]
impl Fault for OneBoundCounts {
    async fn retain(
        &self,
        store: &MemoryStore,
        stream: &StreamName,
        retention: &Retention,
    ) -> Result<u64> {
        let mut retention = retention.clone();
        if retention.entries_max.is_some() {
            retention.age_max = None;
            retention.bytes_max = None;
        }
        store.retain(stream, &retention).await
    }
}

#[test]
fn a_forgotten_bound_of_a_retention_is_caught() {
    assert_caught::<OneBoundCounts>("c6_2_every_bound_of_a_retention_counts");
}

/// A retention without bounds keeps everything.
#[derive(Default)]
pub(crate) struct RetentionWithoutBounds;

#[async_trait]
impl Fault for RetentionWithoutBounds {
    async fn retain(
        &self,
        store: &MemoryStore,
        stream: &StreamName,
        retention: &Retention,
    ) -> Result<u64> {
        match retention.validate() {
            Ok(()) => store.retain(stream, retention).await,
            Err(_) => Ok(0),
        }
    }
}

#[test]
fn a_retention_without_bounds_that_is_accepted_is_caught() {
    assert_caught::<RetentionWithoutBounds>("c6_2_a_retention_without_a_bound_is_refused");
}
