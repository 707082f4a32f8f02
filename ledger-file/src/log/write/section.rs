//! What a frame holds of one stream: its name, if that is new, what is purged for it, and its entries.

use ledger_core::{Outcome, Timestamp};

use super::append::AsRecord;
use super::notes::Notes;
use super::plan::Plan;
use crate::fault::{Mistake, is_planted};
use crate::format::{AppendHead, Compressed, FrameWriter, Ids, NewRecord, Record};
use crate::index::EntryKeys;
use crate::log::streams::StreamState;
use crate::options::Compression;

/// Writes what was decided for one stream after the other.
#[derive(Debug)]
pub(super) struct Section<'s, 'f, 'n> {
    pub(super) frame: &'s mut FrameWriter<'f>,
    pub(super) notes: &'s mut Notes<'n>,
    pub(super) now: Timestamp,
    pub(super) compression: Compression,
}

impl Section<'_, '_, '_> {
    /// Writes what is new to a stream, and tells what the stream is from now on.
    pub(super) fn write<R: AsRecord>(
        &mut self,
        records: &[R],
        outcomes: &[Outcome<u64>],
        keys: &[EntryKeys],
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
        self.entries(records, outcomes, keys, plan.appended, &mut state);
        state
    }

    /// Writes the entries of a stream that are new, `appended` of them.
    #[inline]
    pub(super) fn entries<R: AsRecord>(
        &mut self,
        records: &[R],
        outcomes: &[Outcome<u64>],
        keys: &[EntryKeys],
        appended: u64,
        state: &mut StreamState,
    ) {
        state.recorded_at = match is_planted(Mistake::ClockTrusted) {
            true => self.now,
            false => state.recorded_at.max(self.now),
        };
        let head = AppendHead {
            stream: state.number,
            first_id: state.head + 1,
            bytes_before: state.bytes_appended,
            recorded_at: state.recorded_at,
            has_removals: state.has_removals,
        };
        let record = self.frame.offset();
        self.notes.run(record, head.stream, head.first_id);
        state.head += appended;
        state.bytes_appended += match (records, appended, self.compression) {
            ([record], 1, Compression::Off) => self.one(&head, &record.as_record(), keys),
            _ => self.many(&head, records, outcomes, keys),
        };
    }

    fn record(&mut self, record: &Record<'_>) {
        let offset = self.frame.push(record);
        self.notes
            .record(offset, record)
            .expect("a record that was just made is well formed");
    }

    #[cold]
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

    /// Appends an entry that stands alone, and tells how many bytes of payload that is.
    #[inline]
    fn one(&mut self, head: &AppendHead, record: &NewRecord<'_>, keys: &[EntryKeys]) -> u64 {
        let offset = self.frame.append_one(head, record);
        self.notes
            .entry(offset, keys.first().copied().unwrap_or_default());
        record.payload.len() as u64
    }

    /// Appends those that are no duplicates, and tells how many bytes of payload that is.
    fn many<R: AsRecord>(
        &mut self,
        head: &AppendHead,
        records: &[R],
        outcomes: &[Outcome<u64>],
        keys: &[EntryKeys],
    ) -> u64 {
        let mut bytes = 0;
        self.note_keys(outcomes, keys);
        let mut section = self.frame.append_many(head);
        for (record, outcome) in records.iter().zip(outcomes) {
            if outcome.is_duplicate() {
                continue;
            }
            let record = record.as_record();
            let offset = match compressed(self.compression, &record) {
                Some(block) => section.push_compressed(&record, &block),
                None => section.push(&record),
            };
            self.notes.offset(offset);
            bytes += record.payload.len() as u64;
        }
        section.finish();
        bytes
    }

    /// Notes the keys of those that are no duplicates.
    fn note_keys(&mut self, outcomes: &[Outcome<u64>], keys: &[EntryKeys]) {
        if !keys.is_empty() && outcomes.iter().any(|outcome| outcome.is_duplicate()) {
            let both = keys.iter().zip(outcomes);
            let new = both.filter(|(_, outcome)| !outcome.is_duplicate());
            let new: Vec<EntryKeys> = new.map(|(keys, _)| *keys).collect();
            return self.notes.keys_of(&new);
        }
        self.notes.keys_of(keys);
    }
}

#[inline]
fn compressed(compression: Compression, record: &NewRecord<'_>) -> Option<Compressed> {
    match compression {
        Compression::Off => None,
        Compression::Lz4 => Compressed::lz4(record.payload),
    }
}
