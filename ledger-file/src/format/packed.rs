//! A packed segment: what a segment file holds, in blocks that are compressed each by itself.
//!
//! `header, blocks, table`. The header is that of the segment, but for its magic word. Each block holds the bytes of the
//! segment from one multiple of [`BLOCK_BYTES`] up to the next, and says which; the first begins behind the header. What
//! unpacks is the segment byte for byte: offsets, checksums and indexes stay what they are. The table tells where the
//! blocks lie. It could be told from them, so a damaged one costs nothing but a repair.

use std::ops::Range;

use super::checksum::crc;
use super::input::{Input, Malformed};
use super::segment::{SEGMENT_HEADER_BYTES, SegmentHeader};

/// How many bytes of a segment are in a block: enough to compress well, and few for who wants one entry of them. Tests
/// want many blocks.
pub(crate) const BLOCK_BYTES: u32 = if cfg!(test) { 256 } else { 16 << 10 };

/// What stands before a block: checksum, stored length, offset and length in the segment.
const BLOCK_HEADER_BYTES: usize = 16;

/// LZ4 cannot say more than this with one byte.
const EXPANSION_MAX: u64 = 255;

/// A block in the bytes of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block<'a> {
    /// Where its bytes lie in the segment.
    pub(crate) range: (u32, u32),
    stored: &'a [u8],
}

/// The offsets that the block `index` of a segment of `bytes` covers.
pub(crate) fn block_range(index: u32, bytes: u32) -> Range<u32> {
    let start = index.saturating_mul(BLOCK_BYTES);
    let end = start.saturating_add(BLOCK_BYTES).min(bytes);
    start.max(SEGMENT_HEADER_BYTES as u32)..end
}

/// The number of the block that holds what is at `offset`.
pub(crate) fn block_at(offset: u32) -> u32 {
    offset / BLOCK_BYTES
}

/// Writes the block of `bytes`, which lie at `offset` of `segment`.
///
/// # Panics
/// If that is longer than a block.
pub(crate) fn put_block(buf: &mut Vec<u8>, segment: &SegmentHeader, offset: u32, bytes: &[u8]) {
    assert!(bytes.len() <= BLOCK_BYTES as usize, "a block has its size");
    let start = buf.len();
    let content = start + BLOCK_HEADER_BYTES;
    let room = lz4_flex::block::get_maximum_output_size(bytes.len());
    buf.resize(content + room, 0);
    let compressed = lz4_flex::block::compress_into(bytes, &mut buf[content..]);
    match compressed {
        Ok(len) if len < bytes.len() => buf.truncate(content + len),
        _ => {
            buf.truncate(content);
            buf.extend_from_slice(bytes);
        }
    }
    let stored = (buf.len() - content) as u32;
    let fields = [stored, offset, bytes.len() as u32];
    for (at, field) in (start + 4..).step_by(4).zip(fields) {
        buf[at..at + 4].copy_from_slice(&field.to_le_bytes());
    }
    let checksum = crc(0, &buf[start + 4..]) ^ file_crc(segment);
    buf[start..start + 4].copy_from_slice(&checksum.to_le_bytes());
}

/// The checksum of which file it is.
fn file_crc(segment: &SegmentHeader) -> u32 {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&segment.generation.to_le_bytes());
    bytes[8..].copy_from_slice(&segment.segment.to_le_bytes());
    crc(0, &bytes)
}

impl<'a> Block<'a> {
    /// Reads the block at the front of `bytes`, which may go on behind it.
    ///
    /// # Errors
    /// There is none of this file, or it is damaged.
    pub(crate) fn read(bytes: &'a [u8], segment: &SegmentHeader) -> Result<Self, Malformed> {
        let mut input = Input::new(bytes);
        let (checksum, stored) = (input.u32()?, input.u32()?);
        let (offset, len) = (input.u32()?, input.u32()?);
        let end = offset.checked_add(len);
        let is_possible = end.is_some_and(|end| {
            len > 0 && stored <= len && block_range(block_at(offset), end) == (offset..end)
        });
        if !is_possible {
            return Err(Malformed("a block says what cannot be"));
        }
        let end = BLOCK_HEADER_BYTES + stored as usize;
        let covered = bytes.get(4..end).ok_or(Malformed("a block is cut off"))?;
        if crc(0, covered) ^ file_crc(segment) != checksum {
            return Err(Malformed("a block has another checksum"));
        }
        Ok(Self {
            range: (offset, offset + len),
            stored: &covered[BLOCK_HEADER_BYTES - 4..],
        })
    }

    /// How many bytes of the file it takes.
    pub(crate) fn file_bytes(&self) -> usize {
        BLOCK_HEADER_BYTES + self.stored.len()
    }

    /// Unpacks it into `bytes`, as many as it has.
    ///
    /// # Errors
    /// It does not hold just that many, and never makes space for more.
    pub(crate) fn unpack(&self, bytes: &mut [u8]) -> Result<(), Malformed> {
        const DAMAGED: Malformed = Malformed("a block does not unpack to what it says");
        if bytes.len() != (self.range.1 - self.range.0) as usize {
            return Err(DAMAGED);
        }
        if self.stored.len() == bytes.len() {
            bytes.copy_from_slice(self.stored);
            return Ok(());
        }
        match lz4_flex::block::decompress_into(self.stored, bytes) {
            Ok(len) if len == bytes.len() => Ok(()),
            _ => Err(DAMAGED),
        }
    }
}

/// Where the blocks of a packed segment lie in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockTable {
    /// Where each begins.
    starts: Vec<u32>,
    /// Where the last one ends.
    end: u32,
    /// How long the segment is.
    bytes: u32,
}

impl BlockTable {
    /// The table of blocks that begin at `starts` and end at `end`, of a segment of `bytes`.
    pub(crate) fn new(starts: Vec<u32>, end: u32, bytes: u32) -> Self {
        Self { starts, end, bytes }
    }

    /// How long the table of a segment of `bytes` is.
    pub(crate) fn file_bytes(bytes: u32) -> u32 {
        4 * bytes.div_ceil(BLOCK_BYTES) + 8
    }

    /// The table as it lies in the file of `segment`.
    pub(crate) fn encode(&self, segment: &SegmentHeader) -> Vec<u8> {
        let fields = self.starts.iter().chain([&self.bytes]);
        let mut buf: Vec<u8> = fields.flat_map(|field| field.to_le_bytes()).collect();
        buf.extend((crc(0, &buf) ^ file_crc(segment)).to_le_bytes());
        buf
    }

    /// Reads the table in `encoded`, which begins at `end` of the file of `segment`, which has `bytes` when it is unpacked.
    ///
    /// # Errors
    /// It is not that of this file, or damaged.
    pub(crate) fn decode(
        encoded: &[u8],
        segment: &SegmentHeader,
        end: u32,
        bytes: u32,
    ) -> Result<Self, Malformed> {
        let mut input = Input::new(encoded);
        let blocks = encoded.len().saturating_sub(8) / 4;
        let starts = (0..blocks).map(|_| input.u32());
        let table = Self::new(starts.collect::<Result<_, _>>()?, end, bytes);
        let is_it = encoded.len() == Self::file_bytes(bytes) as usize
            && table.encode(segment) == encoded
            && table.starts.first() == Some(&(SEGMENT_HEADER_BYTES as u32))
            && table.starts.is_sorted_by(|a, b| a < b)
            && table.starts.last() < Some(&end);
        match is_it {
            true => Ok(table),
            false => Err(Malformed("the table of blocks is damaged")),
        }
    }

    /// Where the block `index` lies in the file; none if there is no such block.
    pub(crate) fn place(&self, index: u32) -> Option<Range<u32>> {
        let index = index as usize;
        let start = *self.starts.get(index)?;
        Some(start..self.starts.get(index + 1).copied().unwrap_or(self.end))
    }
}

/// What is left of a packed segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Salvaged {
    /// The bytes of the segment, with zeroes where a block is missing.
    pub(crate) bytes: Vec<u8>,
    /// Whether all of the file is what was written.
    pub(crate) is_whole: bool,
}

/// Unpacks every block that is left in `file`, which is that of `segment`.
///
/// A place where none begins is passed over byte by byte: neither a length nor the table is trusted.
pub(crate) fn salvage(file: &[u8], segment: &SegmentHeader) -> Salvaged {
    let mut salvaged = Salvaged {
        bytes: segment.encode().to_vec(),
        is_whole: true,
    };
    let (mut starts, mut at) = (Vec::new(), SEGMENT_HEADER_BYTES);
    while at < file.len() {
        let rest = &file[at..];
        if let Some(block) = salvaged.add(rest, segment, file.len()) {
            starts.push(at as u32);
            at += block.file_bytes();
            continue;
        }
        let bytes = salvaged.bytes.len() as u32;
        if rest.len() == BlockTable::file_bytes(bytes) as usize {
            let table = BlockTable::decode(rest, segment, at as u32, bytes);
            salvaged.is_whole &= table.is_ok_and(|table| table.starts == starts);
            return salvaged;
        }
        salvaged.is_whole = false;
        at += 1;
    }
    salvaged.is_whole = false;
    salvaged
}

impl Salvaged {
    /// Adds the block at the front of `rest`; none if there is none that can be.
    fn add<'a>(
        &mut self,
        rest: &'a [u8],
        segment: &SegmentHeader,
        file_bytes: usize,
    ) -> Option<Block<'a>> {
        let block = Block::read(rest, segment).ok()?;
        let (start, end) = (block.range.0 as usize, block.range.1 as usize);
        let known = self.bytes.len();
        if start < known || end as u64 > EXPANSION_MAX * file_bytes as u64 {
            return None;
        }
        self.bytes.resize(end, 0);
        if block.unpack(&mut self.bytes[start..]).is_err() {
            self.bytes.truncate(known);
            return None;
        }
        self.is_whole &= start == known;
        Some(block)
    }
}

/// A block that holds `stored`, whatever that is, and says that it is `len` bytes at `offset`.
#[cfg(any(test, fuzzing))]
pub(crate) fn stored_block(
    segment: &SegmentHeader,
    offset: u32,
    len: u32,
    stored: &[u8],
) -> Vec<u8> {
    let fields = [stored.len() as u32, offset, len];
    let mut covered: Vec<u8> = fields
        .iter()
        .flat_map(|field| field.to_le_bytes())
        .collect();
    covered.extend(stored);
    let checksum = crc(0, &covered) ^ file_crc(segment);
    [checksum.to_le_bytes().as_slice(), &covered].concat()
}

#[cfg(test)]
mod tests {
    use ledger_core::Timestamp;
    use proptest::prelude::*;

    use super::super::segment::{Form, tests::segments};
    use super::*;

    /// A packed segment of `bytes`, which begin with its header.
    fn packed(segment: &SegmentHeader, bytes: &[u8]) -> Vec<u8> {
        let mut file = segment.encode_as(Form::Packed).to_vec();
        let (len, mut starts) = (bytes.len() as u32, Vec::new());
        for index in 0..len.div_ceil(BLOCK_BYTES) {
            let range = block_range(index, len);
            starts.push(file.len() as u32);
            let part = &bytes[range.start as usize..range.end as usize];
            put_block(&mut file, segment, range.start, part);
        }
        let table = BlockTable::new(starts, file.len() as u32, len);
        file.extend(table.encode(segment));
        file
    }

    fn content(segment: &SegmentHeader, part: &[u8], repeat: usize) -> Vec<u8> {
        [segment.encode().as_slice(), &part.repeat(repeat), &[1]].concat()
    }

    fn segment() -> SegmentHeader {
        SegmentHeader {
            log_id: [7; 16],
            segment: 1,
            generation: 2,
            created_at: Timestamp::from_micros(3),
        }
    }

    proptest! {
        #[test]
        fn a_segment_comes_back(segment in segments(), part: Vec<u8>, repeat in 0..200usize) {
            let bytes = content(&segment, &part, repeat);
            let file = packed(&segment, &bytes);
            let len = bytes.len() as u32;
            let end = file.len() - BlockTable::file_bytes(len) as usize;
            let table = BlockTable::decode(&file[end..], &segment, end as u32, len).unwrap();
            for index in 0..len.div_ceil(BLOCK_BYTES) {
                let place = table.place(index).unwrap();
                let block = &file[place.start as usize..place.end as usize];
                let block = Block::read(block, &segment).unwrap();
                let range = block.range.0 as usize..block.range.1 as usize;
                let mut unpacked = vec![0; range.len()];
                block.unpack(&mut unpacked).unwrap();
                prop_assert_eq!(&unpacked, &bytes[range]);
            }
            prop_assert_eq!(table.place(len.div_ceil(BLOCK_BYTES)), None);
            prop_assert_eq!(salvage(&file, &segment), Salvaged { bytes, is_whole: true });
        }

        #[test]
        fn a_flipped_bit_costs_one_block_at_most(part: Vec<u8>, repeat in 0..100usize, bit: usize) {
            let segment = segment();
            let bytes = content(&segment, &part, repeat);
            let mut file = packed(&segment, &bytes);
            let bit = SEGMENT_HEADER_BYTES * 8 + bit % ((file.len() - SEGMENT_HEADER_BYTES) * 8);
            file[bit / 8] ^= 1 << (bit % 8);
            let salvaged = salvage(&file, &segment);
            prop_assert!(!salvaged.is_whole);
            let blocks = bytes.chunks(BLOCK_BYTES as usize);
            let mut left = salvaged.bytes.chunks(BLOCK_BYTES as usize);
            let lost = blocks.filter(|block| left.next() != Some(*block)).count();
            prop_assert!(lost <= 1, "{} blocks are lost", lost);
        }

        #[test]
        fn a_block_of_another_file_does_not_pass(a in segments(), b in segments(), part: Vec<u8>) {
            prop_assume!((a.segment, a.generation) != (b.segment, b.generation));
            let mut file = Vec::new();
            put_block(&mut file, &a, SEGMENT_HEADER_BYTES as u32, &part[..part.len().min(100)]);
            prop_assert!(Block::read(&file, &b).is_err());
        }

        #[test]
        fn any_bytes_are_a_block_or_an_error(bytes: Vec<u8>, len in 1..200u32) {
            let block = stored_block(&segment(), SEGMENT_HEADER_BYTES as u32, len, &bytes);
            if let Ok(block) = Block::read(&block, &segment()) {
                let _either = block.unpack(&mut vec![0; len as usize]);
                prop_assert!(block.unpack(&mut vec![0; len as usize + 1]).is_err());
            }
        }
    }

    #[test]
    fn noise_is_stored_as_it_is() {
        let noise: Vec<u8> = (0..100u32).map(|i| (i * i * 31 + i * 7) as u8).collect();
        let mut file = Vec::new();
        put_block(&mut file, &segment(), BLOCK_BYTES, &noise);
        assert_eq!(file.len(), BLOCK_HEADER_BYTES + noise.len());
        let mut unpacked = vec![0; noise.len()];
        let block = Block::read(&file, &segment()).unwrap();
        block.unpack(&mut unpacked).unwrap();
        assert_eq!(unpacked, noise);
    }

    #[test]
    fn a_block_that_says_more_than_a_block_holds_is_refused() {
        let mut file = Vec::new();
        put_block(&mut file, &segment(), 0, &[0; BLOCK_BYTES as usize]);
        assert!(
            Block::read(&file, &segment()).is_err(),
            "it begins within the header"
        );
        for (field, value) in [(4, u32::MAX), (8, u32::MAX), (12, u32::MAX), (12, 0)] {
            let mut lying = Vec::new();
            put_block(&mut lying, &segment(), BLOCK_BYTES, &[0; 100]);
            lying[field..field + 4].copy_from_slice(&value.to_le_bytes());
            let checksum = crc(0, &lying[4..]) ^ file_crc(&segment());
            lying[..4].copy_from_slice(&checksum.to_le_bytes());
            assert!(Block::read(&lying, &segment()).is_err(), "{field}: {value}");
        }
    }

    /// What a segment of zeroes would unpack to is bounded by what its file has: no more is ever made space for.
    #[test]
    fn a_block_far_behind_what_its_file_can_hold_is_left_out() {
        let mut file = segment().encode_as(Form::Packed).to_vec();
        put_block(&mut file, &segment(), BLOCK_BYTES << 20, &[0; 10]);
        let salvaged = salvage(&file, &segment());
        assert_eq!(salvaged.bytes, segment().encode());
        assert!(!salvaged.is_whole);
    }
}
