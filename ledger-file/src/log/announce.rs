//! Asking for all that will be read next, before the first of it is waited for.

use std::hint::black_box;

use smallvec::SmallVec;

use super::segment::Segment;
use super::view::View;
use crate::disk::Patience;
use crate::error::Result;
use crate::format::Position;

/// The frames that some places are in, as far as they were looked for.
pub(super) type Frames = SmallVec<[Option<Position>; 16]>;

impl View<'_> {
    /// Says that what lies at `positions` will be read, one after the other, and tells in which frames it lies. Frames that
    /// were not found to be right yet are read whole, and the disk is asked for all of these together; of the others, what
    /// will be looked at is loaded into the processor's cache, also together.
    pub(super) fn announce(&self, positions: impl Iterator<Item = Position>) -> Result<Frames> {
        let mut frames = Frames::new();
        if self.patience != Patience::Wait || !self.shared.options.mapped_reads {
            return Ok(frames);
        }
        let (mut last, mut glances) = (None, SmallVec::<[&u8; 32]>::new());
        for position in positions {
            let frame = self.look().frame(position)?;
            frames.push(frame);
            let Some(first) = frame else { continue };
            let segment = self.picture.segment_of(first)?;
            if segment.checked().has_large_frame(first.offset()) {
                glances.extend(self.byte(segment, first));
                glances.extend(self.byte(segment, position));
            } else if last.replace(first) != Some(first)
                && let Some((_, end)) = self.look().frame_and_end(position)?
            {
                self.announce_range(segment, first.offset()..end);
            }
        }
        black_box(glances.into_iter().fold(0, |seen, byte| seen ^ byte));
        Ok(frames)
    }

    /// The byte at a place in a frame that was found to be right, if it lies in memory.
    fn byte<'s>(&self, segment: &'s Segment, at: Position) -> Option<&'s u8> {
        let byte = self.settled_range(segment, at.offset()..at.offset() + 1);
        byte?.first()
    }
}
