//! Deciding what becomes of the entries that are to be appended to a stream: which are new, and which it holds already.

use std::ops::Range;
use std::sync::Arc;

use ledger_core::{Outcome, Timestamp};
use smallvec::SmallVec;

use super::append::{AsRecord, Wanted};
use super::evidence::{AsOf, Holder};
use super::writer::{Subject, Turn};
use crate::error::Result;
use crate::fault::{Mistake, is_planted};
use crate::format::{NewRecord, StreamNumber};
use crate::index::{BatchKeys, EntryKeys, KeyHash, Known};

/// What will be appended to one stream.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) subject: Subject,
    /// Where its outcomes begin among those of all.
    pub(super) outcomes: usize,
    /// Where the keys of its entries are among those of all; empty if no entry has any.
    pub(super) keys: Range<usize>,
    /// How many entries are new.
    pub(super) appended: u64,
    /// The holders of dedup keys that have expired, whose keys are taken: they are purged, with that many bytes.
    pub(super) expired: Vec<(u64, u64)>,
}

pub(super) type Plans = SmallVec<[Plan; 1]>;

/// Memory that each append uses again.
#[derive(Debug, Default)]
pub(in crate::log) struct Scratch {
    /// What becomes of each entry.
    pub(in crate::log) outcomes: Vec<Outcome<u64>>,
    /// The keys of the entries of batches that have any.
    pub(super) keys: Vec<EntryKeys>,
    /// The dedup keys of the batch that is decided about, and which of its entries have them.
    hashes: Vec<KeyHash>,
    hashed: Vec<u32>,
    /// What is known of them, if they were looked for.
    known: Known,
    is_known: bool,
    /// How many dedup keys the whole append has at most, until there is room for them.
    needed: Option<usize>,
    batch_keys: BatchKeys,
}

/// So many keys are looked for among those before them, one by one.
const LOOKED_FOR_MAX: usize = if cfg!(test) { 1 } else { 32 };

impl Scratch {
    /// Begins an append of so many entries.
    pub(super) fn begin(&mut self, entries: usize) {
        self.clear();
        self.is_known = false;
        self.needed = Some(entries);
    }

    /// Forgets what was decided, and begins with the first batch again.
    pub(super) fn clear(&mut self) {
        self.outcomes.clear();
        self.keys.clear();
    }

    /// For how many keys there must be room, if that is not certain. For the whole append before its first look: what was seen and is in
    /// no index yet would not be in a set that begins.
    fn needed(&mut self) -> Option<usize> {
        let needed = self.needed.take();
        match is_planted(Mistake::RoomForOneBatch) {
            true => Some(self.hashes.len()),
            false => needed,
        }
    }

    /// Whether two of the hashed dedup keys may be the same.
    fn may_be_twice(&mut self) -> bool {
        let is_again = |index: &usize| self.hashes[..*index].contains(&self.hashes[*index]);
        match self.known.again() {
            Some(few) if few.len() <= LOOKED_FOR_MAX => few.iter().any(is_again),
            _ => self.batch_keys.may_be_twice(&self.hashes),
        }
    }

    /// Says that `count` entries get the ids behind `head`.
    #[inline]
    fn append_all(&mut self, head: u64, count: usize) {
        let ids = head + 1..head + 1 + count as u64;
        self.outcomes.extend(ids.map(Outcome::Appended));
    }
}

// Batches with nothing to decide.
impl Turn<'_> {
    /// Whether `batch` goes on with the stream that was appended to last, and nothing of it is a duplicate, or depends on
    /// what is there. Then its entries have their outcomes.
    ///
    /// # Errors
    /// What the look-ups run into.
    #[inline]
    pub(super) fn goes_on<R: AsRecord>(
        &mut self,
        batch: &Wanted<'_, R>,
        now: Timestamp,
    ) -> Result<bool> {
        let Some(last) = self.last(batch.stream) else {
            return Ok(false);
        };
        let (number, head) = (last.state.number, last.state.head);
        if batch.condition.is_some() || batch.records.is_empty() {
            return Ok(false);
        }
        self.hash_keys(batch.records, number);
        if !self.writer.scratch.hashes.is_empty() && self.may_repeat(batch, now)? {
            return Ok(false);
        }
        self.writer.scratch.append_all(head, batch.records.len());
        Ok(true)
    }

    /// Whether any of the hashed dedup keys is in the stream already, or may be twice in the batch.
    ///
    /// Where an index has another key with the same hash the log is asked at once: in a large log many a batch has such
    /// a key, and would be decided about again for nothing.
    fn may_repeat<R: AsRecord>(&mut self, batch: &Wanted<'_, R>, now: Timestamp) -> Result<bool> {
        self.see();
        let Some(last) = self.last(batch.stream) else {
            return Ok(true);
        };
        let (view, scratch) = (self.view(), &self.writer.scratch);
        let as_of = AsOf::new(&view, last, now);
        let mut candidates = Vec::new();
        view.look().dedup_keys(
            last.state.number,
            &scratch.hashes,
            &scratch.known,
            &mut candidates,
        )?;
        for (at, spot) in candidates {
            let record = batch.records[scratch.hashed[at] as usize].as_record();
            if as_of.retained_holder(spot, record.dedup_key)? != Holder::Other {
                return Ok(true);
            }
        }
        Ok(self.writer.scratch.may_be_twice())
    }

    /// Finds out what is known of the hashed dedup keys. Once for each: when asked again, all of them would have been seen.
    fn see(&mut self) {
        let writer = &mut *self.writer;
        let (scratch, recent) = (&mut writer.scratch, &mut writer.recent);
        if std::mem::replace(&mut scratch.is_known, true) {
            return;
        }
        if let Some(needed) = scratch.needed()
            && !recent.has_room(needed)
        {
            let picture = Arc::clone(&self.shared.scene().picture);
            recent.make_room(picture.layers(), needed);
        }
        recent.see(&scratch.hashes, &mut scratch.known);
    }
}

impl Turn<'_> {
    /// Decides about a batch: the `nth` of its frame, from 1.
    ///
    /// # Errors
    /// `Conflict`, or what the look-ups run into.
    pub(super) fn plan<R: AsRecord>(
        &mut self,
        batch: &Wanted<'_, R>,
        nth: u64,
        now: Timestamp,
    ) -> Result<Plan> {
        let subject = self.find_or_new(batch.stream, nth)?;
        let outcomes = self.writer.scratch.outcomes.len();
        let keys = self.hash_keys(batch.records, subject.state.number);
        let mut plan = Plan {
            subject,
            outcomes,
            keys,
            appended: 0,
            expired: Vec::new(),
        };
        let known = self.find_duplicates(batch, &mut plan, now)?;
        if known < batch.records.len()
            && let Some(condition) = batch.condition
        {
            AsOf::new(&self.view(), &plan.subject, now).check(condition)?;
        }
        self.assign_ids(batch.records, &mut plan, now);
        Ok(plan)
    }

    /// Hashes the keys of a batch, and tells where they are.
    fn hash_keys<R: AsRecord>(&mut self, records: &[R], stream: StreamNumber) -> Range<usize> {
        let (hasher, scratch) = (self.shared.hasher, &mut self.writer.scratch);
        let start = scratch.keys.len();
        scratch.hashes.clear();
        scratch.hashed.clear();
        if records
            .iter()
            .all(|record| has_no_keys(&record.as_record()))
        {
            return start..start;
        }
        for (record, index) in records.iter().zip(0..) {
            let record = record.as_record();
            let dedup = record.dedup_key.filter(|key| !key.is_empty());
            let dedup = dedup.map(|key| hasher.dedup_key(stream, key));
            scratch.keys.push(EntryKeys {
                dedup,
                order: record.order_key.map(|key| hasher.order_key(stream, key)),
                expires: record.expires_at.is_some(),
            });
            if let Some(hash) = dedup {
                scratch.hashes.push(hash);
                scratch.hashed.push(index);
            }
        }
        start..scratch.keys.len()
    }

    /// Gives the records that are no duplicates their ids.
    fn assign_ids<R: AsRecord>(&mut self, records: &[R], plan: &mut Plan, now: Timestamp) {
        let head = plan.subject.state.head;
        let scratch = &mut self.writer.scratch;
        if scratch.hashes.is_empty() {
            // Without dedup keys nothing can be a duplicate.
            plan.appended = records.len() as u64;
            scratch.append_all(head, records.len());
            return;
        }
        scratch.batch_keys.begin(scratch.hashes.len());
        let outcomes = &mut scratch.outcomes[plan.outcomes..];
        for (index, keys) in scratch.keys[plan.keys.clone()].iter().enumerate() {
            if outcomes[index].is_duplicate() {
                continue;
            }
            let twin = keys
                .dedup
                .and_then(|hash| twin(&scratch.batch_keys, hash, records, index));
            let holder = twin.map(|twin| (outcomes[twin].id(), records[twin].as_record()));
            outcomes[index] = match holder {
                Some((id, record)) if !is_over(&record, now) => Outcome::Duplicate(id),
                _ => {
                    let over = holder.map(|(id, record)| (id, record.payload.len() as u64));
                    plan.expired.extend(over);
                    plan.appended += 1;
                    if let Some(hash) = keys.dedup {
                        scratch.batch_keys.insert(hash, index as u32);
                    }
                    Outcome::Appended(head + plan.appended)
                }
            };
        }
        plan.expired.sort_unstable();
    }
}

/// Whether an index has nothing to remember of an entry but where it is.
#[inline]
fn has_no_keys(record: &NewRecord<'_>) -> bool {
    record.dedup_key.is_none() && record.order_key.is_none() && record.expires_at.is_none()
}

/// The last of the records before `index` that has the same dedup key and is no duplicate itself.
fn twin<R: AsRecord>(
    keys: &BatchKeys,
    hash: KeyHash,
    records: &[R],
    index: usize,
) -> Option<usize> {
    let same_hash = keys.get(hash).map(|other| other as usize);
    let key = records[index].as_record().dedup_key;
    same_hash
        .filter(|other| records[*other].as_record().dedup_key == key)
        .max()
}

fn is_over(record: &NewRecord<'_>, now: Timestamp) -> bool {
    record
        .expires_at
        .is_some_and(|expires_at| expires_at <= now)
}

// Duplicates.
impl Turn<'_> {
    /// Finds out which records the stream holds already, and tells how many those are.
    ///
    /// If any record has a dedup key there is an outcome for each afterwards, final for the duplicates.
    fn find_duplicates<R: AsRecord>(
        &mut self,
        batch: &Wanted<'_, R>,
        plan: &mut Plan,
        now: Timestamp,
    ) -> Result<usize> {
        let scratch = &mut self.writer.scratch;
        if scratch.hashes.is_empty() {
            return Ok(0);
        }
        let undecided = Outcome::Appended(0);
        scratch
            .outcomes
            .resize(plan.outcomes + batch.records.len(), undecided);
        self.see();
        // The next batch has others.
        self.writer.scratch.is_known = false;
        if plan.subject.state.head == 0 {
            return Ok(0);
        }
        self.look_for_holders(batch, plan, now)
    }

    fn look_for_holders<R: AsRecord>(
        &mut self,
        batch: &Wanted<'_, R>,
        plan: &mut Plan,
        now: Timestamp,
    ) -> Result<usize> {
        let (view, state) = (self.view(), plan.subject.state);
        let mut candidates = Vec::new();
        let scratch = &mut self.writer.scratch;
        view.look().dedup_keys(
            state.number,
            &scratch.hashes,
            &scratch.known,
            &mut candidates,
        )?;
        let mut known = 0;
        for (at, spot) in candidates {
            let index = scratch.hashed[at] as usize;
            let key = batch.records[index].as_record().dedup_key;
            let outcome = &mut scratch.outcomes[plan.outcomes + index];
            if outcome.is_duplicate() {
                continue;
            }
            match AsOf::new(&view, &plan.subject, now).retained_holder(spot, key)? {
                Holder::Other => {}
                Holder::Holds => {
                    *outcome = Outcome::Duplicate(spot.id);
                    known += 1;
                }
                Holder::Expired(bytes) => plan.expired.push((spot.id, bytes)),
            }
        }
        plan.expired.sort_unstable();
        plan.expired.dedup();
        Ok(known)
    }
}

#[cfg(test)]
mod tests {
    use ledger_core::{Batch, Durability, NewEntry, Outcome, Payload};

    use crate::{FileOptions, Log};

    /// The sets of recent keys are small in tests: they come to their end again and again, also between two batches of one append.
    #[test]
    fn a_key_is_known_wherever_in_an_append_a_set_of_recent_keys_ends() {
        let directory = tempfile::tempdir().unwrap();
        let options = FileOptions::default().with_durability(Durability::Process);
        let log = Log::open(directory.path(), options).unwrap();
        for number in 0..600 {
            let entry = NewEntry::new(Payload::octets("")).dedup_key(format!("{number}"));
            let batch = |stream: &str| Batch::new(stream, vec![entry.clone()]);
            log.append_many(vec![batch("a"), batch("b"), batch("c")])
                .unwrap();
            for stream in ["a", "b", "c"] {
                let receipt = log.append(batch(stream)).unwrap();
                assert_eq!(receipt.outcomes, [Outcome::Duplicate(number + 1)]);
            }
        }
    }
}
