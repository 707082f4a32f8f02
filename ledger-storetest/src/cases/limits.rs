//! Limits (C2.4): what is at its limit is taken, what is one over is refused by name and size, before anything is
//! written.

use std::fmt::Debug;

use ledger_core::{
    Bytes, Condition, ContentType, Error, FILTER_KEYS_MAX, Filter, Limits, NewEntry, Payload,
    Result, StreamName,
};

use crate::fixture::{Log, assert_refused, can_append_many, can_mark, entry, everything, keyed};
use crate::harness::Setup;
use crate::methods;
use crate::place::Place;

// Limits that a test can reach; no two are the same.
const NAME: usize = 10;
const KEY: usize = 25;
const PAYLOAD: usize = 30;
const METADATA: usize = 52;
const CHECKPOINT: usize = 13;
const BATCH_ENTRIES: usize = 4;
const BATCH_BYTES: usize = 200;

fn small() -> Limits {
    let mut limits = Limits::default();
    limits.name_bytes_max = NAME;
    limits.key_bytes_max = KEY;
    limits.payload_bytes_max = PAYLOAD;
    limits.metadata_bytes_max = METADATA;
    limits.checkpoint_bytes_max = CHECKPOINT;
    limits.batch_entries_max = BATCH_ENTRIES;
    limits.batch_bytes_max = BATCH_BYTES;
    limits
}

async fn small_log(place: &Place) -> Log {
    let log = place
        .log_with(Setup::default().with_limits(small()), "orders")
        .await;
    assert_eq!(
        log.store.capabilities().limits,
        small(),
        "the store tells the limits it was given"
    );
    log
}

/// A text of so many bytes.
fn x(bytes: usize) -> String {
    "x".repeat(bytes)
}

/// The answer is a refusal that names the limit, the size and the most allowed, which is one less.
fn assert_one_over<T: Debug>(answer: Result<T>, what: &str, max: usize) {
    let (over, most) = (max as u64 + 1, max as u64);
    assert_refused!(answer, Error::LimitExceeded { limit, size, max } if limit.contains(what) && size == over && max == most);
}

/// What `make` makes at the limit is taken, and one over is refused, without a trace.
async fn check_entry(place: &Place, what: &str, max: usize, make: impl Fn(usize) -> NewEntry) {
    let log = small_log(place).await;
    log.append_one(make(max)).await;
    let before = log.picture().await;
    assert_one_over(log.try_append([make(max + 1)]).await, what, max);
    assert_one_over(
        log.try_append([entry("good"), make(max + 1)]).await,
        what,
        max,
    );
    assert_eq!(log.picture().await, before);
    log.add("next").await;
}

/// C2.4: payloads.
pub(crate) async fn c2_4_payloads_have_a_limit(place: Place) {
    check_entry(&place, "payload", PAYLOAD, |bytes| entry(&x(bytes))).await;
}

/// C2.4: kinds.
pub(crate) async fn c2_4_kinds_have_a_limit(place: Place) {
    check_entry(&place, "kind", KEY, |bytes| entry("").kind(x(bytes))).await;
}

/// C2.4: order keys.
pub(crate) async fn c2_4_order_keys_have_a_limit(place: Place) {
    check_entry(&place, "order key", KEY, |bytes| {
        entry("").order_key(x(bytes))
    })
    .await;
}

/// C2.4: dedup keys.
pub(crate) async fn c2_4_dedup_keys_have_a_limit(place: Place) {
    check_entry(&place, "dedup key", KEY, |bytes| {
        entry("").dedup_key(x(bytes))
    })
    .await;
}

/// C2.4: content types.
pub(crate) async fn c2_4_content_types_have_a_limit(place: Place) {
    check_entry(&place, "content type", KEY, |bytes| {
        NewEntry::new(Payload::new("", ContentType::from(x(bytes))))
    })
    .await;
}

/// C2.4: each tag.
pub(crate) async fn c2_4_a_tag_has_a_limit(place: Place) {
    check_entry(&place, "tag", KEY, |bytes| entry("").tag(x(bytes))).await;
}

/// C2.4: all tags of an entry together.
pub(crate) async fn c2_4_tags_together_have_a_limit(place: Place) {
    check_entry(&place, "tags", METADATA, |bytes| {
        entry("")
            .tag("a".repeat(20))
            .tag("b".repeat(20))
            .tag(x(bytes - 40))
    })
    .await;
}

/// C2.4: metadata, keys and values together.
pub(crate) async fn c2_4_metadata_has_a_limit(place: Place) {
    check_entry(&place, "metadata", METADATA, |bytes| {
        entry("")
            .metadata("key", "value")
            .metadata("k", x(bytes - 9))
    })
    .await;
}

/// C2.4: limits count bytes, not characters.
pub(crate) async fn c2_4_limits_count_bytes(place: Place) {
    let log = small_log(&place).await;
    log.append_one(entry("").kind("\u{e9}".repeat(KEY / 2)))
        .await;
    let answer = log
        .try_append([entry("").kind("\u{e9}".repeat(KEY / 2 + 1))])
        .await;
    assert_one_over(answer, "kind", KEY);
}

/// C2.4: the number of entries in a batch, also of several batches appended as one.
pub(crate) async fn c2_4_batches_have_a_most_of_entries(place: Place) {
    let log = small_log(&place).await;
    log.append(vec![entry("x"); BATCH_ENTRIES]).await;
    assert_one_over(
        log.try_append(vec![entry("x"); BATCH_ENTRIES + 1]).await,
        "entries",
        BATCH_ENTRIES,
    );
    assert_eq!(log.entries().await.len(), BATCH_ENTRIES);
    if !can_append_many(&log).await {
        return;
    }
    let other = log.beside("payments");
    let batches = |more: usize| {
        vec![
            log.batch(vec![entry("x"); 2]),
            other.batch(vec![entry("x"); 2 + more]),
        ]
    };
    log.append_many(batches(0)).await;
    assert_one_over(
        log.store.append_many(batches(1)).await,
        "entries",
        BATCH_ENTRIES,
    );
    assert_eq!(
        (log.entries().await.len(), other.entries().await.len()),
        (BATCH_ENTRIES + 2, 2)
    );
}

/// C2.4: the bytes of all that is in a batch, also of several batches appended as one.
pub(crate) async fn c2_4_batches_have_a_most_of_bytes(place: Place) {
    let log = small_log(&place).await;
    log.append(bare().into_iter().chain([full(25)])).await;
    let answer = log.try_append(bare().into_iter().chain([full(26)])).await;
    assert_one_over(answer, "bytes in a batch", BATCH_BYTES);
    assert_eq!(log.entries().await.len(), 3);
    if !can_append_many(&log).await {
        return;
    }
    let other = log.beside("payments");
    let batches = |bytes| vec![log.batch(bare()), other.batch([full(bytes)])];
    log.append_many(batches(25)).await;
    assert_one_over(
        log.store.append_many(batches(26)).await,
        "bytes in a batch",
        BATCH_BYTES,
    );
    assert_eq!(
        (log.entries().await.len(), other.entries().await.len()),
        (5, 1)
    );
}

/// Two entries of 50 bytes together.
fn bare() -> [NewEntry; 2] {
    [30, 20].map(untyped)
}

/// An entry of 125 bytes, in all fields that count, and those of its payload.
fn full(payload_bytes: usize) -> NewEntry {
    untyped(payload_bytes)
        .kind(x(KEY))
        .order_key(x(KEY))
        .metadata("key", x(47))
        .tag(x(KEY))
}

/// An entry that holds nothing but its payload: not even a content type.
fn untyped(bytes: usize) -> NewEntry {
    NewEntry::new(Payload::new(x(bytes), ContentType::from(String::new())))
}

/// C2.4: filters, of conditions and of reads, in the size and the number of their keys.
pub(crate) async fn c2_4_filters_have_limits(place: Place) {
    let log = small_log(&place).await;
    let long = || Filter::new().order_key(x(KEY + 1));
    let answer = log
        .append_when(Condition::none_after(long(), None), entry("x"))
        .await;
    assert_one_over(answer, "key", KEY);
    assert_one_over(
        log.store
            .read(&log.name, &everything().filter(long()))
            .await,
        "key",
        KEY,
    );
    let many =
        |count: usize| (0..count).fold(Filter::new(), |filter, n| filter.order_key(n.to_string()));
    log.read(everything().filter(many(FILTER_KEYS_MAX))).await;
    let answer = log
        .store
        .read(&log.name, &everything().filter(many(FILTER_KEYS_MAX + 1)))
        .await;
    assert_one_over(answer, "keys in a filter", FILTER_KEYS_MAX);
    assert_eq!(log.head().await, None);
}

/// C2.4: tags and annotations that are set later have the limits of those that are written first.
pub(crate) async fn c2_4_marks_have_limits(place: Place) {
    let log = small_log(&place).await;
    if !can_mark(&log).await {
        return;
    }
    let id = log.add("x").await;
    let tag = async |bytes| log.store.set_tags(&log.name, id, [x(bytes)].into()).await;
    tag(KEY).await.expect("the tag is at its limit");
    let before = log.picture().await;
    assert_one_over(tag(KEY + 1).await, "tag", KEY);
    let many = ["a".repeat(20), "b".repeat(20), x(METADATA - 39)].into();
    let answer = log.store.set_tags(&log.name, id, many).await;
    assert_one_over(answer, "tags", METADATA);
    assert_eq!(log.picture().await, before);
}

/// C2.4: annotations have a limit as they are after the merge.
pub(crate) async fn c2_4_merged_annotations_have_a_limit(place: Place) {
    let log = small_log(&place).await;
    if !can_mark(&log).await {
        return;
    }
    let id = log.add("x").await;
    let annotate = async |key: &str, value: Option<String>| {
        log.store
            .annotate(&log.name, id, [(key.to_owned(), value)].into())
            .await
    };
    annotate("a", Some(x(25))).await.expect("there is room");
    annotate("b", Some(x(25)))
        .await
        .expect("the annotations are at their limit");
    let before = log.picture().await;
    assert_one_over(annotate("b", Some(x(26))).await, "annotations", METADATA);
    assert_eq!(log.picture().await, before);
    annotate("a", None).await.expect("a deletion makes room");
    annotate("b", Some(x(51)))
        .await
        .expect("there is room again");
}

/// C2.4: checkpoints.
pub(crate) async fn c2_4_checkpoints_have_a_limit(place: Place) {
    let log = small_log(&place).await;
    let save = async |bytes: usize, expected| {
        log.store
            .save_checkpoint(&log.name, "cp", Bytes::from(x(bytes)), expected)
            .await
    };
    let revision = save(CHECKPOINT, None)
        .await
        .expect("the value is at its limit");
    assert_one_over(
        save(CHECKPOINT + 1, Some(revision)).await,
        "checkpoint",
        CHECKPOINT,
    );
    assert_eq!(
        log.load("cp")
            .await
            .map(|found| (found.revision, found.value.len())),
        Some((revision, CHECKPOINT))
    );
}

/// C2.4, C8: names at their limit are names; longer ones and empty ones are refused by whatever takes a name.
pub(crate) async fn c2_4_names_have_limits(place: Place) {
    let log = small_log(&place).await;
    log.beside(x(NAME)).add("x").await;
    log.store
        .save_checkpoint(&log.name, &x(NAME), Bytes::new(), None)
        .await
        .expect("the name is at its limit");
    log.add("x").await;
    for name in [x(NAME + 1), String::new()] {
        for (method, answer) in methods::answers(&log.beside(name.as_str())).await {
            assert_name_refused(method, &name, answer, &log);
        }
        for (method, answer) in methods::checkpoints(&log, &name).await {
            if method != "list_checkpoints" {
                assert_name_refused(method, &name, answer, &log);
            }
        }
    }
    assert_eq!(
        log.list().await,
        ["orders".into(), StreamName::from(x(NAME))]
    );
}

/// An empty name makes no sense, a long one is over the limit; what is not supported is not supported anyway.
fn assert_name_refused(method: &str, name: &str, answer: Result<()>, log: &Log) {
    let capabilities = log.store.capabilities();
    let is_optional = match method {
        "append_many" => !capabilities.append_many,
        "set_tags" | "annotate" => !capabilities.marks,
        _ => false,
    };
    match answer {
        Err(Error::InvalidInput { .. }) if name.is_empty() => {}
        Err(Error::LimitExceeded {
            size: 11,
            max: 10,
            limit,
        }) if limit.contains("name") => {}
        Err(Error::Unsupported { .. } | Error::AppendOnly) if is_optional => {}
        other => panic!("{method} with the name {name:?} answers {other:?}"),
    }
}

/// C2.4: schema versions start at 1.
pub(crate) async fn c2_4_schema_version_zero_is_refused(place: Place) {
    let log = place.log("orders").await;
    let answer = log
        .try_append([entry("good"), entry("bad").schema_version(0)])
        .await;
    assert_refused!(answer, Error::InvalidInput { .. });
    assert_eq!(log.head().await, None);
}

/// C2.4: limits come first: before duplicates are looked for, and before conditions.
pub(crate) async fn c2_4_limits_come_first(place: Place) {
    let log = small_log(&place).await;
    log.append([keyed("k")]).await;
    let before = log.picture().await;
    let batch = log
        .batch([
            keyed("k"),
            keyed("new"),
            entry(&x(PAYLOAD + 1)).dedup_key("k"),
        ])
        .when(Condition::stream_is_empty());
    assert_one_over(log.store.append(batch).await, "payload", PAYLOAD);
    assert_eq!(log.picture().await, before);
}

/// C2.4: the limits that the store has by default are real: entries that reach them come back whole.
pub(crate) async fn c2_4_the_default_limits_are_real(place: Place) {
    let log = place.log("orders").await;
    let limits = log.store.capabilities().limits.clone();
    let key = |c: &str| c.repeat(limits.key_bytes_max);
    let full = NewEntry::new(Payload::octets(vec![0xa5; limits.payload_bytes_max]))
        .kind(key("k"))
        .order_key(key("o"))
        .dedup_key(key("d"))
        .tag(key("t"))
        .metadata("m", x(limits.metadata_bytes_max - 1));
    let name = x(limits.name_bytes_max);
    let log = log.beside(name.as_str());
    let id = log.append_one(full.clone()).await;
    let found = log.get(id).await;
    assert!(
        found.value == full.value && found.metadata == full.metadata,
        "a large entry came back changed"
    );
    assert_eq!(
        (found.kind, found.order_key, found.dedup_key),
        (full.kind, full.order_key, full.dedup_key)
    );
    let value = Bytes::from(vec![7; limits.checkpoint_bytes_max]);
    log.store
        .save_checkpoint(&log.name, &name, value.clone(), None)
        .await
        .expect("the checkpoint is at its limits");
    assert!(
        log.load(&name)
            .await
            .is_some_and(|found| found.value == value),
        "a large checkpoint came back changed"
    );
}

/// C2.4: so is the number of entries in a batch.
pub(crate) async fn c2_4_the_largest_batch_is_taken(place: Place) {
    let log = place.log("orders").await;
    let max = log.store.capabilities().limits.batch_entries_max;
    assert_one_over(
        log.try_append(vec![entry("x"); max + 1]).await,
        "entries",
        max,
    );
    assert_eq!(log.head().await, None);
    let outcomes = log.append((0..max).map(|n| keyed(&n.to_string()))).await;
    assert_eq!(outcomes.len(), max);
    assert_eq!(log.stat().await.count, max as u64);
}

/// C2.4: and its bytes, which are counted before any of them is written.
pub(crate) async fn c2_4_a_batch_of_too_many_bytes_is_refused(place: Place) {
    let log = place.log("orders").await;
    let limits = &log.store.capabilities().limits;
    let payload = Bytes::from(vec![0; limits.payload_bytes_max]);
    let count = limits.batch_bytes_max / limits.payload_bytes_max + 1;
    let batch = vec![NewEntry::new(Payload::octets(payload)); count];
    assert_refused!(log.try_append(batch).await, Error::LimitExceeded { .. });
    assert_eq!(log.head().await, None);
}
