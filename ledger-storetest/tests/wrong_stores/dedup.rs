//! Stores that take a dedup key for something else than it is (C3).

use std::collections::BTreeMap;
use std::sync::Mutex;

use ledger_core::{
    Batch, Durability, MemoryStore, NewEntry, Outcome, Page, ReadOptions, Receipt, Result, Store,
    StreamName, async_trait,
};

use crate::caught::assert_caught;
use crate::faulty::{Fault, lock};
use crate::moment::Moment;

/// Whether the stream shows an entry with the same key.
async fn is_there(store: &MemoryStore, stream: &StreamName, new: &NewEntry) -> Result<bool> {
    let everything = ReadOptions::new().limit(usize::MAX);
    let page = store.read(stream, &everything).await?;
    Ok(new.dedup_key.is_some()
        && page
            .entries
            .iter()
            .any(|entry| entry.dedup_key == new.dedup_key))
}

/// A repeat is stored again.
#[derive(Default)]
pub(crate) struct RepeatsStored;

#[async_trait]
impl Fault for RepeatsStored {
    async fn append(&self, store: &MemoryStore, mut batch: Batch<u64>) -> Result<Receipt<u64>> {
        for new in &mut batch.entries {
            if is_there(store, &batch.stream, new).await? {
                new.dedup_key = None;
            }
        }
        store.append(batch).await
    }
}

#[test]
fn repeats_that_are_stored_are_caught() {
    assert_caught::<RepeatsStored>("c3_1_a_key_is_stored_once");
}

/// Whether a key is there is found out some time before the write.
#[derive(Default)]
pub(crate) struct KeysCheckedTooEarly(Moment);

#[async_trait]
impl Fault for KeysCheckedTooEarly {
    async fn append(&self, store: &MemoryStore, mut batch: Batch<u64>) -> Result<Receipt<u64>> {
        let mut is_new = Vec::new();
        for new in &batch.entries {
            is_new.push(!is_there(store, &batch.stream, new).await?);
        }
        self.0.linger(self.0.pass()).await;
        let new = batch
            .entries
            .iter_mut()
            .zip(is_new)
            .filter(|(_, is_new)| *is_new);
        new.for_each(|(new, _)| new.dedup_key = None);
        store.append(batch).await
    }
}

#[test]
fn keys_checked_before_the_write_are_caught() {
    assert_caught::<KeysCheckedTooEarly>("c3_1_racing_equal_keys_are_stored_once");
}

/// A repeat is answered with the id that it would have got.
#[derive(Default)]
pub(crate) struct RepeatsAnsweredWithTheHead;

#[async_trait]
impl Fault for RepeatsAnsweredWithTheHead {
    async fn append(&self, store: &MemoryStore, batch: Batch<u64>) -> Result<Receipt<u64>> {
        let stream = batch.stream.clone();
        let mut receipt = store.append(batch).await?;
        let head = store.stat(&stream).await?.head.unwrap_or(0);
        for outcome in &mut receipt.outcomes {
            if outcome.is_duplicate() {
                *outcome = Outcome::Duplicate(head);
            }
        }
        Ok(receipt)
    }
}

#[test]
fn repeats_answered_with_a_wrong_id_are_caught() {
    assert_caught::<RepeatsAnsweredWithTheHead>("c3_1_a_mixed_batch_is_answered_entry_by_entry");
}

/// Keys outlive their entries.
#[derive(Default)]
pub(crate) struct KeysNeverForgotten(Mutex<BTreeMap<(StreamName, String), u64>>);

impl KeysNeverForgotten {
    /// The answer to a batch whose keys all were there at some time.
    fn repeat(&self, batch: &Batch<u64>) -> Option<Receipt<u64>> {
        let known = lock(&self.0);
        let id = |new: &NewEntry| {
            known
                .get(&(batch.stream.clone(), new.dedup_key.clone()?))
                .copied()
        };
        let ids: Option<Vec<u64>> = batch.entries.iter().map(id).collect();
        let outcomes = ids?.into_iter().map(Outcome::Duplicate).collect();
        Some(Receipt {
            outcomes,
            durability: Durability::Volatile,
        })
    }
}

#[async_trait]
impl Fault for KeysNeverForgotten {
    async fn append(&self, store: &MemoryStore, batch: Batch<u64>) -> Result<Receipt<u64>> {
        if let Some(receipt) = self.repeat(&batch) {
            return Ok(receipt);
        }
        let Batch {
            stream, entries, ..
        } = batch.clone();
        let receipt = store.append(batch).await?;
        for (new, id) in entries.into_iter().zip(receipt.ids()) {
            let key = new.dedup_key.filter(|key| !key.is_empty());
            lock(&self.0).extend(key.map(|key| ((stream.clone(), key), id)));
        }
        Ok(receipt)
    }
}

#[test]
fn keys_that_survive_a_trim_are_caught() {
    assert_caught::<KeysNeverForgotten>("c3_3_a_trim_forgets_its_keys_only");
}

#[test]
fn keys_that_survive_their_expiry_are_caught() {
    assert_caught::<KeysNeverForgotten>("c3_3_an_expired_key_can_be_used_again");
}

/// The empty key is a key like any other.
#[derive(Default)]
pub(crate) struct EmptyKeysAreKeys;

const STAND_IN: &str = "(empty)";

impl Fault for EmptyKeysAreKeys {
    fn batch(&self, mut batch: Batch<u64>) -> Batch<u64> {
        batch
            .entries
            .iter_mut()
            .for_each(|new| replace(&mut new.dedup_key, "", STAND_IN));
        batch
    }

    fn page(&self, mut page: Page<u64>) -> Page<u64> {
        page.entries
            .iter_mut()
            .for_each(|entry| replace(&mut entry.dedup_key, STAND_IN, ""));
        page
    }
}

fn replace(key: &mut Option<String>, this: &str, by: &str) {
    if key.as_deref() == Some(this) {
        *key = Some(by.into());
    }
}

#[test]
fn an_empty_key_taken_for_a_key_is_caught() {
    assert_caught::<EmptyKeysAreKeys>("c3_1_an_empty_key_is_kept_but_is_no_key");
}

/// Keys are compared without regard to case, as some databases' text columns do.
#[derive(Default)]
pub(crate) struct KeysWithoutCase;

impl Fault for KeysWithoutCase {
    fn batch(&self, mut batch: Batch<u64>) -> Batch<u64> {
        let keys = batch
            .entries
            .iter_mut()
            .filter_map(|new| new.dedup_key.as_mut());
        keys.for_each(|key| *key = key.to_lowercase());
        batch
    }
}

#[test]
fn keys_compared_without_case_are_caught() {
    assert_caught::<KeysWithoutCase>("c3_1_similar_keys_are_different");
}

/// A repeat updates the entry that is there, as an upsert does.
#[derive(Default)]
pub(crate) struct RepeatsTouchTheirEntry;

#[async_trait]
impl Fault for RepeatsTouchTheirEntry {
    async fn append(&self, store: &MemoryStore, batch: Batch<u64>) -> Result<Receipt<u64>> {
        let (stream, tags) = (
            batch.stream.clone(),
            batch.entries.first().map(|new| new.tags.clone()),
        );
        let receipt = store.append(batch).await?;
        if let (Some(Outcome::Duplicate(id)), Some(tags)) = (receipt.outcomes.first(), tags) {
            store.set_tags(&stream, *id, tags.into_inner()).await?;
        }
        Ok(receipt)
    }
}

#[test]
fn a_repeat_that_writes_is_caught() {
    assert_caught::<RepeatsTouchTheirEntry>("c3_2_a_repeat_writes_nothing");
}
