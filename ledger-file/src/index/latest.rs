//! Where each tag was said to be last, and where before: facts that later ones replace.
//!
//! Most questions are about tags that were never pushed, and are answered without a look at the table. Into that, tags
//! go many at a time, so that what they need of memory is loaded together.

use std::cmp::Reverse;

use hashbrown::HashTable;

use super::hash::mix;
use super::seen::Seen;
use super::table::Table;

/// Places by tag, of which the newest usually counts. A tag has one slot, however often it is moved.
#[derive(Debug, Default)]
pub(super) struct Latest {
    seen: Seen,
    /// The newest tags with their places, which are not in the table yet.
    pending: Vec<(u32, u32)>,
    newest: Table,
    /// Places whose tag had another one before, each with that place. Few tags have.
    before: HashTable<(u32, u32)>,
}

/// How many tags go into the table together. Few enough to be looked through.
const PENDING_MAX: usize = 64;

impl Latest {
    /// How much memory it takes more when it has grown, if it may before there are so many `tags` more.
    pub(super) fn growth_bytes(&self, tags: usize) -> usize {
        self.newest.growth_bytes(tags + PENDING_MAX) + self.seen.growth_bytes(tags)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.newest.heap_bytes()
            + self.seen.bytes()
            + (self.pending.capacity() + self.before.capacity()) * size_of::<(u32, u32)>()
    }

    /// An empty one with room for as many tags as there are here.
    pub(super) fn with_same_room(&self) -> Self {
        Self {
            seen: self.seen.with_same_room(),
            newest: self.newest.with_same_room(),
            ..Self::default()
        }
    }

    /// Says that `tag` is at `place`, greater than all places before.
    #[inline]
    pub(super) fn push(&mut self, tag: u32, place: u32) {
        if self.seen.is_full() {
            self.widen();
        }
        self.seen.add(tag);
        self.pending.push((tag, place));
        if self.pending.len() >= PENDING_MAX {
            self.settle();
        }
    }

    /// Makes room for more tags.
    #[cold]
    fn widen(&mut self) {
        let mut wider = self.seen.wider();
        let pending = self.pending.iter().map(|(tag, _)| *tag);
        let settled = self.newest.pairs().map(|(tag, _)| tag);
        settled.chain(pending).for_each(|tag| wider.add(tag));
        self.seen = wider;
    }

    /// Puts what is pending into the table.
    #[inline(never)]
    fn settle(&mut self) {
        self.newest
            .prefetch(self.pending.iter().map(|(tag, _)| *tag));
        for (tag, place) in self.pending.drain(..) {
            if let Some(mut newest) = self.newest.find_or_insert(tag, place, |_| true) {
                let pair = (place, newest.get());
                newest.set(place);
                let hash = |(place, _): &(u32, u32)| mix((*place).into());
                self.before.insert_unique(hash(&pair), pair, hash);
            }
        }
    }

    /// The place that the tag of `place`, which is in the table, had before.
    fn before(&self, place: u32) -> Option<u32> {
        if self.before.is_empty() {
            return None;
        }
        let pair = self
            .before
            .find(mix(place.into()), |(other, _)| *other == place);
        pair.map(|(_, before)| *before)
    }

    /// Whether the tag may have a place.
    #[inline]
    pub(super) fn may_have(&self, tag: u32) -> bool {
        self.seen.may_have(tag)
    }

    /// The places of `tag`, newest first.
    pub(super) fn get(&self, tag: u32) -> impl Iterator<Item = u32> + '_ {
        let newest_first = self.pending.iter().rev();
        let pending = newest_first.filter(move |(other, _)| *other == tag);
        let newest = self.newest.get(tag).next();
        let settled = std::iter::successors(newest, |place| self.before(*place));
        pending.map(|(_, place)| *place).chain(settled)
    }

    /// All tags, ascending.
    pub(super) fn tags(&self) -> impl Iterator<Item = u32> + '_ {
        let mut last = None;
        let tags = self.iter().map(|(tag, _)| tag);
        tags.filter(move |tag| last.replace(*tag) != Some(*tag))
    }

    /// All places with their tags, ascending by tag, then newest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let settled = self.newest.pairs().flat_map(|(tag, newest)| {
            let before = |place: &u32| self.before(*place);
            std::iter::successors(Some(newest), before).map(move |place| (tag, place))
        });
        let mut pending = self.pending.clone();
        let order = |(tag, place): &(u32, u32)| (*tag, Reverse(*place));
        pending.sort_unstable_by_key(order);
        let (mut settled, mut pending) = (settled.peekable(), pending.into_iter().peekable());
        std::iter::from_fn(move || match (pending.peek(), settled.peek()) {
            (Some(one), Some(other)) if order(one) < order(other) => pending.next(),
            (Some(_), None) => pending.next(),
            _ => settled.next(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_tag_knows_its_places_newest_first(tags in proptest::collection::vec(0..9u32, 0..700)) {
            let mut latest = Latest::default();
            for (place, tag) in (0..).zip(&tags) {
                latest.push(*tag, place);
            }
            for tag in 0..10 {
                let places = (0..).zip(&tags).filter(|(_, other)| **other == tag);
                let mut places: Vec<u32> = places.map(|(place, _)| place).collect();
                places.reverse();
                prop_assert_eq!(latest.may_have(tag) || places.is_empty(), true);
                prop_assert_eq!(latest.get(tag).collect::<Vec<_>>(), places);
            }
            let mut all: Vec<_> = (0..).zip(&tags).map(|(place, tag)| (*tag, Reverse(place))).collect();
            all.sort_unstable();
            let all: Vec<_> = all.into_iter().map(|(tag, Reverse(place))| (tag, place)).collect();
            prop_assert_eq!(latest.iter().collect::<Vec<_>>(), all);
            let different: std::collections::BTreeSet<u32> = tags.into_iter().collect();
            prop_assert!(latest.tags().eq(different));
        }
    }
}
