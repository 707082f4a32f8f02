//! The first 64 bytes of a segment file, plain or packed.

use ledger_core::Timestamp;

use super::header::{FORMAT, HeaderError, LogId, check};
use super::input::{Input, Malformed};
use super::position::Position;
use super::short_checksum::short_crc;

/// Where the first frame of a segment begins.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 64;

const TIME_OFFSET: usize = 40;
const CHECKSUM_OFFSET: usize = SEGMENT_HEADER_BYTES - 4;

/// How a segment lies in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    /// Frame behind frame.
    Plain,
    /// The same, in compressed blocks.
    Packed,
}

impl Form {
    /// What such a file begins with.
    fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Plain => b"LEDGERSG",
            Self::Packed => b"LEDGERPK",
        }
    }
}

/// What a segment is, and what its frames are told apart from those of others by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// The log it belongs to.
    pub(crate) log_id: LogId,
    /// Its number, from 1; never used again in this log.
    pub(crate) segment: u32,
    /// Random, new for each file: frames left over from what the blocks held before do not pass.
    pub(crate) generation: u64,
    /// What the times of its frames count from.
    pub(crate) created_at: Timestamp,
}

impl SegmentHeader {
    /// The place at `offset` of this segment.
    pub(crate) fn at(&self, offset: u32) -> Position {
        Position::new(self.segment, offset)
    }

    /// The first bytes of the plain segment.
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        self.encode_as(Form::Plain)
    }

    /// The first bytes of a file of this form.
    pub(crate) fn encode_as(&self, form: Form) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        bytes.extend(form.magic());
        bytes.extend(FORMAT.to_le_bytes());
        bytes.extend(self.log_id);
        bytes.extend(self.segment.to_le_bytes());
        bytes.extend(self.generation.to_le_bytes());
        bytes.extend(self.created_at.as_micros().to_le_bytes());
        bytes.resize(CHECKSUM_OFFSET, 0);
        bytes.extend(short_crc(0, &bytes).to_le_bytes());
        bytes.try_into().expect("the header has its size")
    }

    /// As [`decode_as`](Self::decode_as), of a plain segment.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        Self::decode_as(bytes, Form::Plain)
    }

    /// # Errors
    /// The bytes are those of no segment of this form, of a newer format, or damaged.
    pub(crate) fn decode_as(bytes: &[u8], form: Form) -> Result<Self, HeaderError> {
        let mut input = Input::new(bytes);
        check(form.magic(), input.array()?, input.u32()?, FORMAT)?;
        let header = Self {
            log_id: input.array()?,
            segment: input.u32()?,
            generation: input.u64()?,
            created_at: Timestamp::from_micros(input.u64()?.cast_signed()),
        };
        if bytes.get(..SEGMENT_HEADER_BYTES) != Some(&header.encode_as(form)) {
            return Err(Malformed("the header of the segment is damaged").into());
        }
        Ok(header)
    }

    /// The damaged header in `bytes` of a segment of which all but the time is known; none if more of that than one bit
    /// is wrong, or it cannot be told.
    pub(crate) fn mended(
        bytes: &[u8],
        form: Form,
        log_id: LogId,
        segment: u32,
        generation: u64,
    ) -> Option<Self> {
        let bytes = bytes.first_chunk::<SEGMENT_HEADER_BYTES>()?;
        let time = u64::from_le_bytes(*bytes[TIME_OFFSET..].first_chunk()?);
        let stored = u32::from_le_bytes(*bytes[CHECKSUM_OFFSET..].first_chunk()?);
        let with_time = |time: u64| Self {
            log_id,
            segment,
            generation,
            created_at: Timestamp::from_micros(time.cast_signed()),
        };
        let checksum = |header: &Self| short_crc(0, &header.encode_as(form)[..CHECKSUM_OFFSET]);
        let flips = (0..u64::BITS).map(|bit| with_time(time ^ 1 << bit));
        let mut candidates = std::iter::once(with_time(time)).chain(flips);
        let found = candidates.find(|header| checksum(header) == stored);
        found.or_else(|| {
            let header = with_time(time);
            ((checksum(&header) ^ stored).count_ones() == 1).then_some(header)
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        pub(in super::super) fn segments()(
            log_id: LogId, segment in 1..=u32::MAX, generation: u64, created_at: i64,
        ) -> SegmentHeader {
            SegmentHeader { log_id, segment, generation, created_at: Timestamp::from_micros(created_at) }
        }
    }

    proptest! {
        #[test]
        fn a_header_comes_back(header in segments(), behind: Vec<u8>) {
            let mut bytes = header.encode().to_vec();
            bytes.extend(behind);
            prop_assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        }

        #[test]
        fn any_bytes_are_a_header_or_an_error(bytes: Vec<u8>) {
            prop_assert!(SegmentHeader::decode(&bytes).is_err());
        }

        #[test]
        fn a_flipped_bit_is_found(header in segments(), bit in 0..SEGMENT_HEADER_BYTES * 8) {
            let mut bytes = header.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(SegmentHeader::decode(&bytes).is_err());
        }
    }

    proptest! {
        #[test]
        fn a_header_with_a_flipped_bit_is_mended(header in segments(), bit in 0..SEGMENT_HEADER_BYTES * 8) {
            for form in [Form::Plain, Form::Packed] {
                let mut bytes = header.encode_as(form);
                bytes[bit / 8] ^= 1 << (bit % 8);
                let SegmentHeader { log_id, segment, generation, .. } = header;
                let mended = SegmentHeader::mended(&bytes, form, log_id, segment, generation);
                prop_assert_eq!(mended, Some(header));
            }
        }

        #[test]
        fn a_header_whose_time_is_lost_is_not_mended(header in segments(), time: [u8; 8]) {
            let mut bytes = header.encode();
            let lost: u32 = bytes[40..48].iter().zip(time).map(|(a, b)| (a ^ b).count_ones()).sum();
            prop_assume!(lost > 1);
            bytes[40..48].copy_from_slice(&time);
            let SegmentHeader { log_id, segment, generation, .. } = header;
            prop_assert_eq!(SegmentHeader::mended(&bytes, Form::Plain, log_id, segment, generation), None);
        }
    }

    #[test]
    fn a_newer_format_is_told_by_its_number() {
        let header = SegmentHeader {
            log_id: [7; 16],
            segment: 1,
            generation: 2,
            created_at: Timestamp::from_micros(3),
        };
        let mut bytes = header.encode();
        bytes[8] = 2;
        assert_eq!(
            SegmentHeader::decode(&bytes),
            Err(HeaderError::TooNew {
                found: 2,
                supported: 1
            })
        );
        bytes[0] = b'X';
        assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderError::NotOurs));
    }
}
