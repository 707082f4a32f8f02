//! One stream of a memory store.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;

use crate::batch::{Batch, Outcome};
use crate::capabilities::Durability;
use crate::checkpoint::Checkpoint;
use crate::condition::Evidence;
use crate::entry::{Entry, NewEntry};
use crate::error::Result;
use crate::filter::Filter;
use crate::name::StreamName;
use crate::read::{Direction, Page, ReadOptions};
use crate::retention::Retention;
use crate::stat::Stat;
use crate::timestamp::Timestamp;

/// A stream: the slots from its first id to its head, without a gap.
#[derive(Debug, Default)]
pub(super) struct StreamState {
    head: u64,
    slots: VecDeque<Slot>,
    /// The holder of each non-empty dedup key among the slots.
    dedup: HashMap<String, u64>,
    bytes: u64,
    /// The `recorded_at` below which no later entry may fall.
    recorded_at: Option<Timestamp>,
    checkpoints: BTreeMap<String, Checkpoint>,
}

/// What stands at an id.
#[derive(Debug)]
enum Slot {
    Entry(Box<Entry<u64>>),
    /// What is left of an expired entry that was purged.
    Tombstone {
        recorded_at: Timestamp,
    },
}

impl Slot {
    fn visible(&self, now: Timestamp) -> Option<&Entry<u64>> {
        match self {
            Self::Entry(entry) if !entry.is_expired(now) => Some(entry),
            Self::Entry(_) | Self::Tombstone { .. } => None,
        }
    }

    fn recorded_at(&self) -> Timestamp {
        match self {
            Self::Entry(entry) => entry.recorded_at,
            Self::Tombstone { recorded_at } => *recorded_at,
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Entry(entry) => entry.value.bytes.len() as u64,
            Self::Tombstone { .. } => 0,
        }
    }

    fn dedup_key(&self) -> Option<&str> {
        match self {
            Self::Entry(entry) => entry.dedup_key.as_deref(),
            Self::Tombstone { .. } => None,
        }
    }
}

// Appending.
impl StreamState {
    /// Decides the batch's condition, unless there is nothing new in the batch.
    pub(super) fn check(&self, batch: &Batch<u64>, now: Timestamp) -> Result<()> {
        match &batch.condition {
            Some(condition) if !self.is_all_there(&batch.entries, now) => {
                condition.check(&batch.stream, &mut AsOf { stream: self, now })
            }
            _ => Ok(()),
        }
    }

    fn is_all_there(&self, entries: &[NewEntry], now: Timestamp) -> bool {
        entries
            .iter()
            .all(|entry| self.duplicate(entry, now).is_some())
    }

    fn duplicate(&self, entry: &NewEntry, now: Timestamp) -> Option<u64> {
        let id = *self.dedup.get(entry.dedup_key.as_deref()?)?;
        self.visible(id, now).map(|entry| entry.id)
    }

    pub(super) fn append(
        &mut self,
        name: &StreamName,
        entries: Vec<NewEntry>,
        now: Timestamp,
    ) -> Vec<Outcome<u64>> {
        let recorded_at = self.recorded_at.map_or(now, |last| last.max(now));
        let mut outcomes = Vec::with_capacity(entries.len());
        for entry in entries {
            outcomes.push(match self.duplicate(&entry, now) {
                Some(id) => Outcome::Duplicate(id),
                None => Outcome::Appended(self.push(name, entry, recorded_at)),
            });
        }
        outcomes
    }

    fn push(&mut self, name: &StreamName, entry: NewEntry, recorded_at: Timestamp) -> u64 {
        let id = self.head + 1;
        self.take_dedup_key(&entry, id);
        self.head = id;
        self.recorded_at = Some(recorded_at);
        self.bytes += entry.value.bytes.len() as u64;
        let entry = Entry::recorded(id, name.clone(), recorded_at, entry);
        self.slots.push_back(Slot::Entry(Box::new(entry)));
        id
    }

    /// Notes who holds the key from now on. Only an expired entry can have held it before; it is purged, so that no
    /// clock that steps back brings it to life with a key that is another's.
    fn take_dedup_key(&mut self, entry: &NewEntry, id: u64) {
        let Some(key) = entry.dedup_key.as_ref().filter(|key| !key.is_empty()) else {
            return;
        };
        if let Some(expired) = self.dedup.insert(key.clone(), id) {
            self.purge(expired);
        }
    }
}

// Looking.
impl StreamState {
    pub(super) fn head(&self) -> Option<u64> {
        (self.head > 0).then_some(self.head)
    }

    fn first(&self) -> Option<u64> {
        (!self.is_trimmed()).then(|| self.head - self.slots.len() as u64 + 1)
    }

    /// Whether no entry is left, or there never was one.
    pub(super) fn is_trimmed(&self) -> bool {
        self.slots.is_empty()
    }

    fn index(&self, id: u64) -> Option<usize> {
        let index = id.checked_sub(self.first()?)?;
        usize::try_from(index)
            .ok()
            .filter(|index| *index < self.slots.len())
    }

    fn visible(&self, id: u64, now: Timestamp) -> Option<&Entry<u64>> {
        self.slots[self.index(id)?].visible(now)
    }

    pub(super) fn visible_mut(&mut self, id: u64, now: Timestamp) -> Option<&mut Entry<u64>> {
        let index = self.index(id)?;
        match &mut self.slots[index] {
            Slot::Entry(entry) if !entry.is_expired(now) => Some(entry),
            Slot::Entry(_) | Slot::Tombstone { .. } => None,
        }
    }

    pub(super) fn read(&self, options: &ReadOptions<u64>, now: Timestamp) -> Page<u64> {
        let (mut entries, mut tombstones) = (Vec::new(), Vec::new());
        for id in self.ids(options) {
            if entries.len() + tombstones.len() == options.limit {
                break;
            }
            let Some(slot) = self.index(id).map(|index| &self.slots[index]) else {
                continue;
            };
            if options
                .since
                .is_some_and(|since| slot.recorded_at() < since)
            {
                continue;
            }
            match slot.visible(now) {
                Some(entry) if options.filter.matches(entry) => entries.push(entry.clone()),
                None if options.tombstones => tombstones.push(id),
                _ => {}
            }
        }
        Page::new(options, entries, tombstones, self.first(), self.head())
    }

    /// The ids between the cursors, in the order asked for.
    fn ids(&self, options: &ReadOptions<u64>) -> Box<dyn Iterator<Item = u64>> {
        let first = self.first().unwrap_or(self.head + 1);
        let from = options
            .after
            .map_or(first, |after| after.saturating_add(1).max(first));
        let to = options
            .before
            .map_or(self.head, |before| before.saturating_sub(1).min(self.head));
        match options.direction {
            Direction::Ascending => Box::new(from..=to),
            Direction::Descending => Box::new((from..=to).rev()),
        }
    }

    pub(super) fn stat(&self, durability: Durability) -> Stat<u64> {
        Stat {
            first: self.first(),
            head: self.head(),
            count: self.slots.len() as u64,
            bytes: self.bytes,
            durability,
        }
    }
}

// Removing.
impl StreamState {
    pub(super) fn trim(&mut self, through: u64) -> u64 {
        self.remove_while(|stream| stream.first() <= Some(through))
    }

    pub(super) fn retain(&mut self, retention: &Retention, now: Timestamp) -> u64 {
        let oldest = retention.age_max.map(|age| now.saturating_sub(age));
        self.remove_while(|stream| {
            let recorded_at = stream.slots.front().map(Slot::recorded_at);
            oldest.is_some_and(|oldest| recorded_at < Some(oldest))
                || retention
                    .entries_max
                    .is_some_and(|max| stream.slots.len() as u64 > max)
                || retention.bytes_max.is_some_and(|max| stream.bytes > max)
        })
    }

    fn remove_while(&mut self, is_too_much: impl Fn(&Self) -> bool) -> u64 {
        let mut removed = 0;
        while !self.is_trimmed() && is_too_much(self) {
            if let (Some(first), Some(slot)) = (self.first(), self.slots.pop_front()) {
                self.forget(first, &slot);
            }
            removed += 1;
        }
        removed
    }

    /// Gives up what `slot`, which stood at `id`, held of the bytes and the dedup keys.
    fn forget(&mut self, id: u64, slot: &Slot) {
        self.bytes -= slot.bytes();
        if let Some(key) = slot.dedup_key()
            && self.dedup.get(key) == Some(&id)
        {
            self.dedup.remove(key);
        }
    }

    pub(super) fn purge_expired(&mut self, now: Timestamp) -> u64 {
        let is_expired = |slot: &Slot| matches!(slot, Slot::Entry(entry) if entry.is_expired(now));
        let first = self.first().unwrap_or(0);
        let expired: Vec<u64> = (first..)
            .zip(&self.slots)
            .filter(|(_, slot)| is_expired(slot))
            .map(|(id, _)| id)
            .collect();
        expired.iter().for_each(|id| self.purge(*id));
        expired.len() as u64
    }

    fn purge(&mut self, id: u64) {
        let Some(index) = self.index(id) else { return };
        let tombstone = Slot::Tombstone {
            recorded_at: self.slots[index].recorded_at(),
        };
        let slot = std::mem::replace(&mut self.slots[index], tombstone);
        self.forget(id, &slot);
    }
}

// Names and checkpoints.
impl StreamState {
    /// Whether nobody else may have its name.
    pub(super) fn is_in_use(&self) -> bool {
        self.head > 0 || !self.checkpoints.is_empty()
    }

    pub(super) fn rename(&mut self, to: &StreamName) {
        for slot in &mut self.slots {
            if let Slot::Entry(entry) = slot {
                entry.stream = to.clone();
            }
        }
    }

    pub(super) fn load_checkpoint(&self, name: &str) -> Option<&Checkpoint> {
        self.checkpoints.get(name)
    }

    pub(super) fn save_checkpoint(&mut self, name: &str, checkpoint: Checkpoint) {
        self.checkpoints.insert(name.to_owned(), checkpoint);
    }

    pub(super) fn delete_checkpoint(&mut self, name: &str) {
        self.checkpoints.remove(name);
    }

    pub(super) fn list_checkpoints(&self, after: Option<&str>, limit: usize) -> Vec<String> {
        let lower = after.map_or(Bound::Unbounded, Bound::Excluded);
        let names = self.checkpoints.range::<str, _>((lower, Bound::Unbounded));
        names.map(|(name, _)| name.clone()).take(limit).collect()
    }
}

/// A stream at a moment: what conditions are decided by.
struct AsOf<'a> {
    stream: &'a StreamState,
    now: Timestamp,
}

impl Evidence<u64> for AsOf<'_> {
    fn newest(&mut self, filter: &Filter) -> Result<Option<u64>> {
        let visible = self
            .stream
            .slots
            .iter()
            .rev()
            .filter_map(|slot| slot.visible(self.now));
        Ok(visible
            .into_iter()
            .find(|entry| filter.matches(entry))
            .map(|entry| entry.id))
    }

    fn head(&mut self) -> Result<Option<u64>> {
        Ok(self.stream.head())
    }

    fn is_gone(&mut self, id: u64) -> Result<bool> {
        let was_given_out = (1..=self.stream.head).contains(&id);
        Ok(was_given_out && self.stream.visible(id, self.now).is_none())
    }
}
