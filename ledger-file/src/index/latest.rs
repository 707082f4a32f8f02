//! Where each tag was said to be last, and where before: facts that later ones replace.
//!
//! Most questions are about tags that were never pushed, and are answered without a look at the places.

use super::bins::Bins;
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

    /// Says that `tag` is at `place`, greater than all places before.
    #[inline]
    pub(super) fn push(&mut self, tag: u32, place: u32) {
        self.places.push(tag, place);
        match self.seen.has_room(1) {
            true => self.seen.add([tag]),
            false => self.widen(),
        }
    }

    /// Makes room for the tag of the place that was pushed last, and sees all tags again, this one too.
    #[cold]
    fn widen(&mut self) {
        let mut wider = self.seen.wider();
        wider.add(self.places.tags());
        self.seen = wider;
    }

    /// The places of `tag`, newest first.
    pub(super) fn get(&self, tag: u32) -> impl Iterator<Item = u32> + '_ {
        let may_have = self.seen.may_have(tag);
        let places = may_have.then(|| self.places.get(tag));
        places.into_iter().flatten()
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
            prop_assert!(tags.iter().all(|tag| latest.seen.may_have(*tag)));
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
