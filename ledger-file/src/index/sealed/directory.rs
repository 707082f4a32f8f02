//! The directory of an index file: what is known of each block, in parts that are read when they are needed.
//!
//! It is made of blocks itself, of which each tells of as many blocks of the file as fit. A part is one of these or several,
//! so many that what tells of all parts, the root, has room in the header. Whoever looks for something goes by the root to a
//! part, and by that to a block: of a large file two small pieces are read instead of a hundredth of it.

use std::ops::Range;

use super::layout::{BLOCK_BYTES, block_offset};

/// What the directory says of a block, and the root of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Guard {
    /// What the first row is searched by.
    pub(super) fence: u64,
    /// CRC-32C of all bytes.
    pub(super) checksum: u32,
}

impl Guard {
    pub(super) const BYTES: usize = 12;

    pub(super) fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.fence.to_le_bytes());
        bytes[8..].copy_from_slice(&self.checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; Self::BYTES]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *bytes;
        Self {
            fence: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            checksum: u32::from_le_bytes([i, j, k, l]),
        }
    }
}

/// Of how many blocks one of the directory tells. In unit tests fewer, so that small files have many parts.
pub(super) const GUARDS: usize = if cfg!(test) {
    7
} else {
    BLOCK_BYTES / Guard::BYTES
};

/// Guards in memory: apart, because searches look at fences alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Guards {
    pub(super) fences: Box<[u64]>,
    pub(super) checksums: Box<[u32]>,
}

impl FromIterator<Guard> for Guards {
    fn from_iter<I: IntoIterator<Item = Guard>>(guards: I) -> Self {
        let guards = guards.into_iter().map(|it| (it.fence, it.checksum));
        let (fences, checksums): (Vec<_>, Vec<_>) = guards.unzip();
        Self {
            fences: fences.into(),
            checksums: checksums.into(),
        }
    }
}

impl Guards {
    /// The first `count` guards in `bytes`, one behind the other.
    pub(super) fn decode(bytes: &[u8], count: usize) -> Self {
        let (guards, _) = bytes.as_chunks();
        guards.iter().take(count).map(Guard::decode).collect()
    }

    /// The first `count` guards in blocks of a directory.
    fn decode_blocks(bytes: &[u8], count: usize) -> Self {
        let guards = |block| <[u8]>::as_chunks(block).0.iter().take(GUARDS);
        let guards = bytes.chunks(BLOCK_BYTES).flat_map(guards);
        guards.take(count).map(Guard::decode).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Guard> {
        let guards = self.fences.iter().zip(&self.checksums);
        guards.map(|(fence, checksum)| Guard {
            fence: *fence,
            checksum: *checksum,
        })
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.fences.len() * (size_of::<u64>() + size_of::<u32>())
    }
}

/// How a directory is cut into parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// How many blocks the directory tells of.
    blocks: usize,
    /// A part has two to the power of this many blocks.
    part_bits: u32,
}

impl Cut {
    /// How many parts there are at most: their guards have room in the header.
    pub(super) const PARTS_MAX: usize = 320;

    /// How the directory of that many blocks is cut: into as small parts as the root has room for.
    pub(super) fn of(blocks: usize) -> Self {
        let least = blocks.div_ceil(GUARDS).div_ceil(Self::PARTS_MAX);
        Self {
            blocks,
            part_bits: least.next_power_of_two().trailing_zeros(),
        }
    }

    pub(super) fn parts(self) -> usize {
        self.blocks.div_ceil(GUARDS << self.part_bits)
    }

    /// The part that tells of a block.
    pub(super) fn part_of(self, block: usize) -> usize {
        (block / GUARDS) >> self.part_bits
    }

    /// The blocks that a part tells of.
    pub(super) fn blocks_of(self, part: usize) -> Range<usize> {
        let blocks = GUARDS << self.part_bits;
        let start = part * blocks;
        start..(start + blocks).min(self.blocks)
    }

    /// Where some parts that follow each other are in the file.
    pub(super) fn bytes_of(self, parts: Range<usize>) -> Range<u64> {
        let block = |part: usize| (part << self.part_bits).min(self.blocks.div_ceil(GUARDS));
        let offset = |part| block_offset((self.blocks + block(part)) as u64);
        offset(parts.start)..offset(parts.end)
    }

    /// Where the directory ends, and the file.
    pub(super) fn end(self) -> u64 {
        self.bytes_of(0..self.parts()).end
    }

    /// The guards in the bytes of a part.
    pub(super) fn decode(self, part: usize, bytes: &[u8]) -> Guards {
        Guards::decode_blocks(bytes, self.blocks_of(part).len())
    }

    /// A directory as it stands in the file, and the root of it.
    pub(super) fn encode(self, guards: &[Guard]) -> (Vec<u8>, Guards) {
        debug_assert_eq!(guards.len(), self.blocks);
        let mut bytes = Vec::with_capacity(guards.len().div_ceil(GUARDS) * BLOCK_BYTES);
        for block in guards.chunks(GUARDS) {
            block.iter().for_each(|guard| bytes.extend(guard.encode()));
            bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
        }
        let parts = bytes.chunks(BLOCK_BYTES << self.part_bits);
        let firsts = guards.chunks(GUARDS << self.part_bits);
        let root = { parts.zip(firsts) }.map(|(part, guards)| Guard {
            fence: guards[0].fence,
            checksum: crc_fast::crc32_iscsi(part),
        });
        let root = root.collect();
        (bytes, root)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn guards(count: usize) -> Vec<Guard> {
        let guard = |nth: usize| Guard {
            fence: nth as u64 * 7,
            checksum: !nth as u32,
        };
        (0..count).map(guard).collect()
    }

    #[test]
    fn a_directory_comes_back_part_by_part() {
        let full = GUARDS * Cut::PARTS_MAX;
        for count in [
            0,
            1,
            GUARDS - 1,
            GUARDS,
            GUARDS + 1,
            1_000,
            full,
            full + 1,
            full * 3,
        ] {
            let (cut, guards) = (Cut::of(count), guards(count));
            let (bytes, root) = cut.encode(&guards);
            assert_eq!(root.iter().count(), cut.parts());
            assert_eq!(cut.end(), block_offset(count as u64) + bytes.len() as u64);
            let mut back = Vec::new();
            for (part, guard) in root.iter().enumerate() {
                let place = cut.bytes_of(part..part + 1);
                let start = (place.start - block_offset(count as u64)) as usize;
                let bytes = &bytes[start..start + (place.end - place.start) as usize];
                assert_eq!(guard.checksum, crc_fast::crc32_iscsi(bytes));
                assert_eq!(guard.fence, guards[cut.blocks_of(part).start].fence);
                back.extend(cut.decode(part, bytes).iter());
            }
            assert!(back == guards, "{count} blocks");
        }
    }

    #[test]
    fn parts_are_as_small_as_the_root_has_room_for() {
        let part_bytes = |blocks| {
            let place = Cut::of(blocks).bytes_of(0..1);
            place.end - place.start
        };
        assert_eq!(part_bytes(GUARDS * Cut::PARTS_MAX), 4_096);
        assert_eq!(part_bytes(GUARDS * Cut::PARTS_MAX + 1), 8_192);
        assert_eq!(part_bytes(GUARDS * Cut::PARTS_MAX * 2 + 1), 16_384);
    }

    proptest! {
        #[test]
        fn every_block_is_in_one_part_and_the_root_has_room_for_all(
            blocks in prop_oneof![1..2_000usize, 1..1usize << 36],
            at in any::<prop::sample::Index>(),
        ) {
            let (cut, block) = (Cut::of(blocks), at.index(blocks));
            prop_assert!((1..=Cut::PARTS_MAX).contains(&cut.parts()));
            let part = cut.part_of(block);
            prop_assert!(part < cut.parts());
            prop_assert!(cut.blocks_of(part).contains(&block));
            prop_assert_eq!(cut.blocks_of(cut.parts() - 1).end, blocks);
        }
    }
}
