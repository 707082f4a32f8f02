//! Words of memory for a table.

use crate::memory::Memory;

/// Words, all of them zero at first.
#[derive(Debug, Default)]
pub(super) struct Words(Memory);

/// One word, in the order of bytes that the machine has.
type Word = [u8; WORD_BYTES];

const WORD_BYTES: usize = size_of::<u64>();

impl Words {
    pub(super) fn zeroed(count: usize) -> Self {
        Self(Memory::zeroed(count * WORD_BYTES))
    }

    /// The memory that they take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.len() * WORD_BYTES
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.all().len()
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> u64 {
        u64::from_ne_bytes(self.all()[index])
    }

    #[inline]
    pub(super) fn set(&mut self, index: usize, word: u64) {
        self.all_mut()[index] = word.to_ne_bytes();
    }

    /// The words from `start` on.
    #[inline]
    pub(super) fn from(&self, start: usize) -> impl Iterator<Item = u64> + '_ {
        self.all()[start..]
            .iter()
            .map(|word| u64::from_ne_bytes(*word))
    }

    /// Puts `word` in the place of the first word from `start` on, that in the place of the next, and so on, until one
    /// that is zero gave up its place. There must be one.
    #[inline]
    pub(super) fn push_along(&mut self, start: usize, word: u64) {
        let mut carried = word;
        for place in &mut self.all_mut()[start..] {
            let before = std::mem::replace(place, carried.to_ne_bytes());
            carried = u64::from_ne_bytes(before);
            if carried == 0 {
                break;
            }
        }
    }

    #[inline]
    fn all(&self) -> &[Word] {
        self.0.as_chunks().0
    }

    #[inline]
    fn all_mut(&mut self) -> &mut [Word] {
        self.0.as_chunks_mut().0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_words_and_many_behave_the_same() {
        for count in [0, 3, 100_000] {
            let mut words = Words::zeroed(count);
            assert_eq!((words.len(), words.bytes()), (count, count * 8));
            assert!(words.from(0).all(|word| word == 0));
            for index in 0..count {
                words.set(index, index as u64 + 1);
            }
            assert!(words.from(0).eq(1..=count as u64));
            assert_eq!(words.from(count).count(), 0);
        }
    }

    #[test]
    fn words_move_along_up_to_the_first_that_is_zero() {
        let mut words = Words::zeroed(5);
        for (index, word) in [1, 2, 0, 4].into_iter().enumerate() {
            words.set(index, word);
        }
        words.push_along(0, 9);
        assert!(words.from(0).eq([9, 1, 2, 4, 0]));
        assert_eq!(words.get(1), 1);
    }
}
