//! Which tags an index file has: an answer from memory that is sometimes a wrong "maybe", and never a wrong "no".
//!
//! A binary fuse filter (Graf and Lemire, 2022) with eight bits for a fingerprint: nine bits a tag, three loads a
//! question, one "maybe" in 256 wrong. Tags are hashes, so a tag's first slot follows from the tag itself; that keeps
//! tags that are neighbours in order neighbours in memory, which is what makes building one quick.

use super::hash::mix;

/// A filter over tags.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Filter {
    shape: Shape,
    /// Empty: everything is "maybe".
    fingerprints: Vec<u8>,
}

/// How a filter is laid out; what is needed to ask its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// What the slots of a tag depend on beside the tag.
    pub(super) seed: u32,
    /// The binary logarithm of the slots that each of a tag's three slots is chosen from.
    pub(super) window_bits: u32,
    /// How many slots a first slot is chosen from.
    pub(super) firsts: u32,
}

/// How often building is tried, with another seed each time. It fails once in thousands of times.
const ATTEMPTS: u32 = 64;

const WINDOW_BITS_MAX: u32 = 18;

impl Filter {
    /// Makes a filter of `tags`, ascending and each there once.
    pub(super) fn build(tags: &[u32]) -> Self {
        let attempts = (0..ATTEMPTS).map(|seed| Shape::of(tags.len(), seed));
        let built = attempts.filter(|_| !tags.is_empty());
        built
            .filter_map(|shape| Building::new(shape).build(tags))
            .next()
            .unwrap_or_default()
    }

    /// Takes up a filter that was written; none if `shape` and `fingerprints` do not go together.
    pub(super) fn from_parts(shape: Shape, fingerprints: Vec<u8>) -> Option<Self> {
        let is_sound =
            fingerprints.is_empty() || shape.is_sound() && shape.slots() == fingerprints.len();
        is_sound.then_some(Self {
            shape,
            fingerprints,
        })
    }

    /// Whether `tag` may be one of the tags.
    pub(super) fn may_have(&self, tag: u32) -> bool {
        if self.fingerprints.is_empty() {
            return true;
        }
        let (slots, fingerprint) = self.shape.place(tag);
        let seen = slots.map(|slot| self.fingerprints[slot]);
        seen[0] ^ seen[1] ^ seen[2] == fingerprint
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    pub(super) fn fingerprints(&self) -> &[u8] {
        &self.fingerprints
    }
}

/// A filter that excludes nothing.
impl Default for Filter {
    fn default() -> Self {
        Self {
            shape: Shape::default(),
            fingerprints: Vec::new(),
        }
    }
}

impl Shape {
    /// The shape for that many tags, by the paper's rules.
    fn of(tags: usize, seed: u32) -> Self {
        let ln = (tags.max(2) as f64).ln();
        let window_bits = ((ln / 3.33_f64.ln() + 2.25) as u32).min(WINDOW_BITS_MAX);
        let factor = (0.875 + 0.25 * 1e6_f64.ln() / ln).max(1.125);
        let slots = (tags as f64 * factor) as u32;
        let windows = slots.div_ceil(1 << window_bits).saturating_sub(2).max(1);
        Self {
            seed,
            window_bits,
            firsts: windows << window_bits,
        }
    }

    /// Whether every slot of every tag lies within [`slots`](Self::slots).
    fn is_sound(self) -> bool {
        self.window_bits <= WINDOW_BITS_MAX
            && self.firsts > 0
            && self.firsts.trailing_zeros() >= self.window_bits
    }

    /// How many slots there are.
    fn slots(self) -> usize {
        self.firsts as usize + (2 << self.window_bits)
    }

    /// The three slots of a tag, and its fingerprint.
    fn place(self, tag: u32) -> ([usize; 3], u8) {
        let mixed = mix(u64::from(self.seed) << 32 | u64::from(tag));
        let first = ((u64::from(tag) * u64::from(self.firsts)) >> 32) as usize;
        let window = 1usize << self.window_bits;
        let in_window = |bits: u64| bits as usize & (window - 1);
        let second = (first + window) ^ in_window(mixed);
        let third = (first + 2 * window) ^ in_window(mixed >> WINDOW_BITS_MAX);
        ([first, second, third], (mixed >> 56) as u8)
    }
}

/// A filter while it is built: tags that are alone in one of their slots are set aside, until none is left.
struct Building {
    shape: Shape,
    /// For each slot four times the number of its tags, and the exclusive or of which of their slots it is.
    counts: Vec<u8>,
    /// For each slot the exclusive or of its tags.
    tags: Vec<u32>,
}

impl Building {
    fn new(shape: Shape) -> Self {
        Self {
            shape,
            counts: vec![0; shape.slots()],
            tags: vec![0; shape.slots()],
        }
    }

    fn build(mut self, tags: &[u32]) -> Option<Filter> {
        for tag in tags {
            let (slots, _) = self.shape.place(*tag);
            for (which, slot) in (0..).zip(slots) {
                self.counts[slot] = self.counts[slot].wrapping_add(4);
                self.toggle(slot, which, *tag);
            }
        }
        let order = self.set_aside(tags.len());
        (order.len() == tags.len()).then(|| self.assign(&order))
    }

    /// Sets tags aside, each with the slot in which it was alone.
    fn set_aside(&mut self, tags: usize) -> Vec<(u32, u8)> {
        let mut order = Vec::with_capacity(tags);
        let mut alone = Vec::new();
        for slot in 0..self.counts.len() {
            alone.push(slot);
            while let Some(slot) = alone.pop() {
                if self.counts[slot] >> 2 == 1 {
                    order.push((self.tags[slot], self.counts[slot] & 3));
                    self.take_out(self.tags[slot], &mut alone);
                }
            }
        }
        order
    }

    fn take_out(&mut self, tag: u32, alone: &mut Vec<usize>) {
        let (slots, _) = self.shape.place(tag);
        for (which, slot) in (0..).zip(slots) {
            self.counts[slot] = self.counts[slot].wrapping_sub(4);
            self.toggle(slot, which, tag);
            if self.counts[slot] >> 2 == 1 {
                alone.push(slot);
            }
        }
    }

    fn toggle(&mut self, slot: usize, which: u8, tag: u32) {
        self.counts[slot] ^= which;
        self.tags[slot] ^= tag;
    }

    /// Gives each tag, last set aside first, the fingerprint in its own slot that makes the three add up.
    fn assign(self, order: &[(u32, u8)]) -> Filter {
        let mut fingerprints = vec![0; self.shape.slots()];
        for (tag, which) in order.iter().rev() {
            let (slots, fingerprint) = self.shape.place(*tag);
            let own = slots[usize::from(*which)];
            let others = slots.map(|slot| fingerprints[slot]);
            fingerprints[own] ^= fingerprint ^ others[0] ^ others[1] ^ others[2];
        }
        Filter {
            shape: self.shape,
            fingerprints,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn tags(count: u64) -> Vec<u32> {
        let tags: BTreeSet<u32> = (0..count).map(|n| (mix(n) >> 32) as u32).collect();
        tags.into_iter().collect()
    }

    #[test]
    fn it_has_every_tag_and_few_others() {
        for count in [1, 2, 3, 10, 100, 1000, 10_000, 100_000] {
            let tags = tags(count);
            let filter = Filter::build(&tags);
            assert!(
                !filter.fingerprints.is_empty(),
                "{count} tags have a filter"
            );
            assert!(tags.iter().all(|tag| filter.may_have(*tag)));
            let wrong = (1 << 40..(1 << 40) + 100_000u64)
                .map(|n| (mix(n) >> 32) as u32)
                .filter(|tag| tags.binary_search(tag).is_err() && filter.may_have(*tag))
                .count();
            assert!(wrong < 800, "{wrong} of 100,000 wrong with {count} tags");
        }
    }

    #[test]
    fn a_filter_of_nothing_excludes_nothing() {
        assert!(Filter::build(&[]).may_have(7));
    }

    #[test]
    fn a_large_filter_takes_nine_bits_a_tag() {
        let filter = Filter::build(&tags(500_000));
        let bits = filter.fingerprints.len() as f64 * 8.0 / 500_000.0;
        assert!(bits < 9.3, "{bits} bits a tag");
    }

    proptest! {
        #[test]
        fn any_tags_are_found(tags in proptest::collection::btree_set(any::<u32>(), 0..300)) {
            let tags: Vec<u32> = tags.into_iter().collect();
            let filter = Filter::build(&tags);
            prop_assert!(tags.iter().all(|tag| filter.may_have(*tag)));
        }

        #[test]
        fn what_was_read_is_asked_without_a_panic(
            seed in any::<u32>(), window_bits in 0..40u32, firsts in 0..5000u32,
            fingerprints in proptest::collection::vec(any::<u8>(), 0..9000), tag in any::<u32>(),
        ) {
            let shape = Shape { seed, window_bits, firsts };
            if let Some(filter) = Filter::from_parts(shape, fingerprints) {
                filter.may_have(tag);
            }
        }
    }
}
