//! Where each tag was said to be last, and where before: facts that later ones replace.

use hashbrown::HashTable;

use super::hash::mix;
use super::table::Table;

/// Places by tag, of which the newest usually counts. A tag has one slot, however often it is moved.
#[derive(Debug, Default)]
pub(super) struct Latest {
    newest: Table,
    /// Places whose tag had another one before, each with that place. Few tags have.
    before: HashTable<(u32, u32)>,
}

impl Latest {
    /// See [`Table::growth_bytes`].
    pub(super) fn growth_bytes(&self, tags: usize) -> usize {
        self.newest.growth_bytes(tags)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.newest.heap_bytes() + self.before.capacity() * size_of::<(u32, u32)>()
    }

    /// An empty one with room for as many tags as there are here.
    pub(super) fn with_same_room(&self) -> Self {
        Self {
            newest: self.newest.with_same_room(),
            before: HashTable::new(),
        }
    }

    pub(super) fn prefetch(&self, tags: impl Iterator<Item = u32>) {
        self.newest.prefetch(tags);
    }

    /// Says that `tag` is at `place`, greater than all places before.
    pub(super) fn push(&mut self, tag: u32, place: u32) {
        if let Some(mut newest) = self.newest.find_or_insert(tag, place, |_| true) {
            let pair = (place, newest.get());
            newest.set(place);
            let hash = |(place, _): &(u32, u32)| mix((*place).into());
            self.before.insert_unique(hash(&pair), pair, hash);
        }
    }

    /// The place that the tag of `place` had before.
    fn before(&self, place: u32) -> Option<u32> {
        if self.before.is_empty() {
            return None;
        }
        let pair = self
            .before
            .find(mix(place.into()), |(other, _)| *other == place);
        pair.map(|(_, before)| *before)
    }

    /// The places of `tag`, newest first.
    pub(super) fn get(&self, tag: u32) -> impl Iterator<Item = u32> + '_ {
        let newest = self.newest.get(tag).next();
        std::iter::successors(newest, |place| self.before(*place))
    }

    /// All tags, ascending.
    pub(super) fn tags(&self) -> impl Iterator<Item = u32> + '_ {
        self.newest.pairs().map(|(tag, _)| tag)
    }

    /// All places with their tags, ascending by tag, then newest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.newest.pairs().flat_map(|(tag, newest)| {
            let before = |place: &u32| self.before(*place);
            std::iter::successors(Some(newest), before).map(move |place| (tag, place))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_tag_knows_its_places_newest_first(tags in proptest::collection::vec(0..9u32, 0..100)) {
            let mut latest = Latest::default();
            for (place, tag) in (0..).zip(&tags) {
                latest.push(*tag, place);
            }
            for tag in 0..10 {
                let places = (0..).zip(&tags).filter(|(_, other)| **other == tag);
                let mut places: Vec<u32> = places.map(|(place, _)| place).collect();
                places.reverse();
                prop_assert_eq!(latest.get(tag).collect::<Vec<_>>(), places);
            }
            prop_assert_eq!(latest.iter().count(), tags.len());
        }
    }
}
