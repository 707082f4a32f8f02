//! Pairs of a tag and a place, in bins by the upper bits of the tag: in order only when somebody wants them in order.
//!
//! To add a pair is to write it behind the last of its bin. So what is touched is one line of memory a bin, and all of
//! those stay in the processor's cache, where a table of all tags does not. A question looks through one bin.

use std::hint::black_box;

use super::column::Column;

/// Pairs that were added, the newest of each bin first.
#[derive(Debug, Default)]
pub(super) struct Bins {
    /// For each bin the place behind its newest pair, or zero. As many as a power of two, or none.
    ends: Vec<u32>,
    /// Word `n` of all chunks is the place `n`.
    chunks: Column<Chunk>,
    len: usize,
}

/// What a bin grows by: the place where the chunk before it ended, then pairs. A pair is a tag above the complement of a
/// place: so the newest of a tag comes first in order.
type Chunk = [u64; CHUNK];

/// No pair: there is no place that is the greatest number.
const FREE: u64 = 0;

/// Four lines of the cache: what a bin leaves free is little, and a bin of a hundred pairs lies in four pieces.
const CHUNK: usize = 32;
const WORDS_A_LINE: usize = 8;

/// Their ends fit into the first cache of a processor, and the lines that are written to into the second.
const BINS_MAX: usize = 4_096;

/// How many chunks a bin has, on average, before there are more bins.
const CHUNKS_OF_A_BIN: usize = 4;

/// How many times as many bins there are then: so many that few pairs are moved again.
const MORE: usize = 8;

impl Bins {
    fn with_bins(bins: usize) -> Self {
        Self {
            ends: vec![0; bins],
            ..Self::default()
        }
    }

    /// An empty one with as many bins.
    pub(super) fn with_same_room(&self) -> Self {
        Self::with_bins(self.ends.len())
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.ends.capacity() * size_of::<u32>() + self.chunks.heap_bytes()
    }

    /// How much memory it takes more while pairs are moved to more bins, if they may be before there are so many `pairs`
    /// more.
    pub(super) fn growth_bytes(&self, pairs: usize) -> usize {
        let chunks = self.chunks.len() + pairs / (CHUNK - 1);
        match chunks >= self.chunks_max() {
            true => self.heap_bytes() + MORE * self.ends.len() * size_of::<Chunk>(),
            false => 0,
        }
    }

    /// How many pairs were added.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds a pair; `place` is greater than all places before.
    #[inline]
    pub(super) fn push(&mut self, tag: u32, place: u32) {
        let end = match self.ends.get(self.bin(tag)) {
            Some(end) if !is_chunk_end(*end) => *end,
            _ => self.begin_chunk(tag),
        };
        let bin = self.bin(tag);
        self.chunks[end as usize / CHUNK][end as usize % CHUNK] = pair(tag, place);
        self.ends[bin] = end + 1;
        self.len += 1;
    }

    /// Begins another chunk for the bin of `tag`, and tells the place of its first pair.
    #[inline(never)]
    fn begin_chunk(&mut self, tag: u32) -> u32 {
        if self.chunks.len() >= self.chunks_max() {
            self.spread();
        }
        let mut chunk = [FREE; CHUNK];
        let before = self.ends[self.bin(tag)];
        if !is_chunk_end(before) {
            // There are more bins now, and this one has room.
            return before;
        }
        chunk[0] = u64::from(before);
        let start = self.chunks.len() * CHUNK;
        self.chunks.push(chunk);
        start as u32 + 1
    }

    /// With so many chunks there should be more bins.
    fn chunks_max(&self) -> usize {
        match self.ends.len() {
            BINS_MAX.. => usize::MAX,
            bins => bins * CHUNKS_OF_A_BIN,
        }
    }

    /// Moves all pairs to more bins.
    #[cold]
    fn spread(&mut self) {
        let bins = (self.ends.len() * MORE).clamp(1, BINS_MAX);
        let mut more = Self::with_bins(bins);
        self.pairs()
            .for_each(|pair| more.push(tag_of(pair), place_of(pair)));
        *self = more;
    }

    /// All tags, in no order; those that have several places several times.
    pub(super) fn tags(&self) -> impl Iterator<Item = u32> + '_ {
        self.pairs().map(tag_of)
    }

    /// All pairs as they lie in memory: those of one bin in the order in which they were added.
    fn pairs(&self) -> impl Iterator<Item = u64> + '_ {
        let chunks = self.chunks.pieces().flatten();
        let pairs = chunks.flat_map(|chunk| chunk[1..].iter().copied());
        pairs.filter(|pair| *pair != FREE)
    }

    /// The places of `tag`, newest first.
    pub(super) fn get(&self, tag: u32) -> impl Iterator<Item = u32> + '_ {
        let chunks = self.chunks_of(self.bin(tag));
        chunks.flat_map(move |chunk| pairs_with(tag, chunk))
    }

    /// The places of some tags, each with the index of its tag, newest first: chunk by chunk of all their bins, so that the
    /// processor waits for one of each at the same time.
    pub(super) fn get_all(&self, tags: impl Iterator<Item = (usize, u32)>) -> Vec<(usize, u32)> {
        let end_of = |(index, tag)| (index, tag, self.end(self.bin(tag)));
        let mut ends: Vec<(usize, u32, u32)> = tags.map(end_of).collect();
        let mut found = Vec::new();
        loop {
            ends.retain(|(_, _, end)| *end > 0);
            if ends.is_empty() {
                return found;
            }
            let looked_at = ends.iter().filter_map(|(_, _, end)| self.chunk(*end));
            black_box(
                looked_at
                    .flat_map(|chunk| chunk.iter().step_by(WORDS_A_LINE))
                    .fold(0, |all, word| all ^ word),
            );
            for (index, tag, end) in &mut ends {
                let Some(chunk) = self.chunk(*end) else {
                    continue;
                };
                let pairs = pairs_with(*tag, &chunk[1..]);
                found.extend(pairs.map(|place| (*index, place)));
                *end = chunk[0] as u32;
            }
        }
    }

    /// All tags with their places, ascending by tag, then newest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let sorted = |bin| {
            let mut pairs: Vec<u64> = self.pairs_of(bin).collect();
            pairs.sort_unstable();
            pairs
        };
        let pairs = (0..self.ends.len()).flat_map(sorted);
        pairs.map(|pair| (tag_of(pair), place_of(pair)))
    }

    #[inline]
    fn bin(&self, tag: u32) -> usize {
        ((u64::from(tag) * self.ends.len() as u64) >> 32) as usize
    }

    /// The pairs of a bin, newest first.
    fn pairs_of(&self, bin: usize) -> impl Iterator<Item = u64> + '_ {
        let chunks = self.chunks_of(bin);
        chunks.flat_map(|chunk| chunk.iter().rev().copied())
    }

    /// Where a bin ends; zero if there is nothing in it.
    fn end(&self, bin: usize) -> u32 {
        self.ends.get(bin).copied().unwrap_or(0)
    }

    /// The pairs of each chunk of a bin, newest chunk first; of a bin that is not there none.
    fn chunks_of(&self, bin: usize) -> impl Iterator<Item = &[u64]> + '_ {
        let mut end = self.end(bin);
        std::iter::from_fn(move || {
            let chunk = self.chunk(end)?;
            end = chunk[0] as u32;
            Some(&chunk[1..])
        })
    }

    /// The part of a chunk that ends at the place `end`; none if a bin begins there.
    fn chunk(&self, end: u32) -> Option<&[u64]> {
        let last = (end as usize).checked_sub(1)?;
        let chunk = &self.chunks[last / CHUNK];
        Some(&chunk[..last % CHUNK + 1])
    }
}

/// The places of the pairs of a chunk that have `tag`, newest first. All are compared at once: hardly any has it.
fn pairs_with(tag: u32, pairs: &[u64]) -> impl Iterator<Item = u32> + '_ {
    let is_in = pairs
        .iter()
        .fold(false, |is_in, pair| is_in | (tag_of(*pair) == tag));
    let pairs = if is_in { pairs } else { &[] };
    let newest_first = pairs.iter().rev().copied();
    newest_first
        .filter(move |pair| tag_of(*pair) == tag)
        .map(place_of)
}

/// Whether another chunk begins where a bin ends.
fn is_chunk_end(end: u32) -> bool {
    (end as usize).is_multiple_of(CHUNK)
}

fn pair(tag: u32, place: u32) -> u64 {
    u64::from(tag) << 32 | u64::from(!place)
}

fn tag_of(pair: u64) -> u32 {
    (pair >> 32) as u32
}

fn place_of(pair: u64) -> u32 {
    !(pair as u32)
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_hold_what_was_added_newest_first(
            many in proptest::collection::vec(any::<u32>(), 0..2_000),
            few in proptest::collection::vec(prop_oneof![0..3u32, u32::MAX - 2..=u32::MAX], 0..200),
        ) {
            let tags: Vec<u32> = many.into_iter().chain(few).collect();
            let mut bins = Bins::default();
            for (place, tag) in (0..).zip(&tags) {
                bins.push(*tag, place);
            }
            prop_assert_eq!(bins.tags().count(), tags.len());
            let mut all: Vec<_> = (0..).zip(&tags).map(|(place, tag)| (*tag, Reverse(place))).collect();
            all.sort_unstable();
            prop_assert!(bins.iter().eq(all.iter().map(|(tag, Reverse(place))| (*tag, *place))));
            for tag in tags.iter().copied().chain([0, 7, u32::MAX]) {
                let of_tag = all.iter().filter(|(other, _)| *other == tag);
                prop_assert!(bins.get(tag).eq(of_tag.map(|(_, Reverse(place))| *place)));
            }
            let some: Vec<u32> = tags.iter().copied().step_by(7).chain([0, 7, u32::MAX]).collect();
            let mut found = bins.get_all(some.iter().copied().enumerate());
            found.sort_by_key(|(index, _)| *index);
            let expected = some.iter().enumerate().flat_map(|(index, tag)| bins.get(*tag).map(move |place| (index, place)));
            prop_assert!(found.into_iter().eq(expected));
        }
    }

    #[test]
    fn ones_that_are_empty_are_asked_without_having_allocated() {
        let bins = Bins::default();
        assert_eq!((bins.heap_bytes(), bins.get(7).count()), (0, 0));
        assert_eq!(bins.iter().count(), 0);
    }

    #[test]
    fn half_a_million_pairs_take_nine_bytes_each_and_the_same_room_takes_them_where_they_go() {
        let mut bins = Bins::default();
        let tags = (0..500_000_u32).map(|number| number.wrapping_mul(0x9E37_79B9));
        tags.clone()
            .zip(0..)
            .for_each(|(tag, place)| bins.push(tag, place));
        assert!(bins.heap_bytes() < 500_000 * 9 + (64 << 10));
        let mut next = bins.with_same_room();
        assert_eq!(next.growth_bytes(500_000), 0);
        tags.zip(0..).for_each(|(tag, place)| next.push(tag, place));
        assert!(next.iter().eq(bins.iter()));
    }
}
