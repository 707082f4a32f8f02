//! Random histories: small alphabets, so that names, keys, ids and times meet often.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ledger_core::{
    Batch, Bytes, Condition, ContentType, Direction, Filter, NewEntry, Payload, ReadOptions,
    Retention, Revision, StreamName, Timestamp,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option::weighted;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;

use super::operation::{Operation, Step};

/// The streams that a history is about.
pub(super) const STREAMS: [&str; 4] = ["orders", "b", "O'%_\\", "b\u{0}"];

/// The checkpoints that a history is about.
pub(super) const CHECKPOINTS: [&str; 2] = ["billing", "$a.b"];

/// The most bytes of a payload; some entries have one more.
pub(super) const PAYLOAD_BYTES_MAX: usize = 40;

const STEPS_MAX: usize = 200;

/// Histories of up to two hundred steps.
pub(super) fn histories() -> impl Strategy<Value = Vec<Step>> {
    vec(
        (0..2_usize, operation()).prop_map(|(opening, operation)| Step { opening, operation }),
        1..=STEPS_MAX,
    )
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        40 => writing(),
        25 => looking(),
        15 => removing(),
        14 => changing(),
        15 => checkpointing(),
        6 => (-20..30_i64).prop_map(Operation::MoveClock),
        3 => Just(Operation::Reopen),
    ]
}

fn writing() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => batch().prop_map(Operation::Append),
        1 => vec(batch(), 0..4).prop_map(Operation::AppendMany),
    ]
}

fn looking() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => (stream(), read()).prop_map(|(stream, options)| Operation::Read(stream, options)),
        2 => stream().prop_map(Operation::Stat),
        1 => (stream(), weighted(0.8, id())).prop_map(|(stream, after)| Operation::Wait(stream, after)),
        1 => (weighted(0.5, stream()), 0..5_usize).prop_map(|(after, limit)| Operation::List(after, limit)),
    ]
}

fn removing() -> impl Strategy<Value = Operation> {
    prop_oneof![
        2 => (stream(), id()).prop_map(|(stream, through)| Operation::Trim(stream, through)),
        1 => (stream(), retention()).prop_map(|(stream, retention)| Operation::Retain(stream, retention)),
        1 => stream().prop_map(Operation::PurgeExpired),
    ]
}

fn changing() -> impl Strategy<Value = Operation> {
    prop_oneof![
        2 => (stream(), near_id(), tags()).prop_map(|(stream, id, tags)| Operation::SetTags(stream, id, tags)),
        2 => (stream(), near_id(), changes()).prop_map(|(stream, id, changes)| Operation::Annotate(stream, id, changes)),
        1 => (stream(), stream()).prop_map(|(from, to)| Operation::Rename(from, to)),
    ]
}

fn checkpointing() -> impl Strategy<Value = Operation> {
    let one = || (stream(), select(&CHECKPOINTS[..]).prop_map(str::to_owned));
    prop_oneof![
        one().prop_map(|(stream, name)| Operation::LoadCheckpoint(stream, name)),
        (one(), bytes(), weighted(0.6, revision())).prop_map(
            |((stream, name), value, expected)| {
                Operation::SaveCheckpoint(stream, name, value, expected)
            }
        ),
        (one(), revision()).prop_map(|((stream, name), expected)| {
            Operation::DeleteCheckpoint(stream, name, expected)
        }),
        (one(), any::<bool>(), 0..3_usize).prop_map(|((stream, name), has_after, limit)| {
            Operation::ListCheckpoints(stream, has_after.then_some(name), limit)
        }),
    ]
}

fn stream() -> impl Strategy<Value = StreamName> {
    prop_oneof![3 => Just(0_usize), 2 => Just(1), 1 => 2..STREAMS.len()]
        .prop_map(|index| STREAMS[index].into())
}

/// Counts back from two beyond the head, see [`Operation::aimed`].
fn id() -> impl Strategy<Value = u64> {
    prop_oneof![12 => 0..8_u64, 6 => 0..40_u64, 1 => Just(u64::MAX)]
}

/// The same for the newest few, so that one entry is marked more than once.
fn near_id() -> impl Strategy<Value = u64> {
    prop_oneof![5 => 1..4_u64, 1 => id()]
}

/// Counts back from the current one, see [`Operation::aimed`].
fn revision() -> impl Strategy<Value = Revision> {
    prop_oneof![4 => Just(0), 1 => 1..3_u64].prop_map(Revision)
}

/// Counts from now, see [`Operation::aimed`].
fn time(range: std::ops::Range<i64>) -> impl Strategy<Value = Timestamp> {
    range.prop_map(Timestamp::from_micros)
}

fn batch() -> impl Strategy<Value = Batch<u64>> {
    (stream(), vec(entry(), 0..4), weighted(0.3, condition())).prop_map(
        |(stream, entries, condition)| {
            let batch = Batch::new(stream, entries);
            match condition {
                Some(condition) => batch.when(condition),
                None => batch,
            }
        },
    )
}

fn entry() -> impl Strategy<Value = NewEntry> {
    let keys = (
        weighted(0.5, kind()),
        weighted(0.6, order_key()),
        weighted(0.5, dedup_key()),
    );
    let rest = (
        schema_version(),
        metadata(),
        tags(),
        weighted(0.15, time(-5..40)),
    );
    (payload(), keys, rest).prop_map(
        |(payload, (kind, order_key, dedup_key), (version, metadata, tags, expires_at))| {
            let mut entry = NewEntry::new(payload).schema_version(version);
            entry.kind = kind;
            entry.order_key = order_key;
            entry.dedup_key = dedup_key;
            entry.metadata = metadata.into();
            entry.tags = tags.into();
            entry.expires_at = expires_at;
            entry
        },
    )
}

fn kind() -> impl Strategy<Value = String> {
    select(&["Placed", "Paid", ""][..]).prop_map(str::to_owned)
}

fn order_key() -> impl Strategy<Value = String> {
    select(&["o-1", "o-2", ""][..]).prop_map(str::to_owned)
}

fn dedup_key() -> impl Strategy<Value = String> {
    select(&["d1", "d2", "D1", "d1 ", ""][..]).prop_map(str::to_owned)
}

fn tags() -> impl Strategy<Value = BTreeSet<String>> {
    btree_set(select(&["a", "b", ""][..]).prop_map(str::to_owned), 0..3)
}

fn metadata() -> impl Strategy<Value = BTreeMap<String, String>> {
    let pair = (
        select(&["user", "$a.b"][..]),
        select(&["ann", "bob", ""][..]),
    );
    vec(pair, 0..2).prop_map(|pairs| {
        pairs
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect()
    })
}

fn changes() -> impl Strategy<Value = BTreeMap<String, Option<String>>> {
    let key = select(&["seen", "by", ""][..]).prop_map(str::to_owned);
    btree_map(
        key,
        weighted(0.7, select(&["yes", ""][..]).prop_map(str::to_owned)),
        0..3,
    )
}

fn schema_version() -> impl Strategy<Value = u32> {
    prop_oneof![60 => Just(1), 20 => 2..4_u32, 1 => Just(0)]
}

fn payload() -> impl Strategy<Value = Payload> {
    let content_types = vec![
        ContentType::JSON,
        ContentType::OCTET_STREAM,
        ContentType::from_static("application/x-'other'"),
    ];
    prop_oneof![
        60 => (bytes(), select(content_types)).prop_map(|(bytes, content_type)| Payload::new(bytes, content_type)),
        1 => Just(Payload::octets(vec![0; PAYLOAD_BYTES_MAX + 1])),
    ]
}

fn bytes() -> impl Strategy<Value = Bytes> {
    let samples: [&[u8]; 7] = [
        b"{}",
        b"",
        b"{ \"a\" : 1, \"a\": 1.0 }\n",
        b"not JSON",
        b"\xff\xfe",
        b"a\0b",
        &[b' '; PAYLOAD_BYTES_MAX],
    ];
    select(samples.map(Bytes::from_static).to_vec())
}

fn filter() -> impl Strategy<Value = Filter> {
    let parts = (
        vec(order_key(), 0..3),
        vec(kind(), 0..2),
        tags(),
        metadata(),
    );
    let filter = parts.prop_map(|(order_keys, kinds, tags, metadata)| {
        let mut filter = Filter::new();
        filter.order_keys = order_keys;
        filter.kinds = kinds;
        filter.tags = tags.into_iter().take(1).collect();
        filter.metadata = metadata;
        filter
    });
    prop_oneof![
        order_key().prop_map(|key| Filter::new().order_key(key)),
        filter
    ]
}

fn condition() -> impl Strategy<Value = Condition<u64>> {
    prop_oneof![
        2 => (filter(), weighted(0.7, id())).prop_map(|(filter, after)| Condition::none_after(filter, after)),
        1 => Just(Condition::stream_is_empty()),
        2 => id().prop_map(Condition::head_is),
        3 => (order_key(), weighted(0.8, id())).prop_map(|(key, id)| Condition::last_of(key, id)),
    ]
}

fn read() -> impl Strategy<Value = ReadOptions<u64>> {
    let cursors = (
        weighted(0.4, id()),
        weighted(0.3, id()),
        weighted(0.15, time(-40..10)),
    );
    let shape = (
        any::<bool>(),
        any::<bool>(),
        prop_oneof![10 => 1..4_usize, 10 => Just(100), 1 => Just(0)],
    );
    (cursors, shape, weighted(0.4, filter())).prop_map(
        |((after, before, since), (descends, tombstones, limit), filter)| {
            let mut options = ReadOptions::new().after(after).before(before).limit(limit);
            options.direction = if descends {
                Direction::Descending
            } else {
                Direction::Ascending
            };
            options.filter = filter.unwrap_or_default();
            options.since = since;
            options.tombstones = tombstones;
            options
        },
    )
}

fn retention() -> impl Strategy<Value = Retention> {
    let bounds = (
        weighted(0.3, 0..60_u64),
        weighted(0.4, 0..12_u64),
        weighted(0.3, 0..120_u64),
    );
    bounds.prop_map(|(age, entries, bytes)| {
        let mut retention = Retention::new();
        retention.age_max = age.map(Duration::from_micros);
        retention.entries_max = entries;
        retention.bytes_max = bytes;
        retention
    })
}
