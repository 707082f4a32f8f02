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
    /// will be looked at is loaded into the processor's cache, also together. What is read alone is better just read.
    pub(super) fn announce(
        &self,
        positions: impl ExactSizeIterator<Item = Position>,
    ) -> Result<Frames> {
        let mut frames = Frames::new();
        let is_wanted = self.patience == Patience::Wait && self.shared.options.mapped_reads;
        if positions.len() < 2 || !is_wanted {
            frames.resize(positions.len(), None);
            return Ok(frames);
        }
        let (mut last, mut glances) = (None, SmallVec::<[&u8; 32]>::new());
        let mut asking = Asking::default();
        for position in positions {
            let frame = self.look().frame_and_end(position)?;
            frames.push(frame.map(|(first, _)| first));
            let Some((first, end)) = frame else { continue };
            let segment = self.picture.segment_of(first)?;
            if segment.checked().has_large_frame(first.offset()) {
                glances.extend(self.byte(segment, first));
                glances.extend(self.byte(segment, position));
            } else if last.replace(first) != Some(first)
                && let Some(end) = end
                && asking.of_next(|| self.announce_range(segment, first.offset()..end))
            {
                glances.extend(self.byte(segment, first));
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

/// Which frames the system is asked about: to ask costs nothing beside the disk, but as much as to read a small frame that is cached.
/// So each one more that was cached is one more of those behind it that is passed over.
#[derive(Debug, Default)]
struct Asking {
    cached: u32,
    passed_over: u32,
}

impl Asking {
    /// Asks about the next frame, unless that is to be passed over. Tells whether it seems to be cached.
    fn of_next(&mut self, is_cached: impl FnOnce() -> bool) -> bool {
        if self.passed_over < self.cached {
            self.passed_over += 1;
            return true;
        }
        self.passed_over = 0;
        let is_cached = is_cached();
        self.cached = match is_cached {
            true => self.cached + 1,
            false => 0,
        };
        is_cached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_about(is_cached: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut asking = Asking::default();
        let mut asked = Vec::new();
        for frame in 0..20 {
            asking.of_next(|| {
                asked.push(frame);
                is_cached(frame)
            });
        }
        asked
    }

    #[test]
    fn of_what_is_cached_less_and_less_is_asked_about() {
        assert_eq!(asked_about(|_| true), [0, 2, 5, 9, 14]);
    }

    #[test]
    fn all_is_asked_about_that_is_not_cached() {
        assert!(asked_about(|_| false).into_iter().eq(0..20));
        let cached_first = asked_about(|frame| frame < 5);
        assert_eq!(cached_first[..3], [0, 2, 5]);
        assert!(cached_first[2..].iter().copied().eq(5..20));
    }
}
