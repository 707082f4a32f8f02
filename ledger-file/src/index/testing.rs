//! A model of an index that is obviously right: all facts in a list, and every question a walk along it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use ledger_core::Direction;
use proptest::prelude::*;

use super::hash::mix;
use super::{
    ActiveIndex, Change, ChangeKind, EntryKeys, IndexError, KeyHash, Known, Layer, Layers, Origin,
    Recent, Spot, Stretch,
};
use crate::disk::Patience;
use crate::format::{Position, StreamNumber};
use crate::sync::RwLock;

/// What is pushed as one frame.
#[derive(Clone, Debug)]
pub(super) enum Fact {
    Entries {
        stream: u64,
        /// The dedup keys of the entries.
        dedup: Vec<Option<u16>>,
        /// The order key of all of them.
        order: Option<u16>,
        expires: bool,
    },
    Name {
        name: String,
        stream: u64,
    },
    Freed {
        name: String,
    },
    Checkpoint {
        name: String,
        stream: u64,
    },
    State {
        stream: u64,
    },
    Removals {
        stream: u64,
    },
    Mark {
        stream: u64,
        id: u64,
    },
    Purge {
        stream: u64,
        id: u64,
    },
    /// The next segment begins.
    Roll,
}

const STREAMS: u64 = 5;
const KEYS: u16 = 9;

/// Facts without a roll.
pub(super) fn facts(count: usize) -> impl Strategy<Value = Vec<Fact>> {
    proptest::collection::vec(fact(), 0..count)
}

/// Facts in several segments.
pub(super) fn facts_and_rolls(count: usize) -> impl Strategy<Value = Vec<Fact>> {
    proptest::collection::vec(prop_oneof![20 => fact(), 1 => Just(Fact::Roll)], 0..count)
}

fn fact() -> impl Strategy<Value = Fact> {
    let stream = 1..STREAMS;
    let key = || proptest::option::of(0..KEYS);
    let entries = (
        stream.clone(),
        proptest::collection::vec(key(), 1..5),
        key(),
        any::<bool>(),
    );
    prop_oneof![
        12 => entries.prop_map(|(stream, dedup, order, expires)| Fact::Entries { stream, dedup, order, expires }),
        2 => ("[ab]{0,3}", stream.clone()).prop_map(|(name, stream)| Fact::Name { name, stream }),
        1 => "[ab]{0,3}".prop_map(|name| Fact::Freed { name }),
        2 => ("[ab]{0,3}", stream.clone()).prop_map(|(name, stream)| Fact::Checkpoint { name, stream }),
        1 => stream.clone().prop_map(|stream| Fact::State { stream }),
        1 => stream.clone().prop_map(|stream| Fact::Removals { stream }),
        1 => (stream.clone(), 1..20u64).prop_map(|(stream, id)| Fact::Mark { stream, id }),
        1 => (stream, 1..20u64).prop_map(|(stream, id)| Fact::Purge { stream, id }),
    ]
}

#[derive(Debug)]
pub(super) struct Model {
    facts: Vec<(Position, Fact)>,
    entries: Vec<Entry>,
    heads: BTreeMap<u64, u64>,
    end: Position,
}

#[derive(Clone, Debug)]
struct Entry {
    stream: u64,
    spot: Spot,
    frame: Position,
    dedup: Option<u16>,
    order: Option<u16>,
    expires: bool,
}

const START: u32 = 64;
const FRAME_HEAD: u32 = 8;
const RECORD_HEAD: u32 = 4;

impl Default for Model {
    fn default() -> Self {
        Self {
            facts: Vec::new(),
            entries: Vec::new(),
            heads: BTreeMap::new(),
            end: Position::new(1, START),
        }
    }
}

/// The hash of a key: the same in all streams, so that every answer has to be kept apart by its stream.
fn hash(kind: u64, key: u16) -> KeyHash {
    KeyHash(mix(kind << 32 | u64::from(key)) as u32)
}

pub(super) fn text_hash(kind: u64, text: &str) -> KeyHash {
    let packed = text
        .bytes()
        .fold(1, |packed, byte| packed << 8 | u64::from(byte));
    KeyHash(mix(kind << 32 | packed) as u32)
}

impl Model {
    pub(super) fn push(&mut self, fact: &Fact) {
        if let Fact::Roll = fact {
            self.end = Position::new(self.end.segment() + 1, START);
            return;
        }
        let frame = self.end;
        let (segment, mut offset) = (frame.segment(), frame.offset() + FRAME_HEAD);
        self.facts.push((frame, fact.clone()));
        if let Fact::Entries {
            stream,
            dedup,
            order,
            expires,
        } = fact
        {
            let mut record = self.run_record(*stream, frame);
            offset += RECORD_HEAD;
            for dedup in dedup {
                let head = self.heads.entry(*stream).or_default();
                *head += 1;
                let spot = Spot {
                    id: *head,
                    position: Position::new(segment, offset),
                    record: record.take(),
                };
                let (stream, dedup, order, expires) = (*stream, *dedup, *order, *expires);
                self.entries.push(Entry {
                    stream,
                    spot,
                    frame,
                    dedup,
                    order,
                    expires,
                });
                offset += 10 + u32::from(dedup.unwrap_or_default());
            }
        }
        self.end = Position::new(segment, offset + 1);
    }

    /// Where the record of a frame begins, if it is the first of a run: of a stream that the entry before is not of.
    fn run_record(&self, stream: u64, frame: Position) -> Option<Position> {
        let goes_on = self
            .entries
            .last()
            .is_some_and(|last| last.stream == stream && last.frame.segment() == frame.segment());
        (!goes_on).then(|| Position::new(frame.segment(), frame.offset() + FRAME_HEAD))
    }

    /// The index of the segment with that number, counted from 0.
    pub(super) fn index(&self, segment: u32) -> ActiveIndex {
        let segment = segment + 1;
        let origin = Origin {
            log_id: [7; 16],
            segment,
            generation: 77,
            from: START,
        };
        let mut index = ActiveIndex::new(origin);
        for (frame, fact) in &self.facts {
            if frame.segment() == segment {
                index.push_frame(frame.offset());
                self.push_into(&mut index, *frame, fact);
            }
        }
        index
    }

    /// The indexes of all segments.
    pub(super) fn indexes(&self) -> Vec<ActiveIndex> {
        (0..self.end.segment())
            .map(|segment| self.index(segment))
            .collect()
    }

    fn push_into(&self, index: &mut ActiveIndex, frame: Position, fact: &Fact) {
        let offset = frame.offset() + FRAME_HEAD;
        let number = |stream: &u64| StreamNumber(*stream);
        match fact {
            Fact::Entries { stream, .. } => {
                let entries = self.entries.iter().filter(|entry| entry.frame == frame);
                let mut entries = entries.peekable();
                let first = entries.peek().map_or(1, |entry| entry.spot.id);
                index.push_run(number(stream), first, offset);
                let keys_of = |entry: &Entry| EntryKeys {
                    dedup: entry.dedup.map(|key| hash(1, key)),
                    order: entry.order.map(|key| hash(2, key)),
                    expires: entry.expires,
                };
                if first % 2 == 0 {
                    index.push_keys(&entries.clone().map(keys_of).collect::<Vec<_>>());
                    entries.for_each(|it| index.push_offset(it.spot.position.offset()));
                } else {
                    entries.for_each(|it| index.push_entry(it.spot.position.offset(), keys_of(it)));
                }
            }
            Fact::Name { name, stream } => {
                index.push_name(text_hash(3, name), name, number(stream), offset);
            }
            Fact::Freed { name } => index.push_freed_name(text_hash(3, name), offset),
            Fact::Checkpoint { name, stream } => {
                index.push_checkpoint(text_hash(4, name), number(stream), name, offset);
            }
            Fact::State { stream } => index.push_change(number(stream), Change::State, offset),
            Fact::Removals { stream } => {
                index.push_change(number(stream), Change::Removals, offset)
            }
            Fact::Mark { stream, id } => {
                index.push_change(number(stream), Change::Mark(*id), offset)
            }
            Fact::Purge { stream, id } => {
                index.push_change(number(stream), Change::Purge(*id), offset)
            }
            Fact::Roll => unreachable!("a roll is no frame"),
        }
    }

    /// Some positions in the log, and its end.
    pub(super) fn position(&self, at: &prop::sample::Index) -> Position {
        match self.facts.is_empty() {
            true => self.end,
            false => at.get(&self.facts).0,
        }
    }
}

// What the answers must be.
impl Model {
    /// Holds `layers`, asked as of `below`, to what the list says.
    pub(super) fn check(&self, layers: &Layers, below: Position) {
        for stream in 0..STREAMS + 1 {
            for ids in [0..u64::MAX, 3..9, 5..6, 0..0] {
                for direction in [Direction::Ascending, Direction::Descending] {
                    for limit in [1, 4, 1000] {
                        self.check_range(layers, below, stream, &ids, direction, limit);
                    }
                }
                self.check_changes(layers, below, stream, &ids);
            }
            self.check_stream(layers, below, stream);
        }
        self.check_names(layers, below);
        self.check_frames(layers, below);
    }

    fn check_range(
        &self,
        layers: &Layers,
        below: Position,
        stream: u64,
        ids: &Range<u64>,
        direction: Direction,
        limit: usize,
    ) {
        let look = layers.at(below, Patience::Wait);
        let number = StreamNumber(stream);
        let visible = self.visible(below).filter(|entry| entry.stream == stream);
        let mut within: Vec<Entry> = visible
            .filter(|it| ids.contains(&it.spot.id))
            .cloned()
            .collect();
        if direction == Direction::Descending {
            within.reverse();
        }
        let spots = |wanted: &dyn Fn(&Entry) -> bool| -> Vec<Spot> {
            let wanted = within.iter().filter(|entry| wanted(entry));
            wanted.map(|entry| entry.spot).take(limit).collect()
        };

        let mut stretches = Vec::new();
        look.entries(number, ids.clone(), direction, limit, &mut stretches)
            .unwrap();
        assert_eq!(
            self.spread(&stretches, direction),
            spots(&|_| true),
            "entries of {stream}"
        );
        for key in 0..KEYS {
            let mut found = Vec::new();
            look.order_key(
                number,
                hash(2, key),
                ids.clone(),
                direction,
                limit,
                &mut found,
            )
            .unwrap();
            assert_eq!(
                found,
                spots(&|entry| entry.order == Some(key)),
                "order key {key} of {stream}"
            );
        }
        if direction == Direction::Ascending {
            let mut found = Vec::new();
            look.expiring(number, ids.clone(), limit, &mut found)
                .unwrap();
            assert_eq!(found, spots(&|entry| entry.expires));
        }
    }

    /// The entries of stretches, each found in the list by where its stretch begins.
    fn spread(&self, stretches: &[Stretch], direction: Direction) -> Vec<Spot> {
        let mut all = Vec::new();
        for stretch in stretches {
            let is_first = |entry: &Entry| Stretch::from(entry.spot).start == stretch.start;
            let first = self.entries.iter().position(is_first).unwrap();
            let entries = &self.entries[first..first + stretch.count as usize];
            let mut spots: Vec<Spot> = entries.iter().map(|entry| entry.spot).collect();
            assert_eq!(spots[0].id, stretch.id);
            if direction == Direction::Descending {
                spots.reverse();
            }
            all.append(&mut spots);
        }
        all
    }

    fn check_stream(&self, layers: &Layers, below: Position, stream: u64) {
        let (look, number) = (layers.at(below, Patience::Wait), StreamNumber(stream));
        let entries: Vec<&Entry> = self
            .visible(below)
            .filter(|it| it.stream == stream)
            .collect();
        assert_eq!(
            look.newest_entry(number).unwrap(),
            entries.last().map(|entry| entry.spot)
        );

        let hashes: Vec<KeyHash> = (0..KEYS).map(|key| hash(1, key)).collect();
        let mut expected = Vec::new();
        for key in 0..KEYS {
            let holders = entries.iter().rev().filter(|it| it.dedup == Some(key));
            expected.extend(holders.map(|entry| (usize::from(key), entry.spot)));
        }
        for known in [Known::default(), self.known(&hashes)] {
            let mut found = Vec::new();
            look.dedup_keys(number, &hashes, &known, &mut found)
                .unwrap();
            found.sort_by_key(|(index, _)| *index);
            assert_eq!(found, expected, "dedup keys of {stream}, the newest first");
        }
    }

    /// What whoever has written everything but the first segment knows of some hashes.
    fn known(&self, hashes: &[KeyHash]) -> Known {
        let (mut recent, mut known) = (Recent::default(), Known::default());
        let mut see = |hashes: &[KeyHash], newest: ActiveIndex| {
            if !recent.has_room(hashes.len()) {
                let newest = Layer::Memory(Arc::new(RwLock::new(newest)));
                recent.make_room(&Layers::new(vec![newest]), hashes.len());
            }
            recent.see(hashes, &mut known);
        };
        let mut indexes = self.indexes();
        let last = indexes.pop().expect("there is a segment");
        for index in indexes.iter().skip(1).chain([&last]) {
            let tags: Vec<_> = index.dedup_keys.tags().map(KeyHash).collect();
            see(&tags, ActiveIndex::new(index.origin()));
        }
        see(hashes, last);
        known
    }

    fn check_changes(&self, layers: &Layers, below: Position, stream: u64, ids: &Range<u64>) {
        let (look, number) = (layers.at(below, Patience::Wait), StreamNumber(stream));
        let (mut newest, mut state, mut removals) = (BTreeMap::new(), None, None);
        for (position, fact) in self.visible_facts(below) {
            match fact {
                Fact::State { stream: other } if *other == stream => state = Some(position),
                Fact::Removals { stream: other } if *other == stream => removals = Some(position),
                Fact::Mark { stream: other, id } if *other == stream && ids.contains(id) => {
                    newest.insert((*id, ChangeKind::Mark), position);
                }
                Fact::Purge { stream: other, id } if *other == stream && ids.contains(id) => {
                    newest.insert((*id, ChangeKind::Purge), position);
                }
                _ => {}
            }
        }
        assert_eq!(look.newest_change(number, Change::State).unwrap(), state);
        assert_eq!(
            look.newest_change(number, Change::Removals).unwrap(),
            removals
        );
        for since in self.visible(below).map(|entry| entry.spot.position) {
            let told = look.newest_change_since(number, Change::State, since);
            let is_due = |position: &Position| *position >= since;
            assert_eq!(told.unwrap().filter(is_due), state.filter(is_due));
        }
        let mut found = Vec::new();
        look.changes(number, ids.clone(), &mut found).unwrap();
        assert!(found.is_sorted_by_key(|(id, _, position)| (*id, *position)));
        let found = found
            .into_iter()
            .map(|(id, kind, position)| ((id, kind), position));
        assert_eq!(found.collect::<BTreeMap<_, _>>(), newest);
    }

    fn check_names(&self, layers: &Layers, below: Position) {
        let look = layers.at(below, Patience::Wait);
        let mut names = BTreeSet::new();
        let mut records: BTreeMap<&str, Vec<Position>> = BTreeMap::new();
        let mut checkpoints: BTreeSet<(u64, &str)> = BTreeSet::new();
        for (position, fact) in self.visible_facts(below) {
            if let Fact::Name { name, .. } | Fact::Freed { name } = fact {
                records.entry(name).or_default().insert(0, position);
            }
            match fact {
                Fact::Name { name, .. } => _ = names.insert(name.as_str()),
                Fact::Checkpoint { name, stream } => _ = checkpoints.insert((*stream, name)),
                _ => {}
            }
        }
        for (name, positions) in records {
            let mut seen = Vec::new();
            let found: Option<()> = look
                .name(text_hash(3, name), |position| {
                    seen.push(position);
                    Ok::<_, IndexError>(None)
                })
                .unwrap();
            assert_eq!((found, seen), (None, positions));
        }
        // A name may be listed that is not visible yet; that is for the asker to find out.
        if below.segment() == u32::MAX {
            for (after, limit) in [(None, 100), (None, 2), (Some("a"), 3), (Some("bbb"), 3)] {
                let behind = |name: &&&str| after.is_none_or(|after| **name > after);
                let expected: Vec<&str> =
                    names.iter().filter(behind).copied().take(limit).collect();
                assert_eq!(look.names(after, limit).unwrap(), expected);
                let of_one = checkpoints
                    .iter()
                    .filter(|(stream, _)| *stream == 1)
                    .map(|(_, name)| name);
                let expected: Vec<&str> = of_one.filter(behind).copied().take(limit).collect();
                assert_eq!(
                    look.checkpoint_names(StreamNumber(1), after, limit)
                        .unwrap(),
                    expected
                );
            }
        }
    }

    fn check_frames(&self, layers: &Layers, below: Position) {
        let look = layers.at(below, Patience::Wait);
        for entry in self.visible(below) {
            let position = entry.spot.position;
            assert_eq!(look.frame(position).unwrap(), Some(entry.frame));
            let (frame, end) = look.frame_and_end(position).unwrap().unwrap();
            assert_eq!(frame, entry.frame);
            if let Some(end) = end {
                let end = Position::new(position.segment(), end);
                assert!(position < end);
                let of_next = self.visible(LAST).map(|entry| entry.frame);
                assert!(of_next.filter(|next| *next > frame).all(|next| next >= end));
            }
        }
        let before = Position::new(1, START - 1);
        assert_eq!(look.frame(before).unwrap(), None);
        assert_eq!(look.frame_and_end(before).unwrap(), None);
    }

    /// Asks every kind of question once; the answers are of no matter.
    pub(super) fn ask(&self, layers: &Layers) -> Result<(), IndexError> {
        let look = layers.at(LAST, Patience::Wait);
        for stream in (1..STREAMS).map(StreamNumber) {
            let (mut stretches, mut spots, mut changes) = (Vec::new(), Vec::new(), Vec::new());
            for direction in [Direction::Ascending, Direction::Descending] {
                look.entries(stream, 0..100, direction, 50, &mut stretches)?;
                look.order_key(stream, hash(2, 1), 0..100, direction, 50, &mut spots)?;
            }
            look.expiring(stream, 0..100, 50, &mut spots)?;
            look.changes(stream, 0..100, &mut changes)?;
            look.newest_entry(stream)?;
            look.newest_change(stream, Change::State)?;
            look.dedup_keys(stream, &[hash(1, 1)], &Known::default(), &mut Vec::new())?;
            look.checkpoint_names(stream, Some("a"), 10)?;
        }
        look.name::<(), IndexError>(text_hash(3, "a"), |_| Ok(None))?;
        look.names(None, 10)?;
        look.frame_and_end(Position::new(1, 5000))?;
        look.frame(Position::new(1, 5000)).map(drop)
    }

    fn visible(&self, below: Position) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.frame < below)
    }

    /// Where the record of each fact is.
    fn visible_facts(&self, below: Position) -> impl Iterator<Item = (Position, &Fact)> {
        let facts = self.facts.iter().filter(move |(frame, _)| *frame < below);
        facts.map(|(frame, fact)| {
            let record = Position::new(frame.segment(), frame.offset() + FRAME_HEAD);
            (record, fact)
        })
    }
}

/// Behind everything.
pub(super) const LAST: Position = Position::new(u32::MAX, u32::MAX);
