//! Any commits, in plain values: what is written, and what must be read.

use std::collections::BTreeSet;

use ledger_core::{NewEntry, TextMap, Timestamp};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use crate::format::new_record::tests::entries;
use crate::format::*;

/// A commit in plain values: what is written, and what must be read.
#[derive(Clone, Debug)]
pub(super) struct Commit {
    pub(super) recorded_at: Timestamp,
    pub(super) parts: Vec<Part>,
}

#[derive(Clone, Debug)]
pub(super) enum Part {
    One(AppendHead, NewEntry),
    Many(AppendHead, Vec<NewEntry>),
    Tombstones(AppendHead, Vec<u64>),
    Rare(Rare),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Rare {
    Name(u64, String),
    Rename(u64, String, String),
    Removals(u64, u64, u64),
    Purge(u64, Vec<u64>),
    Mark(u64, u64, i64, BTreeSet<String>, TextMap),
    Checkpoint(u64, String, u64, Option<Vec<u8>>),
    State(u64, u64, u64, i64),
    Seal,
}

prop_compose! {
    fn heads()(
        stream: u64, first_id in 1..u64::MAX / 2, bytes_before: u64, recorded_at: i64, has_removals: bool,
    ) -> AppendHead {
        let recorded_at = Timestamp::from_micros(recorded_at);
        AppendHead { stream: StreamNumber(stream), first_id, bytes_before, recorded_at, has_removals }
    }
}

fn rares() -> impl Strategy<Value = Rare> {
    let text = any::<String>;
    prop_oneof![
        (any::<u64>(), text()).prop_map(|(a, b)| Rare::Name(a, b)),
        (any::<u64>(), text(), text()).prop_map(|(a, b, c)| Rare::Rename(a, b, c)),
        any::<(u64, u64, u64)>().prop_map(|(a, b, c)| Rare::Removals(a, b, c)),
        (any::<u64>(), btree_set(1..=u64::MAX, 0..9))
            .prop_map(|(a, b)| Rare::Purge(a, b.into_iter().collect())),
        (
            any::<(u64, u64, i64)>(),
            btree_set(text(), 0..4),
            btree_map(text(), text(), 0..4)
        )
            .prop_map(|((a, b, c), d, e)| Rare::Mark(a, b, c, d, e)),
        (any::<u64>(), text(), any::<u64>(), any::<Option<Vec<u8>>>())
            .prop_map(|(a, b, c, d)| Rare::Checkpoint(a, b, c, d)),
        any::<(u64, u64, u64, i64)>().prop_map(|(a, b, c, d)| Rare::State(a, b, c, d)),
        Just(Rare::Seal),
    ]
}

fn parts() -> impl Strategy<Value = Part> {
    prop_oneof![
        (heads(), entries()).prop_map(|(head, entry)| Part::One(head, entry)),
        (heads(), vec(entries(), 1..5)).prop_map(|(head, entries)| Part::Many(head, entries)),
        (heads(), vec(any::<u64>(), 1..3)).prop_map(|(head, bytes)| Part::Tombstones(head, bytes)),
        rares().prop_map(Part::Rare),
    ]
}

prop_compose! {
    pub(super) fn commits()(recorded_at: i64, parts in vec(parts(), 0..5)) -> Commit {
        Commit { recorded_at: Timestamp::from_micros(recorded_at), parts }
    }
}

impl Commit {
    /// Appends the frame to `buf`, and tells the offset of each record or of its first entry.
    pub(super) fn write(
        &self,
        buf: &mut Vec<u8>,
        segment: &SegmentHeader,
        offset: u32,
        durable: Option<Position>,
    ) -> Vec<u32> {
        let mut frame = FrameWriter::begin(buf, segment, offset, self.recorded_at, durable);
        let offsets = self
            .parts
            .iter()
            .map(|part| part.write(&mut frame))
            .collect();
        frame.finish();
        offsets
    }

    pub(super) fn frame(&self, segment: &SegmentHeader, offset: u32) -> Vec<u8> {
        let mut buf = Vec::new();
        self.write(&mut buf, segment, offset, None);
        buf
    }
}

impl Part {
    fn write(&self, frame: &mut FrameWriter<'_>) -> u32 {
        match self {
            Self::One(head, entry) => frame.append_one(head, &entry.into()),
            Self::Many(head, entries) => {
                let mut append = frame.append_many(head);
                let offsets: Vec<u32> = entries
                    .iter()
                    .map(|entry| append.push(&entry.into()))
                    .collect();
                assert_eq!(append.finish() as usize, entries.len());
                offsets[0]
            }
            Self::Tombstones(head, bytes) => {
                let mut append = frame.append_many(head);
                let offsets: Vec<u32> =
                    bytes.iter().map(|bytes| append.tombstone(*bytes)).collect();
                append.finish();
                offsets[0]
            }
            Self::Rare(rare) => rare.write(frame),
        }
    }

    pub(super) fn check(&self, offset: u32, found: u32, record: &Record<'_>) {
        match self {
            Self::One(head, entry) => {
                check_append(head, std::slice::from_ref(entry), offset, record)
            }
            Self::Many(head, entries) => check_append(head, entries, offset, record),
            Self::Tombstones(head, bytes) => check_tombstones(head, bytes, record),
            Self::Rare(rare) => {
                assert_eq!(offset, found);
                assert_eq!(*rare, Rare::read(record));
            }
        }
    }
}

fn appended<'a>(record: &Record<'a>) -> Append<'a> {
    match record {
        Record::Append(append) => *append,
        other => panic!("{other:?} is no append"),
    }
}

fn check_append(head: &AppendHead, entries: &[NewEntry], offset: u32, record: &Record<'_>) {
    let append = appended(record);
    assert_eq!(append.head, *head);
    assert_eq!(append.count as usize, entries.len());
    let found: Vec<_> = append.entries().map(Result::unwrap).collect();
    assert_eq!(found[0].0, offset);
    let bytes: u64 = entries
        .iter()
        .map(|entry| entry.value.bytes.len() as u64)
        .sum();
    assert_eq!(
        append.bytes_after().unwrap(),
        head.bytes_before.saturating_add(bytes)
    );
    for ((_, found), entry) in found.iter().zip(entries) {
        let found = found.to_entry(&"s".into(), 1, head.recorded_at).unwrap();
        assert_eq!(
            found,
            ledger_core::Entry::recorded(1, "s".into(), head.recorded_at, entry.clone())
        );
    }
}

fn check_tombstones(head: &AppendHead, bytes: &[u64], record: &Record<'_>) {
    let append = appended(record);
    assert_eq!(append.head, *head);
    let found = append
        .entries()
        .map(|entry| entry.unwrap().1.fields().unwrap());
    let found: Vec<_> = found
        .map(|fields| (fields.is_tombstone, fields.payload_bytes))
        .collect();
    assert_eq!(
        found,
        bytes.iter().map(|bytes| (true, *bytes)).collect::<Vec<_>>()
    );
}

impl Rare {
    fn write(&self, frame: &mut FrameWriter<'_>) -> u32 {
        let (ids, tags, annotations) = self.lists();
        frame.push(&match self {
            Self::Name(stream, name) => Record::Name {
                stream: StreamNumber(*stream),
                name,
            },
            Self::Rename(stream, from, to) => Record::Rename {
                stream: StreamNumber(*stream),
                from,
                to,
            },
            Self::Removals(stream, first, bytes) => Record::Removals {
                stream: StreamNumber(*stream),
                first: *first,
                bytes: *bytes,
            },
            Self::Purge(stream, _) => Record::Purge {
                stream: StreamNumber(*stream),
                ids: Ids(&ids),
            },
            Self::Mark(stream, id, updated_at, ..) => Record::Mark(Mark {
                stream: StreamNumber(*stream),
                id: *id,
                updated_at: Timestamp::from_micros(*updated_at),
                tags: Tags(&tags),
                annotations: Pairs(&annotations),
            }),
            Self::Checkpoint(stream, name, revision, value) => {
                Record::Checkpoint(CheckpointRecord {
                    stream: StreamNumber(*stream),
                    name,
                    revision: Position::from_u64(*revision),
                    value: value.as_deref(),
                })
            }
            Self::State(stream, head, bytes, recorded_at) => Record::State {
                stream: StreamNumber(*stream),
                head: *head,
                bytes: *bytes,
                recorded_at: Timestamp::from_micros(*recorded_at),
            },
            Self::Seal => Record::Seal,
        })
    }

    fn lists(&self) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        match self {
            Self::Purge(_, ids) => (Ids::encode(ids), Vec::new(), Vec::new()),
            Self::Mark(_, _, _, tags, annotations) => {
                (Vec::new(), Tags::encode(tags), Pairs::encode(annotations))
            }
            _ => Default::default(),
        }
    }

    fn read(record: &Record<'_>) -> Self {
        let stream = record.stream().map_or(0, |stream| stream.0);
        match *record {
            Record::Append(append) => panic!("{append:?} is no rare record"),
            Record::Name { name, .. } => Self::Name(stream, name.into()),
            Record::Rename { from, to, .. } => Self::Rename(stream, from.into(), to.into()),
            Record::Removals { first, bytes, .. } => Self::Removals(stream, first, bytes),
            Record::Purge { ids, .. } => {
                Self::Purge(stream, ids.iter().collect::<Result<_, _>>().unwrap())
            }
            Record::Mark(mark) => {
                let (tags, annotations) = (
                    mark.tags.to_set().unwrap(),
                    mark.annotations.to_map().unwrap(),
                );
                Self::Mark(
                    stream,
                    mark.id,
                    mark.updated_at.as_micros(),
                    tags,
                    annotations,
                )
            }
            Record::Checkpoint(found) => {
                let value = found.value.map(<[u8]>::to_vec);
                Self::Checkpoint(stream, found.name.into(), found.revision.as_u64(), value)
            }
            Record::State {
                head,
                bytes,
                recorded_at,
                ..
            } => Self::State(stream, head, bytes, recorded_at.as_micros()),
            Record::Seal => Self::Seal,
        }
    }
}
