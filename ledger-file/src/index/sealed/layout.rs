//! How an index file is laid out: a header, sections of blocks, and a directory of the blocks.
//!
//! Every byte is under a checksum: a block's is in the directory, those of the directory's parts in the header, the
//! header's in its own end. A block is checked whenever it is read.

use std::ops::Range;

use super::super::Origin;
use super::super::filter::{Grain, Shape};
use super::directory::{Cut, Guard, Guards};
use super::sections::{Extent, ORDER, ORDER_2, ORDER_3, Order, Section, Sections};
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

/// The format that is written. An index of one that is not read is written again.
const VERSION: u32 = 4;

/// The sections of a format that is read.
fn order(version: u32) -> Option<&'static Order> {
    match version {
        VERSION => Some(&ORDER),
        3 => Some(&ORDER_3),
        VERSION_2 => Some(&ORDER_2),
        _ => None,
    }
}

/// The one format of those whose directory is in one piece.
const VERSION_2: u32 = 2;

/// What the header says of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Directory {
    /// The root: a guard for each of its parts.
    InParts(Guards),
    /// CRC-32C of all guards, which lie one behind the other: in format 2.
    Whole(u32),
}

impl Directory {
    /// Where a directory of that many blocks ends, and the file.
    pub(super) fn end(&self, blocks: usize) -> u64 {
        match self {
            Self::InParts(_) => Cut::of(blocks).end(),
            Self::Whole(_) => block_offset(blocks as u64) + blocks as u64 * Guard::BYTES as u64,
        }
    }
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
    pub(super) sections: Sections,
}

impl Header {
    /// The header as it stands in the file, with the root of the directory.
    pub(super) fn encode(&self, root: &Guards) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BLOCK_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.origin.log_id);
        bytes.extend_from_slice(&self.origin.segment.to_le_bytes());
        bytes.extend_from_slice(&self.origin.generation.to_le_bytes());
        bytes.extend_from_slice(&self.highest_stream.0.to_le_bytes());
        let words = [self.origin.from, self.to, self.entries];
        let filters = self.filters.into_iter().flat_map(FilterExtent::words);
        let sections = ORDER.into_iter().map(|section| self.extent(section));
        let sections = sections.flat_map(|it| [it.rows, it.blocks]);
        for word in words.into_iter().chain(filters).chain(sections) {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        root.iter().for_each(|guard| bytes.extend(guard.encode()));
        debug_assert!(bytes.len() <= CHECKSUM_OFFSET, "the root has room");
        bytes.resize(CHECKSUM_OFFSET, 0);
        bytes.extend_from_slice(&crc_fast::crc32_iscsi(&bytes).to_le_bytes());
        bytes
    }

    /// Reads a header, and what it says of the directory.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn decode(bytes: &[u8]) -> Result<(Self, Directory), &'static str> {
        let (checked, checksum) = bytes
            .split_at_checked(CHECKSUM_OFFSET)
            .ok_or("its header is cut off")?;
        let mut fields = Fields(checked);
        if fields.array::<8>()? != *MAGIC {
            return Err("it is no index file");
        }
        let version = fields.u32()?;
        let order = order(version).ok_or("it is of another format")?;
        if checksum != crc_fast::crc32_iscsi(checked).to_le_bytes() {
            return Err("its header does not match its checksum");
        }
        Self::decode_fields(version, order, &mut fields)
    }

    fn decode_fields(
        version: u32,
        order: &Order,
        fields: &mut Fields<'_>,
    ) -> Result<(Self, Directory), &'static str> {
        let (log_id, segment) = (fields.array()?, fields.u32()?);
        let (generation, highest_stream) = (fields.u64()?, StreamNumber(fields.u64()?));
        let [from, to, entries] = fields.words()?;
        let mut filters = [FilterExtent::default(); FILTERS];
        for filter in &mut filters {
            *filter = FilterExtent::of_words(fields.words()?);
        }
        let (sections, directory) = match version {
            VERSION_2 => {
                let directory = Directory::Whole(fields.u32()?);
                (Sections::decode(order, fields)?, directory)
            }
            _ => {
                let sections = Sections::decode(order, fields)?;
                let parts = Cut::of(sections.blocks_total()).parts();
                (
                    sections,
                    Directory::InParts(Guards::decode(fields.0, parts)),
                )
            }
        };
        let origin = Origin {
            log_id,
            segment,
            generation,
            from,
        };
        let header = Self {
            origin,
            to,
            entries,
            highest_stream,
            filters,
            sections,
        };
        Ok((header, directory))
    }

    /// The blocks of a section, counted behind the header.
    pub(super) fn blocks(&self, section: Section) -> Range<usize> {
        self.sections.blocks(section)
    }

    pub(super) fn extent(&self, section: Section) -> Extent {
        self.sections.extents[section as usize]
    }

    /// How many blocks there are behind the header, without those of the directory.
    pub(super) fn blocks_total(&self) -> usize {
        self.sections.blocks_total()
    }
}

/// Where the block with that index behind the header begins; behind the last one that of the directory.
pub(super) fn block_offset(index: u64) -> u64 {
    (index + 1) * BLOCK_BYTES as u64
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

    pub(super) fn words<const N: usize>(&mut self) -> Result<[u32; N], &'static str> {
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

    use super::super::directory::GUARDS;
    use super::super::sections::{SECTIONS, SECTIONS_OF_A_FILE};
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
            sections: Sections::of(std::array::from_fn(|n| match n {
                0..SECTIONS_OF_A_FILE => Extent {
                    rows: n as u32 * 100,
                    blocks: n as u32 * 100,
                },
                _ => Extent::default(),
            })),
        }
    }

    fn root() -> Guards {
        let parts = Cut::of(header().blocks_total()).parts() as u32;
        let guard = |part| Guard {
            fence: u64::MAX - u64::from(part),
            checksum: part,
        };
        (0..parts).map(guard).collect()
    }

    #[test]
    fn a_header_comes_back_as_it_was_written() {
        let bytes = header().encode(&root());
        assert_eq!(bytes.len(), BLOCK_BYTES);
        let decoded = (header(), Directory::InParts(root()));
        assert_eq!(Header::decode(&bytes), Ok(decoded));
        assert!(Header::decode(&bytes[..BLOCK_BYTES - 1]).is_err());
    }

    #[test]
    fn the_largest_root_has_room() {
        let mut header = header();
        let mut extents = [Extent::default(); SECTIONS];
        extents[0].blocks = (GUARDS * Cut::PARTS_MAX) as u32;
        header.sections = Sections::of(extents);
        let guard = Guard {
            fence: 1,
            checksum: 2,
        };
        let root: Guards = [guard; Cut::PARTS_MAX].into_iter().collect();
        let bytes = header.encode(&root);
        assert_eq!(bytes.len(), BLOCK_BYTES);
        let decoded = (header, Directory::InParts(root));
        assert_eq!(Header::decode(&bytes), Ok(decoded));
    }

    proptest! {
        #[test]
        fn a_flipped_bit_of_a_header_is_found(bit in 0..BLOCK_BYTES * 8) {
            let mut bytes = header().encode(&root());
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Header::decode(&bytes).is_err());
        }

        #[test]
        fn any_bytes_are_a_header_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..5000)) {
            let _ = Header::decode(&bytes);
        }
    }
}
