//! Syncing on request, and closing.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::read::segment::SegmentName;
use super::shared::Shared;
use super::write::writer::Turn;
use crate::disk::{Patience, failure};
use crate::error::{Failure, Result};
use crate::fault::{Mistake, is_planted};

impl Shared {
    /// Makes everything that was committed so far survive the loss of power.
    pub(super) fn sync(&self) -> Result<()> {
        let mut turn = self.turn(Patience::Wait)?;
        turn.sync()
    }

    /// Finishes what was begun, leaves the log as it is quickest to open, and lets it go. Who only reads has nothing to finish.
    pub(super) fn close(&self) -> Result<()> {
        if self.is_closed.swap(true, Ordering::AcqRel) {
            return Err(ledger_core::Error::Closed.into());
        }
        self.signal.end();
        self.followers.wake_all();
        let finished = match self.follower {
            Some(_) => Ok(()),
            None => self.finish_all(),
        };
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        drop(lock.take());
        finished
    }

    fn finish_all(&self) -> Result<()> {
        let _alone = self.tidying.lock().unwrap_or_else(PoisonError::into_inner);
        let mut turn = self.turn_at_any_price(Patience::Wait)?;
        if !is_planted(Mistake::FlushNotWaitedFor) {
            // Also when nothing else can be finished: another process may write next.
            turn.wait_for_flush();
        }
        turn.check_sound()?;
        turn.drain()?;
        if turn.writer.is_sealed {
            turn.roll()?;
        }
        turn.sync()?;
        self.settle_sealed()?;
        turn.settle_active()?;
        if turn.writer.has_begun {
            // So the next opening sees at once that nothing is left in the stage.
            self.scene_mut().tail.zero_stage();
        }
        self.keep_streams();
        Ok(())
    }
}

impl Turn<'_> {
    /// Refuses to go on after a failure that nobody has set right, or can.
    fn check_sound(&mut self) -> Result<()> {
        if self.shared.is_broken.load(Ordering::Acquire) {
            self.mend()?;
        }
        self.shared.check_sound()
    }

    /// Leaves the active segment without anything behind its end, and with an index of all of it: so the next opening
    /// has nothing to read. A segment that was made ready goes.
    fn settle_active(&mut self) -> Result<()> {
        let shared = self.shared;
        let (number, end) = (self.writer.header.segment, self.writer.end);
        let mut keeper = shared.keeper();
        let next = keeper.next.take().map(|next| next.header);
        let is_written = end > self.writer.indexed_from;
        self.cut_off_behind(end)?;
        if !is_written && next.is_none() {
            return Ok(());
        }
        let picture = Arc::clone(&shared.scene().picture);
        let part = picture.part(number).filter(|_| is_written);
        let indexed = part
            .map(|part| shared.index_active(part, end))
            .transpose()?;
        keeper.save(shared, |manifest| {
            if let Some(next) = &next {
                manifest
                    .segments
                    .retain(|meta| meta.segment != next.segment);
            }
            let mut segments = manifest.segments.iter_mut();
            let meta = segments.find(|meta| meta.segment == number);
            if let (Some(meta), Some(indexed)) = (meta, &indexed) {
                meta.layers.clone_from(&indexed.layers);
                manifest.streams = manifest.streams.max(indexed.highest_stream);
            }
        })?;
        if let (Some(part), Some(indexed)) = (part, &indexed) {
            shared.remove_replaced_indexes(part, &indexed.part)?;
        }
        next.map_or(Ok(()), |next| {
            shared.remove_file(&SegmentName::of(&next).file_name())
        })
    }

    fn cut_off_behind(&self, end: u32) -> Result<()> {
        let file = &self.writer.file;
        let failed = |error| Failure::io(&self.file_name(), error);
        if file.len().map_err(failed)? > u64::from(end) {
            file.truncate(end.into()).map_err(failed)?;
            file.sync_all().map_err(failed)?;
        }
        Ok(())
    }

    /// Makes everything that was committed so far survive the loss of power.
    fn sync(&mut self) -> Result<()> {
        if self.shared.is_sync() {
            return self.drain();
        }
        self.empty_stage()?;
        self.sync_sealed()?;
        let end = self.writer.header.at(self.writer.end);
        if self.shared.durable.load(Ordering::Acquire) >= end.as_u64() {
            return Ok(());
        }
        self.writer
            .file
            .sync_data()
            .map_err(|error| self.shared.poison(failure(&*self.file_name(), error)))?;
        self.shared.note_durable(end);
        Ok(())
    }

    /// Full segments may not have been synced yet; they come before the active one.
    fn sync_sealed(&mut self) -> Result<()> {
        let sealed = self.shared.keeper().sealed.clone();
        let picture = Arc::clone(&self.shared.scene().picture);
        for sealed in sealed {
            let end = crate::format::Position::new(sealed.number, sealed.bytes);
            if self.shared.durable.load(Ordering::Acquire) >= end.as_u64() {
                continue;
            }
            let segment = picture.segment_of(end)?;
            segment
                .file()
                .sync_data()
                .map_err(|error| self.shared.poison(failure(&*segment.file_name(), error)))?;
            self.shared.note_durable(end);
        }
        Ok(())
    }
}
