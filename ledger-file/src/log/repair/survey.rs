//! Reading all frames of a log, and finding where some should be and are not.

use std::ops::Range;

use super::catalogue::{Catalogue, NO_GENERATION};
use super::census::{Census, Filling};
use super::contents::{Contents, Staged};
use crate::disk::Disk;
use crate::error::{Failure, Result};
use crate::format::{
    Found, FrameSearch, LogId, Malformed, Position, SegmentHeader, SegmentMeta, newest_claim,
    read_frame,
};
use crate::log::open::recovery::FIRST_FRAME;
use crate::log::read::segment::SegmentName;

/// All segments of a log, as they were found.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) segments: Vec<Surveyed>,
    pub(super) census: Census,
    pub(super) staged: Option<Staged>,
}

/// A segment as it was found.
#[derive(Debug)]
pub(super) struct Surveyed {
    pub(super) meta: SegmentMeta,
    /// The name of its file; none if it is gone.
    pub(super) file_name: Option<String>,
    /// Whether all but its frames is as it was written.
    pub(super) is_header_sound: bool,
    /// Frames and gaps, one behind the other.
    pub(super) pieces: Vec<Piece>,
    /// Where the last of them ends.
    pub(super) end: u32,
}

/// A stretch of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Nothing but valid frames.
    Frames(Range<u32>),
    /// What should be frames. The number is that of the gap in the whole log.
    Gap(Range<u32>, usize),
}

impl Surveyed {
    /// Whether it is not what was written.
    pub(super) fn is_damaged(&self) -> bool {
        !self.is_header_sound || self.gaps().next().is_some()
    }

    pub(super) fn gaps(&self) -> impl Iterator<Item = (&Range<u32>, usize)> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Gap(range, number) => Some((range, *number)),
            Piece::Frames(_) => None,
        })
    }
}

impl Survey {
    /// Reads all of the log.
    ///
    /// # Errors
    /// Those of the files; a valid frame that holds what cannot be.
    pub(super) fn of(disk: &dyn Disk, catalogue: &Catalogue) -> Result<Self> {
        let manifest = &catalogue.manifest;
        let staged = Staged::read(disk, &manifest.log_id)?;
        let durable = newest_claim_of(disk, manifest.log_id, &manifest.segments, staged.as_ref())?;
        let mut survey = Self {
            segments: Vec::new(),
            census: Census::default(),
            staged,
        };
        for meta in &manifest.segments {
            let contents = Contents::read(disk, manifest.log_id, meta, survey.staged.as_ref())?;
            survey.add(meta, contents, durable)?;
        }
        Ok(survey)
    }

    /// Forgets the segments of which nobody knew whether they should be there, if nothing is missing of them.
    pub(super) fn forget_holes(&mut self, fillings: &[Filling]) {
        self.segments.retain(|segment| {
            let is_needed = |(_, number): (_, usize)| !fillings[number].is_empty();
            segment.meta.generation != NO_GENERATION || segment.gaps().any(is_needed)
        });
    }

    fn add(&mut self, meta: &SegmentMeta, contents: Contents, durable: Position) -> Result<()> {
        let mut walk = Walk {
            census: &mut self.census,
            pieces: Vec::new(),
            end: FIRST_FRAME,
        };
        let reach = Reach::of(meta, durable);
        match &contents.header {
            Some(header) => {
                let len = meta.sealed_bytes.map_or(usize::MAX, |bytes| bytes as usize);
                let bytes = &contents.bytes[..len.min(contents.bytes.len())];
                let walked = walk.frames(header, bytes, reach);
                walked.map_err(|malformed| impossible(header, walk.end, malformed))?;
            }
            None => walk.gap(reach.offset),
        }
        let (pieces, end) = (walk.pieces, walk.end);
        self.segments.push(Surveyed {
            meta: meta.clone(),
            file_name: contents.file_name,
            is_header_sound: contents.is_header_sound,
            pieces,
            end,
        });
        Ok(())
    }
}

fn impossible(header: &SegmentHeader, offset: u32, malformed: Malformed) -> Failure {
    let file = SegmentName::of(header).file_name();
    Failure::damage(file, format!("at byte {offset}: {malformed}"))
}

/// How far the frames of a segment must go.
#[derive(Clone, Copy, Debug)]
struct Reach {
    /// At least up to here.
    offset: u32,
    /// And up to here, or to a seal.
    durable: Position,
}

impl Reach {
    fn of(meta: &SegmentMeta, durable: Position) -> Self {
        let indexed = meta.layers.last().map_or(FIRST_FRAME, |layer| layer.to);
        match meta.sealed_bytes {
            Some(bytes) => Self {
                offset: bytes,
                durable: Position::ZERO,
            },
            None => Self {
                offset: match durable.segment() == meta.segment {
                    true => durable.offset().max(indexed),
                    false => indexed,
                },
                durable,
            },
        }
    }
}

/// The newest place that any frame in a segment that is not full claims was durable.
fn newest_claim_of(
    disk: &dyn Disk,
    log_id: LogId,
    segments: &[SegmentMeta],
    staged: Option<&Staged>,
) -> Result<Position> {
    let mut newest = Position::ZERO;
    for meta in segments.iter().filter(|meta| meta.sealed_bytes.is_none()) {
        let contents = Contents::read(disk, log_id, meta, staged)?;
        let claim = contents
            .header
            .and_then(|header| newest_claim(&contents.bytes, &header, 0));
        newest = newest.max(claim.unwrap_or(Position::ZERO));
    }
    Ok(newest)
}

/// Goes through one segment.
#[derive(Debug)]
struct Walk<'a> {
    census: &'a mut Census,
    pieces: Vec<Piece>,
    end: u32,
}

impl Walk<'_> {
    /// Goes through `bytes` of the segment of `header`.
    fn frames(
        &mut self,
        header: &SegmentHeader,
        bytes: &[u8],
        reach: Reach,
    ) -> Result<(), Malformed> {
        let mut search = None;
        loop {
            let is_sealed = self.sound_frames(header, bytes)?;
            let is_far_enough = self.end >= reach.offset && header.at(self.end) >= reach.durable;
            if is_sealed || is_far_enough {
                return Ok(());
            }
            let search = search.get_or_insert_with(|| FrameSearch::new(bytes, header, 0));
            let Some(next) = search.from(self.end).next() else {
                self.gap(reach.offset);
                return Ok(());
            };
            self.gap(next.position().offset());
        }
    }

    /// Goes through frames up to the first that is none. Tells whether the last one seals the segment.
    fn sound_frames(&mut self, header: &SegmentHeader, bytes: &[u8]) -> Result<bool, Malformed> {
        let (begin, mut is_sealed) = (self.end, false);
        let rest = |end: u32| bytes.get(end as usize..).unwrap_or_default();
        while let Found::Frame(frame) = read_frame(rest(self.end), header, self.end) {
            self.census.frame(&frame)?;
            is_sealed = frame.seals();
            self.end = frame.end();
        }
        if self.end > begin {
            self.pieces.push(Piece::Frames(begin..self.end));
        }
        Ok(is_sealed)
    }

    /// Notes that there is no frame up to `to`.
    fn gap(&mut self, to: u32) {
        let range = self.end..to.max(self.end);
        self.end = range.end;
        self.pieces.push(Piece::Gap(range, self.census.gap()));
    }
}
