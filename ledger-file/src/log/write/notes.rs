//! Noting in an index what a frame holds: the same for frames that are being written and for those that are read again.

use crate::error::Result;
use crate::fault::{Mistake, is_planted};
use crate::format::{Append, EntryRef, Frame, Malformed, Record, StreamNumber};
use crate::index::{ActiveIndex, Change, EntryKeys, KeyHasher};

/// The notes about one frame.
#[derive(Debug)]
pub(in crate::log) struct Notes<'a> {
    index: &'a mut ActiveIndex,
    hasher: KeyHasher,
    /// Where the frame begins.
    frame: u32,
}

impl<'a> Notes<'a> {
    /// Begins the notes about the frame at `frame`.
    pub(super) fn begin(index: &'a mut ActiveIndex, hasher: KeyHasher, frame: u32) -> Self {
        index.push_frame(frame);
        Self {
            index,
            hasher,
            frame,
        }
    }

    /// Notes all that `frame` holds.
    pub(in crate::log) fn frame(
        index: &mut ActiveIndex,
        hasher: KeyHasher,
        frame: &Frame<'_>,
    ) -> Result<(), Malformed> {
        let mut notes = Notes::begin(index, hasher, frame.position().offset());
        for record in frame.records() {
            let (offset, record) = record?;
            if matches!(record, Record::Removals { .. }) && is_planted(Mistake::RemovalsNotRebuilt)
            {
                continue;
            }
            notes.record(offset, &record)?;
        }
        Ok(())
    }

    /// Says that the entries noted next are those of `stream` from `first_id` on, in the record at `offset` of the frame.
    #[inline]
    pub(super) fn run(&mut self, offset: u32, stream: StreamNumber, first_id: u64) {
        self.index.push_run(stream, first_id, self.frame + offset);
    }

    /// Notes the keys of entries whose [offsets](Notes::offset) are noted next.
    pub(super) fn keys_of(&mut self, keys: &[EntryKeys]) {
        self.index.push_keys(keys);
    }

    /// Notes the entry at `offset` of the frame; its keys were noted if it has any.
    #[inline]
    pub(super) fn offset(&mut self, offset: u32) {
        self.index.push_offset(self.frame + offset);
    }

    /// Notes the entry at `offset` of the frame.
    #[inline]
    pub(super) fn entry(&mut self, offset: u32, keys: EntryKeys) {
        self.index.push_entry(self.frame + offset, keys);
    }

    /// Notes the record at `offset` of the frame.
    pub(super) fn record(&mut self, offset: u32, record: &Record<'_>) -> Result<(), Malformed> {
        let (index, hasher, at) = (&mut *self.index, self.hasher, self.frame + offset);
        match *record {
            Record::Append(ref append) => self.append(offset, append)?,
            Record::Name { stream, name } => {
                index.push_name(hasher.name(name), name, stream, at);
            }
            Record::Rename { stream, from, to } => {
                index.push_freed_name(hasher.name(from), at);
                if !to.is_empty() {
                    index.push_name(hasher.name(to), to, stream, at);
                }
            }
            Record::Removals { stream, .. } => index.push_change(stream, Change::Removals, at),
            Record::Purge { stream, ids } => {
                for id in ids.iter() {
                    index.push_change(stream, Change::Purge(id?), at);
                }
            }
            Record::Mark(mark) => index.push_change(mark.stream, Change::Mark(mark.id), at),
            Record::Checkpoint(saved) => {
                let hash = hasher.checkpoint(saved.stream, saved.name);
                index.push_checkpoint(hash, saved.stream, saved.name, at);
            }
            Record::State { stream, .. } => index.push_change(stream, Change::State, at),
            Record::Seal => {}
        }
        Ok(())
    }

    fn append(&mut self, offset: u32, append: &Append<'_>) -> Result<(), Malformed> {
        let stream = append.head.stream;
        self.run(offset, stream, append.head.first_id);
        for entry in append.entries() {
            let (offset, entry) = entry?;
            let keys = self.keys(stream, &entry)?;
            self.entry(offset, keys);
        }
        Ok(())
    }

    fn keys(&self, stream: StreamNumber, entry: &EntryRef<'_>) -> Result<EntryKeys, Malformed> {
        if entry.is_plain() {
            return Ok(EntryKeys::default());
        }
        let fields = entry.fields()?;
        let dedup_key = fields.dedup_key.filter(|key| !key.is_empty());
        let dedup_key = dedup_key.filter(|_| !is_planted(Mistake::DedupNotRebuilt));
        Ok(EntryKeys {
            dedup: dedup_key.map(|key| self.hasher.dedup_key(stream, key)),
            order: fields
                .order_key
                .map(|key| self.hasher.order_key(stream, key)),
            expires: fields.expires_at.is_some(),
        })
    }
}
