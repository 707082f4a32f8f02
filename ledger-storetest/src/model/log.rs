//! One stream of the model: a list, and what the contract says about it.
//!
//! Nothing here is fast or shared with a store. Only the filter's own `matches` is taken from the core, where it is
//! tested by itself.

use std::collections::{BTreeMap, BTreeSet};

use ledger_core::{
    Batch, Bytes, Checkpoint, Direction, Durability, Entry, Error, Filter, NewEntry, Outcome, Page,
    Payload, ReadOptions, Result, Retention, Revision, Stat, StreamName, Timestamp,
};

use super::answer::Answer;

/// A stream, with all that was not trimmed.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) head: Option<u64>,
    recorded_at: Option<Timestamp>,
    held: Vec<Held>,
    checkpoints: BTreeMap<String, Checkpoint>,
    /// Every revision that a checkpoint ever had.
    revisions: BTreeSet<(String, Revision)>,
}

/// An entry, or the tombstone of one that was erased.
#[derive(Debug)]
struct Held {
    entry: Entry<u64>,
    is_erased: bool,
}

impl Held {
    fn is_visible(&self, now: Timestamp) -> bool {
        !self.is_erased && !self.entry.is_expired(now)
    }

    fn bytes(&self) -> u64 {
        self.entry.value.bytes.len() as u64
    }

    fn has_key(&self, key: Option<&str>) -> bool {
        key.is_some_and(|key| !key.is_empty()) && self.entry.dedup_key.as_deref() == key
    }

    fn erase(&mut self) {
        self.is_erased = true;
        self.entry.value = Payload::octets(Bytes::new());
    }
}

// Appending.
impl Log {
    pub(super) fn append(
        &mut self,
        stream: &StreamName,
        entries: &[NewEntry],
        now: Timestamp,
    ) -> Vec<Outcome<u64>> {
        let recorded_at = self.recorded_at.max(Some(now)).unwrap_or(now);
        entries
            .iter()
            .map(|new| match self.duplicate(new, now) {
                Some(id) => Outcome::Duplicate(id),
                None => Outcome::Appended(self.push(Entry::recorded(
                    0,
                    stream.clone(),
                    recorded_at,
                    new.clone(),
                ))),
            })
            .collect()
    }

    fn push(&mut self, mut entry: Entry<u64>) -> u64 {
        // Only an expired entry can still have the key: it gives it up for good.
        let holders = self
            .held
            .iter_mut()
            .filter(|held| held.has_key(entry.dedup_key.as_deref()));
        holders.for_each(Held::erase);
        entry.id = self.head.unwrap_or(0) + 1;
        self.head = Some(entry.id);
        self.recorded_at = Some(entry.recorded_at);
        self.held.push(Held {
            entry,
            is_erased: false,
        });
        self.head.unwrap_or_default()
    }

    fn duplicate(&self, new: &NewEntry, now: Timestamp) -> Option<u64> {
        let key = new.dedup_key.as_deref();
        self.held
            .iter()
            .find(|held| held.is_visible(now) && held.has_key(key))
            .map(|held| held.entry.id)
    }

    /// Why `batch` may not be appended, if it may not.
    pub(super) fn conflict(&self, batch: &Batch<u64>, now: Timestamp) -> Option<Error> {
        let condition = batch.condition.as_ref()?;
        if batch
            .entries
            .iter()
            .all(|new| self.duplicate(new, now).is_some())
        {
            return None;
        }
        let is_about_head = condition.exact && condition.filter.is_empty();
        let found = if is_about_head {
            self.head
        } else {
            self.newest(&condition.filter, now)
        };
        let holds = match condition.after {
            Some(id) if condition.exact => {
                found == Some(id) || !is_about_head && found < Some(id) && self.lost(id, now)
            }
            after => found <= after,
        };
        let text = |id: Option<u64>| id.map(|id| id.to_string());
        let conflict = Error::Conflict {
            stream: batch.stream.clone(),
            expected: text(condition.after),
            found: text(found),
        };
        (!holds).then_some(conflict)
    }

    fn newest(&self, filter: &Filter, now: Timestamp) -> Option<u64> {
        let mut chosen = self
            .held
            .iter()
            .filter(|held| held.is_visible(now) && filter.matches(&held.entry));
        chosen.next_back().map(|held| held.entry.id)
    }

    /// Whether entry `id` was there once, and can no longer be read.
    fn lost(&self, id: u64, now: Timestamp) -> bool {
        (1..=self.head.unwrap_or(0)).contains(&id)
            && !self
                .held
                .iter()
                .any(|held| held.entry.id == id && held.is_visible(now))
    }
}

// Looking.
impl Log {
    pub(super) fn is_trimmed(&self) -> bool {
        self.held.is_empty()
    }

    fn first(&self) -> Option<u64> {
        self.held.first().map(|held| held.entry.id)
    }

    pub(super) fn read(&self, options: &ReadOptions<u64>, now: Timestamp) -> Page<u64> {
        let mut within: Vec<_> = self
            .held
            .iter()
            .filter(|held| is_within(&held.entry, options))
            .collect();
        if options.direction == Direction::Descending {
            within.reverse();
        }
        let is_wanted = |held: &&Held| match held.is_visible(now) {
            true => options.filter.matches(&held.entry),
            false => options.tombstones,
        };
        let chosen: Vec<_> = within
            .into_iter()
            .filter(is_wanted)
            .take(options.limit)
            .collect();
        let (visible, gone): (Vec<&Held>, Vec<&Held>) =
            chosen.iter().partition(|held| held.is_visible(now));
        let entries = visible.into_iter().map(|held| held.entry.clone()).collect();
        let tombstones = gone.into_iter().map(|held| held.entry.id).collect();
        let mut page = Page::new(options, entries, tombstones, self.first(), self.head);
        page.next = chosen
            .last()
            .filter(|_| chosen.len() == options.limit)
            .map(|held| held.entry.id);
        page
    }

    pub(super) fn stat(&self, durability: Durability) -> Stat<u64> {
        let mut stat = Stat::empty(durability);
        stat.first = self.first();
        stat.head = self.head;
        stat.count = self.held.len() as u64;
        stat.bytes = bytes(&self.held);
        stat
    }
}

fn is_within(entry: &Entry<u64>, options: &ReadOptions<u64>) -> bool {
    options.after.is_none_or(|after| entry.id > after)
        && options.before.is_none_or(|before| entry.id < before)
        && options.since.is_none_or(|since| entry.recorded_at >= since)
}

fn bytes(held: &[Held]) -> u64 {
    held.iter().map(Held::bytes).sum()
}

// Removing and changing.
impl Log {
    pub(super) fn trim(&mut self, through: u64) -> u64 {
        let count = self
            .held
            .iter()
            .filter(|held| held.entry.id <= through)
            .count();
        self.held.drain(..count).count() as u64
    }

    pub(super) fn retain(&mut self, retention: &Retention, now: Timestamp) -> u64 {
        let oldest = retention.age_max.map(|age| now.saturating_sub(age));
        let is_kept = |rest: &[Held]| {
            rest.iter()
                .all(|held| oldest.is_none_or(|oldest| held.entry.recorded_at >= oldest))
                && retention
                    .entries_max
                    .is_none_or(|max| rest.len() as u64 <= max)
                && retention.bytes_max.is_none_or(|max| bytes(rest) <= max)
        };
        let too_many = (0..self.held.len())
            .take_while(|count| !is_kept(&self.held[*count..]))
            .count();
        self.held.drain(..too_many).count() as u64
    }

    pub(super) fn purge_expired(&mut self, now: Timestamp) -> u64 {
        let expired = self
            .held
            .iter_mut()
            .filter(|held| !held.is_erased && held.entry.is_expired(now));
        expired.map(Held::erase).count() as u64
    }

    /// Lets `change` change the entry called `id`, which must be one that can be read.
    pub(super) fn mark(
        &mut self,
        stream: &StreamName,
        id: u64,
        now: Timestamp,
        change: impl FnOnce(&mut Entry<u64>),
    ) -> Result<Answer> {
        let mut visible = self.held.iter_mut().filter(|held| held.is_visible(now));
        let Some(held) = visible.find(|held| held.entry.id == id) else {
            return Err(Error::EntryNotFound {
                stream: stream.clone(),
                id: id.to_string(),
            });
        };
        change(&mut held.entry);
        held.entry.updated_at = Some(now);
        Ok(Answer::Done)
    }
}

// Names and checkpoints.
impl Log {
    pub(super) fn is_in_use(&self) -> bool {
        self.head.is_some() || !self.checkpoints.is_empty()
    }

    pub(super) fn rename(&mut self, to: &StreamName) {
        self.held
            .iter_mut()
            .for_each(|held| held.entry.stream = to.clone());
    }

    pub(super) fn checkpoints(&self) -> impl Iterator<Item = &String> {
        self.checkpoints.keys()
    }

    pub(super) fn checkpoint(&self, name: &str) -> Option<Checkpoint> {
        self.checkpoints.get(name).cloned()
    }

    pub(super) fn revision(&self, name: &str) -> Option<Revision> {
        Some(self.checkpoints.get(name)?.revision)
    }

    /// Saves a checkpoint under the `proposed` revision, if it never had that one, and else under one that no store answers.
    pub(super) fn save_checkpoint(
        &mut self,
        name: &str,
        value: Bytes,
        proposed: Option<Revision>,
    ) -> Revision {
        let is_new = |revision: &Revision| !self.revisions.contains(&(name.into(), *revision));
        let revision = proposed.filter(is_new).unwrap_or(Revision(u64::MAX));
        self.revisions.insert((name.into(), revision));
        self.checkpoints
            .insert(name.into(), Checkpoint { value, revision });
        revision
    }

    pub(super) fn delete_checkpoint(&mut self, name: &str) {
        self.checkpoints.remove(name);
    }
}
