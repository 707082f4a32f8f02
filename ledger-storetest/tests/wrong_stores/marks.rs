//! Stores that change entries in another way than they were told to (C7).

use std::collections::BTreeSet;

use ledger_core::{Error, MemoryStore, Page, ReadOptions, Result, Store, StreamName, async_trait};
use ledger_storetest::Setup;

use crate::caught::assert_caught;
use crate::faulty::{Changes, Fault};
use crate::moment::Moment;

/// The annotations of an entry, each as it is.
async fn annotations(store: &MemoryStore, stream: &StreamName, id: u64) -> Result<Changes> {
    let options = ReadOptions::new().after(id.saturating_sub(1)).limit(1);
    let entry = store
        .read(stream, &options)
        .await?
        .into_iter()
        .find(|entry| entry.id == id);
    Ok(entry
        .into_iter()
        .flat_map(|entry| entry.annotations)
        .map(|(key, value)| (key, Some(value)))
        .collect())
}

/// New annotations take the place of all old ones.
#[derive(Default)]
pub(crate) struct AnnotationsReplaced;

#[async_trait]
impl Fault for AnnotationsReplaced {
    async fn annotate(
        &self,
        store: &MemoryStore,
        stream: &StreamName,
        id: u64,
        changes: Changes,
    ) -> Result<()> {
        let mut all = annotations(store, stream, id).await?;
        all.values_mut().for_each(|value| *value = None);
        all.extend(changes);
        store.annotate(stream, id, all).await
    }
}

#[test]
fn annotations_that_are_replaced_are_caught() {
    assert_caught::<AnnotationsReplaced>("c7_annotations_are_merged");
}

/// Annotations are read, merged and written back.
#[derive(Default)]
pub(crate) struct AnnotationsMergedOutside(Moment);

#[async_trait]
impl Fault for AnnotationsMergedOutside {
    async fn annotate(
        &self,
        store: &MemoryStore,
        stream: &StreamName,
        id: u64,
        changes: Changes,
    ) -> Result<()> {
        let mut merged = annotations(store, stream, id).await?;
        merged.extend(changes);
        self.0.linger(self.0.pass()).await;
        let mut all = annotations(store, stream, id).await?;
        all.values_mut().for_each(|value| *value = None);
        all.extend(merged);
        store.annotate(stream, id, all).await
    }
}

#[test]
fn annotations_lost_in_a_race_are_caught() {
    assert_caught::<AnnotationsMergedOutside>("c7_racing_annotations_all_remain");
}

/// A key that is to go stays, with nothing in it.
#[derive(Default)]
pub(crate) struct DeletedKeysAreEmptied;

#[async_trait]
impl Fault for DeletedKeysAreEmptied {
    async fn annotate(
        &self,
        store: &MemoryStore,
        stream: &StreamName,
        id: u64,
        mut changes: Changes,
    ) -> Result<()> {
        changes.values_mut().for_each(|value| {
            value.get_or_insert_default();
        });
        store.annotate(stream, id, changes).await
    }
}

#[test]
fn a_deleted_key_that_stays_is_caught() {
    assert_caught::<DeletedKeysAreEmptied>("c7_annotations_are_merged");
}

/// Tags are added to those that are there.
#[derive(Default)]
pub(crate) struct TagsAreAdded;

#[async_trait]
impl Fault for TagsAreAdded {
    async fn set_tags(
        &self,
        store: &MemoryStore,
        stream: &StreamName,
        id: u64,
        mut tags: BTreeSet<String>,
    ) -> Result<()> {
        let page = store
            .read(stream, &ReadOptions::new().limit(usize::MAX))
            .await?;
        tags.extend(
            page.into_iter()
                .filter(|entry| entry.id == id)
                .flat_map(|entry| entry.tags),
        );
        store.set_tags(stream, id, tags).await
    }
}

#[test]
fn tags_that_are_not_replaced_are_caught() {
    assert_caught::<TagsAreAdded>("c7_tags_are_replaced");
}

/// An update that meets no row is a success.
#[derive(Default)]
pub(crate) struct MissingEntriesMarked;

#[async_trait]
impl Fault for MissingEntriesMarked {
    async fn set_tags(
        &self,
        store: &MemoryStore,
        stream: &StreamName,
        id: u64,
        tags: BTreeSet<String>,
    ) -> Result<()> {
        match store.set_tags(stream, id, tags).await {
            Err(Error::EntryNotFound { .. }) => Ok(()),
            answer => answer,
        }
    }
}

#[test]
fn marks_on_a_missing_entry_are_caught() {
    assert_caught::<MissingEntriesMarked>("c7_marks_need_an_entry");
}

/// Marks leave no trace of when they were made.
#[derive(Default)]
pub(crate) struct MarksUnstamped;

impl Fault for MarksUnstamped {
    fn page(&self, mut page: Page<u64>) -> Page<u64> {
        page.entries
            .iter_mut()
            .for_each(|entry| entry.updated_at = None);
        page
    }
}

#[test]
fn marks_without_a_time_are_caught() {
    assert_caught::<MarksUnstamped>("c7_marks_stamp_updated_at");
}

/// Append-only is a word.
#[derive(Default)]
pub(crate) struct AppendOnlyIgnored;

impl Fault for AppendOnlyIgnored {
    fn setup(&self, mut setup: Setup) -> Setup {
        setup.append_only = false;
        setup
    }
}

#[test]
fn marks_in_an_append_only_store_are_caught() {
    assert_caught::<AppendOnlyIgnored>("c7_an_append_only_store_refuses_marks");
}
