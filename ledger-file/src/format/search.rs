//! Looking for frames behind one that is bad.

use super::checksum::RangeChecksums;
use super::frame::{BODY_TAG, FRAME_HEADER_BYTES, Frame, Header};
use super::position::Position;
use super::segment::SegmentHeader;

/// Tells the newest place up to which any valid frame among `bytes`, which lie at `offset` of `segment`, claims that the
/// log was durable; none if no frame claims anything.
///
/// A bad frame before that place is damage to what was acknowledged, and not a torn tail. A frame may begin at any byte,
/// because the lengths of those before it cannot be trusted. The work is linear in `bytes`, whatever they are.
pub(crate) fn newest_claim(bytes: &[u8], segment: &SegmentHeader, offset: u32) -> Option<Position> {
    let checksums = RangeChecksums::new(bytes);
    let tags = bytes
        .iter()
        .enumerate()
        .skip(FRAME_HEADER_BYTES)
        .filter(|(_, byte)| **byte == BODY_TAG);
    tags.filter_map(|(tag, _)| {
        let start = tag - FRAME_HEADER_BYTES;
        frame_at(
            &checksums,
            bytes,
            start,
            segment,
            offset.checked_add(u32::try_from(start).ok()?)?,
        )
    })
    .filter_map(|frame| frame.durable())
    .max()
}

fn frame_at<'a>(
    checksums: &RangeChecksums<'_>,
    bytes: &'a [u8],
    start: usize,
    segment: &SegmentHeader,
    offset: u32,
) -> Option<Frame<'a>> {
    let (header, rest) = Header::split(&bytes[start..])?;
    if !header.is_possible(offset) {
        return None;
    }
    let body = rest.get(..header.len as usize)?;
    let frame = Frame::read(body, segment, offset).ok()?;
    let found = checksums.range(
        header.seed(segment, offset),
        start + FRAME_HEADER_BYTES,
        body.len(),
    );
    (found == header.crc).then_some(frame)
}
