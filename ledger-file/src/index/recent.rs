//! Which dedup keys were appended lately. Nearly every key that is looked for is nowhere, and here that is known.
//!
//! Each index would have to say so by itself: one in memory at a place that the processor has to wait for, one in a file at three.
//! So whoever appends keeps the tags of what was appended last, in two sets: what is in neither is in no index behind the place
//! where the older set begins, and what may be in one is looked for in the indexes that it is about (docs/adr/0022). To look for a
//! tag is to add it, too, in one go; a tag that is not appended after all does no harm but to be looked for again.
//!
//! Only who has the turn to write has it. It is in memory alone: what was appended before it began is looked for in each index.

use super::bins::Bins;
use super::hash::KeyHash;
use super::layers::Layers;
use super::seen::Seen;
use super::together::{TOGETHER, ones};
use crate::fault::{Mistake, is_planted};
use crate::format::Position;

/// The tags of the dedup keys of what was appended last, and of some that were not appended after all.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    newest: Option<Since>,
    older: Option<Since>,
}

/// All tags from the beginning of an index on, up to where the next set begins.
#[derive(Debug)]
struct Since {
    start: Position,
    seen: Seen,
}

/// For how many tags there is room in a set at least; tests have small sets, so that they come to their end.
const TAGS_MIN: usize = if cfg!(test) { 32 } else { 4 << 10 };

/// And at most: in two megabytes.
const TAGS_MAX: usize = if cfg!(test) { 256 } else { 2 << 20 };

/// For how many times the tags that it begins with there is room in a set.
const ROOMIER: usize = 4;

// Room.
impl Recent {
    /// Whether so many tags can be [seen](Self::see).
    #[inline]
    pub(crate) fn has_room(&self, tags: usize) -> bool {
        let newest = self.newest.as_ref();
        newest.is_some_and(|newest| newest.seen.has_room(tags))
    }

    /// Makes room for so `many` tags, in a set that begins with the newest of `layers` and its tags; the first set with all that are
    /// in memory: after a crash those can be several. Tags that were seen, and are to be pushed into the newest index, are forgotten: so
    /// there must be room for all of an append before the first of them is seen.
    #[cold]
    pub(crate) fn make_room(&mut self, layers: &Layers, many: usize) {
        let indexes = match self.newest {
            Some(_) => 1,
            None => usize::MAX,
        };
        let indexes: Vec<_> = layers.newest_in_memory().take(indexes).collect();
        let Some(oldest) = indexes.last() else {
            return;
        };
        let keys = || indexes.iter().map(|index| &index.dedup_keys);
        let needed = keys().map(Bins::len).sum::<usize>() + many;
        let newest = self.begin(oldest.start(), needed);
        if !is_planted(Mistake::ActiveKeysForgotten) {
            newest.seen.add(keys().flat_map(Bins::tags));
        }
    }

    /// Begins a set for the tags from `start` on, of which so many are `needed` soon.
    fn begin(&mut self, start: Position, needed: usize) -> &mut Since {
        let before = self.newest.take();
        let room = before.as_ref().map_or(0, |before| before.seen.room());
        let room = room.max(ROOMIER * needed).clamp(TAGS_MIN, TAGS_MAX);
        let start = match &before {
            Some(before) if is_planted(Mistake::OlderKeysForgotten) => before.start,
            _ => start,
        };
        // One that began at the same place has nothing that the new one will not have.
        if let Some(before) = before.filter(|before| before.start < start) {
            self.older = Some(before);
        }
        let seen = Seen::with_room(room.max(2 * needed));
        self.newest.insert(Since { start, seen })
    }
}

// Looking.
impl Recent {
    /// Finds out what is known of `hashes`, one after the other, and adds them. There is [room](Self::has_room) for them.
    #[inline]
    pub(crate) fn see(&mut self, hashes: &[KeyHash], known: &mut Known) {
        known.begin(self);
        let groups = hashes.chunks(TOGETHER).zip((0..).step_by(TOGETHER));
        for (group, first) in groups {
            let older = self.older.as_ref().map(|older| older.seen.maybe(group));
            let newest = self.newest.as_mut().map(|newest| newest.seen.see(group));
            let newest = newest.unwrap_or(0);
            known.newest.take(first, newest);
            // A merged index may reach into what the newest set is about.
            known
                .older
                .take(first, older.map_or(0, |older| older | newest));
        }
    }
}

/// What is known of some hashes.
#[derive(Debug, Default)]
pub(crate) struct Known {
    newest: Maybe,
    older: Maybe,
}

/// Which of them may be in an index that begins at `start` or behind it.
#[derive(Debug, Default)]
struct Maybe {
    /// None: nothing is known.
    start: Option<Position>,
    indices: Vec<usize>,
}

impl Known {
    fn begin(&mut self, recent: &Recent) {
        self.newest.begin(recent.newest.as_ref());
        self.older.begin(recent.older.as_ref());
    }

    /// The indices of those that may be in an index that begins at `start`; none if nothing is known of it.
    #[inline]
    pub(super) fn of(&self, start: Position) -> Option<&[usize]> {
        let mut both = [&self.newest, &self.older].into_iter();
        let maybe = both.find(|maybe| maybe.start.is_some_and(|it| it <= start));
        maybe.map(|maybe| &maybe.indices[..])
    }

    /// The indices of those that may be the same as another one before them, ascending; none if nothing is known.
    pub(crate) fn again(&self) -> Option<&[usize]> {
        self.newest.start.map(|_| &self.newest.indices[..])
    }
}

impl Maybe {
    fn begin(&mut self, set: Option<&Since>) {
        self.start = set.map(|set| set.start);
        self.indices.clear();
    }

    /// Takes a bit for each hash of a group, of which the first has the index `first`.
    #[inline]
    fn take(&mut self, first: usize, bits: u64) {
        self.indices.extend(ones(bits).map(|index| first + index));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::index::hash::mix;
    use crate::index::{ActiveIndex, EntryKeys, Layer, Origin};
    use crate::sync::RwLock;

    const START: u32 = 64;

    fn hash(number: u64) -> KeyHash {
        KeyHash((mix(number) >> 32) as u32)
    }

    /// A log of nothing but dedup keys.
    struct Keys {
        recent: Recent,
        /// Those of the newest segments.
        in_memory: Vec<Arc<RwLock<ActiveIndex>>>,
        /// The hashes in the index of each segment.
        segments: Vec<BTreeSet<u32>>,
    }

    impl Keys {
        fn new() -> Self {
            Self {
                recent: Recent::default(),
                in_memory: vec![index(0)],
                segments: vec![BTreeSet::new()],
            }
        }

        fn roll(&mut self) {
            self.in_memory.push(index(self.segments.len() as u32));
            self.segments.push(BTreeSet::new());
        }

        /// The log is opened again: what is in memory is read from it.
        fn reopen(&mut self, in_memory: usize) {
            let sealed = self.in_memory.len().saturating_sub(in_memory);
            self.in_memory.drain(..sealed);
            self.recent = Recent::default();
        }

        fn see(&mut self, hashes: &[KeyHash]) -> Known {
            let mut known = Known::default();
            if !self.recent.has_room(hashes.len()) {
                let layers = self.in_memory.iter().cloned().map(Layer::Memory);
                let layers = Layers::new(layers.collect());
                self.recent.make_room(&layers, hashes.len());
            }
            self.recent.see(hashes, &mut known);
            known
        }

        fn append(&mut self, hashes: &[KeyHash]) {
            let keys = |hash: &KeyHash| EntryKeys {
                dedup: Some(*hash),
                ..EntryKeys::default()
            };
            let keys: Vec<EntryKeys> = hashes.iter().map(keys).collect();
            let active = self.in_memory.last().expect("there is one");
            let mut active = active.write().expect("nothing panicked");
            active.push_keys(&keys);
            keys.iter().for_each(|_| active.push_offset(START));
            let active = self.segments.last_mut().expect("there is one");
            active.extend(hashes.iter().map(|hash| hash.0));
        }

        /// How many of the segments something is known of. Nothing that is in one of them, or behind it, is known not to be: they may
        /// have been merged.
        fn check(&self, hashes: &[KeyHash], known: &Known) -> usize {
            let mut count = 0;
            for segment in 0..self.segments.len() {
                let Some(some) = known.of(Position::new(segment as u32, START)) else {
                    continue;
                };
                count += 1;
                let merged = &self.segments[segment..];
                let is_in = |tag: &u32| merged.iter().any(|tags| tags.contains(tag));
                let is_there = |index: &usize| is_in(&hashes[*index].0);
                for index in (0..hashes.len()).filter(is_there) {
                    assert!(some.contains(&index));
                }
            }
            count
        }
    }

    fn index(segment: u32) -> Arc<RwLock<ActiveIndex>> {
        Arc::new(RwLock::new(ActiveIndex::new(Origin {
            log_id: [7; 16],
            segment,
            generation: 1,
            from: START,
        })))
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// If it does not fit into the segment any more, it comes into the next.
        Append {
            keys: Vec<u64>,
            fits: bool,
        },
        /// Something else came between.
        Give(Vec<u64>),
        Roll,
        /// So many indexes are in memory then.
        Reopen(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let keys = || proptest::collection::vec(0..2_000_u64, 0..200);
        let step = prop_oneof![
            6 => (keys(), proptest::bool::weighted(0.8)).prop_map(|(keys, fits)| Step::Append { keys, fits }),
            1 => keys().prop_map(Step::Give),
            3 => Just(Step::Roll),
            1 => (1..4_usize).prop_map(Step::Reopen),
        ];
        proptest::collection::vec(step, 0..40)
    }

    proptest! {
        #[test]
        fn no_key_is_said_to_be_nowhere_that_is_in_an_index(steps in steps()) {
            let mut keys = Keys::new();
            for step in steps {
                match step {
                    Step::Append { keys: numbers, fits } => {
                        let hashes: Vec<_> = numbers.into_iter().map(hash).collect();
                        let known = keys.see(&hashes);
                        keys.check(&hashes, &known);
                        let is_again = |index: &usize| hashes[..*index].contains(&hashes[*index]);
                        let mut again = (0..hashes.len()).filter(is_again);
                        prop_assert!(again.all(|index| known.again().unwrap().contains(&index)));
                        if !fits {
                            keys.roll();
                        }
                        keys.append(&hashes);
                    }
                    Step::Give(numbers) => {
                        let hashes: Vec<_> = numbers.into_iter().map(hash).collect();
                        keys.see(&hashes);
                    }
                    Step::Roll => keys.roll(),
                    Step::Reopen(in_memory) => keys.reopen(in_memory),
                }
            }
        }
    }

    /// Appends so many keys that were never seen, and tells how many "maybes" there were.
    fn append_new(keys: &mut Keys, numbers: std::ops::Range<u64>) -> usize {
        let hashes: Vec<_> = numbers.map(hash).collect();
        let mut maybes = 0;
        for hashes in hashes.chunks(8) {
            let known = keys.see(hashes);
            assert!(keys.check(hashes, &known) > 0);
            maybes += known.newest.indices.len() + known.older.indices.len();
            keys.append(hashes);
        }
        maybes
    }

    #[test]
    fn most_new_keys_are_known_to_be_nowhere() {
        let mut keys = Keys::new();
        let maybes = append_new(&mut keys, 0..240);
        assert!(maybes < 20, "{maybes} of 240");
    }

    /// Fills so many segments with 64 keys each, and begins another.
    fn fill(keys: &mut Keys, segments: u64) {
        for segment in 0..segments {
            append_new(keys, segment * 64..(segment + 1) * 64);
            keys.roll();
        }
    }

    /// How many segments something is known of.
    fn known_segments(keys: &mut Keys) -> usize {
        let hashes = [hash(1 << 40)];
        let known = keys.see(&hashes);
        keys.check(&hashes, &known)
    }

    #[test]
    fn something_is_known_of_the_newest_segments_and_nothing_of_the_oldest() {
        let mut keys = Keys::new();
        fill(&mut keys, 20);
        let count = known_segments(&mut keys);
        assert!((4..=9).contains(&count), "{count} segments");
    }

    /// It begins in what the older set is about, and ends in what the newest is.
    #[test]
    fn a_key_of_the_newest_set_may_be_in_an_index_that_was_merged_of_both() {
        let mut keys = Keys::new();
        while keys.recent.older.is_none() {
            fill(&mut keys, 1);
        }
        let start = keys.recent.older.as_ref().unwrap().start;
        let newest = [hash(1 << 41)];
        keys.see(&newest);
        keys.append(&newest);
        let known = keys.see(&newest);
        assert_eq!(known.of(start), Some(&[0][..]));
    }

    #[test]
    fn nothing_is_known_without_a_set() {
        let (mut recent, mut known) = (Recent::default(), Known::default());
        recent.make_room(&Layers::default(), 2);
        recent.see(&[hash(1), hash(1)], &mut known);
        assert!(known.of(Position::new(7, START)).is_none() && known.again().is_none());
    }

    #[test]
    fn something_is_known_at_once_of_all_segments_that_are_in_memory_after_an_opening() {
        let mut keys = Keys::new();
        fill(&mut keys, 5);
        keys.reopen(4);
        assert_eq!(known_segments(&mut keys), 4);
    }

    #[test]
    fn a_set_takes_more_than_there_is_room_for_at_most_if_the_active_index_has_more() {
        let mut keys = Keys::new();
        append_new(&mut keys, 0..2_000);
        let newest = keys.recent.newest.as_ref().unwrap();
        assert!(newest.seen.room() > 2_000 && keys.recent.older.is_none());
    }
}
