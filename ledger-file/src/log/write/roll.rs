//! Going on in the next segment.

use std::sync::{Arc, PoisonError};

use super::writer::{Changed, Turn};
use crate::disk::Patience;
use crate::error::{Failure, Result};
use crate::format::Record;
use crate::index::{Layer, Origin};
use crate::log::keeper::{Prepared, Sealed};
use crate::log::open::recovery::FIRST_FRAME;
use crate::log::read::picture::Part;
use crate::log::read::segment::Segment;
use crate::sync::RwLock;

impl Turn<'_> {
    /// Seals the active segment, and goes on in the next.
    ///
    /// # Errors
    /// Nothing has changed, except that an attempt to seal may have failed what was under way.
    pub(in crate::log) fn roll(&mut self) -> Result<()> {
        if self.patience == Patience::Now {
            return Err(Failure::WouldBlock);
        }
        self.shared.prepare_next()?;
        if !self.writer.is_sealed {
            self.seal()?;
        }
        self.flush_sealed()?;
        let next = self.shared.keeper().next.take();
        let next = next.expect("the next segment was just prepared, and only a turn takes it");
        self.go_on_in(next);
        self.writer.wants_tidying = true;
        self.writer.has_asked_for_next = false;
        Ok(())
    }

    /// Ends the active segment with a frame that says so. Nothing may come behind it, also if the flush fails.
    fn seal(&mut self) -> Result<()> {
        if self.room() < super::put::SEAL_BYTES {
            self.empty_stage()?;
        }
        let now = self.shared.now();
        self.write_records(now, &[Record::Seal]);
        self.put(Changed::new())?;
        self.writer.is_sealed = true;
        Ok(())
    }

    /// Gets everything in the active segment to its file.
    fn flush_sealed(&mut self) -> Result<()> {
        match self.shared.is_sync() {
            true => self.drain(),
            false => self.empty_stage(),
        }
    }

    fn go_on_in(&mut self, next: Prepared) {
        let sealed = Sealed {
            number: self.writer.header.segment,
            bytes: self.writer.end,
        };
        self.shared.keeper().sealed.push(sealed);
        let origin = Origin {
            log_id: next.header.log_id,
            segment: next.header.segment,
            generation: next.header.generation,
            from: FIRST_FRAME,
        };
        let full = self.writer.active.read();
        let active = full.unwrap_or_else(PoisonError::into_inner).next(origin);
        let active = Arc::new(RwLock::new(active));
        let writer = &mut *self.writer;
        writer.header = next.header;
        writer.file = Arc::clone(&next.file);
        writer.end = FIRST_FRAME;
        writer.is_sealed = false;
        writer.is_index_full = false;
        writer.active = Arc::clone(&active);
        writer.indexed_from = FIRST_FRAME;
        let segment = Arc::new(Segment::made(next.header, next.file));
        let start = writer.header.at(writer.end);
        let mut scene = self.shared.scene_mut();
        scene.picture = Arc::new(scene.picture.with_next(Part {
            segment,
            layers: vec![Layer::Memory(active)],
        }));
        scene.end = start;
        scene.visible = start;
        drop(scene);
        self.stage_begins_at(start);
        self.shared.page.show(start);
    }
}
