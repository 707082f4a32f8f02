//! Where each tag was said to be last, and where before: facts that later ones replace.
//!
//! Most questions are about tags that were never pushed, and are answered without a look at the places.

use super::bins::Bins;
use super::hash::KeyHash;
use super::seen::Seen;

/// Places by tag, of which the newest usually counts.
#[derive(Debug, Default)]
pub(super) struct Latest {
    seen: Seen,
    places: Bins,
}

impl Latest {
    /// How much memory it takes more when it has grown, if it may before there are so many `tags` more.
    pub(super) fn growth_bytes(&self, tags: usize) -> usize {
        self.places.growth_bytes(tags) + self.seen.growth_bytes(tags)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.places.heap_bytes() + self.seen.bytes()
    }

    /// An empty one with room for as many tags as there are here.
    pub(super) fn with_same_room(&self) -> Self {
        Self {
            seen: self.seen.with_same_room(),
            places: self.places.with_same_room(),
        }
    }

    /// Says that `tag` is at `place`, greater than all places before.
    #[inline]
    pub(super) fn push(&mut self, tag: u32, place: u32) {
        self.places.push(tag, place);
        match self.seen.has_room(1) {
            true => self.seen.add([tag]),
            false => self.widen(1),
        }
    }

    /// As [`push`](Self::push), for many: first all places, then all tags, so that what each needs of memory is loaded for
    /// many at the same time.
    #[inline]
    pub(super) fn push_all(&mut self, pairs: impl Iterator<Item = (u32, u32)> + Clone) {
        let mut count = 0;
        for (tag, place) in pairs.clone() {
            self.places.push(tag, place);
            count += 1;
        }
        match self.seen.has_room(count) {
            true => self.seen.add(pairs.map(|(tag, _)| tag)),
            false => self.widen(count),
        }
    }

    /// Makes room for the tags of places that were pushed last, so `many`, and sees all tags again, these too.
    #[cold]
    fn widen(&mut self, many: usize) {
        let mut wider = self.seen.wider(many);
        wider.add(self.places.tags());
        self.seen = wider;
    }

    /// Which of some tags may have a place, each as a bit.
    #[inline]
    pub(super) fn maybe(&self, hashes: &[KeyHash]) -> u64 {
        self.seen.maybe(hashes)
    }

    /// The places of `tag`, newest first.
    pub(super) fn get(&self, tag: u32) -> impl Iterator<Item = u32> + '_ {
        let may_have = self.seen.may_have(tag);
        let places = may_have.then(|| self.places.get(tag));
        places.into_iter().flatten()
    }

    /// The tags of all places, in any order: nearly as quick as a copy of them.
    pub(super) fn tags_of_places(&self) -> impl Iterator<Item = u32> {
        self.places.tags()
    }

    /// All tags, ascending.
    pub(super) fn tags(&self) -> impl Iterator<Item = u32> + '_ {
        let mut last = None;
        let tags = self.iter().map(|(tag, _)| tag);
        tags.filter(move |tag| last.replace(*tag) != Some(*tag))
    }

    /// All places with their tags, ascending by tag, then newest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.places.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_tag_knows_its_places_newest_first(tags in proptest::collection::vec(prop_oneof![0..9u32, any::<u32>()], 0..3_000)) {
            let mut latest = Latest::default();
            for (place, tag) in (0..).zip(&tags) {
                latest.push(*tag, place);
            }
            let mut at_once = Latest::default();
            for tags in tags.chunks(100) {
                let place = at_once.iter().count() as u32;
                at_once.push_all(tags.iter().copied().zip(place..));
            }
            prop_assert!(at_once.iter().eq(latest.iter()));
            prop_assert!(tags.iter().all(|tag| at_once.seen.may_have(*tag)));
            for tag in 0..10 {
                let places = (0..).zip(&tags).filter(|(_, other)| **other == tag);
                let mut places: Vec<u32> = places.map(|(place, _)| place).collect();
                places.reverse();
                prop_assert_eq!(latest.seen.may_have(tag) || places.is_empty(), true);
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
