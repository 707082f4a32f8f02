//! What a reader has synced of what a killed writer left, so that no loss of power takes back what it shows.

use std::io;
use std::sync::Arc;

use ledger_core::Error;

use super::followed::Followed;
use crate::error::{Failure, Result};
use crate::fault::{Mistake, is_planted};
use crate::format::Position;
use crate::log::read::segment::Segment;
use crate::log::shared::Shared;

/// How far a reader's own syncs have got.
#[derive(Debug)]
pub(super) struct Kept {
    durable: Position,
    /// Whether one of them has failed. Another one would prove nothing (rule 7).
    pub(super) has_failed: bool,
}

impl Kept {
    pub(super) fn new() -> Self {
        Self {
            durable: Position::ZERO,
            has_failed: false,
        }
    }

    /// Syncs what the last writer left in the segment files of `parts` up to `end`, behind what it had `told`: that may not have been
    /// synced.
    pub(super) fn keep(
        &mut self,
        shared: &Shared,
        parts: &[Followed],
        end: Position,
        told: Option<Position>,
    ) -> Result<()> {
        let durable = told.map_or(self.durable, |told| told.max(self.durable));
        if end <= durable || is_planted(Mistake::LeftNotSynced) {
            return Ok(());
        }
        if self.has_failed {
            return Err(not_durable(shared));
        }
        // What the manifest lists as full was synced before it did.
        let grown = parts.iter().filter(|it| it.meta.sealed_bytes.is_none());
        grown
            .map(|it| &it.part.segment)
            .try_for_each(|segment| self.sync(segment))?;
        self.durable = end;
        Ok(())
    }

    fn sync(&mut self, segment: &Arc<Segment>) -> Result<()> {
        match segment.file().sync_data() {
            // Nothing was ever left to be written where nothing can be.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(()),
            synced => synced.map_err(|error| {
                self.has_failed = !is_planted(Mistake::ReadersSyncRetried);
                Failure::io(&segment.file_name(), error)
            }),
        }
    }
}

/// What who has nothing to show is told if a sync of what a writer left has failed: another one would prove nothing.
pub(super) fn not_durable(shared: &Shared) -> Failure {
    Failure::Error(Error::Poisoned {
        place: shared.place.clone(),
        source: "a sync failed, which only opening it for writing makes good".into(),
    })
}
