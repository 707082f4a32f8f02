//! Ascending lists of numbers, one for each tag: the entries of an order key, the runs of a stream.
//!
//! Most lists have one number, which then lies in the table itself. A longer list lies in chunks that double in size,
//! all in one arena: nothing is allocated for a list of its own, nothing moves when it grows, and any place in a list
//! is found through a handful of chunks.

use smallvec::SmallVec;

use super::table::{Table, ValueMut};

/// Lists of numbers below [`NUMBERS_MAX`], by tag.
#[derive(Debug, Default)]
pub(super) struct Postings {
    /// Each tag's only number, or [`LIST`] and the index of its list.
    table: Table,
    lists: Vec<List>,
    arena: Vec<u32>,
}

/// How many different numbers there can be.
pub(super) const NUMBERS_MAX: u32 = LIST;

/// The bit that tells a list from a number.
const LIST: u32 = 1 << 31;

/// The numbers of the first chunk of a list.
const CHUNK_MIN: u32 = 4;

/// A list of two or more numbers.
#[derive(Clone, Copy, Debug)]
struct List {
    count: u32,
    /// Where its newest chunk begins in the arena: with the beginning of the chunk before, then the numbers.
    chunk: u32,
    /// Where the next number goes, unless the chunk ends there.
    end: u32,
    /// Where the chunk ends.
    chunk_end: u32,
}

/// One list, oldest chunk first.
#[derive(Debug, Default)]
pub(super) struct Posting<'a> {
    only: Option<u32>,
    chunks: SmallVec<[&'a [u32]; 8]>,
}

impl Postings {
    /// See [`Table::growth_bytes`].
    pub(super) fn growth_bytes(&self, tags: usize) -> usize {
        self.table.growth_bytes(tags)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.table.heap_bytes()
            + self.lists.capacity() * size_of::<List>()
            + self.arena.capacity() * size_of::<u32>()
    }

    /// Empty lists with room for as many tags as there are here.
    pub(super) fn with_same_room(&self) -> Self {
        Self {
            table: self.table.with_same_room(),
            ..Self::default()
        }
    }

    /// Adds `number`, greater than all before, to the list under `tag` of which `is_it` takes a number, or to a new one.
    pub(super) fn push(&mut self, tag: u32, number: u32, is_it: impl Fn(u32) -> bool) {
        let (lists, arena) = (&self.lists, &self.arena);
        let is_it = |place| is_it(first(lists, arena, place));
        let place = self.table.find_or_insert(tag, number, is_it);
        push_behind(place, number, &mut self.lists, &mut self.arena);
    }

    /// Adds `number`, greater than all before, to the only list under `tag`, of which nothing need be looked at then.
    #[inline]
    pub(super) fn push_only(&mut self, tag: u32, number: u32) {
        match self.table.first(tag) {
            Some(place) if place & LIST != 0 => {
                self.lists[(place ^ LIST) as usize].push(number, &mut self.arena);
            }
            _ => self.push_early(tag, number),
        }
    }

    /// Adds one of the first two numbers of a list.
    #[inline(never)]
    fn push_early(&mut self, tag: u32, number: u32) {
        let place = self.table.find_or_insert(tag, number, |_| true);
        push_behind(place, number, &mut self.lists, &mut self.arena);
    }

    /// The list under `tag` of which `is_it` takes a number; empty if there is none.
    pub(super) fn get(&self, tag: u32, is_it: impl Fn(u32) -> bool) -> Posting<'_> {
        let mut places = self.table.get(tag);
        let place = places.find(|place| is_it(first(&self.lists, &self.arena, *place)));
        place.map_or_else(Posting::default, |place| self.posting(place))
    }

    /// The tags of all lists, ascending.
    pub(super) fn tags(&self) -> impl Iterator<Item = u32> + '_ {
        self.table.pairs().map(|(tag, _)| tag)
    }

    /// All lists with their tags, ascending by tag.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, Posting<'_>)> + '_ {
        let pairs = self.table.pairs();
        pairs.map(|(tag, place)| (tag, self.posting(place)))
    }

    fn posting(&self, place: u32) -> Posting<'_> {
        if place & LIST == 0 {
            return Posting {
                only: Some(place),
                chunks: SmallVec::new(),
            };
        }
        Posting {
            only: None,
            chunks: self.lists[(place ^ LIST) as usize].chunks(&self.arena),
        }
    }
}

/// Adds `number` to the list at `place`; without a place it is in the table already.
#[inline]
fn push_behind(
    place: Option<ValueMut<'_>>,
    number: u32,
    lists: &mut Vec<List>,
    arena: &mut Vec<u32>,
) {
    let Some(mut place) = place else { return };
    if place.get() & LIST != 0 {
        return lists[(place.get() ^ LIST) as usize].push(number, arena);
    }
    let list = List::new(place.get(), number, arena);
    place.set(LIST | lists.len() as u32);
    lists.push(list);
}

/// A number of the list at `place`: the one that is quickest to find.
fn first(lists: &[List], arena: &[u32], place: u32) -> u32 {
    if place & LIST == 0 {
        return place;
    }
    let list = lists[(place ^ LIST) as usize];
    arena[list.chunk as usize + 1]
}

impl List {
    fn new(first: u32, second: u32, arena: &mut Vec<u32>) -> Self {
        let mut list = Self {
            count: 0,
            chunk: 0,
            end: 0,
            chunk_end: 0,
        };
        list.push(first, arena);
        list.push(second, arena);
        list
    }

    #[inline]
    fn push(&mut self, number: u32, arena: &mut Vec<u32>) {
        if self.end == self.chunk_end {
            self.begin_chunk(arena);
        }
        arena[self.end as usize] = number;
        self.end += 1;
        self.count += 1;
    }

    #[inline(never)]
    fn begin_chunk(&mut self, arena: &mut Vec<u32>) {
        let (size, _) = chunk_of(self.count);
        self.chunk = new_chunk(self.chunk, size, arena);
        self.end = self.chunk + 1;
        self.chunk_end = self.end + size;
    }

    fn chunks<'a>(&self, arena: &'a [u32]) -> SmallVec<[&'a [u32]; 8]> {
        let mut chunks = SmallVec::new();
        let (mut start, mut left) = (self.chunk, self.count);
        while left > 0 {
            let (_, before_last) = chunk_of(left - 1);
            let from = start as usize + 1;
            chunks.push(&arena[from..from + before_last as usize + 1]);
            left -= before_last + 1;
            start = arena[start as usize];
        }
        chunks.reverse();
        chunks
    }
}

/// The size of the chunk that holds number `n` of a list, and how many are before it in that chunk.
fn chunk_of(n: u32) -> (u32, u32) {
    let size = CHUNK_MIN << (n / CHUNK_MIN + 1).ilog2();
    (size, n - (size - CHUNK_MIN))
}

fn new_chunk(before: u32, size: u32, arena: &mut Vec<u32>) -> u32 {
    let start = arena.len();
    arena.resize(start + 1 + size as usize, 0);
    arena[start] = before;
    start as u32
}

impl Posting<'_> {
    /// The last number; none if the list is empty.
    pub(super) fn last(&self) -> Option<u32> {
        let in_chunks = self.chunks.last().and_then(|chunk| chunk.last().copied());
        in_chunks.or(self.only)
    }

    pub(super) fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.len()).sum::<usize>()
            + usize::from(self.only.is_some())
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = u32> + '_ {
        let in_chunks = self.chunks.iter().flat_map(|chunk| chunk.iter().copied());
        self.only.into_iter().chain(in_chunks)
    }

    /// The numbers from the first that is not `before` on. `before` holds for a first part of the list.
    pub(super) fn behind(&self, before: impl Fn(u32) -> bool) -> impl Iterator<Item = u32> + '_ {
        let only = self.only.filter(|number| !before(*number));
        let skipped = self.skipped(&before);
        let part = self.chunks.get(skipped).copied().unwrap_or_default();
        let part = &part[part.partition_point(|number| before(*number))..];
        let rest = self.chunks.iter().skip(skipped + 1);
        let rest = rest.flat_map(|chunk| chunk.iter().copied());
        only.into_iter().chain(part.iter().copied()).chain(rest)
    }

    /// The numbers before the first that is not `before`, newest first.
    pub(super) fn back_before(
        &self,
        before: impl Fn(u32) -> bool,
    ) -> impl Iterator<Item = u32> + '_ {
        let only = self.only.filter(|number| before(*number));
        let skipped = self.skipped(&before);
        let part = self.chunks.get(skipped).copied().unwrap_or_default();
        let part = &part[..part.partition_point(|number| before(*number))];
        let rest = self.chunks[..skipped.min(self.chunks.len())].iter().rev();
        let rest = rest.flat_map(|chunk| chunk.iter().rev().copied());
        part.iter().rev().copied().chain(rest).chain(only)
    }

    /// How many chunks are before the first number that is not `before`.
    fn skipped(&self, before: impl Fn(u32) -> bool) -> usize {
        let is_before = |chunk: &&[u32]| chunk.last().is_some_and(|number| before(*number));
        self.chunks.partition_point(is_before)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lists_hold_what_was_pushed(tags in proptest::collection::vec(0..5u32, 0..600), cut in 0..1200u32) {
            let mut postings = Postings::default();
            let mut model: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
            for (number, tag) in (0..).step_by(2).zip(tags) {
                match number % 4 {
                    0 => postings.push(tag, number, |_| true),
                    _ => postings.push_only(tag, number),
                }
                model.entry(tag).or_default().push(number);
            }
            prop_assert_eq!(postings.tags().count(), model.len());
            for tag in 0..6 {
                let posting = postings.get(tag, |_| true);
                let expected = model.remove(&tag).unwrap_or_default();
                prop_assert_eq!(posting.iter().collect::<Vec<_>>(), expected.clone());
                prop_assert_eq!(posting.len(), expected.len());
                prop_assert_eq!(posting.last(), expected.last().copied());
                let (before, behind): (Vec<u32>, Vec<u32>) = expected.iter().partition(|n| **n < cut);
                prop_assert!(posting.behind(|n| n < cut).eq(behind));
                prop_assert!(posting.back_before(|n| n < cut).eq(before.into_iter().rev()));
            }
        }

        #[test]
        fn lists_that_share_a_tag_are_told_apart(odd in proptest::collection::vec(any::<bool>(), 0..200)) {
            let mut postings = Postings::default();
            let numbers = (0..).zip(odd).map(|(n, odd)| n * 2 + u32::from(odd));
            let numbers: Vec<u32> = numbers.collect();
            for number in &numbers {
                postings.push(9, *number, |other| other % 2 == number % 2);
            }
            for parity in 0..2 {
                let expected = numbers.iter().copied().filter(|n| n % 2 == parity);
                prop_assert!(postings.get(9, |n| n % 2 == parity).iter().eq(expected));
            }
        }
    }
}
