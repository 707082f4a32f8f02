//! Appending: what becomes of each entry is decided first, for all streams, and then one frame is written.

use std::borrow::Cow;

use ledger_core::{Batch, Condition, NewEntry, StreamName, Timestamp};

use super::plan::{Plans, Scratch};
use super::section::Section;
use super::writer::{Changed, Turn};
use crate::error::Result;
use crate::format::{APPEND_OVERHEAD_BYTES_MAX, FRAME_OVERHEAD_BYTES_MAX, NewRecord};

/// What can be appended: owned entries, or records that borrow.
pub(in crate::log) trait AsRecord {
    /// The record. One that is there is not copied: in a loop over many that takes as long as what the loop is for.
    fn as_record(&self) -> Cow<'_, NewRecord<'_>>;
}

impl AsRecord for NewRecord<'_> {
    #[inline]
    fn as_record(&self) -> Cow<'_, NewRecord<'_>> {
        Cow::Borrowed(self)
    }
}

impl AsRecord for NewEntry {
    #[inline]
    fn as_record(&self) -> Cow<'_, NewRecord<'_>> {
        Cow::Owned(self.into())
    }
}

/// What is to be appended to one stream.
#[derive(Clone, Copy, Debug)]
pub(in crate::log) struct Wanted<'a, R> {
    pub(in crate::log) stream: &'a StreamName,
    pub(in crate::log) records: &'a [R],
    pub(in crate::log) condition: Option<&'a Condition<u64>>,
}

impl<'a> Wanted<'a, NewEntry> {
    pub(in crate::log) fn of(batch: &'a Batch<u64>) -> Self {
        Self {
            stream: &batch.stream,
            records: &batch.entries,
            condition: batch.condition.as_ref(),
        }
    }
}

/// A purge takes its ids, and a removals record that says how many bytes there are less.
const PURGE_OVERHEAD_BYTES_MAX: usize = 64;

impl Turn<'_> {
    /// Appends to streams as one commit. What became of each record is in the scratch outcomes, in order.
    ///
    /// # Errors
    /// `Conflict`, and then nothing was written; or what the look-ups and the disk run into.
    pub(in crate::log) fn append<R: AsRecord>(
        &mut self,
        batches: &[Wanted<'_, R>],
        now: Timestamp,
    ) -> Result<()> {
        let entries = batches.iter().map(|batch| batch.records.len());
        self.writer.scratch.begin(entries.sum());
        if let [batch] = batches
            && self.goes_on(batch, now)?
        {
            return self.append_on(batch, now);
        }
        self.writer.scratch.clear();
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

    /// Appends a batch that [goes on](Turn::goes_on).
    fn append_on<R: AsRecord>(&mut self, batch: &Wanted<'_, R>, now: Timestamp) -> Result<()> {
        self.make_room(FRAME_OVERHEAD_BYTES_MAX + section_bytes_max(batch))?;
        let last = self.last(batch.stream);
        let mut state = last.expect("a batch that goes on has its stream").state;
        let compression = self.shared.options.compression;
        self.encode(now, |frame, notes, Scratch { outcomes, keys, .. }| {
            let appended = outcomes.len() as u64;
            let mut section = Section {
                frame,
                notes,
                now,
                compression,
            };
            section.entries(batch.records, outcomes, keys, appended, &mut state);
        });
        self.put_on(state)
    }

    /// Writes one frame with everything that is new, and tells what the streams are from now on.
    fn write<R: AsRecord>(
        &mut self,
        batches: &[Wanted<'_, R>],
        plans: Plans,
        now: Timestamp,
    ) -> Changed {
        let compression = self.shared.options.compression;
        let changed = self.encode(now, |frame, notes, scratch| {
            let mut changed = Changed::new();
            let mut section = Section {
                frame,
                notes,
                now,
                compression,
            };
            for (batch, plan) in batches.iter().zip(plans) {
                if plan.appended > 0 {
                    let outcomes = &scratch.outcomes[plan.outcomes..][..batch.records.len()];
                    let keys = &scratch.keys[plan.keys.clone()];
                    let state = section.write(batch.records, outcomes, keys, &plan);
                    changed.push((plan.subject, state));
                }
            }
            changed
        });
        let highest = changed.iter().map(|(_, state)| state.number.0).max();
        self.writer.streams = self.writer.streams.max(highest.unwrap_or(0));
        changed
    }
}

/// The most bytes that the frame for the plans can take.
fn bytes_max<R: AsRecord>(batches: &[Wanted<'_, R>], plans: &Plans) -> usize {
    let sections = batches.iter().zip(plans).map(|(batch, plan)| {
        let name = APPEND_OVERHEAD_BYTES_MAX + batch.stream.as_str().len();
        let purges = PURGE_OVERHEAD_BYTES_MAX * (plan.expired.len() + 1);
        name + purges + section_bytes_max(batch)
    });
    FRAME_OVERHEAD_BYTES_MAX + sections.sum::<usize>()
}

/// The most bytes that the entries of a batch can take.
fn section_bytes_max<R: AsRecord>(batch: &Wanted<'_, R>) -> usize {
    let records = batch.records.iter().map(AsRecord::as_record);
    let records = records.map(|record| record.encoded_bytes_max());
    APPEND_OVERHEAD_BYTES_MAX + records.sum::<usize>()
}
