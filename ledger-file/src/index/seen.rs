//! Which tags were seen: a quick "no" for nearly every tag that was not.
//!
//! Two bits a tag, both in one word (a blocked Bloom filter). That is a quarter of what the tags and their places take, or
//! half of that: so a look at it costs less than one at them.

use std::hint::black_box;

use crate::memory::Memory;

/// A set of tags that seems to have some more.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// As many words as a power of two, or none.
    words: Memory,
    tags: usize,
}

/// One word, in the order of bytes that the machine has.
type Word = [u8; WORD_BYTES];

const WORD_BYTES: usize = size_of::<u64>();

/// With as many tags a word, on average, one of seventy tags that were never added is a "maybe"; with half as many one of
/// 270. With twice as many it would be one of sixteen: each of those costs more than the word that is saved.
const TAGS_A_WORD_MAX: usize = 4;

const WORDS_MIN: usize = 512;

/// How many times as much room the next set has when one is full.
const WIDER: usize = 2;

impl Seen {
    /// An empty set with room for that many tags.
    pub(super) fn with_room(tags: usize) -> Self {
        let words = tags.div_ceil(TAGS_A_WORD_MAX).max(WORDS_MIN);
        Self {
            words: Memory::zeroed(words.next_power_of_two() * WORD_BYTES),
            tags: 0,
        }
    }

    /// An empty set with as much room.
    pub(super) fn with_same_room(&self) -> Self {
        match self.room() {
            0 => Self::default(),
            room => Self::with_room(room),
        }
    }

    /// An empty set with more room, for `tags` more at least: so much that little is added again and again.
    pub(super) fn wider(&self, tags: usize) -> Self {
        Self::with_room((WIDER * self.room()).max(self.tags + tags))
    }

    /// How many tags there is room for.
    #[inline]
    fn room(&self) -> usize {
        self.words().len() * TAGS_A_WORD_MAX
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
        self.words.len()
    }

    /// Whether there is room for so many `tags` more.
    #[inline]
    pub(super) fn has_room(&self, tags: usize) -> bool {
        self.tags + tags <= self.room()
    }

    /// Adds tags; there is room for them.
    #[inline]
    pub(super) fn add(&mut self, tags: impl IntoIterator<Item = u32>) {
        let words: &mut [Word] = self.words.as_chunks_mut().0;
        for tag in tags {
            let word = &mut words[index(tag, words.len())];
            *word = (u64::from_ne_bytes(*word) | bits(tag)).to_ne_bytes();
            self.tags += 1;
        }
    }

    /// Loads what [`may_have`](Self::may_have) looks at for some tags into the processor's cache: in a loop that does nothing
    /// else, so that it waits for many of them at once.
    #[inline]
    pub(super) fn glance(&self, tags: impl Iterator<Item = u32>) {
        let words = self.words();
        let looked_at = tags.filter_map(|tag| words.get(index(tag, words.len())));
        black_box(looked_at.fold(0, |all, word| all ^ u64::from_ne_bytes(*word)));
    }

    /// Whether the tag may have been added.
    #[inline]
    pub(super) fn may_have(&self, tag: u32) -> bool {
        let words = self.words();
        let word = words.get(index(tag, words.len()));
        word.is_some_and(|word| !u64::from_ne_bytes(*word) & bits(tag) == 0)
    }

    #[inline]
    fn words(&self) -> &[Word] {
        self.words.as_chunks().0
    }
}

/// The upper bits of a tag tell which of some words it has.
#[inline]
fn index(tag: u32, words: usize) -> usize {
    ((u64::from(tag) * words as u64) >> 32) as usize
}

/// The lower bits of a tag tell which two bits of its word it has, at times the same.
#[inline]
fn bits(tag: u32) -> u64 {
    1 << (tag & 63) | 1 << (tag >> 6 & 63)
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
            assert!(wrong < 2_500, "{wrong} of 100,000 wrong with {count} tags");
        }
    }

    #[test]
    fn it_is_full_when_it_has_as_many_tags_as_there_is_room_for() {
        let mut seen = Seen::with_room(4_096);
        assert_eq!(seen.bytes(), 8_192);
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
