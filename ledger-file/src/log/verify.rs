//! Reading everything, and telling how much there is.

use std::cmp;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::continuity::Continuity;
use super::open::follower;
use super::open::recovery::{FIRST_FRAME, Source};
use super::read::picture::{Part, Picture};
use super::shared::Shared;
use crate::error::Result;
use crate::fault::{Mistake, is_planted};
use crate::format::{Position, Record};
use crate::index::Layer;

/// What a verification has read, and found in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Segment files.
    pub segments: u64,
    /// Commits.
    pub frames: u64,
    /// Entries, also those that were trimmed since.
    pub entries: u64,
    /// Bytes of segment files.
    pub bytes: u64,
}

/// A log in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStats {
    /// Segment files that hold entries, or may.
    pub segments: u64,
    /// The bytes up to the end of the log, as they are when nothing is packed.
    pub segment_bytes: u64,
    /// The same as they lie in the files.
    pub file_bytes: u64,
    /// Segment files that are [packed](crate::FileOptions::sealed_compression).
    pub packed_segments: u64,
    /// Index files.
    pub indexes: u64,
    /// The bytes of memory that indexes take.
    pub index_memory_bytes: u64,
    /// How many streams ever had a number.
    pub streams: u64,
}

impl Shared {
    /// Reads all that is in the segment files, and all indexes.
    pub(super) fn verify(&self) -> Result<Verified> {
        let (picture, ends) = self.picture_with_ends()?;
        let (mut verified, mut continuity) = (Verified::default(), Continuity::default());
        for (part, end) in picture.parts().iter().zip(ends) {
            verify_part(part, end, &mut verified, &mut continuity)?;
        }
        for index in picture.merged() {
            index.verify()?;
        }
        continuity.check(self, &picture)?;
        Ok(verified)
    }

    /// All segments, and where the frames of each end: to read them takes long, and they may go meanwhile.
    fn picture_with_ends(&self) -> Result<(Arc<Picture>, Vec<u32>)> {
        let _unfollowed = self.follower.as_ref().map(follower::lock);
        // Looked at first, so that whatever lies before it is in the picture, and known to be full if it is not the last.
        let flushed = self.flushed_now();
        let picture = Arc::clone(&self.scene().picture);
        let parts = picture.parts().iter();
        let ends = parts.map(|part| self.end_of(part, flushed));
        let ends = ends.collect::<Result<_>>()?;
        Ok((picture, ends))
    }

    /// Where the frames of a segment end that are in its file, and lie before `flushed` if they are those of the last one.
    fn end_of(&self, part: &Part, flushed: Position) -> Result<u32> {
        let full = self.full_end(part);
        let flushed = match is_planted(Mistake::EndLookedAtLater) {
            true => self.flushed_now(),
            false => flushed,
        };
        match (part.segment.number().cmp(&flushed.segment()), full) {
            (cmp::Ordering::Greater, _) => Ok(FIRST_FRAME),
            (_, Some(end)) => Ok(end),
            (cmp::Ordering::Equal, None) => Ok(flushed.offset()),
            // It was rewritten just now, and its file has nothing behind its frames.
            (cmp::Ordering::Less, None) => part.segment.file_end(),
        }
    }

    fn flushed_now(&self) -> Position {
        Position::from_u64(self.flushed.load(Ordering::Acquire))
    }

    /// Where a full segment ends.
    fn full_end(&self, part: &Part) -> Option<u32> {
        let number = part.segment.number();
        let waiting = || {
            let keeper = self.keeper();
            let mut waiting = keeper.sealed.iter();
            waiting.find(|sealed| sealed.number == number).copied()
        };
        let full = || part.segment.full_bytes();
        full()
            .or_else(|| Some(waiting()?.bytes))
            .or_else(|| self.sealed_meta(part)?.sealed_bytes)
            // It may have waited at first, and have been rewritten since.
            .or_else(full)
    }

    /// Tells how much there is.
    pub(super) fn stats(&self) -> Result<LogStats> {
        let (picture, ends) = self.picture_with_ends()?;
        let mut stats = LogStats {
            streams: match self.writer.lock() {
                Ok(writer) => writer.streams,
                Err(poison) => poison.get_ref().streams,
            },
            ..LogStats::default()
        };
        for (part, bytes) in picture.parts().iter().zip(ends) {
            stats.segments += 1;
            let packed_bytes = self.sealed_meta(part).and_then(|meta| meta.packed_bytes);
            stats.segment_bytes += u64::from(bytes);
            stats.file_bytes += u64::from(packed_bytes.unwrap_or(bytes));
            stats.packed_segments += u64::from(packed_bytes.is_some());
            for layer in &part.layers {
                stats.index_memory_bytes += match layer {
                    Layer::Memory(index) => {
                        let index = index.read().unwrap_or_else(PoisonError::into_inner);
                        index.heap_bytes() as u64
                    }
                    Layer::Sealed(index) => {
                        stats.indexes += 1;
                        index.heap_bytes() as u64
                    }
                };
            }
        }
        for index in picture.merged() {
            stats.indexes += 1;
            stats.index_memory_bytes += index.heap_bytes() as u64;
        }
        Ok(stats)
    }
}

/// Reads the frames of a segment up to `end`, and its indexes.
fn verify_part(
    part: &Part,
    end: u32,
    verified: &mut Verified,
    continuity: &mut Continuity,
) -> Result<()> {
    let source = Source {
        len: end.into(),
        ..Source::of(&part.segment)?
    };
    let found = source.frames(FIRST_FRAME, |frame| {
        verified.frames += 1;
        let at = frame.position();
        let damage = |malformed| part.segment.damage(at.offset(), malformed);
        for record in frame.records() {
            let (_, record) = record.map_err(damage)?;
            continuity.note(at, &record).map_err(damage)?;
            if let Record::Append(append) = record {
                verified.entries += u64::from(append.count);
            }
        }
        Ok(true)
    })?;
    if found != end {
        return Err(part.segment.damage(found, "this is no valid frame"));
    }
    verified.segments += 1;
    verified.bytes += u64::from(end);
    for layer in &part.layers {
        if let Layer::Sealed(index) = layer {
            index.verify()?;
        }
    }
    Ok(())
}
