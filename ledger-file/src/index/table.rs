//! A hash table from tags to numbers that is sorted at all times.
//!
//! A slot holds a tag and a value in one word. A tag's home is as far along the table as the tag is among all tags, and
//! the slots behind a home are kept in order: so a look-up ends at the first greater tag, growing is one pass over both
//! tables, and a file is written by walking along. The hashes are the tags, so they need not be kept beside it.

use super::words::Words;

/// Pairs of a tag and a value, in their order. A value is less than `u32::MAX`.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Each the complement of a tag above a value, or zero. The last is always zero, which ends every probe.
    slots: Words,
    /// How many slots are the home of some tag; behind them is room for what overflows.
    homes: u32,
    len: usize,
}

/// What a slot without a pair reads as: greater than every pair. Memory that was never touched is full of it.
const EMPTY: u64 = !0;

const HOMES_MIN: u32 = 256;

impl Table {
    fn with_homes(homes: u32) -> Self {
        let slots = homes as usize + homes as usize / 16 + 16;
        Self {
            slots: Words::zeroed(slots),
            homes,
            len: 0,
        }
    }

    /// An empty table that grows once at most before it has as many pairs as there are here.
    pub(super) fn with_same_room(&self) -> Self {
        match u32::try_from(self.len - self.len / 4) {
            Ok(0) | Err(_) => Self::default(),
            Ok(homes) => Self::with_homes(homes.max(HOMES_MIN)),
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.slots.bytes()
    }

    /// How much memory it takes more when it has grown, if it may before there are `pairs` more.
    pub(super) fn growth_bytes(&self, pairs: usize) -> usize {
        match self.len + pairs >= self.pairs_max() {
            true => self.slots.bytes(),
            false => 0,
        }
    }

    /// The values under `tag`, ascending.
    pub(super) fn get(&self, tag: u32) -> impl Iterator<Item = u32> + '_ {
        let start = self.lower_bound(pair(tag, 0));
        self.pairs_from(start)
            .take_while(move |slot| tag_of(*slot) == tag)
            .map(|slot| slot as u32)
    }

    /// The first value under `tag`.
    #[inline]
    pub(super) fn first(&self, tag: u32) -> Option<u32> {
        let slots = self.slots.from(self.home(tag)).map(|slot| !slot);
        let slot = { slots }.find(|slot| tag_of(*slot) >= tag)?;
        (tag_of(slot) == tag && slot != EMPTY).then_some(slot as u32)
    }

    /// The first value under `tag` that `is_it` takes; if there is none, `value` is added.
    pub(super) fn find_or_insert(
        &mut self,
        tag: u32,
        value: u32,
        is_it: impl Fn(u32) -> bool,
    ) -> Option<ValueMut<'_>> {
        self.make_room();
        let mut slot = self.lower_bound(pair(tag, 0));
        while let known = self.slot(slot)
            && tag_of(known) == tag
            && known != EMPTY
        {
            if is_it(known as u32) {
                return Some(ValueMut { table: self, slot });
            }
            slot += 1;
        }
        self.insert_at(slot, pair(tag, value));
        None
    }

    /// Adds a pair.
    pub(super) fn insert(&mut self, tag: u32, value: u32) {
        self.make_room();
        self.insert_at(self.lower_bound(pair(tag, value)), pair(tag, value));
    }

    /// All pairs, ascending.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let slots = self.slots.from(0).map(|slot| !slot);
        let taken = slots.filter(|slot| *slot != EMPTY);
        taken.map(|slot| (tag_of(slot), slot as u32))
    }

    fn home(&self, tag: u32) -> usize {
        ((u64::from(tag) * u64::from(self.homes)) >> 32) as usize
    }

    /// Where `pair` is, or would be.
    fn lower_bound(&self, pair: u64) -> usize {
        let home = self.home(tag_of(pair));
        let behind = self.slots.from(home).take_while(|slot| !slot < pair);
        home + behind.count()
    }

    fn slot(&self, index: usize) -> u64 {
        !self.slots.get(index)
    }

    /// The pairs from a slot on, up to the first slot without one.
    fn pairs_from(&self, slot: usize) -> impl Iterator<Item = u64> + '_ {
        let slots = self.slots.from(slot).map(|slot| !slot);
        slots.take_while(|slot| *slot != EMPTY)
    }

    fn insert_at(&mut self, slot: usize, pair: u64) {
        self.slots.push_along(slot, !pair);
        self.len += 1;
        if self.slot(self.slots.len() - 1) != EMPTY {
            self.grow();
        }
    }

    fn make_room(&mut self) {
        if self.len >= self.pairs_max() {
            self.grow();
        }
    }

    /// Three quarters of the homes: beyond that, an addition moves many slots.
    fn pairs_max(&self) -> usize {
        self.homes as usize / 4 * 3
    }

    fn grow(&mut self) {
        let mut grown = Self::with_homes((self.homes * 2).max(HOMES_MIN));
        let mut free = 0;
        for (tag, value) in self.pairs() {
            free = grown.home(tag).max(free);
            grown.slots.set(free, !pair(tag, value));
            free += 1;
        }
        grown.len = self.len;
        *self = grown;
    }
}

/// A value in its place.
pub(super) struct ValueMut<'a> {
    table: &'a mut Table,
    slot: usize,
}

impl ValueMut<'_> {
    pub(super) fn get(&self) -> u32 {
        self.table.slot(self.slot) as u32
    }

    pub(super) fn set(&mut self, value: u32) {
        let tag = tag_of(self.table.slot(self.slot));
        self.table.slots.set(self.slot, !pair(tag, value));
    }
}

fn pair(tag: u32, value: u32) -> u64 {
    u64::from(tag) << 32 | u64::from(value)
}

fn tag_of(pair: u64) -> u32 {
    (pair >> 32) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_was_inserted_in_order(
            pairs in proptest::collection::vec((any::<u32>(), 0..u32::MAX), 0..2000),
            few in proptest::collection::vec((0..4u32, 0..u32::MAX), 0..40),
        ) {
            let mut table = Table::default();
            let mut model: Vec<(u32, u32)> = pairs.into_iter().chain(few).collect();
            model.push((u32::MAX, 1));
            for (tag, value) in &model {
                table.insert(*tag, *value);
            }
            model.sort_unstable();
            prop_assert_eq!(table.pairs().collect::<Vec<_>>(), model.clone());
            for tag in model.iter().map(|(tag, _)| *tag).chain([0, 5, u32::MAX]) {
                let expected: Vec<u32> =
                    model.iter().filter(|pair| pair.0 == tag).map(|pair| pair.1).collect();
                prop_assert_eq!(table.first(tag), expected.first().copied());
                prop_assert_eq!(table.get(tag).collect::<Vec<_>>(), expected);
            }
        }
    }

    #[test]
    fn a_table_of_the_greatest_tags_grows_beyond_its_end() {
        let mut table = Table::default();
        for value in 0..1000 {
            table.insert(u32::MAX, value);
        }
        assert!(table.get(u32::MAX).eq(0..1000));
    }

    #[test]
    fn a_table_with_the_same_room_takes_as_many_pairs_and_grows_once() {
        let mut full = Table::default();
        assert_eq!(full.with_same_room().heap_bytes(), 0);
        for value in 0..10_000_u32 {
            full.insert(value.wrapping_mul(0x9E37_79B9), value);
        }
        let mut next = full.with_same_room();
        let mut sizes = std::collections::BTreeSet::new();
        for (tag, value) in full.pairs() {
            next.insert(tag, value);
            sizes.insert(next.heap_bytes());
        }
        assert_eq!(sizes.len(), 2);
        assert!(next.pairs().eq(full.pairs()));
    }

    #[test]
    fn an_empty_table_is_asked_without_having_allocated() {
        let table = Table::default();
        assert_eq!((table.heap_bytes(), table.get(7).count()), (0, 0));
        assert_eq!(table.first(7), None);
    }
}
