//! Collections that most entries leave empty.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::{Deref, DerefMut};

use serde::{Serialize, Serializer};

/// A collection that is mostly empty, and then takes no more room than a pointer, and nothing to make or to drop.
///
/// It is used like the collection in it. An entry has three of them; of most entries all are empty, and a reader makes,
/// moves and drops entries by the million.
///
/// ```
/// use ledger_core::{Sparse, TextMap};
/// let mut metadata = Sparse::<TextMap>::new();
/// assert!(metadata.is_empty());
/// metadata.insert("user".into(), "ann".into());
/// assert_eq!(metadata["user"], "ann");
/// ```
pub struct Sparse<T>(Option<Box<T>>);

impl<T> Sparse<T> {
    /// The empty collection.
    pub const fn new() -> Self {
        Self(None)
    }
}

impl<T: Collection> Sparse<T> {
    /// Takes the collection out.
    pub fn into_inner(self) -> T {
        self.0.map_or_else(T::default, |full| *full)
    }
}

/// What can be [`Sparse`].
pub trait Collection: Default + 'static + sealed::Sealed {
    /// An empty one that is always there.
    #[doc(hidden)]
    fn empty() -> &'static Self;

    /// Whether it has no elements.
    #[doc(hidden)]
    fn has_none(&self) -> bool;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! collections {
    ($($type:ty)*) => {$(
        impl sealed::Sealed for $type {}

        impl Collection for $type {
            #[inline]
            fn empty() -> &'static Self {
                static EMPTY: $type = <$type>::new();
                &EMPTY
            }

            #[inline]
            fn has_none(&self) -> bool {
                self.is_empty()
            }
        }
    )*};
}

collections! { BTreeMap<String, String> BTreeSet<String> }

impl<T: Collection> Deref for Sparse<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match &self.0 {
            Some(collection) => collection,
            None => T::empty(),
        }
    }
}

impl<T: Collection> DerefMut for Sparse<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

impl<T: Collection> From<T> for Sparse<T> {
    fn from(collection: T) -> Self {
        Self((!collection.has_none()).then(|| Box::new(collection)))
    }
}

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Clone> Clone for Sparse<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Collection + PartialEq> PartialEq for Sparse<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Collection + Eq> Eq for Sparse<T> {}

impl<T: Collection + PartialEq> PartialEq<T> for Sparse<T> {
    fn eq(&self, other: &T) -> bool {
        **self == *other
    }
}

impl<T: Collection + fmt::Debug> fmt::Debug for Sparse<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: Collection + Serialize> Serialize for Sparse<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<A, T: Collection + FromIterator<A>> FromIterator<A> for Sparse<T> {
    fn from_iter<I: IntoIterator<Item = A>>(elements: I) -> Self {
        T::from_iter(elements).into()
    }
}

impl<T: Collection + IntoIterator> IntoIterator for Sparse<T> {
    type Item = T::Item;
    type IntoIter = T::IntoIter;

    fn into_iter(self) -> Self::IntoIter {
        self.into_inner().into_iter()
    }
}

impl<'a, T: Collection> IntoIterator for &'a Sparse<T>
where
    &'a T: IntoIterator,
{
    type Item = <&'a T as IntoIterator>::Item;
    type IntoIter = <&'a T as IntoIterator>::IntoIter;

    fn into_iter(self) -> Self::IntoIter {
        (**self).into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Entry, TextMap};

    #[test]
    fn an_empty_one_takes_a_pointer_and_no_memory_of_its_own() {
        assert_eq!(size_of::<Sparse<TextMap>>(), size_of::<usize>());
        assert!(Sparse::from(TextMap::new()).0.is_none());
        assert!(
            TextMap::new()
                .into_iter()
                .collect::<Sparse<TextMap>>()
                .0
                .is_none()
        );
    }

    #[test]
    fn what_was_emptied_is_as_empty_as_what_never_held_anything() {
        let mut tags = Sparse::<BTreeSet<String>>::new();
        tags.insert("t".into());
        assert_ne!(tags, Sparse::new());
        tags.clear();
        assert_eq!(tags, Sparse::new());
        assert_eq!(tags, BTreeSet::new());
    }

    #[test]
    fn it_is_used_like_the_collection_in_it() {
        let pairs = [("b", "2"), ("a", "1")].map(|(key, value)| (key.into(), value.into()));
        let map: Sparse<TextMap> = pairs.into_iter().collect();
        assert_eq!(format!("{map:?}"), r#"{"a": "1", "b": "2"}"#);
        assert_eq!((&map).into_iter().count(), 2);
        assert_eq!(
            map.clone().into_iter().collect::<TextMap>(),
            map.into_inner()
        );
    }

    #[test]
    fn an_entry_without_any_is_not_much_larger_than_its_texts() {
        assert!(size_of::<Entry<u64>>() <= 232);
    }
}
