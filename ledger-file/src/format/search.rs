//! Looking for frames behind one that is bad.

use super::checksum::RangeChecksums;
use super::frame::{BODY_TAG, FRAME_ALIGNMENT, FRAME_HEADER_BYTES, Frame, Header};
use super::position::Position;
use super::segment::SegmentHeader;

/// Tells the newest place up to which any valid frame among `bytes`, which lie at `offset` of `segment`, claims that the
/// log was durable; none if no frame claims anything.
///
/// A bad frame before that place is damage to what was acknowledged, and not a torn tail. Every place where a frame may
/// begin is looked at, because the lengths of those before it cannot be trusted. The work is linear in `bytes`, whatever
/// they are.
pub(crate) fn newest_claim(bytes: &[u8], segment: &SegmentHeader, offset: u32) -> Option<Position> {
    let checksums = RangeChecksums::new(bytes);
    let first = (offset as usize).next_multiple_of(FRAME_ALIGNMENT) - offset as usize;
    let starts = (first..bytes.len()).step_by(FRAME_ALIGNMENT);
    let claims = starts.filter_map(|start| {
        let offset = offset.checked_add(u32::try_from(start).ok()?)?;
        frame_at(&checksums, bytes, start, segment, offset)?.durable()
    });
    claims.max()
}

fn frame_at<'a>(
    checksums: &RangeChecksums<'_>,
    bytes: &'a [u8],
    start: usize,
    segment: &SegmentHeader,
    offset: u32,
) -> Option<Frame<'a>> {
    let (header, rest) = Header::split(&bytes[start..])?;
    if rest.first() != Some(&BODY_TAG) || !header.is_possible(offset) {
        return None;
    }
    let body = rest.get(..header.len as usize)?;
    let frame = Frame::read(body, segment, offset).ok()?;
    let found =
        checksums.range(start + FRAME_HEADER_BYTES, body.len()) ^ header.place_crc(segment, offset);
    (found == header.crc).then_some(frame)
}
