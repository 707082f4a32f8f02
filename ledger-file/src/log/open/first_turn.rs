//! What only the one who writes needs: made ready for the first turn to write, or whatever else is the first to make a
//! file. An opening that is only read from does without, and is quicker.

use std::sync::PoisonError;

use super::creation::remove_strangers;
use crate::disk::Patience;
use crate::error::{Failure, Result};
use crate::fault::{Mistake, is_planted};
use crate::format::FileName;
use crate::log::shared::Shared;
use crate::log::write::writer::Turn;

impl Shared {
    /// Removes the files that the manifest does not name, once for each opening; after a crash that was done by the opening
    /// itself.
    ///
    /// Whoever makes a file that is named later calls this before.
    pub(in crate::log) fn sweep(&self) -> Result<()> {
        let mut is_swept = self.is_swept.lock().unwrap_or_else(PoisonError::into_inner);
        if !*is_swept {
            remove_strangers(&*self.disk, &self.keeper().manifest)?;
            *is_swept = true;
        }
        Ok(())
    }
}

impl Turn<'_> {
    /// Makes ready what the first turn needs.
    ///
    /// # Errors
    /// Those of the files: the next turn is the first one then. With [`Patience::Now`] the wish to be asked again.
    pub(in crate::log) fn begin(&mut self) -> Result<()> {
        if self.patience == Patience::Now {
            return Err(Failure::WouldBlock);
        }
        self.shared.sweep()?;
        if !self.shared.is_sync() {
            self.begin_to_stage()?;
        }
        self.writer.has_begun = true;
        Ok(())
    }

    fn begin_to_stage(&mut self) -> Result<()> {
        let page = &self.shared.page;
        let mut scene = self.shared.scene_mut();
        if scene.tail.is_stage_used() && !is_planted(Mistake::StageKeptAfterCut) {
            // An older slot may have been lost, and these frames would be valid again behind a new one.
            let cleared = scene.tail.clear_stage(page);
            cleared.map_err(|error| Failure::io(&FileName::Stage.to_string(), error))?;
        }
        page.switch(scene.tail.base());
        scene.tail.begin_to_stage();
        Ok(())
    }
}
