//! How an index file is laid out: a header, sections of blocks, and a directory of the blocks.
//!
//! Every byte is under a checksum: a block's is in the directory, the directory's in the header, the header's in its
//! own end. A block is checked whenever it is read.

use std::ops::Range;

use super::super::Origin;
use super::super::filter::{Grain, Shape};
use crate::format::StreamNumber;

/// The bytes of a block; the header is one, too.
pub(super) const BLOCK_BYTES: usize = 4096;

/// A block begins with the number of its rows; the rows follow, and none goes on in the next block. Rows that differ in
/// size are found by their starts, which stand at the block's end: two bytes each, that of the first row last.
pub(super) const ROWS_OFFSET: usize = 2;

/// What the start of a row takes, where rows differ in size.
pub(super) const START_BYTES: usize = 2;

/// Where the header's checksum is; what is between its last field and this is zero.
const CHECKSUM_OFFSET: usize = BLOCK_BYTES - 4;

const MAGIC: &[u8; 8] = b"LEDGERIX";

/// The format that is written, and the only one that is read: an index of another one is written again.
const VERSION: u32 = 2;

/// The parts of an index file, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// The fingerprints of the filter over dedup keys, names and checkpoints, as many in a row as fit.
    FineFilter,
    /// Those of the filter over order keys, streams, and streams with changes.
    CoarseFilter,
    /// Where each entry begins, by ordinal; packed.
    Offsets,
    /// Where each frame begins; packed.
    Frames,
    /// Tag, ordinal.
    DedupKeys,
    /// Tag, offset of a record.
    NameRecords,
    /// Tag, offset of a record.
    CheckpointRecords,
    /// Tag, ordinal or first row of `Postings`, count. A count of one: the ordinal itself.
    OrderKeys,
    /// Ordinals, ascending for each order key.
    Postings,
    /// Stream, first id, first ordinal, count, offset of the first record; in the order of the streams' hashes, then of
    /// the ids.
    Runs,
    /// Stream, id, topic, offset of a record; in this order.
    Changes,
    /// Ordinals of entries that have an `expires_at`.
    Expiring,
    /// Names of streams, in byte order.
    Names,
    /// Names of checkpoints behind the numbers of their streams, in byte order.
    CheckpointNames,
}

pub(super) const SECTIONS: usize = Section::CheckpointNames as usize + 1;

impl Section {
    /// The bytes of a row; none if they differ.
    pub(super) fn row_bytes(self) -> Option<usize> {
        match self {
            Self::Postings | Self::Expiring => Some(4),
            Self::DedupKeys | Self::NameRecords | Self::CheckpointRecords => Some(8),
            Self::OrderKeys => Some(12),
            Self::Changes => Some(24),
            Self::Runs => Some(28),
            Self::FineFilter
            | Self::CoarseFilter
            | Self::Offsets
            | Self::Frames
            | Self::Names
            | Self::CheckpointNames => None,
        }
    }
}

impl From<Grain> for Section {
    fn from(grain: Grain) -> Self {
        match grain {
            Grain::Fine => Self::FineFilter,
            Grain::Coarse => Self::CoarseFilter,
        }
    }
}

/// How large a section is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) rows: u32,
    pub(super) blocks: u32,
}

/// What the header says of a filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FilterExtent {
    pub(super) shape: Shape,
    pub(super) bytes: u32,
}

impl FilterExtent {
    fn words(self) -> [u32; 4] {
        let Shape {
            seed,
            window_bits,
            firsts,
        } = self.shape;
        [seed, window_bits, firsts, self.bytes]
    }

    fn of_words([seed, window_bits, firsts, bytes]: [u32; 4]) -> Self {
        Self {
            shape: Shape {
                seed,
                window_bits,
                firsts,
            },
            bytes,
        }
    }
}

/// How many filters there are: one of each grain.
pub(super) const FILTERS: usize = Grain::Coarse as usize + 1;

/// The first block of an index file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) origin: Origin,
    /// Where in the segment the index ends.
    pub(super) to: u32,
    pub(super) entries: u32,
    pub(super) highest_stream: StreamNumber,
    /// Of each grain.
    pub(super) filters: [FilterExtent; FILTERS],
    pub(super) sections: [Extent; SECTIONS],
    /// CRC-32C of the directory.
    pub(super) directory_checksum: u32,
}

impl Header {
    /// The header as it stands in the file.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BLOCK_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.origin.log_id);
        bytes.extend_from_slice(&self.origin.segment.to_le_bytes());
        bytes.extend_from_slice(&self.origin.generation.to_le_bytes());
        bytes.extend_from_slice(&self.highest_stream.0.to_le_bytes());
        let words = [self.origin.from, self.to, self.entries];
        let filters = self.filters.into_iter().flat_map(FilterExtent::words);
        let sections = self.sections.iter().flat_map(|it| [it.rows, it.blocks]);
        let words = words.into_iter().chain(filters);
        for word in words.chain([self.directory_checksum]).chain(sections) {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.resize(CHECKSUM_OFFSET, 0);
        bytes.extend_from_slice(&crc_fast::crc32_iscsi(&bytes).to_le_bytes());
        bytes
    }

    /// Reads a header.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let (checked, checksum) = bytes
            .split_at_checked(CHECKSUM_OFFSET)
            .ok_or("its header is cut off")?;
        let mut fields = Fields(checked);
        if fields.array::<8>()? != *MAGIC {
            return Err("it is no index file");
        }
        if fields.u32()? != VERSION {
            return Err("it is of another format");
        }
        if checksum != crc_fast::crc32_iscsi(checked).to_le_bytes() {
            return Err("its header does not match its checksum");
        }
        Self::decode_fields(&mut fields)
    }

    fn decode_fields(fields: &mut Fields<'_>) -> Result<Self, &'static str> {
        let (log_id, segment) = (fields.array()?, fields.u32()?);
        let (generation, highest_stream) = (fields.u64()?, StreamNumber(fields.u64()?));
        let [from, to, entries] = fields.words()?;
        let mut filters = [FilterExtent::default(); FILTERS];
        for filter in &mut filters {
            *filter = FilterExtent::of_words(fields.words()?);
        }
        let directory_checksum = fields.u32()?;
        let mut sections = [Extent::default(); SECTIONS];
        for extent in &mut sections {
            let [rows, blocks] = fields.words()?;
            *extent = Extent { rows, blocks };
        }
        Ok(Self {
            origin: Origin {
                log_id,
                segment,
                generation,
                from,
            },
            to,
            entries,
            highest_stream,
            filters,
            sections,
            directory_checksum,
        })
    }

    /// The blocks of a section, counted behind the header.
    pub(super) fn blocks(&self, section: Section) -> Range<usize> {
        let before = &self.sections[..section as usize];
        let start = before.iter().map(|extent| extent.blocks as usize).sum();
        start..start + self.extent(section).blocks as usize
    }

    pub(super) fn extent(&self, section: Section) -> Extent {
        self.sections[section as usize]
    }

    /// How many blocks there are behind the header.
    pub(super) fn blocks_total(&self) -> usize {
        let blocks = self.sections.iter().map(|extent| extent.blocks as usize);
        blocks.sum()
    }

    /// The length of a file with this header.
    pub(super) fn file_bytes(&self) -> u64 {
        let blocks = self.blocks_total() as u64;
        block_offset(blocks) + blocks * Guard::BYTES as u64
    }
}

/// Where the block with that index behind the header begins; that of the first index behind the last is the directory.
pub(super) fn block_offset(index: u64) -> u64 {
    (index + 1) * BLOCK_BYTES as u64
}

/// What the directory says of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Guard {
    /// What the block's first row is searched by.
    pub(super) fence: u64,
    /// CRC-32C of the block.
    pub(super) checksum: u32,
}

impl Guard {
    pub(super) const BYTES: usize = 12;

    /// Reads a whole directory.
    pub(super) fn decode_all(bytes: &[u8]) -> Vec<Self> {
        let (guards, _) = bytes.as_chunks::<{ Self::BYTES }>();
        guards.iter().map(Self::decode).collect()
    }

    fn decode(bytes: &[u8; Self::BYTES]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *bytes;
        Self {
            fence: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            checksum: u32::from_le_bytes([i, j, k, l]),
        }
    }
}

/// Fields that follow each other.
#[derive(Debug)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (array, rest) = self.0.split_first_chunk().ok_or("a field is cut off")?;
        self.0 = rest;
        Ok(*array)
    }

    pub(super) fn u32(&mut self) -> Result<u32, &'static str> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, &'static str> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn words<const N: usize>(&mut self) -> Result<[u32; N], &'static str> {
        let mut words = [0; N];
        for word in &mut words {
            *word = self.u32()?;
        }
        Ok(words)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> Header {
        Header {
            origin: Origin {
                log_id: *b"0123456789abcdef",
                segment: 7,
                generation: u64::MAX - 1,
                from: 64,
            },
            to: 1 << 26,
            entries: 500_000,
            highest_stream: StreamNumber(12),
            filters: [1, 2].map(|seed| FilterExtent {
                shape: Shape {
                    seed,
                    window_bits: 13,
                    firsts: 1 << 20,
                },
                bytes: ((1 << 20) + (2 << 13)) / seed,
            }),
            sections: std::array::from_fn(|n| Extent {
                rows: n as u32 * 100,
                blocks: n as u32,
            }),
            directory_checksum: 0xDEAD_BEEF,
        }
    }

    #[test]
    fn a_header_comes_back_as_it_was_written() {
        let bytes = header().encode();
        assert_eq!(bytes.len(), BLOCK_BYTES);
        assert_eq!(Header::decode(&bytes), Ok(header()));
        assert!(Header::decode(&bytes[..BLOCK_BYTES - 1]).is_err());
    }

    #[test]
    fn sections_follow_each_other() {
        let header = header();
        assert_eq!(header.blocks(Section::FineFilter).start, 0);
        let filter_ends = header.blocks(Section::CoarseFilter).end;
        assert_eq!(header.blocks(Section::Offsets).start, filter_ends);
        let last = header.blocks(Section::CheckpointNames);
        assert_eq!(last.len(), SECTIONS - 1);
        assert_eq!(last.end, header.blocks_total());
    }

    proptest! {
        #[test]
        fn a_flipped_bit_of_a_header_is_found(bit in 0..BLOCK_BYTES * 8) {
            let mut bytes = header().encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Header::decode(&bytes).is_err());
        }

        #[test]
        fn any_bytes_are_a_header_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..5000)) {
            let _ = Header::decode(&bytes);
        }
    }
}
