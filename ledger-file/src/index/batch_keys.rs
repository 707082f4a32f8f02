//! The dedup keys of one batch, to find those that are in it twice.

use super::hash::KeyHash;
use super::table::Table;

/// Positions in a batch by the hashes of their keys. Made once and used for many batches.
#[derive(Debug, Default)]
pub(crate) struct BatchKeys(Table);

impl BatchKeys {
    /// Forgets the batch before.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds the key of the entry at `position`.
    pub(crate) fn insert(&mut self, KeyHash(tag): KeyHash, position: u32) {
        self.0.insert(tag, position);
    }

    /// The position with the same hash for which `is_it` finds the same key.
    pub(crate) fn find(
        &self,
        KeyHash(tag): KeyHash,
        is_it: impl FnMut(&u32) -> bool,
    ) -> Option<u32> {
        self.0.get(tag).find(is_it)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_finds_its_own_keys_and_not_those_of_the_batch_before() {
        let mut keys = BatchKeys::default();
        keys.insert(KeyHash(1), 0);
        keys.clear();
        keys.insert(KeyHash(2), 0);
        keys.insert(KeyHash(2), 1);
        assert_eq!(keys.find(KeyHash(1), |_| true), None);
        assert_eq!(keys.find(KeyHash(2), |position| *position == 1), Some(1));
    }
}
