//! Looking for frames behind one that is bad.

use super::checksum::RangeChecksums;
use super::frame::{BODY_TAG, FRAME_ALIGNMENT, FRAME_HEADER_BYTES, Frame, Header};
use super::position::Position;
use super::segment::SegmentHeader;

/// A search for the frames among bytes that are not all frames.
///
/// Every place where a frame may begin is looked at, because the lengths of those before it cannot be trusted. The work
/// of making it, and of each search through all of the bytes, is linear in them, whatever they are.
#[derive(Debug)]
pub(crate) struct FrameSearch<'a> {
    bytes: &'a [u8],
    checksums: RangeChecksums<'a>,
    segment: &'a SegmentHeader,
    /// Where the bytes lie in the segment.
    offset: u32,
}

impl<'a> FrameSearch<'a> {
    /// Reads all of `bytes`, which lie at `offset` of `segment`.
    pub(crate) fn new(bytes: &'a [u8], segment: &'a SegmentHeader, offset: u32) -> Self {
        Self {
            bytes,
            checksums: RangeChecksums::new(bytes),
            segment,
            offset,
        }
    }

    /// The valid frames that begin at the offset `from` of the segment or behind it.
    pub(crate) fn from(&self, from: u32) -> impl Iterator<Item = Frame<'a>> {
        let first = from.max(self.offset) as usize;
        let first = first.next_multiple_of(FRAME_ALIGNMENT) - self.offset as usize;
        let starts = (first..self.bytes.len()).step_by(FRAME_ALIGNMENT);
        starts.filter_map(|start| self.frame_at(start))
    }

    fn frame_at(&self, start: usize) -> Option<Frame<'a>> {
        let offset = self.offset.checked_add(u32::try_from(start).ok()?)?;
        let (header, rest) = Header::split(&self.bytes[start..])?;
        if rest.first() != Some(&BODY_TAG) || !header.is_possible(offset) {
            return None;
        }
        let body = rest.get(..header.len as usize)?;
        let frame = Frame::read(body, self.segment, offset).ok()?;
        let found = self.checksums.range(start + FRAME_HEADER_BYTES, body.len())
            ^ header.place_crc(self.segment, offset);
        (found == header.crc).then_some(frame)
    }
}

/// Tells the newest place up to which any valid frame among `bytes`, which lie at `offset` of `segment`, claims that the
/// log was durable; none if no frame claims anything.
///
/// A bad frame before that place is damage to what was acknowledged, and not a torn tail.
pub(crate) fn newest_claim(bytes: &[u8], segment: &SegmentHeader, offset: u32) -> Option<Position> {
    let search = FrameSearch::new(bytes, segment, offset);
    search
        .from(offset)
        .filter_map(|frame| frame.durable())
        .max()
}
