//! The dedup keys of one batch, to find those that are in it twice.

use super::hash::KeyHash;

/// Positions in a batch by the hashes of their keys. Made once and used for many batches.
#[derive(Debug, Default)]
pub(crate) struct BatchKeys {
    /// Each a tag above a position, or [`FREE`]; as many as a power of two, at least half of them free.
    slots: Vec<u64>,
    /// As many tags where only these matter, or [`NO_TAG`].
    tags: Vec<u32>,
}

/// No pair: a batch has fewer positions.
const FREE: u64 = u64::MAX;

/// What no tag is taken for: a tag of zero is taken for the next.
const NO_TAG: u32 = 0;

impl BatchKeys {
    /// Forgets the batch before, and makes room for `count` keys.
    pub(crate) fn begin(&mut self, count: usize) {
        self.slots.clear();
        self.slots.resize(slots_for(count), FREE);
    }

    /// Whether two of `hashes` may be the same: hardly ever if they are not.
    pub(crate) fn may_be_twice(&mut self, hashes: &[KeyHash]) -> bool {
        if hashes.len() < 2 {
            return false;
        }
        let slots = slots_for(hashes.len());
        self.tags.clear();
        self.tags.resize(slots, NO_TAG);
        let tags = &mut self.tags[..];
        !hashes.iter().all(|KeyHash(tag)| add_new(tags, *tag))
    }

    /// Adds the key of the entry at `position`. There must be room.
    pub(crate) fn insert(&mut self, KeyHash(tag): KeyHash, position: u32) {
        let mut slot = self.home(tag);
        while self.slots[slot] != FREE {
            slot = self.behind(slot);
        }
        self.slots[slot] = u64::from(tag) << 32 | u64::from(position);
    }

    /// The positions of keys with the same hash, in the order in which they were added.
    pub(crate) fn get(&self, KeyHash(tag): KeyHash) -> impl Iterator<Item = u32> + '_ {
        let slots = std::iter::successors(Some(self.home(tag)), |slot| Some(self.behind(*slot)));
        let pairs = slots.map(|slot| self.slots[slot]);
        pairs
            .take_while(|pair| *pair != FREE)
            .filter(move |pair| (pair >> 32) as u32 == tag)
            .map(|pair| pair as u32)
    }

    fn home(&self, tag: u32) -> usize {
        tag as usize & (self.slots.len() - 1)
    }

    fn behind(&self, slot: usize) -> usize {
        (slot + 1) & (self.slots.len() - 1)
    }
}

/// So many that at least half of them stay free.
fn slots_for(count: usize) -> usize {
    (2 * count).next_power_of_two()
}

/// Adds a tag to as many slots as a power of two, unless it is there.
#[inline]
fn add_new(slots: &mut [u32], tag: u32) -> bool {
    let tag = tag.max(NO_TAG + 1);
    let last = slots.len() - 1;
    let mut slot = tag as usize & last;
    while slots[slot] != NO_TAG {
        if slots[slot] == tag {
            return false;
        }
        slot = (slot + 1) & last;
    }
    slots[slot] = tag;
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_batch_finds_its_own_keys_and_not_those_of_the_batch_before(
            before in proptest::collection::vec(any::<u32>(), 1..400),
            tags in proptest::collection::vec(prop_oneof![any::<u32>(), 0..9u32, u32::MAX - 9..=u32::MAX], 1..400),
        ) {
            let mut keys = BatchKeys::default();
            for batch in [before.clone(), tags.clone()] {
                keys.begin(batch.len());
                for (tag, position) in batch.into_iter().zip(0..) {
                    keys.insert(KeyHash(tag), position);
                }
            }
            // Zero is taken for one.
            let different: std::collections::BTreeSet<_> = tags.iter().map(|tag| (*tag).max(1)).collect();
            let hashes: Vec<_> = tags.iter().copied().map(KeyHash).collect();
            prop_assert_eq!(keys.may_be_twice(&hashes), different.len() < tags.len());
            for tag in before.iter().chain(&tags) {
                let positions = (0..).zip(&tags).filter(|(_, other)| *other == tag);
                prop_assert!(keys.get(KeyHash(*tag)).eq(positions.map(|(position, _)| position)));
            }
        }
    }
}
