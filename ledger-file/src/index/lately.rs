//! Which dedup keys the indexes have that were sealed lately, of several of them together.
//!
//! Until the indexes of full segments are merged, a look for a key that is nowhere would go to three places in the filter of
//! each. So those that this process sealed last share a set of their tags, with one place to look at for several of them, and
//! only what may be in it is looked for in their filters (docs/adr/0019). It is in memory alone, and goes when the last index goes
//! that is in it.

use std::ops::Deref;
use std::sync::{Arc, PoisonError, Weak};

use super::hash::KeyHash;
use super::seen::Seen;
use super::together::select;
use crate::fault::{Mistake, is_planted};
use crate::sync::plain::{Mutex, RwLock};

/// The sets of what is sealed now: the newest, which the next index comes into, and the one before it.
#[derive(Debug, Default)]
pub(crate) struct Lately {
    newest: Mutex<[Weak<Sealed>; SETS]>,
}

/// The tags of indexes; none any more when newer ones need the memory. Who adds tags holds the lock for some thousand at a time.
pub(super) type Sealed = RwLock<Option<Seen>>;

const SETS: usize = 2;

/// For how many indexes of the size of its first there is room in a set.
const INDEXES: usize = 4;

/// How many tags there is room for at most: in two megabytes.
const TAGS_MAX: usize = 2 << 20;

/// How many tags are added before others may ask.
const TAGS_AT_ONCE: usize = 4096;

impl Lately {
    /// Adds the tags of an index, so `many`, to a set: that of the indexes before it, as long as there is room. None, if there are
    /// too many, or there is nothing to look for.
    pub(super) fn add(&self, many: usize, tags: impl Iterator<Item = u32>) -> Option<Arc<Sealed>> {
        if !(1..=TAGS_MAX).contains(&many) {
            return None;
        }
        let mut sets = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let roomy = sets[0].upgrade().filter(|set| has_room(set, many));
        let set = roomy.unwrap_or_else(|| begin(&mut sets, many));
        if is_planted(Mistake::SealedKeysForgotten) {
            return Some(set);
        }
        let mut tags = tags.peekable();
        while tags.peek().is_some() {
            let mut seen = set.write().unwrap_or_else(PoisonError::into_inner);
            let seen = seen.as_mut()?;
            seen.add(tags.by_ref().take(TAGS_AT_ONCE));
        }
        Some(set)
    }
}

/// Begins a set for indexes with so `many` tags, and gives up the oldest.
fn begin(sets: &mut [Weak<Sealed>; SETS], many: usize) -> Arc<Sealed> {
    let seen = Seen::with_room((INDEXES * many).min(TAGS_MAX));
    let set = Arc::new(RwLock::new(Some(seen)));
    sets.rotate_right(1);
    let oldest = std::mem::replace(&mut sets[0], Arc::downgrade(&set));
    if let Some(oldest) = oldest.upgrade() {
        *oldest.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
    set
}

fn has_room(set: &Sealed, many: usize) -> bool {
    read(set).as_ref().is_some_and(|seen| seen.has_room(many))
}

fn read(set: &Sealed) -> impl Deref<Target = Option<Seen>> {
    set.read().unwrap_or_else(PoisonError::into_inner)
}

/// Which of some hashes may be in a set: for indexes one after the other, of which those that share one have it asked once.
#[derive(Debug)]
pub(super) struct Among<'a> {
    hashes: &'a [KeyHash],
    set: Option<&'a Arc<Sealed>>,
    /// None: it is not known any more.
    indices: Option<Vec<usize>>,
}

impl<'a> Among<'a> {
    pub(super) fn new(hashes: &'a [KeyHash]) -> Self {
        Self {
            hashes,
            set: None,
            indices: None,
        }
    }

    pub(super) fn hashes(&self) -> &'a [KeyHash] {
        self.hashes
    }

    /// The indices of the hashes that may be in `set`, if that is known.
    pub(super) fn of(&mut self, set: &'a Arc<Sealed>) -> Option<&[usize]> {
        if !self.set.is_some_and(|other| Arc::ptr_eq(other, set)) {
            let seen = read(set);
            let maybe = |seen: &Seen| select(self.hashes, |some| seen.maybe(some)).collect();
            self.indices = seen.as_ref().map(maybe);
            self.set = Some(set);
        }
        self.indices.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::index::hash::mix;

    fn hashes(numbers: Range<u64>) -> Vec<KeyHash> {
        numbers
            .map(|number| KeyHash((mix(number) >> 32) as u32))
            .collect()
    }

    /// Adds the keys of an index.
    fn add(lately: &Lately, numbers: Range<u64>) -> Option<Arc<Sealed>> {
        let hashes = hashes(numbers);
        lately.add(hashes.len(), hashes.iter().map(|hash| hash.0))
    }

    fn selected(set: &Arc<Sealed>, numbers: Range<u64>) -> Option<usize> {
        Among::new(&hashes(numbers)).of(set).map(<[_]>::len)
    }

    #[test]
    fn indexes_share_a_set_that_has_the_keys_of_all_of_them_and_few_others() {
        let lately = Lately::default();
        let first = add(&lately, 0..10_000).unwrap();
        for start in [10_000, 20_000, 30_000] {
            let set = add(&lately, start..start + 10_000).unwrap();
            assert!(Arc::ptr_eq(&first, &set));
        }
        assert_eq!(selected(&first, 0..40_000), Some(40_000));
        let others = selected(&first, 1 << 40..(1 << 40) + 10_000).unwrap();
        assert!(others < 350, "{others} of 10,000 that are not there");
    }

    #[test]
    fn those_of_several_sets_are_asked_about_one_after_the_other() {
        let lately = Lately::default();
        let small = add(&lately, 0..10).unwrap();
        let large = add(&lately, 10..50_000).unwrap();
        let wanted = hashes(0..20);
        let mut among = Among::new(&wanted);
        for _ in 0..2 {
            let in_small = among.of(&small).unwrap();
            assert!((0..10).all(|index| in_small.contains(&index)));
            let in_large = among.of(&large).unwrap();
            assert!((10..20).all(|index| in_large.contains(&index)));
        }
    }

    #[test]
    fn nothing_is_known_of_a_set_behind_which_others_have_begun() {
        let lately = Lately::default();
        let sets = [10, 100_000, 1_000_000].map(|count| add(&lately, 0..count).unwrap());
        assert_eq!(selected(&sets[0], 0..10), None);
        assert_eq!(selected(&sets[1], 0..10), Some(10));
        assert_eq!(selected(&sets[2], 0..10), Some(10));
    }

    #[test]
    fn a_set_goes_with_the_last_index_that_is_in_it() {
        let lately = Lately::default();
        drop(add(&lately, 0..10));
        let sets = lately.newest.lock().unwrap();
        assert!(sets.iter().all(|set| set.upgrade().is_none()));
    }

    #[test]
    fn an_index_with_too_many_keys_and_one_without_any_are_in_no_set() {
        let lately = Lately::default();
        assert!(lately.add(TAGS_MAX + 1, [].into_iter()).is_none());
        assert!(lately.add(0, [].into_iter()).is_none());
    }
}
