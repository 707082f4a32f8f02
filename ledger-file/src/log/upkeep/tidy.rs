//! What can be done later: full segments are listed as such and get their index files, and the next one is made; dead
//! ones go, indexes of full ones are merged, and full ones are packed.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use crate::disk::failure;
use crate::error::{Failure, Result};
use crate::fault::{Mistake, is_planted};
use crate::format::Position;
use crate::log::keeper::Sealed;
use crate::log::read::segment::Segment;
use crate::log::shared::Shared;
use crate::sync::MutexGuard;

impl Shared {
    /// The right to tidy up. Nobody gets it any more once the log is closed: another process may write then.
    ///
    /// # Errors
    /// `Closed`.
    pub(super) fn alone(&self) -> Result<MutexGuard<'_, ()>> {
        let alone = self.tidying.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_planted(Mistake::TidiedWhenClosed) {
            self.check_open()?;
        }
        Ok(alone)
    }

    /// Does what can be done later.
    ///
    /// # Errors
    /// What was not done is done the next time; nothing, if the log is poisoned.
    pub(in crate::log) fn tidy(&self) -> Result<()> {
        self.check_writes()?;
        while self.tidy_some()? {}
        Ok(())
    }

    /// Does of it what is urgent, and merges the indexes of one group, or packs one segment, at the most. Tells whether
    /// there may be more of that.
    pub(super) fn tidy_some(&self) -> Result<bool> {
        let _alone = self.alone()?;
        self.sweep()?;
        // There may be no room for another one, and then what follows makes some.
        let prepared = self.prepare_next();
        self.settle_sealed()?;
        if self.has_trimmed.swap(false, Ordering::AcqRel) {
            let dropped = self.drop_dead();
            dropped.inspect_err(|_| self.has_trimmed.store(true, Ordering::Release))?;
        }
        // Nor for a merged index, which can be done without; to pack may make room for it.
        let merged = self.merge_next();
        if matches!(merged, Ok(true)) || self.pack_next()? {
            return Ok(true);
        }
        merged.and(prepared).map(|()| false)
    }

    /// Settles all segments that are full. Whoever calls this holds the right to tidy up.
    ///
    /// # Errors
    /// `Poisoned`, also from the next call on: a sync that failed is not tried again (rule 7).
    pub(in crate::log) fn settle_sealed(&self) -> Result<()> {
        loop {
            self.check_sound()?;
            let Some(sealed) = self.keeper().sealed.first().copied() else {
                return Ok(());
            };
            self.settle(sealed)?;
        }
    }

    /// Makes a full segment durable, writes its index, and lists it as full.
    fn settle(&self, sealed: Sealed) -> Result<()> {
        let picture = Arc::clone(&self.scene().picture);
        let Some(part) = picture.part(sealed.number) else {
            self.keeper().sealed.remove(0);
            return Ok(());
        };
        self.sync_settled(&part.segment, sealed)?;
        part.segment.note_full(sealed.bytes);
        self.note_durable(Position::new(sealed.number, sealed.bytes));
        let indexed = self.index_all(part, sealed.bytes)?;
        let mut keeper = self.keeper();
        keeper.save(self, |manifest| {
            manifest.streams = manifest.streams.max(indexed.highest_stream);
            let mut segments = manifest.segments.iter_mut();
            if let Some(meta) = segments.find(|meta| meta.segment == sealed.number) {
                meta.sealed_bytes = Some(sealed.bytes);
                meta.synced = true;
                meta.layers = indexed.layers;
            }
        })?;
        keeper.sealed.remove(0);
        drop(keeper);
        let mut scene = self.scene_mut();
        scene.picture = Arc::new(scene.picture.with_replaced(&indexed.part));
        Ok(())
    }

    fn sync_settled(&self, segment: &Segment, sealed: Sealed) -> Result<()> {
        let (file, name) = (segment.file(), segment.file_name());
        let cut = file.truncate(sealed.bytes.into());
        cut.map_err(|error| Failure::io(&name, error))?;
        if is_planted(Mistake::SealedNotSynced) {
            return Ok(());
        }
        let synced = file.sync_all();
        synced.map_err(|error| match is_planted(Mistake::SealedSyncRetried) {
            true => Failure::io(&name, error),
            false => self.poison(failure(&*name, error)),
        })
    }
}
