//! Appending: what becomes of each entry is decided first, for all streams, and then one frame is written.

use std::ops::Range;

use ledger_core::{Condition, Error, Outcome, StreamName, Timestamp};
use smallvec::SmallVec;

use super::evidence::AsOf;
use super::notes::Notes;
use super::streams::StreamState;
use super::writer::{Changed, Subject, Turn};
use crate::error::Result;
use crate::fault::{Mistake, is_planted};
use crate::format::{
    APPEND_OVERHEAD_BYTES_MAX, AppendHead, Compressed, FRAME_OVERHEAD_BYTES_MAX, FrameWriter, Ids,
    NewRecord, Record, StreamNumber,
};
use crate::index::{BatchKeys, EntryKeys, KeyHash};
use crate::options::Compression;

/// What can be appended: owned entries, or records that borrow.
pub(super) trait AsRecord {
    fn as_record(&self) -> NewRecord<'_>;
}

impl AsRecord for NewRecord<'_> {
    #[inline]
    fn as_record(&self) -> NewRecord<'_> {
        *self
    }
}

impl AsRecord for ledger_core::NewEntry {
    #[inline]
    fn as_record(&self) -> NewRecord<'_> {
        self.into()
    }
}

/// What is to be appended to one stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a, R> {
    pub(super) stream: &'a StreamName,
    pub(super) records: &'a [R],
    pub(super) condition: Option<&'a Condition<u64>>,
}

/// What will be appended to one stream.
#[derive(Debug)]
struct Plan {
    subject: Subject,
    /// Where its outcomes begin among those of all.
    outcomes: usize,
    /// Where the hashes of its dedup keys are among those of all.
    hashes: Range<usize>,
    /// How many entries are new.
    appended: u64,
    /// The holders of dedup keys that have expired, whose keys are taken: they are purged, with that many bytes.
    expired: Vec<(u64, u64)>,
}

type Plans = SmallVec<[Plan; 1]>;

/// A purge takes its ids, and a removals record that says how many bytes there are less.
const PURGE_OVERHEAD_BYTES_MAX: usize = 64;

impl Turn<'_> {
    /// Appends to streams as one commit. What became of each record is in the scratch outcomes, in order.
    ///
    /// # Errors
    /// `Conflict`, and then nothing was written; or what the look-ups and the disk run into.
    pub(super) fn append<R: AsRecord>(
        &mut self,
        batches: &[Wanted<'_, R>],
        now: Timestamp,
    ) -> Result<()> {
        self.writer.scratch.outcomes.clear();
        self.writer.scratch.hashes.clear();
        self.writer.scratch.hashed.clear();
        let mut plans = Plans::new();
        for batch in batches {
            let plan = self.plan(batch, plans.len() as u64 + 1, now)?;
            plans.push(plan);
        }
        if plans.iter().all(|plan| plan.appended == 0) {
            self.writer.last = plans.pop().map(|plan| plan.subject).filter(|s| s.is_named);
            return Ok(());
        }
        self.make_room(bytes_max(batches, &plans))?;
        let changed = self.write(batches, plans, now);
        self.put(changed)
    }

    fn plan<R: AsRecord>(
        &mut self,
        batch: &Wanted<'_, R>,
        nth: u64,
        now: Timestamp,
    ) -> Result<Plan> {
        let scratch = &self.writer.scratch;
        let (outcomes, hashes) = (scratch.outcomes.len(), scratch.hashes.len());
        let mut plan = Plan {
            subject: self.find_or_new(batch.stream, nth)?,
            outcomes,
            hashes: hashes..hashes,
            appended: 0,
            expired: Vec::new(),
        };
        self.hash_keys(batch, &mut plan);
        let known = self.find_duplicates(batch, &mut plan, now)?;
        if known < batch.records.len()
            && let Some(condition) = batch.condition
        {
            AsOf::new(&self.view(), &plan.subject, now).check(condition)?;
        }
        self.assign_ids(batch, &mut plan, now);
        Ok(plan)
    }

    /// Gives the records that are no duplicates their ids.
    fn assign_ids<R: AsRecord>(&mut self, batch: &Wanted<'_, R>, plan: &mut Plan, now: Timestamp) {
        let head = plan.subject.state.head;
        let scratch = &mut self.writer.scratch;
        if plan.hashes.is_empty() {
            // Without dedup keys nothing can be a duplicate.
            let ids = head + 1..head + 1 + batch.records.len() as u64;
            scratch.outcomes.extend(ids.map(Outcome::Appended));
            plan.appended = batch.records.len() as u64;
            return;
        }
        scratch.batch_keys.clear();
        let mut hashed = plan.hashes.clone().peekable();
        for index in 0..batch.records.len() {
            let hash = hashed.next_if(|at| scratch.hashed[*at] as usize == index);
            if scratch.outcomes[plan.outcomes + index].is_duplicate() {
                continue;
            }
            let hash = hash.map(|at| scratch.hashes[at]);
            let twin = hash.and_then(|hash| twin(&scratch.batch_keys, hash, batch.records, index));
            let first = twin.map(|twin| scratch.outcomes[plan.outcomes + twin].id());
            let is_over = twin.is_some_and(|twin| is_over(&batch.records[twin].as_record(), now));
            let outcome = match first {
                Some(id) if !is_over => Outcome::Duplicate(id),
                _ => {
                    plan.appended += 1;
                    Outcome::Appended(head + plan.appended)
                }
            };
            scratch.outcomes[plan.outcomes + index] = outcome;
            if let (Some(id), Some(twin), true) = (first, twin, is_over) {
                let payload = batch.records[twin].as_record().payload;
                plan.expired.push((id, payload.len() as u64));
            }
            if let (Some(hash), false) = (hash, outcome.is_duplicate()) {
                scratch.batch_keys.insert(hash, index as u32);
            }
        }
        plan.expired.sort_unstable();
    }

    /// Writes one frame with everything that is new, and tells what the streams are from now on.
    fn write<R: AsRecord>(
        &mut self,
        batches: &[Wanted<'_, R>],
        plans: Plans,
        now: Timestamp,
    ) -> Changed {
        let scratch = &mut self.writer.scratch;
        let outcomes = std::mem::take(&mut scratch.outcomes);
        let (hashes, hashed) = (
            std::mem::take(&mut scratch.hashes),
            std::mem::take(&mut scratch.hashed),
        );
        let hasher = self.shared.hasher;
        let compression = self.shared.options.compression;
        let changed = self.encode(now, |frame, notes| {
            let mut changed = Changed::new();
            for (batch, plan) in batches.iter().zip(plans) {
                if plan.appended == 0 {
                    continue;
                }
                let hashed = hashed[plan.hashes.clone()].iter().copied();
                let mut section = Section {
                    frame,
                    notes,
                    now,
                    compression,
                    hasher,
                    hashes: hashed.zip(hashes[plan.hashes.clone()].iter().copied()),
                };
                let outcomes = &outcomes[plan.outcomes..][..batch.records.len()];
                let state = section.write(batch.records, outcomes, &plan);
                changed.push((plan.subject, state));
            }
            changed
        });
        let scratch = &mut self.writer.scratch;
        (scratch.outcomes, scratch.hashes, scratch.hashed) = (outcomes, hashes, hashed);
        let highest = changed.iter().map(|(_, state)| state.number.0).max();
        self.writer.streams = self.writer.streams.max(highest.unwrap_or(0));
        changed
    }
}

/// The last of the records before `index` that has the same dedup key and is no duplicate itself.
fn twin<R: AsRecord>(
    keys: &BatchKeys,
    hash: KeyHash,
    records: &[R],
    index: usize,
) -> Option<usize> {
    let key = records[index].as_record().dedup_key;
    let mut last = None;
    let _looked_at_all = keys.find(hash, |other| {
        let other = *other as usize;
        if records[other].as_record().dedup_key == key {
            last = last.max(Some(other));
        }
        false
    });
    last
}

fn is_over(record: &NewRecord<'_>, now: Timestamp) -> bool {
    record
        .expires_at
        .is_some_and(|expires_at| expires_at <= now)
}

/// What is written for one stream.
struct Section<'s, 'f, 'n, H> {
    frame: &'s mut FrameWriter<'f>,
    notes: &'s mut Notes<'n>,
    now: Timestamp,
    compression: Compression,
    hasher: crate::index::KeyHasher,
    /// The dedup keys of the records that have one, by their index.
    hashes: H,
}

impl<H: Iterator<Item = (u32, KeyHash)>> Section<'_, '_, '_, H> {
    fn write<R: AsRecord>(
        &mut self,
        records: &[R],
        outcomes: &[Outcome<u64>],
        plan: &Plan,
    ) -> StreamState {
        let mut state = plan.subject.state;
        if !plan.subject.is_named {
            self.record(&Record::Name {
                stream: state.number,
                name: plan.subject.name.as_str(),
            });
        }
        if !plan.expired.is_empty() {
            self.purge(&plan.expired, &mut state);
        }
        state.recorded_at = match is_planted(Mistake::ClockTrusted) {
            true => self.now,
            false => state.recorded_at.max(self.now),
        };
        self.append(records, outcomes, plan.appended, &mut state);
        state.head += plan.appended;
        state
    }

    fn record(&mut self, record: &Record<'_>) {
        let offset = self.frame.push(record);
        self.notes
            .record(offset, record)
            .expect("a record that was just made is well formed");
    }

    fn purge(&mut self, expired: &[(u64, u64)], state: &mut StreamState) {
        let ids: Vec<u64> = expired.iter().map(|(id, _)| *id).collect();
        state.bytes_removed += expired.iter().map(|(_, bytes)| bytes).sum::<u64>();
        state.has_removals = true;
        self.record(&Record::Purge {
            stream: state.number,
            ids: Ids(&Ids::encode(&ids)),
        });
        self.record(&Record::Removals {
            stream: state.number,
            first: state.first,
            bytes: state.bytes_removed,
        });
    }

    #[inline]
    fn append<R: AsRecord>(
        &mut self,
        records: &[R],
        outcomes: &[Outcome<u64>],
        appended: u64,
        state: &mut StreamState,
    ) {
        let head = AppendHead {
            stream: state.number,
            first_id: state.head + 1,
            bytes_before: state.bytes_appended,
            recorded_at: state.recorded_at,
            has_removals: state.has_removals,
        };
        self.notes.run(head.stream, head.first_id);
        if let ([record], 1, Compression::Off) = (records, appended, self.compression) {
            let record = record.as_record();
            let offset = self.frame.append_one(&head, &record);
            let dedup = self.hashes.next().map(|(_, hash)| hash);
            self.notes
                .entry(offset, keys(self.hasher, head.stream, &record, dedup));
            state.bytes_appended += record.payload.len() as u64;
            return;
        }
        let mut section = self.frame.append_many(&head);
        let mut hashed = self.hashes.by_ref().peekable();
        for (index, (record, outcome)) in records.iter().zip(outcomes).enumerate() {
            let dedup = hashed.next_if(|(at, _)| *at as usize == index);
            if outcome.is_duplicate() {
                continue;
            }
            let record = record.as_record();
            let offset = match compressed(self.compression, &record) {
                Some(block) => section.push_compressed(&record, &block),
                None => section.push(&record),
            };
            let dedup = dedup.map(|(_, hash)| hash);
            self.notes
                .entry(offset, keys(self.hasher, head.stream, &record, dedup));
            state.bytes_appended += record.payload.len() as u64;
        }
        section.finish();
    }
}

#[inline]
fn compressed(compression: Compression, record: &NewRecord<'_>) -> Option<Compressed> {
    match compression {
        Compression::Off => None,
        Compression::Lz4 => Compressed::lz4(record.payload),
    }
}

#[inline]
fn keys(
    hasher: crate::index::KeyHasher,
    stream: StreamNumber,
    record: &NewRecord<'_>,
    dedup: Option<KeyHash>,
) -> EntryKeys {
    EntryKeys {
        dedup,
        order: record.order_key.map(|key| hasher.order_key(stream, key)),
        expires: record.expires_at.is_some(),
    }
}

/// The most bytes that the frame for the plans can take.
fn bytes_max<R: AsRecord>(batches: &[Wanted<'_, R>], plans: &Plans) -> usize {
    let mut bytes = FRAME_OVERHEAD_BYTES_MAX;
    for (batch, plan) in batches.iter().zip(plans) {
        let name = APPEND_OVERHEAD_BYTES_MAX + batch.stream.as_str().len();
        let purges = PURGE_OVERHEAD_BYTES_MAX * (plan.expired.len() + 1);
        bytes += APPEND_OVERHEAD_BYTES_MAX + name + purges;
        for record in batch.records {
            bytes += record_bytes_max(&record.as_record());
        }
    }
    bytes
}

/// The most bytes that a record takes in a frame, quickly told.
#[inline]
fn record_bytes_max(record: &NewRecord<'_>) -> usize {
    if !record.metadata.is_empty() || !record.tags.is_empty() {
        return record.encoded_bytes_max();
    }
    let keys = [record.kind, record.order_key, record.dedup_key];
    let texts = keys.map(|key| key.map_or(0, |key| KEY_OVERHEAD_BYTES_MAX + key.len()));
    let texts = texts.into_iter().sum::<usize>() + record.content_type.len();
    ENTRY_OVERHEAD_BYTES_MAX + texts + record.payload.len()
}

/// The numbers of an entry, and a length for each of its texts.
const ENTRY_OVERHEAD_BYTES_MAX: usize = 64;
const KEY_OVERHEAD_BYTES_MAX: usize = 10;

// Duplicates.
impl Turn<'_> {
    /// Hashes the dedup keys of a batch.
    fn hash_keys<R: AsRecord>(&mut self, batch: &Wanted<'_, R>, plan: &mut Plan) {
        let number = plan.subject.state.number;
        let scratch = &mut self.writer.scratch;
        for (record, index) in batch.records.iter().zip(0..) {
            let key = record.as_record().dedup_key.filter(|key| !key.is_empty());
            if let Some(key) = key {
                scratch
                    .hashes
                    .push(self.shared.hasher.dedup_key(number, key));
                scratch.hashed.push(index);
            }
        }
        plan.hashes.end = scratch.hashes.len();
    }

    /// Finds out which records the stream holds already, and tells how many those are.
    ///
    /// If any record has a dedup key there is an outcome for each afterwards, final for the duplicates.
    fn find_duplicates<R: AsRecord>(
        &mut self,
        batch: &Wanted<'_, R>,
        plan: &mut Plan,
        now: Timestamp,
    ) -> Result<usize> {
        if plan.hashes.is_empty() {
            return Ok(0);
        }
        let undecided = Outcome::Appended(0);
        let scratch = &mut self.writer.scratch;
        scratch
            .outcomes
            .resize(plan.outcomes + batch.records.len(), undecided);
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
        let hashes = &scratch.hashes[plan.hashes.clone()];
        view.look()
            .dedup_keys(state.number, hashes, &mut candidates)?;
        let mut known = 0;
        for (at, spot) in candidates {
            let index = scratch.hashed[plan.hashes.start + at] as usize;
            let key = batch.records[index].as_record().dedup_key;
            let outcome = &mut scratch.outcomes[plan.outcomes + index];
            if outcome.is_duplicate() || spot.id < state.first {
                continue;
            }
            match AsOf::new(&view, &plan.subject, now).holder(spot, key)? {
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

/// Whether an entry has a dedup key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// It does not, or has been purged.
    Other,
    /// It does.
    Holds,
    /// It does, but has expired; its payload has that many bytes.
    Expired(u64),
}

/// The number of the id in an error or an outcome.
pub(super) fn not_found(stream: &StreamName, id: u64) -> Error {
    Error::EntryNotFound {
        stream: stream.clone(),
        id: id.to_string(),
    }
}
