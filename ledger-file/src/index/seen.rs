//! Which tags were seen: a quick "no" for nearly every tag that was not.
//!
//! Eight to sixteen bits a tag, of which four are set, all of them in the same half of a line of the processor's cache (a split
//! block Bloom filter: Putze, Sanders and Singler, 2007). That is a quarter of what the tags take in memory, or half of it: so a
//! look at it costs less than one at them.

use std::hint::black_box;

use super::hash::{GOLDEN, KeyHash};
use crate::memory::Memory;

/// A set of tags that seems to have some more.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// As many blocks as a power of two, or none.
    blocks: Memory,
    tags: usize,
}

/// Half a line of the processor's cache, in words. A tag has one bit in each.
type Block<W> = [W; 4];

/// One word, in the order of bytes that the machine has.
type Word = [u8; WORD_BYTES];
const WORD_BYTES: usize = size_of::<u64>();

/// With as many tags a block, one of forty tags that were never added is a "maybe"; with half as many one of four hundred.
const TAGS_A_BLOCK_MAX: usize = 32;

/// How many times as much room the next set has when one is full.
const WIDER: usize = 2;

impl Seen {
    /// An empty set with room for that many tags.
    pub(super) fn with_room(tags: usize) -> Self {
        let blocks = tags.div_ceil(TAGS_A_BLOCK_MAX);
        Self {
            blocks: Memory::zeroed(blocks.next_power_of_two() * size_of::<Block<Word>>()),
            tags: 0,
        }
    }

    /// An empty set with more room: so much that little is added again and again.
    pub(super) fn wider(&self) -> Self {
        Self::with_room((WIDER * self.room()).max(1))
    }

    /// How many tags there is room for.
    #[inline]
    pub(super) fn room(&self) -> usize {
        self.blocks().len() * TAGS_A_BLOCK_MAX
    }

    /// How much memory it takes more when it has grown, if it may before there are so many `tags` more.
    pub(super) fn growth_bytes(&self, tags: usize) -> usize {
        match self.tags + tags >= self.room() {
            true => (WIDER - 1) * self.bytes(),
            false => 0,
        }
    }

    /// The memory that it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.blocks.len()
    }

    /// Whether there is room for so many `tags` more.
    #[inline]
    pub(super) fn has_room(&self, tags: usize) -> bool {
        self.tags + tags <= self.room()
    }

    /// Adds tags; there is room for them.
    #[inline]
    pub(super) fn add(&mut self, tags: impl IntoIterator<Item = u32>) {
        let words: &mut [Word] = self.blocks.as_chunks_mut().0;
        let blocks: &mut [Block<Word>] = words.as_chunks_mut().0;
        for tag in tags {
            let block = &mut blocks[index(tag, blocks.len())];
            for (word, bit) in block.iter_mut().zip(bits(tag)) {
                *word = (u64::from_ne_bytes(*word) | bit).to_ne_bytes();
            }
            self.tags += 1;
        }
    }

    /// Which of up to [`TOGETHER`](super::together::TOGETHER) tags may have been added, each as a bit.
    #[inline]
    pub(super) fn maybe(&self, hashes: &[KeyHash]) -> u64 {
        self.load(hashes);
        let bits = hashes.iter().zip(0..);
        bits.fold(0, |all, (KeyHash(tag), bit)| {
            all | u64::from(self.may_have(*tag)) << bit
        })
    }

    /// As [`maybe`](Self::maybe), and adds them, one after the other; there is room for them.
    #[inline]
    pub(super) fn see(&mut self, hashes: &[KeyHash]) -> u64 {
        self.load(hashes);
        self.tags += hashes.len();
        let words: &mut [Word] = self.blocks.as_chunks_mut().0;
        let blocks: &mut [Block<Word>] = words.as_chunks_mut().0;
        let mut all = 0;
        for (KeyHash(tag), bit) in hashes.iter().zip(0..) {
            let block = &mut blocks[index(*tag, blocks.len())];
            let mut missing = 0;
            for (word, bit) in block.iter_mut().zip(bits(*tag)) {
                let before = u64::from_ne_bytes(*word);
                missing |= bit & !before;
                *word = (before | bit).to_ne_bytes();
            }
            all |= u64::from(missing == 0) << bit;
        }
        all
    }

    /// Loads what will be looked at into the processor's cache, in a loop that does nothing else, so that it waits for many at once.
    #[inline]
    fn load(&self, hashes: &[KeyHash]) {
        let blocks = self.blocks();
        let looked_at = hashes
            .iter()
            .filter_map(|KeyHash(tag)| blocks.get(index(*tag, blocks.len())));
        black_box(looked_at.fold(0, |all, block| all ^ u64::from_ne_bytes(block[0])));
    }

    /// Whether the tag may have been added.
    #[inline]
    pub(super) fn may_have(&self, tag: u32) -> bool {
        let blocks = self.blocks();
        let block = blocks.get(index(tag, blocks.len()));
        block.is_some_and(|block| has_all(block, bits(tag)))
    }

    #[inline]
    fn blocks(&self) -> &[Block<Word>] {
        let words: &[Word] = self.blocks.as_chunks().0;
        words.as_chunks().0
    }
}

/// Whether each word of a block has its bit.
#[inline]
fn has_all(block: &Block<Word>, bits: Block<u64>) -> bool {
    let missing = block.iter().zip(bits);
    let missing = missing.map(|(word, bit)| bit & !u64::from_ne_bytes(*word));
    missing.fold(0, |all, missing| all | missing) == 0
}

/// The upper bits of a tag tell which of some blocks it has.
#[inline]
fn index(tag: u32, blocks: usize) -> usize {
    ((u64::from(tag) * blocks as u64) >> 32) as usize
}

/// Which bit of each word of its block a tag has.
#[inline]
fn bits(tag: u32) -> Block<u64> {
    let spread = u64::from(tag).wrapping_mul(GOLDEN);
    [
        1 << (spread >> 58),
        1 << (spread >> 52 & 63),
        1 << (spread >> 46 & 63),
        1 << (spread >> 40 & 63),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::index::hash::mix;

    fn tags(numbers: std::ops::Range<u64>) -> impl Iterator<Item = u32> {
        numbers.map(|number| (mix(number) >> 32) as u32)
    }

    #[test]
    fn it_has_every_tag_and_few_others() {
        for count in [1, 100, 10_000, 500_000] {
            let mut seen = Seen::with_room(count as usize);
            seen.add(tags(0..count));
            assert!(tags(0..count).all(|tag| seen.may_have(tag)));
            let there: BTreeSet<u32> = tags(0..count).collect();
            let wrong = |tag: &u32| seen.may_have(*tag) && !there.contains(tag);
            let wrong = tags(1 << 40..(1 << 40) + 100_000).filter(wrong).count();
            assert!(wrong < 3_500, "{wrong} of 100,000 wrong with {count} tags");
        }
    }

    #[test]
    fn it_is_full_when_it_has_as_many_tags_as_there_is_room_for() {
        let mut seen = Seen::with_room(4_096);
        assert_eq!(seen.bytes(), 4_096);
        for tag in tags(0..4_096) {
            assert!(seen.has_room(1));
            seen.add([tag]);
        }
        assert!(seen.has_room(0) && !seen.has_room(1));
    }

    #[test]
    fn one_without_room_has_nothing_and_is_full() {
        let seen = Seen::default();
        assert!(!seen.has_room(1));
        assert!(!seen.may_have(0) && !seen.may_have(u32::MAX));
    }
}
