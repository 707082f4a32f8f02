//! What can be done later: full segments are listed as such and get their index files, and the next one is made.

use std::sync::{Arc, PoisonError};

use super::keeper::Sealed;
use super::picture::Part;
use super::segment::SegmentName;
use super::shared::Shared;
use crate::disk::Disk;
use crate::error::{Failure, Result};
use crate::fault::{Mistake, is_planted};
use crate::format::{Position, SegmentMeta};
use crate::index::Layer;

use super::recovery::FIRST_FRAME;

impl Shared {
    /// Does what can be done later.
    ///
    /// # Errors
    /// What was not done is done the next time.
    pub(super) fn tidy(&self) -> Result<()> {
        let _alone = self.tidying.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(sealed) = self.next_sealed() {
            self.settle(sealed)?;
        }
        self.prepare_next()
    }

    fn next_sealed(&self) -> Option<Sealed> {
        self.keeper().sealed.first().copied()
    }

    /// Makes a full segment durable, writes its index, and lists it as full.
    fn settle(&self, sealed: Sealed) -> Result<()> {
        let picture = Arc::clone(&self.scene().picture);
        let Some(part) = picture.part(sealed.number) else {
            self.keeper().sealed.remove(0);
            return Ok(());
        };
        let file = part.segment.file();
        let synced = file.truncate(sealed.bytes.into()).and_then(|()| {
            match is_planted(Mistake::SealedNotSynced) {
                true => Ok(()),
                false => file.sync_all(),
            }
        });
        synced.map_err(|error| Failure::io(&part.segment.file_name(), error))?;
        self.note_durable(Position::new(sealed.number, sealed.bytes));
        let mut keeper = self.keeper();
        keeper.save(self, |manifest| {
            let mut segments = manifest.segments.iter_mut();
            if let Some(meta) = segments.find(|meta| meta.segment == sealed.number) {
                meta.sealed_bytes = Some(sealed.bytes);
                meta.synced = true;
            }
        })?;
        keeper.sealed.remove(0);
        Ok(())
    }
}

/// Opens the index files of a segment, and tells up to where they know what is there.
pub(super) fn open_layers(
    _disk: &dyn Disk,
    _name: SegmentName,
    _meta: &SegmentMeta,
) -> (Vec<Layer>, u32) {
    (Vec::new(), FIRST_FRAME)
}

/// A part whose indexes are others.
pub(super) fn with_layers(part: &Part, layers: Vec<Layer>) -> Part {
    Part {
        segment: Arc::clone(&part.segment),
        layers,
    }
}

impl Shared {
    /// Has it done what can be done later: at once, if there is no thread for it.
    pub(super) fn tidy_up(&self) {
        if let Err(failure) = self.tidy() {
            let error = failure.into_error(&self.place);
            tracing::warn!(%error, "tidying up is put off");
        }
    }
}
