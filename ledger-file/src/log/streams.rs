//! What is remembered of streams: their numbers and states, as far as memory allows.
//!
//! A cache, and no more: what is not here is found in the indexes. A stream's latest state may be ahead of the one that
//! readers see, while its last commits are under way; such a stream is never forgotten. Streams that were not used lately
//! are put to rest, where they take less memory.

use std::collections::VecDeque;

use hashbrown::HashTable;
use ledger_core::{StreamName, Timestamp};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::resting::Resting;
use crate::fault::{Mistake, is_planted};
use crate::format::{Position, StreamNumber};

/// What a stream is at a moment, apart from its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StreamState {
    pub(super) number: StreamNumber,
    /// The last id given out; 0: none was.
    pub(super) head: u64,
    /// The oldest id that was not trimmed; one more than the head if all were.
    pub(super) first: u64,
    /// Payload bytes of all entries ever.
    pub(super) bytes_appended: u64,
    /// Payload bytes of all that were trimmed or purged.
    pub(super) bytes_removed: u64,
    /// When the last entry was recorded: no later one may be earlier.
    pub(super) recorded_at: Timestamp,
    /// Whether anything was ever trimmed or purged.
    pub(super) has_removals: bool,
}

impl StreamState {
    /// The state of a stream that has a number and nothing else.
    pub(super) fn new(number: StreamNumber) -> Self {
        Self {
            number,
            head: 0,
            first: 1,
            bytes_appended: 0,
            bytes_removed: 0,
            recorded_at: Timestamp::from_micros(i64::MIN),
            has_removals: false,
        }
    }

    pub(super) fn head(&self) -> Option<u64> {
        (self.head > 0).then_some(self.head)
    }

    pub(super) fn first(&self) -> Option<u64> {
        (self.first <= self.head).then_some(self.first)
    }

    pub(super) fn count(&self) -> u64 {
        self.head + 1 - self.first
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes_appended.saturating_sub(self.bytes_removed)
    }
}

/// Where a stream is in the table. Means something until the table's [`epoch`](Streams::epoch) changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlotIndex(u32);

/// What a slot costs in memory, beside the name's bytes: itself, its place in the table, the name's allocation.
const SLOT_BYTES: usize = size_of::<Slot>() + 3 * size_of::<u64>();

/// The part of the memory that is for streams that are used.
const AWAKE_PART: usize = 8;

/// The streams that are remembered.
#[derive(Debug)]
pub(super) struct Streams {
    slots: Vec<Slot>,
    by_name: HashTable<u32>,
    /// Streams that have no slot.
    resting: Resting,
    /// Commits that are not seen yet, in their order: what the stream is once they are.
    under_way: VecDeque<(Position, u32, StreamState)>,
    /// What the slots take, and may take.
    bytes: usize,
    bytes_max: usize,
    hand: usize,
    epoch: u64,
    seed: u64,
}

#[derive(Debug)]
struct Slot {
    hash: u64,
    /// None: the slot is free.
    name: Option<StreamName>,
    latest: StreamState,
    seen: StreamState,
    under_way: u32,
    was_used: bool,
}

impl Streams {
    /// Remembers streams in up to `bytes_max` of memory. Nobody who does not know `seed` can choose names that collide.
    pub(super) fn new(bytes_max: usize, seed: u64) -> Self {
        let awake_bytes_max = bytes_max / AWAKE_PART;
        Self {
            slots: Vec::new(),
            by_name: HashTable::new(),
            resting: Resting::new(bytes_max - awake_bytes_max, seed),
            under_way: VecDeque::new(),
            bytes: 0,
            bytes_max: awake_bytes_max,
            hand: 0,
            epoch: 0,
            seed,
        }
    }

    /// Changes whenever a [`SlotIndex`] loses its meaning.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// What readers see of the stream of that name, if it is remembered.
    pub(super) fn state(&self, name: &StreamName) -> Option<StreamState> {
        match self.find(name) {
            Some(slot) => Some(*self.seen(slot)),
            None => self.resting.get(name.as_str()),
        }
    }

    /// Finds a stream that is remembered, and gives it a slot if it had none.
    pub(super) fn wake(&mut self, name: &StreamName) -> Option<SlotIndex> {
        if let Some(slot) = self.find(name) {
            return Some(slot);
        }
        let state = self.resting.take(name.as_str())?;
        Some(self.give_slot(name.clone(), state))
    }

    /// Finds a stream that has a slot.
    pub(super) fn find(&self, name: &StreamName) -> Option<SlotIndex> {
        let index = self.by_name.find(self.hash(name), |index| {
            self.slots[*index as usize].name.as_ref() == Some(name)
        })?;
        Some(SlotIndex(*index))
    }

    /// What readers see of the stream.
    pub(super) fn seen(&self, slot: SlotIndex) -> &StreamState {
        &self.slots[slot.0 as usize].seen
    }

    /// What the next commit to the stream starts from.
    pub(super) fn latest(&self, slot: SlotIndex) -> &StreamState {
        &self.slots[slot.0 as usize].latest
    }

    /// Notes what the stream is from now on, for everybody.
    pub(super) fn set(&mut self, slot: SlotIndex, state: StreamState) {
        let slot = &mut self.slots[slot.0 as usize];
        slot.latest = state;
        slot.seen = state;
        slot.was_used = true;
    }

    /// Notes what the stream is once everything before `end` is seen.
    pub(super) fn set_under_way(&mut self, index: SlotIndex, state: StreamState, end: Position) {
        let slot = &mut self.slots[index.0 as usize];
        slot.latest = state;
        slot.under_way += 1;
        slot.was_used = true;
        self.under_way.push_back((end, index.0, state));
    }

    /// Lets readers see what was committed before `end`, and names the streams that this concerns.
    pub(super) fn publish(&mut self, end: Position, mut seen: impl FnMut(&StreamName)) {
        while let Some((_, index, state)) = self.under_way.pop_front_if(|(at, ..)| *at <= end) {
            let slot = &mut self.slots[index as usize];
            slot.seen = state;
            slot.under_way -= 1;
            slot.name.iter().for_each(&mut seen);
        }
    }

    /// Remembers a stream that was looked up in the indexes, or was just made, at the price of another if need be. It has
    /// one slot, also if somebody else has looked it up meanwhile.
    pub(super) fn insert(&mut self, name: StreamName, state: StreamState) -> SlotIndex {
        if let Some(slot) = self.find(&name)
            && !is_planted(Mistake::TwoSlots)
        {
            return slot;
        }
        let _stale = self.resting.take(name.as_str());
        self.give_slot(name, state)
    }

    fn give_slot(&mut self, name: StreamName, state: StreamState) -> SlotIndex {
        let hash = self.hash(&name);
        let bytes = SLOT_BYTES + name.as_str().len();
        while self.bytes + bytes > self.bytes_max && self.put_one_to_rest() {}
        self.bytes += bytes;
        let slot = Slot {
            hash,
            name: Some(name),
            latest: state,
            seen: state,
            under_way: 0,
            // Those that are used only once go first.
            was_used: false,
        };
        let index = self.place(slot);
        let slots = &self.slots;
        self.by_name
            .insert_unique(hash, index, |index| slots[*index as usize].hash);
        SlotIndex(index)
    }

    fn hash(&self, name: &StreamName) -> u64 {
        xxh3_64_with_seed(name.as_str().as_bytes(), self.seed)
    }

    fn place(&mut self, slot: Slot) -> u32 {
        // A free slot is where the hand has just been, if there is one at all.
        let behind = self.hand.checked_sub(1);
        if let Some(index) = behind.filter(|index| self.slots[*index].name.is_none()) {
            self.slots[index] = slot;
            return index as u32;
        }
        self.slots.push(slot);
        (self.slots.len() - 1) as u32
    }

    /// Forgets the stream of this name.
    pub(super) fn remove(&mut self, name: &StreamName) {
        match self.find(name) {
            Some(SlotIndex(index)) => drop(self.free(index as usize)),
            None => drop(self.resting.take(name.as_str())),
        }
    }

    /// Forgets everything, also what is under way.
    pub(super) fn clear(&mut self) {
        let epoch = self.epoch + 1;
        let resting = Resting::new(self.resting.bytes_max(), self.seed);
        *self = Self {
            resting,
            epoch,
            ..Self::new(self.bytes_max * AWAKE_PART, self.seed)
        };
    }

    /// Puts all streams to rest whose last commits are seen, and forgets them.
    pub(super) fn end(&mut self) -> Resting {
        let resting = Resting::new(self.resting.bytes_max(), self.seed);
        let mut ended = std::mem::replace(&mut self.resting, resting);
        for slot in self.slots.iter().filter(|slot| slot.under_way == 0) {
            if let Some(name) = &slot.name {
                ended.put(name.as_str(), &slot.latest);
            }
        }
        self.clear();
        ended
    }

    /// Remembers what was known when the log was closed, too, unless something was forgotten that may be newer.
    pub(super) fn recall(&mut self, mut kept: Resting) {
        if !self.resting.remembers_all() {
            return;
        }
        for name in self.slots.iter().filter_map(|slot| slot.name.as_ref()) {
            let _outdated = kept.take(name.as_str());
        }
        kept.take_over(&self.resting);
        self.resting = kept;
    }

    /// The memory that streams at rest may take, in bytes.
    pub(super) fn resting_bytes_max(&self) -> usize {
        self.resting.bytes_max()
    }

    /// Goes around until it finds a stream that was not used since the last round. Tells whether there was one.
    fn put_one_to_rest(&mut self) -> bool {
        for _ in 0..2 * self.slots.len() {
            if self.hand >= self.slots.len() {
                self.hand = 0;
            }
            let index = self.hand;
            self.hand += 1;
            let slot = &mut self.slots[index];
            let was_used = std::mem::take(&mut slot.was_used);
            let is_under_way = slot.under_way > 0 && !is_planted(Mistake::UnderWayForgotten);
            if slot.name.is_some() && !was_used && !is_under_way {
                let state = slot.latest;
                if let Some(name) = self.free(index) {
                    self.resting.put(name.as_str(), &state);
                }
                return true;
            }
        }
        false
    }

    /// Frees a slot, and tells whose it was.
    fn free(&mut self, index: usize) -> Option<StreamName> {
        let slot = &mut self.slots[index];
        let name = slot.name.take()?;
        self.bytes -= SLOT_BYTES + name.as_str().len();
        self.epoch += 1;
        let place = self
            .by_name
            .find_entry(slot.hash, |known| *known as usize == index);
        place.expect("a slot with a name is in the table").remove();
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(number: u64, head: u64) -> StreamState {
        StreamState {
            head,
            ..StreamState::new(StreamNumber(number))
        }
    }

    fn insert(streams: &mut Streams, number: u64) -> StreamName {
        let name = StreamName::from(format!("s-{number}"));
        streams.insert(name.clone(), state(number, 0));
        name
    }

    fn number(streams: &Streams, name: &StreamName) -> Option<u64> {
        Some(streams.state(name)?.number.0)
    }

    #[test]
    fn readers_see_a_state_when_its_commit_is_published() {
        let mut streams = Streams::new(1 << 20, 1);
        let name = insert(&mut streams, 1);
        let slot = streams.find(&name).unwrap();
        streams.set_under_way(slot, state(1, 1), Position::new(1, 100));
        streams.set_under_way(slot, state(1, 2), Position::new(1, 200));
        assert_eq!((streams.latest(slot).head, streams.seen(slot).head), (2, 0));
        streams.publish(Position::new(1, 199), |_| {});
        assert_eq!(streams.seen(slot).head, 1);
        streams.publish(Position::new(1, 200), |_| {});
        assert_eq!(streams.seen(slot).head, 2);
    }

    #[test]
    fn memory_is_bounded_and_what_was_used_lately_keeps_its_slot() {
        let mut streams = Streams::new(AWAKE_PART * 100 * SLOT_BYTES, 1);
        let hot = insert(&mut streams, 0);
        for cold in 1..10_000 {
            insert(&mut streams, cold);
            let slot = streams.find(&hot).unwrap();
            streams.set(slot, state(0, cold));
            assert!(streams.bytes <= streams.bytes_max);
        }
        assert_eq!(number(&streams, &hot), Some(0));
        assert!(streams.slots.len() <= 100);
        assert_eq!(streams.find(&"s-9800".into()), None);
        let known = |cold: &u64| number(&streams, &format!("s-{cold}").into()) == Some(*cold);
        let known = (1..10_000).filter(known).count();
        assert!((1_000..9_000).contains(&known), "{known} streams are known");
    }

    #[test]
    fn a_stream_that_rested_is_what_it_was_and_has_one_state() {
        let mut streams = Streams::new(AWAKE_PART * 10 * SLOT_BYTES, 1);
        let name = insert(&mut streams, 0);
        let slot = streams.find(&name).unwrap();
        streams.set(slot, state(0, 5));
        (1..50).for_each(|other| drop(insert(&mut streams, other)));
        assert_eq!(streams.find(&name), None);
        let slot = streams.wake(&name).unwrap();
        assert_eq!(streams.latest(slot).head, 5);
        streams.set(slot, state(0, 6));
        assert_eq!(streams.state(&name), Some(state(0, 6)));
        (50..100).for_each(|other| drop(insert(&mut streams, other)));
        streams.insert(name.clone(), state(0, 7));
        (100..150).for_each(|other| drop(insert(&mut streams, other)));
        assert_eq!(streams.state(&name), Some(state(0, 7)));
        streams.remove(&name);
        assert_eq!(streams.state(&name), None);
        assert_eq!(streams.wake(&name), None);
    }

    #[test]
    fn a_stream_that_two_have_looked_up_has_one_slot() {
        let mut streams = Streams::new(AWAKE_PART * 10 * SLOT_BYTES, 1);
        let name = insert(&mut streams, 0);
        let slot = streams.insert(name.clone(), state(0, 0));
        streams.set(slot, state(0, 5));
        (1..50).for_each(|other| drop(insert(&mut streams, other)));
        assert_eq!(streams.state(&name), Some(state(0, 5)));
        streams.remove(&name);
        assert_eq!(streams.state(&name), None);
    }

    #[test]
    fn a_stream_with_commits_under_way_is_never_forgotten() {
        let mut streams = Streams::new(AWAKE_PART * 10 * SLOT_BYTES, 1);
        let name = insert(&mut streams, 0);
        let slot = streams.find(&name).unwrap();
        streams.set_under_way(slot, state(0, 1), Position::new(1, 100));
        for other in 1..100 {
            insert(&mut streams, other);
        }
        assert_eq!(streams.latest(slot).head, 1);
        assert_eq!(number(&streams, &name), Some(0));
    }

    #[test]
    fn a_removed_stream_is_not_found_and_its_place_means_nothing() {
        let mut streams = Streams::new(1 << 20, 1);
        let name = insert(&mut streams, 1);
        let epoch = streams.epoch();
        streams.remove(&name);
        assert_eq!(number(&streams, &name), None);
        assert_ne!(streams.epoch(), epoch);
    }
}
