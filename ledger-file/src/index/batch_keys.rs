//! The dedup keys of one batch, to find those that are in it twice.

use super::hash::KeyHash;
use super::table::Table;

/// Positions in a batch by the hashes of their keys. Made once and used for many batches.
#[derive(Debug, Default)]
pub(crate) struct BatchKeys {
    table: Table,
    /// What is in the table, so that a small batch after a large one is forgotten quickly.
    tags: Vec<u32>,
}

impl BatchKeys {
    /// Forgets the batch before.
    pub(crate) fn clear(&mut self) {
        for tag in self.tags.drain(..) {
            self.table.clear_around(tag);
        }
    }

    /// Adds the key of the entry at `position`.
    pub(crate) fn insert(&mut self, KeyHash(tag): KeyHash, position: u32) {
        self.table.insert(tag, position);
        self.tags.push(tag);
    }

    /// The position with the same hash for which `is_it` finds the same key.
    pub(crate) fn find(
        &self,
        KeyHash(tag): KeyHash,
        is_it: impl FnMut(&u32) -> bool,
    ) -> Option<u32> {
        self.table.get(tag).find(is_it)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_batch_finds_its_own_keys_and_not_those_of_the_batch_before(
            before in proptest::collection::vec(any::<u32>(), 0..400),
            near in 0..20u32,
        ) {
            let mut keys = BatchKeys::default();
            for tag in before.iter().copied().chain(0..near) {
                keys.insert(KeyHash(tag), 0);
            }
            keys.clear();
            prop_assert_eq!(keys.table.pairs().count(), 0);
            keys.insert(KeyHash(2), 0);
            keys.insert(KeyHash(2), 1);
            prop_assert!(before.iter().all(|tag| *tag == 2 || keys.find(KeyHash(*tag), |_| true).is_none()));
            prop_assert_eq!(keys.find(KeyHash(2), |position| *position == 1), Some(1));
        }
    }
}
