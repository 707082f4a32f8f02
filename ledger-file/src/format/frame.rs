//! A frame: one commit.
//!
//! `checksum u32, length u32, body`. The checksum covers the body, and the segment's generation, the frame's position and
//! its length: bytes that were written for another place, another file or another length never pass. Zeroes behind the
//! last record bring every frame to a multiple of eight bytes, so that frames begin at such offsets only.

use ledger_core::Timestamp;

use super::append::Single;
use super::checksum::crc;
use super::input::{Input, Malformed};
use super::position::Position;
use super::record::Record;
use super::segment::SegmentHeader;
use crate::fault::{Mistake, is_planted};

/// What stands before a frame's body.
pub(crate) const FRAME_HEADER_BYTES: usize = 8;

/// The first byte of a body. The lower four bits are for later.
pub(super) const BODY_TAG: u8 = 0xA0;

/// Frames begin and end at multiples of this.
pub(super) const FRAME_ALIGNMENT: usize = 8;

/// What is found where a frame might begin.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found<'a> {
    /// A frame whose checksum is right.
    Frame(Frame<'a>),
    /// Zeroes: nothing was ever written here.
    Nothing,
    /// The bytes end within what may be a frame.
    Short {
        /// How many bytes from its start on would have to be there.
        needed: u64,
    },
    /// Something else than a frame of this place.
    Bad(Malformed),
}

/// A frame in the bytes of its segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    position: Position,
    bytes_len: u32,
    recorded_at: Timestamp,
    durable: Option<Position>,
    records: &'a [u8],
}

/// Reads the frame at the front of `bytes`, which lie at `offset` of `segment`, and may go on behind the frame.
pub(crate) fn read_frame<'a>(bytes: &'a [u8], segment: &SegmentHeader, offset: u32) -> Found<'a> {
    read_frame_again(bytes, segment, offset, |_| false)
}

/// As [`read_frame`], where `was_right` tells by the length of the frame whether its checksum was looked at before, and
/// need not be again.
pub(crate) fn read_frame_again<'a>(
    bytes: &'a [u8],
    segment: &SegmentHeader,
    offset: u32,
    was_right: impl FnOnce(u64) -> bool,
) -> Found<'a> {
    let Some((header, rest)) = Header::split(bytes) else {
        return Found::Short {
            needed: FRAME_HEADER_BYTES as u64,
        };
    };
    if header.is_nothing() {
        return Found::Nothing;
    }
    if !header.is_possible(offset) {
        return Found::Bad(Malformed("a frame has an impossible length"));
    }
    let Some(body) = rest.get(..header.len as usize) else {
        return Found::Short {
            needed: header.frame_bytes(),
        };
    };
    let is_right = was_right(header.frame_bytes())
        || crc(0, body) ^ header.place_crc(segment, offset) == header.crc;
    if !is_right && !is_planted(Mistake::ChecksumIgnored) {
        return Found::Bad(Malformed("a frame has another checksum"));
    }
    Frame::read(body, segment, offset).map_or_else(Found::Bad, Found::Frame)
}

impl<'a> Frame<'a> {
    pub(super) fn read(
        body: &'a [u8],
        segment: &SegmentHeader,
        offset: u32,
    ) -> Result<Self, Malformed> {
        let mut input = Input::new(body);
        if input.u8()? != BODY_TAG {
            return Err(Malformed("a frame is of a newer format"));
        }
        let durable = match input.varint()? {
            0 => None,
            claim => Some(claimed(segment, offset, claim - 1)?),
        };
        let time = segment.created_at.as_micros().wrapping_add(input.signed()?);
        Ok(Self {
            position: segment.at(offset),
            bytes_len: FRAME_HEADER_BYTES as u32 + body.len() as u32,
            recorded_at: Timestamp::from_micros(time),
            durable,
            records: input.rest(),
        })
    }

    /// Where it lies.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// How long it is, with its header.
    pub(crate) fn bytes_len(&self) -> u32 {
        self.bytes_len
    }

    /// The offset in the segment at which the next frame begins.
    pub(crate) fn end(&self) -> u32 {
        self.position.offset() + self.bytes_len
    }

    /// The time of the commit.
    pub(crate) fn recorded_at(&self) -> Timestamp {
        self.recorded_at
    }

    /// Everything before this place survived the loss of power when the frame was written; none: nobody knew.
    pub(crate) fn durable(&self) -> Option<Position> {
        self.durable
    }

    /// Its records, with their offsets in the frame. Nothing follows the first that is malformed.
    pub(crate) fn records(
        &self,
    ) -> impl Iterator<Item = Result<(u32, Record<'a>), Malformed>> + use<'a> {
        let (mut input, end, time) = (Input::new(self.records), self.bytes_len, self.recorded_at);
        std::iter::from_fn(move || {
            if is_padding(input.rest()) {
                return None;
            }
            let offset = end - input.len() as u32;
            let record = Record::read(&mut input, end, time);
            if record.is_err() {
                input = Input::new(&[]);
            }
            Some(record.map(|record| (offset, record)))
        })
    }

    /// The entry that it begins with, if that is alone in its section.
    #[inline]
    pub(crate) fn single(&self) -> Option<Single<'a>> {
        Single::read(self.records)
    }

    /// Whether it says that nothing comes behind it in its segment.
    pub(crate) fn seals(&self) -> bool {
        let mut records = self.records();
        records.any(|record| matches!(record, Ok((_, Record::Seal))))
    }

    /// The record at `offset` in the frame.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn record_at(&self, offset: u32) -> Result<Record<'a>, Malformed> {
        let from_end = self
            .bytes_len
            .checked_sub(offset)
            .map(|bytes| bytes as usize);
        let start = from_end.and_then(|bytes| self.records.len().checked_sub(bytes));
        let start = start.ok_or(Malformed("there is no record at this offset"))?;
        Record::read(
            &mut Input::new(&self.records[start..]),
            self.bytes_len,
            self.recorded_at,
        )
    }
}

/// Whether nothing follows but what brings the frame to its length.
#[inline]
pub(crate) fn is_padding(rest: &[u8]) -> bool {
    rest.len() < FRAME_ALIGNMENT && rest.iter().all(|byte| *byte == 0)
}

fn claimed(segment: &SegmentHeader, offset: u32, distance: u64) -> Result<Position, Malformed> {
    let distance = u32::try_from(distance)?;
    let durable = offset
        .checked_sub(distance)
        .ok_or(Malformed("a frame's claim begins before its segment"))?;
    Ok(segment.at(durable))
}

/// The first bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) crc: u32,
    pub(super) len: u32,
}

impl Header {
    pub(super) fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (header, rest) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>()?;
        let header = u64::from_le_bytes(*header);
        Some((
            Self {
                crc: header as u32,
                len: (header >> 32) as u32,
            },
            rest,
        ))
    }

    pub(super) fn encode(self) -> [u8; FRAME_HEADER_BYTES] {
        (u64::from(self.len) << 32 | u64::from(self.crc)).to_le_bytes()
    }

    fn is_nothing(self) -> bool {
        self == Self { crc: 0, len: 0 }
    }

    /// Whether a frame of this length can lie at `offset`: no segment is as long as 4 GiB.
    pub(super) fn is_possible(self, offset: u32) -> bool {
        self.len > 0
            && (self.len as usize).is_multiple_of(FRAME_ALIGNMENT)
            && u64::from(offset) + self.frame_bytes() <= u64::from(u32::MAX)
    }

    fn frame_bytes(self) -> u64 {
        FRAME_HEADER_BYTES as u64 + u64::from(self.len)
    }

    /// The checksum of where and how long the frame is: generation, position and length, eight bytes each.
    ///
    /// It is added to that of the body, rather than continued by it: the two are then computed side by side.
    #[inline]
    pub(super) fn place_crc(self, segment: &SegmentHeader, offset: u32) -> u32 {
        let covered = |value: u64, mistake| if is_planted(mistake) { 0 } else { value };
        let generation = covered(segment.generation, Mistake::ChecksumWithoutGeneration);
        let position = covered(
            segment.at(offset).as_u64(),
            Mistake::ChecksumWithoutPosition,
        );
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&generation.to_le_bytes());
        bytes[8..16].copy_from_slice(&position.to_le_bytes());
        bytes[16..].copy_from_slice(&u64::from(self.len).to_le_bytes());
        crc(0, &bytes)
    }
}
