//! Which tags an index file has: an answer from memory that is sometimes a wrong "maybe", and never a wrong "no".
//!
//! A binary fuse filter (Graf and Lemire, 2022), with a fingerprint of eight or four bits: nine bits a tag and one
//! "maybe" in 256 wrong, or half the memory and one in 16; three loads a question. Tags are hashes, so a tag's first slot
//! follows from the tag itself; that keeps tags that are neighbours in order neighbours in memory, which is what makes building
//! one quick.
//!
//! While it is built it takes many times the memory that it has. So that of many tags consists of parts: each of the tags
//! that begin with the same bits, all of one shape, one behind the other.

mod building;

use std::convert::Infallible;
use std::ops::RangeInclusive;

use building::Building;

use super::hash::{KeyHash, mix};
use super::together::TOGETHER;
use crate::memory::Memory;

/// A filter over tags.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Filter {
    grain: Grain,
    shape: Shape,
    /// How many bits of a tag tell its part.
    part_bits: u32,
    /// Empty: everything is "maybe".
    fingerprints: Memory,
}

/// How much memory a tag is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grain {
    /// Eight bits: for what is usually nowhere, and asked for in every index.
    Fine,
    /// Four bits: for what is usually somewhere, and may have as many tags as there are entries.
    Coarse,
}

impl Grain {
    /// How many bytes the fingerprints of `slots` take.
    fn bytes_of(self, slots: usize) -> usize {
        match self {
            Self::Fine => slots,
            Self::Coarse => slots.div_ceil(2),
        }
    }

    /// In which byte the fingerprint of a slot is.
    fn byte_of(self, slot: usize) -> usize {
        match self {
            Self::Fine => slot,
            Self::Coarse => slot / 2,
        }
    }

    /// As much of a fingerprint as is kept.
    fn cut(self, fingerprint: u8) -> u8 {
        match self {
            Self::Fine => fingerprint,
            Self::Coarse => fingerprint & 0xF,
        }
    }

    /// Writes fingerprints as they are kept.
    fn pack(self, fingerprints: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Fine => fingerprints,
            Self::Coarse => fingerprints
                .chunks(2)
                .map(|pair| pair[0] | pair.get(1).copied().unwrap_or_default() << 4)
                .collect(),
        }
    }
}

/// Where a tag's fingerprint is to be seen.
#[derive(Clone, Copy, Default)]
struct Place {
    part: usize,
    slots: [usize; 3],
    fingerprint: u8,
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

/// How often building is tried, with another seed each time. It fails once in thousands of times; but of some counts of a
/// few thousand tags, for which the paper's rules leave too little room, it fails with every seed.
const ATTEMPTS: u32 = 64;

/// After how many attempts there is more room, by one part of the tags.
const ATTEMPTS_AS_SMALL: u32 = 4;
const ROOM_PART: usize = 32;

const WINDOW_BITS_MAX: u32 = 18;

/// How many tags a part should have at most: then building it takes a megabyte and a half.
const PART_TAGS_MAX: usize = 1 << 17;

/// No more parts than this: tags are 32 bits, and parts of a few tags waste memory.
pub(super) const PART_BITS_MAX: u32 = 12;

impl Filter {
    /// Makes a filter of the tags that `tags` lists, in any order. It is asked several times, and lists the same.
    pub(super) fn build<T: Iterator<Item = u32>>(grain: Grain, tags: impl Fn() -> T) -> Self {
        let part_bits = Self::part_bits_for(tags().count(), PART_TAGS_MAX);
        let mut counts = vec![0; 1 << part_bits];
        tags().for_each(|tag| counts[part_of(tag, part_bits)] += 1);
        let most = counts.iter().copied().max().unwrap_or_default();
        let Ok(filter) = Self::build_in_parts(grain, part_bits, most, |part| {
            let mut some = Vec::with_capacity(counts[part]);
            some.extend(tags().filter(|tag| part_of(*tag, part_bits) == part));
            Ok::<_, Infallible>(some)
        });
        filter
    }

    /// How many bits of a tag tell its part, in a filter of so many tags, with parts of up to `part_tags_max`.
    pub(super) fn part_bits_for(tags: usize, part_tags_max: usize) -> u32 {
        let parts = tags.div_ceil(part_tags_max).max(1).next_power_of_two();
        parts.trailing_zeros().min(PART_BITS_MAX)
    }

    /// Makes a filter of parts, each of which has at most `part_tags_max` tags: those that `tags_of` tells, in any order. It may
    /// be asked for a part more than once.
    ///
    /// # Errors
    /// Those of `tags_of`.
    pub(super) fn build_in_parts<E>(
        grain: Grain,
        part_bits: u32,
        part_tags_max: usize,
        mut tags_of: impl FnMut(usize) -> Result<Vec<u32>, E>,
    ) -> Result<Self, E> {
        let attempts = if part_tags_max == 0 { 0 } else { ATTEMPTS };
        'attempt: for seed in 0..attempts {
            let room =
                part_tags_max + part_tags_max / ROOM_PART * (seed / ATTEMPTS_AS_SMALL) as usize;
            let shape = Shape::of(room, seed);
            let part_bytes = grain.bytes_of(shape.slots());
            let mut fingerprints = Memory::zeroed(part_bytes << part_bits);
            for (part, place) in fingerprints.chunks_exact_mut(part_bytes).enumerate() {
                let mut tags = tags_of(part)?;
                tags.sort_unstable();
                tags.dedup();
                let within = tags.iter().map(|tag| within(*tag, part_bits));
                match Building::new(grain, shape).build(within) {
                    Some(part) => place.copy_from_slice(&part),
                    None => continue 'attempt,
                }
            }
            return Ok(Self {
                grain,
                shape,
                part_bits,
                fingerprints,
            });
        }
        Ok(Self::of_nothing(grain))
    }

    /// A filter that excludes nothing.
    fn of_nothing(grain: Grain) -> Self {
        Self {
            grain,
            shape: Shape::default(),
            part_bits: 0,
            fingerprints: Memory::default(),
        }
    }

    /// Takes up a filter that was written; none if `shape` and `fingerprints` do not go together.
    pub(super) fn from_parts(grain: Grain, shape: Shape, fingerprints: Memory) -> Option<Self> {
        let part_bits = match fingerprints.is_empty() {
            true => 0,
            false => shape.part_bits(grain, fingerprints.len())?,
        };
        Some(Self {
            grain,
            shape,
            part_bits,
            fingerprints,
        })
    }

    /// Whether `tag` may be one of the tags.
    #[inline]
    pub(super) fn may_have(&self, tag: u32) -> bool {
        self.fingerprints.is_empty() || self.has_fingerprint(self.place(tag))
    }

    /// Which of up to [`TOGETHER`] tags may be there, each as a bit. Where to look is found out for all of them before the
    /// first look: then the processor waits for what it looks at of many at once.
    pub(super) fn maybe(&self, hashes: &[KeyHash]) -> u64 {
        if self.fingerprints.is_empty() {
            let none = (TOGETHER - hashes.len()) as u32;
            return u64::MAX.checked_shr(none).unwrap_or_default();
        }
        let mut places = [Place::default(); TOGETHER];
        for (place, KeyHash(tag)) in places.iter_mut().zip(hashes) {
            *place = self.place(*tag);
        }
        let places = places[..hashes.len()].iter().zip(0..);
        places.fold(0, |all, (place, bit)| {
            all | u64::from(self.has_fingerprint(*place)) << bit
        })
    }

    /// What [`may_have`](Self::may_have) looks at: for who wants it to be in the processor's cache.
    pub(super) fn glance(&self, tag: u32) -> impl Iterator<Item = &u8> {
        // The shape of an empty one may make no sense.
        let is_any = !self.fingerprints.is_empty();
        let place = is_any.then(|| self.place(tag)).into_iter();
        let bytes = place.flat_map(|place| place.slots.map(|slot| (place.part, slot)));
        bytes.map(|(part, slot)| &self.fingerprints[part + self.grain.byte_of(slot)])
    }

    #[inline]
    fn place(&self, tag: u32) -> Place {
        let (slots, fingerprint) = self.shape.place(within(tag, self.part_bits));
        Place {
            part: self.part(tag),
            slots,
            fingerprint,
        }
    }

    /// Whether what is at a place is the fingerprint of its tag.
    #[inline]
    fn has_fingerprint(&self, place: Place) -> bool {
        let [first, second, third] = place.slots;
        let seen = self.fingerprint(place.part, first)
            ^ self.fingerprint(place.part, second)
            ^ self.fingerprint(place.part, third);
        seen == self.grain.cut(place.fingerprint)
    }

    /// Where the part of a tag begins.
    #[inline]
    fn part(&self, tag: u32) -> usize {
        part_of(tag, self.part_bits) * (self.fingerprints.len() >> self.part_bits)
    }

    #[inline]
    fn fingerprint(&self, part: usize, slot: usize) -> u8 {
        let byte = self.fingerprints[part + self.grain.byte_of(slot)];
        match self.grain {
            Grain::Fine => byte,
            Grain::Coarse => byte >> (slot % 2 * 4) & 0xF,
        }
    }

    pub(super) fn grain(&self) -> Grain {
        self.grain
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    pub(super) fn fingerprints(&self) -> &[u8] {
        &self.fingerprints
    }
}

/// Which part a tag is in.
#[inline]
pub(super) fn part_of(tag: u32, part_bits: u32) -> usize {
    (u64::from(tag) << part_bits >> u32::BITS) as usize
}

/// The tags of a part.
pub(super) fn tags_of(part: usize, part_bits: u32) -> RangeInclusive<u32> {
    let start = |part: usize| (part as u64) << u32::BITS >> part_bits;
    start(part) as u32..=(start(part + 1) - 1) as u32
}

/// A tag without the bits that tell its part, spread over all of them again.
fn within(tag: u32, part_bits: u32) -> u32 {
    tag << part_bits
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

    /// How many bits of a tag tell its part, if that many bytes are whole parts of this shape.
    fn part_bits(self, grain: Grain, bytes: usize) -> Option<u32> {
        let part_bytes = grain.bytes_of(self.is_sound().then(|| self.slots())?);
        let part_bits = (bytes / part_bytes).checked_ilog2()?;
        let is_whole = part_bits <= PART_BITS_MAX && part_bytes << part_bits == bytes;
        is_whole.then_some(part_bits)
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn sizes() -> impl Iterator<Item = (Grain, u64)> {
        let counts = [1, 2, 3, 10, 100, 1000, 10_000, 100_000];
        counts
            .into_iter()
            .flat_map(|count| [(Grain::Fine, count), (Grain::Coarse, count)])
    }

    fn build(grain: Grain, tags: &[u32]) -> Filter {
        Filter::build(grain, || tags.iter().copied())
    }

    fn tags(count: u64) -> Vec<u32> {
        let tags: BTreeSet<u32> = (0..count).map(|n| (mix(n) >> 32) as u32).collect();
        tags.into_iter().collect()
    }

    #[test]
    fn it_has_every_tag_and_few_others() {
        for (grain, count) in sizes() {
            let tags = tags(count);
            let filter = build(grain, &tags);
            assert!(
                !filter.fingerprints.is_empty(),
                "{count} tags have a filter"
            );
            assert!(tags.iter().all(|tag| filter.may_have(*tag)));
            let wrong = (1 << 40..(1 << 40) + 100_000u64)
                .map(|n| (mix(n) >> 32) as u32)
                .filter(|tag| tags.binary_search(tag).is_err() && filter.may_have(*tag))
                .count();
            let most = match grain {
                Grain::Fine => 800,
                Grain::Coarse => 8_000,
            };
            assert!(wrong < most, "{wrong} of 100,000 wrong with {count} tags");
        }
    }

    #[test]
    fn a_filter_in_parts_has_every_tag_and_few_others() {
        for part_bits in [1, 3] {
            for grain in [Grain::Fine, Grain::Coarse] {
                let tags = tags(50_000);
                let of_part = |part: usize| {
                    let tags = tags.iter().copied();
                    let here = |tag: &u32| part_of(*tag, part_bits) == part;
                    Ok::<Vec<u32>, Infallible>(tags.filter(here).collect())
                };
                let most = (0..1 << part_bits).map(|part| of_part(part).unwrap().len());
                let most = most.max().unwrap();
                let Ok(filter) = Filter::build_in_parts(grain, part_bits, most, of_part);
                assert!(tags.iter().all(|tag| filter.may_have(*tag)));
                assert!(tags.iter().all(|tag| filter.glance(*tag).count() == 3));
                let wrong = (1 << 40..(1 << 40) + 100_000u64)
                    .map(|n| (mix(n) >> 32) as u32)
                    .filter(|tag| tags.binary_search(tag).is_err() && filter.may_have(*tag))
                    .count();
                assert!(
                    wrong < 8_000 && (grain == Grain::Coarse || wrong < 800),
                    "{wrong}"
                );
                let (shape, bytes) = (filter.shape(), Memory::from(filter.fingerprints()));
                assert_eq!(Filter::from_parts(grain, shape, bytes), Some(filter));
            }
        }
    }

    /// With as little room as the paper gives them, some counts of tags fail with every seed.
    #[test]
    fn there_is_a_filter_of_any_count_of_tags() {
        for count in (3..40)
            .map(|step| 1.35_f64.powi(step) as u64)
            .chain((8_000..14_000).step_by(97))
        {
            for grain in [Grain::Fine, Grain::Coarse] {
                let tags = tags(count);
                let filter = build(grain, &tags);
                assert!(
                    !filter.fingerprints.is_empty(),
                    "{count} tags have no filter"
                );
            }
        }
    }

    #[test]
    fn a_part_has_the_tags_that_are_in_it() {
        for part_bits in [0, 1, 5, PART_BITS_MAX] {
            let mut next = 0;
            for part in 0..1 << part_bits {
                let tags = tags_of(part, part_bits);
                assert_eq!(u64::from(*tags.start()), next);
                assert_eq!(
                    [*tags.start(), *tags.end()].map(|tag| part_of(tag, part_bits)),
                    [part; 2]
                );
                next = u64::from(*tags.end()) + 1;
            }
            assert_eq!(next, 1 << 32);
        }
    }

    #[test]
    fn many_tags_are_built_in_parts() {
        let bits = [1, 100, 101, 800].map(|tags| Filter::part_bits_for(tags, 100));
        assert_eq!(bits, [0, 0, 1, 3]);
        assert_eq!(Filter::part_bits_for(usize::MAX / 4, 100), PART_BITS_MAX);
    }

    #[test]
    fn a_filter_of_nothing_excludes_nothing() {
        let filter = build(Grain::Fine, &[]);
        assert!(filter.may_have(7));
        assert_eq!(filter.maybe(&[KeyHash(7); TOGETHER]), u64::MAX);
        assert_eq!((filter.maybe(&[KeyHash(7); 3]), filter.maybe(&[])), (7, 0));
    }

    #[test]
    fn many_are_answered_as_each_of_them_alone() {
        for grain in [Grain::Fine, Grain::Coarse] {
            let filter = build(grain, &tags(300_000));
            let asked: Vec<KeyHash> = tags(400_000).into_iter().map(KeyHash).collect();
            for some in asked.chunks(TOGETHER) {
                let maybe = filter.maybe(some);
                let alone = some.iter().map(|hash| filter.may_have(hash.0));
                assert!(
                    (0..)
                        .zip(alone)
                        .all(|(bit, one)| one == (maybe >> bit & 1 == 1))
                );
            }
        }
    }

    #[test]
    fn a_large_filter_takes_nine_bits_a_tag_and_a_coarse_one_half_of_that() {
        for (grain, most) in [(Grain::Fine, 9.5), (Grain::Coarse, 4.75)] {
            let filter = build(grain, &tags(500_000));
            let bits = filter.fingerprints.len() as f64 * 8.0 / 500_000.0;
            assert!(bits < most, "{bits} bits a tag");
        }
    }

    proptest! {
        #[test]
        fn any_tags_are_found(tags in proptest::collection::btree_set(any::<u32>(), 0..300)) {
            let tags: Vec<u32> = tags.into_iter().collect();
            for grain in [Grain::Fine, Grain::Coarse] {
                let filter = build(grain, &tags);
                prop_assert!(tags.iter().all(|tag| filter.may_have(*tag)));
                let (shape, fingerprints) = (filter.shape(), Memory::from(filter.fingerprints()));
                prop_assert_eq!(Filter::from_parts(grain, shape, fingerprints), Some(filter));
            }
        }

        #[test]
        fn what_was_read_is_asked_without_a_panic(
            seed in any::<u32>(), window_bits in 0..40u32, firsts in 0..5000u32,
            fingerprints in proptest::collection::vec(any::<u8>(), 0..9000), tag in any::<u32>(),
        ) {
            let shape = Shape { seed, window_bits, firsts };
            for grain in [Grain::Fine, Grain::Coarse] {
                if let Some(filter) = Filter::from_parts(grain, shape, Memory::from(&*fingerprints)) {
                    filter.may_have(tag);
                    assert!(filter.glance(tag).count() <= 3);
                }
            }
        }
    }
}
