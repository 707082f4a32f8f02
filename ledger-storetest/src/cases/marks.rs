//! Marks (C7): tags are replaced, annotations merged, and nothing else of an entry ever changes.

use std::collections::BTreeSet;

use ledger_core::{Entry, Error, Filter, Result, TextMap};

use crate::fixture::{Log, assert_refused, at, can_mark, clock, entry, everything, ids, keyed};
use crate::harness::Setup;
use crate::hostile;
use crate::place::Place;
use crate::race::together;

impl Log {
    async fn try_set_tags<const N: usize>(&self, id: u64, tags: [&str; N]) -> Result<()> {
        self.store
            .set_tags(&self.name, id, tags.map(String::from).into())
            .await
    }

    async fn set_tags<const N: usize>(&self, id: u64, tags: [&str; N]) {
        self.try_set_tags(id, tags)
            .await
            .expect("the tags are replaced");
    }

    async fn try_annotate<const N: usize>(
        &self,
        id: u64,
        changes: [(&str, Option<&str>); N],
    ) -> Result<()> {
        let changes = changes.map(|(key, value)| (key.to_owned(), value.map(String::from)));
        self.store.annotate(&self.name, id, changes.into()).await
    }

    async fn annotate<const N: usize>(&self, id: u64, changes: [(&str, Option<&str>); N]) {
        self.try_annotate(id, changes)
            .await
            .expect("the annotations are merged");
    }
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> TextMap {
    pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// C7: new tags take the place of all old ones.
pub(crate) async fn c7_tags_are_replaced(place: Place) {
    let log = place.log("orders").await;
    if !can_mark(&log).await {
        return;
    }
    let id = log.append_one(entry("a").tag("old").tag("kept")).await;
    log.set_tags(id, ["kept", "new"]).await;
    assert_eq!(
        log.get(id).await.tags,
        BTreeSet::from(["kept".to_owned(), "new".to_owned()])
    );
    log.set_tags(id, []).await;
    assert!(log.get(id).await.tags.is_empty());
}

/// C7: reads choose by the tags as they are.
pub(crate) async fn c7_filters_see_changed_tags(place: Place) {
    let log = place.log("orders").await;
    if !can_mark(&log).await {
        return;
    }
    let a = log.append_one(entry("a").tag("old")).await;
    let b = log.append_one(entry("b").tag("old")).await;
    log.set_tags(a, ["new"]).await;
    let tagged = async |tag: &str| {
        ids(&log
            .read(everything().filter(Filter::new().tag(tag)))
            .await
            .entries)
    };
    assert_eq!(tagged("old").await, [b]);
    assert_eq!(tagged("new").await, [a]);
}

/// C7: annotations are merged: added, changed, deleted by none, and else left alone.
pub(crate) async fn c7_annotations_are_merged(place: Place) {
    let log = place.log("orders").await;
    if !can_mark(&log).await {
        return;
    }
    let id = log.add("a").await;
    log.annotate(
        id,
        [("one", Some("1")), ("two", Some("2")), ("empty", Some(""))],
    )
    .await;
    log.annotate(
        id,
        [
            ("two", Some("zwei")),
            ("one", None),
            ("three", Some("3")),
            ("absent", None),
        ],
    )
    .await;
    let expected = pairs([("empty", ""), ("three", "3"), ("two", "zwei")]);
    assert_eq!(log.get(id).await.annotations, expected);
    log.annotate(id, [("empty", None), ("three", None), ("two", None)])
        .await;
    assert!(log.get(id).await.annotations.is_empty());
}

/// C7: both stamp `updated_at`, of this entry only, which until then is absent.
pub(crate) async fn c7_marks_stamp_updated_at(place: Place) {
    let clock = clock();
    let log = place
        .log_with(Setup::default().with_clock(clock.clone()), "orders")
        .await;
    if !can_mark(&log).await {
        return;
    }
    let [a, b] = log.add_all(["a", "b"]).await;
    assert_eq!(log.get(a).await.updated_at, None);
    clock.set(at(5));
    log.set_tags(a, ["t"]).await;
    assert_eq!(log.get(a).await.updated_at, Some(at(5)));
    clock.set(at(6));
    log.annotate(a, [("k", Some("v"))]).await;
    assert_eq!(log.get(a).await.updated_at, Some(at(6)));
    assert_eq!(log.get(b).await.updated_at, None);
}

/// C7: nothing else changes: neither the entry's other fields, nor order, head, count, bytes and dedup keys.
pub(crate) async fn c7_marks_change_nothing_else(place: Place) {
    let log = place
        .log_with(Setup::default().with_clock(clock()), "orders")
        .await;
    if !can_mark(&log).await {
        return;
    }
    let full = keyed("k")
        .kind("Placed")
        .order_key("o")
        .metadata("m", "n")
        .expires_at(at(100));
    let id = log.append_one(full).await;
    log.add("after").await;
    let before = log.picture().await;
    log.set_tags(id, ["t"]).await;
    log.annotate(id, [("m", Some("v"))]).await;
    let after = log.picture().await;
    assert_eq!(after.stat, before.stat);
    assert_eq!(
        after.entries.into_iter().map(unmarked).collect::<Vec<_>>(),
        before.entries
    );
    assert!(log.append([keyed("k")]).await[0].is_duplicate());
}

/// The entry as it was before anything was marked on it.
fn unmarked(mut entry: Entry<u64>) -> Entry<u64> {
    entry.tags.clear();
    entry.annotations.clear();
    entry.updated_at = None;
    entry
}

/// C7: an id that is not there is refused by name: never given out, trimmed, or in another stream.
pub(crate) async fn c7_marks_need_an_entry(place: Place) {
    let log = place.log("orders").await;
    if !can_mark(&log).await {
        return;
    }
    let [a, b] = log.add_all(["a", "b"]).await;
    log.trim(a).await;
    for id in [0, a, b + 1, u64::MAX] {
        assert_no_entry(&log, id).await;
    }
    assert_no_entry(&log.beside("nobody"), b).await;
    assert_eq!(log.beside("nobody").head().await, None);
}

/// C7: an entry that has expired is not there, purged or not.
pub(crate) async fn c7_expired_entries_cannot_be_marked(place: Place) {
    let clock = clock();
    let log = place
        .log_with(Setup::default().with_clock(clock.clone()), "orders")
        .await;
    if !can_mark(&log).await {
        return;
    }
    let id = log.append_one(entry("a").expires_at(at(10))).await;
    log.set_tags(id, ["t"]).await;
    clock.set(at(10));
    assert_no_entry(&log, id).await;
    log.purge_expired().await;
    assert_no_entry(&log, id).await;
}

async fn assert_no_entry(log: &Log, id: u64) {
    let name = id.to_string();
    assert_refused!(log.try_set_tags(id, ["t"]).await, Error::EntryNotFound { id: ref found, .. } if *found == name);
    let answer = log.try_annotate(id, [("k", Some("v"))]).await;
    assert_refused!(answer, Error::EntryNotFound { id: ref found, .. } if *found == name);
}

/// C7: a store opened append-only refuses, and changes nothing; another opening may.
pub(crate) async fn c7_an_append_only_store_refuses_marks(place: Place) {
    let log = place
        .log_with(Setup::default().append_only(), "orders")
        .await;
    let id = log.append_one(entry("a").tag("first")).await;
    let before = log.picture().await;
    assert!(
        !log.store.capabilities().marks,
        "an append-only store says so"
    );
    assert_refused!(
        log.try_set_tags(id, ["t"]).await,
        Error::AppendOnly | Error::Unsupported { .. }
    );
    assert_refused!(
        log.try_annotate(id, [("k", Some("v"))]).await,
        Error::AppendOnly | Error::Unsupported { .. }
    );
    assert_eq!(log.picture().await, before);
    log.close().await;
    let log = place.log("orders").await;
    if can_mark(&log).await {
        log.set_tags(id, ["t"]).await;
    }
}

/// C7: marks hold over a reopen.
pub(crate) async fn c7_marks_survive_a_reopen(place: Place) {
    let log = place.log("orders").await;
    if !can_mark(&log).await {
        return;
    }
    let id = log.append_one(entry("a").tag("old")).await;
    log.set_tags(id, ["new"]).await;
    log.annotate(id, [("k", Some("v"))]).await;
    let before = log.picture().await;
    log.close().await;
    assert_eq!(place.log("orders").await.picture().await, before);
}

/// C7, C5.4: hostile text comes back from tags and annotations, and is deleted again.
pub(crate) async fn c7_hostile_marks_come_back(place: Place) {
    let log = place.log("orders").await;
    if !can_mark(&log).await {
        return;
    }
    let id = log.add("a").await;
    let texts = hostile::texts();
    log.store
        .set_tags(&log.name, id, texts.clone())
        .await
        .expect("the tags are replaced");
    let changes = |delete: bool| {
        texts
            .iter()
            .map(|text| (text.clone(), (!delete).then(|| text.clone())))
            .collect()
    };
    log.store
        .annotate(&log.name, id, changes(false))
        .await
        .expect("the annotations are merged");
    let found = log.get(id).await;
    assert_eq!(found.tags, texts);
    let pairs = texts.iter().map(|text| (text.clone(), text.clone()));
    assert_eq!(found.annotations, pairs.collect::<TextMap>());
    log.store
        .annotate(&log.name, id, changes(true))
        .await
        .expect("the annotations are deleted");
    assert!(log.get(id).await.annotations.is_empty());
}

/// C7: racing merges of different keys all remain.
pub(crate) async fn c7_racing_annotations_all_remain(place: Place) {
    let log = place.log("orders").await;
    if !can_mark(&log).await {
        return;
    }
    let id = log.add("a").await;
    let notes = (0..16).map(|n| {
        let log = log.clone();
        async move {
            log.annotate(id, [(n.to_string().as_str(), Some("v"))])
                .await
        }
    });
    together(notes).await;
    assert_eq!(log.get(id).await.annotations.len(), 16);
}
