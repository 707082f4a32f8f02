//! Putting frames at the end of the log, one after the other.
//!
//! There is room for a frame before it is encoded for its place and noted in the index of the active segment. Then it is
//! put: into the tail, or past a stage that it is too long for. Readers see it when it is as durable as was promised.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use ledger_core::{StreamName, Timestamp};
use smallvec::SmallVec;

use super::notes::Notes;
use super::plan::Scratch;
use super::writer::{Changed, Turn};
use crate::disk::write_all_at;
use crate::error::{Failure, Result};
use crate::fault::{Mistake, is_planted};
use crate::format::{FRAME_OVERHEAD_BYTES_MAX, FrameWriter, Position, Record};
use crate::log::shared::Scene;
use crate::log::streams::{SlotIndex, StreamState};
use crate::sync::RwLockWriteGuard;

// Room.
impl Turn<'_> {
    /// Sees to it that a frame of up to `bytes` can be put: in this segment, or at the start of the next.
    pub(in crate::log) fn make_room(&mut self, bytes: usize) -> Result<()> {
        let end = u64::from(self.writer.end) + bytes as u64 + SEAL_BYTES as u64;
        let is_full = end > self.shared.options.segment_bytes_max && !self.is_at_start();
        if is_full || self.writer.is_sealed || self.writer.is_index_full {
            self.roll()?;
        } else if 2 * end > self.shared.options.segment_bytes_max && !self.writer.has_asked_for_next
        {
            self.writer.has_asked_for_next = true;
            self.writer.wants_tidying = true;
        }
        if bytes > self.room().min(self.staged_bytes_max()) {
            self.empty_stage()?;
        }
        Ok(())
    }

    /// How many more bytes can be put before the stage must be emptied.
    pub(super) fn room(&self) -> usize {
        if self.shared.is_sync() {
            return usize::MAX;
        }
        let flushed = self.shared.flushed.load(Ordering::Acquire);
        let staged = self.writer.header.at(self.writer.end).as_u64() - flushed;
        self.shared.options.stage_bytes - staged as usize
    }

    /// Longer frames are written to the segment at once: that they lie in the stage first would only copy them.
    fn staged_bytes_max(&self) -> usize {
        match self.shared.is_sync() {
            true => usize::MAX,
            false => self.shared.options.stage_bytes / 4,
        }
    }
}

// Encoding.
impl Turn<'_> {
    /// Writes a frame: `encode` writes its records, and notes them in the index. There must be [room](Turn::make_room).
    pub(in crate::log) fn encode<T>(
        &mut self,
        now: Timestamp,
        encode: impl FnOnce(&mut FrameWriter<'_>, &mut Notes<'_>, &Scratch) -> T,
    ) -> T {
        let claim = self.shared.claim();
        let writer = &mut *self.writer;
        let mut active = writer
            .active
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let mut notes = Notes::begin(&mut active, self.shared.hasher, writer.end);
        writer.frame.clear();
        let mut frame =
            FrameWriter::begin(&mut writer.frame, &writer.header, writer.end, now, claim);
        let result = encode(&mut frame, &mut notes, &writer.scratch);
        frame.finish();
        writer.is_index_full |= active.is_full();
        result
    }

    /// Encodes a frame of records. There must be [room](Turn::make_room).
    pub(in crate::log) fn write_records(&mut self, now: Timestamp, records: &[Record<'_>]) {
        self.encode(now, |frame, notes, _| {
            for record in records {
                let offset = frame.push(record);
                notes
                    .record(offset, record)
                    .expect("a record that was just made is well formed");
            }
        });
    }
}

// Putting.
impl<'a> Turn<'a> {
    /// Puts the frame that was encoded at the end of the log. `changed` is what its streams are from now on.
    pub(in crate::log) fn put(&mut self, changed: Changed) -> Result<()> {
        let end = self.advance()?;
        let mut scene = self.lengthen(end);
        // Whoever comes to wait from here on sees what this changes.
        let are_followed = !self.shared.is_sync() && self.shared.followers.are_there();
        let mut followed = SmallVec::<[StreamName; 1]>::new();
        for (mut subject, state) in changed {
            let slot = subject.settle(&mut scene.streams, state);
            self.change(&mut scene, slot, state);
            if are_followed {
                followed.push(subject.name.clone());
            }
            self.writer.last = Some(subject);
        }
        drop(scene);
        for name in &followed {
            self.shared.followers.wake(name);
        }
        Ok(())
    }

    /// As [`put`](Turn::put), if the stream that was appended to last is the only one that changes.
    pub(super) fn put_on(&mut self, state: StreamState) -> Result<()> {
        let end = self.advance()?;
        let shared = self.shared;
        let mut scene = self.lengthen(end);
        let last = self.writer.last.as_mut();
        let last = last.expect("a stream was appended to, and nothing failed since");
        let slot = last.settle(&mut scene.streams, state);
        self.change(&mut scene, slot, state);
        let is_followed = !shared.is_sync() && shared.followers.are_there();
        drop(scene);
        if let Some(last) = self.writer.last.as_ref().filter(|_| is_followed) {
            shared.followers.wake(&last.name);
        }
        Ok(())
    }

    /// As [`put`](Turn::put), if `names` mean something else from then on. Nothing of their streams is under way.
    pub(in crate::log) fn put_renaming(&mut self, names: [&StreamName; 2]) -> Result<()> {
        let end = self.advance()?;
        let mut scene = self.lengthen(end);
        for name in names {
            scene.streams.remove(name);
        }
        drop(scene);
        self.writer.last = None;
        self.writer.recall = None;
        Ok(())
    }

    /// Goes to the end of the frame, which is then in the segment or fits into the tail.
    fn advance(&mut self) -> Result<Position> {
        let bytes = self.writer.frame.len();
        let end = self.writer.header.at(self.writer.end + bytes as u32);
        self.writer.end = end.offset();
        if self.shared.is_sync() {
            self.writer.group.join();
        } else if bytes > self.staged_bytes_max() {
            self.write_through(end)?;
        }
        Ok(end)
    }

    /// Adds the frame to what there is to see, or will be.
    fn lengthen(&self, end: Position) -> RwLockWriteGuard<'a, Scene> {
        let mut scene = self.shared.scene_mut();
        // What was written through is in the file already.
        if scene.tail.base() < end {
            scene.tail.push(&self.writer.frame);
        }
        scene.end = end;
        if !self.shared.is_sync() {
            scene.visible = end;
            self.shared.page.show(end);
        } else if is_planted(Mistake::VisibleBeforeDurable) {
            scene.visible = end;
        }
        scene
    }

    /// Makes a stream what it is from the end of the log on: for readers, too, as soon as they see that.
    fn change(&self, scene: &mut Scene, slot: SlotIndex, state: StreamState) {
        if !self.shared.is_sync() {
            return scene.streams.set(slot, state);
        }
        let end = scene.end;
        scene.streams.set_under_way(slot, state, end);
        if is_planted(Mistake::VisibleBeforeDurable) {
            scene.streams.publish(end, |_| {});
        }
    }

    /// Writes a frame past the stage, which is empty.
    fn write_through(&mut self, end: Position) -> Result<()> {
        let start = self.shared.scene().tail.base();
        let written = write_all_at(
            &*self.writer.file,
            &self.writer.frame,
            u64::from(start.offset()),
        );
        match written {
            Ok(()) => {
                self.stage_begins_at(end);
                Ok(())
            }
            Err(error) => {
                let failure = Failure::io(&self.file_name(), error);
                Err(self.cut_back(start, failure.into_error(&self.shared.place)))
            }
        }
    }

    /// Writes records as one commit, and answers when it is as durable as was promised.
    pub(in crate::log) fn commit(
        &mut self,
        now: Timestamp,
        records: &[Record<'_>],
        changed: Changed,
    ) -> Result<()> {
        let bytes: usize = records.iter().map(record_bytes_max).sum();
        self.make_room(FRAME_OVERHEAD_BYTES_MAX + bytes)?;
        self.write_records(now, records);
        self.put(changed)?;
        self.drain()
    }
}

/// The most bytes of the frame that ends a segment.
pub(super) const SEAL_BYTES: usize = crate::format::FRAME_OVERHEAD_BYTES_MAX + 2;

/// The most bytes that a record takes in a frame. Appends have their own reckoning.
pub(in crate::log) fn record_bytes_max(record: &Record<'_>) -> usize {
    RECORD_OVERHEAD_BYTES_MAX
        + match record {
            Record::Name { name, .. } => name.len(),
            Record::Rename { from, to, .. } => from.len() + to.len(),
            Record::Purge { ids, .. } => ids.0.len(),
            Record::Mark(mark) => mark.tags.0.len() + mark.annotations.0.len(),
            Record::Checkpoint(saved) => saved.name.len() + saved.value.map_or(0, <[u8]>::len),
            Record::Append(_) | Record::Removals { .. } | Record::State { .. } | Record::Seal => 0,
        }
}

/// Tag, length, and the numbers of any record.
const RECORD_OVERHEAD_BYTES_MAX: usize = 64;
