//! What was looked up last: a small cache without any order.

use std::sync::PoisonError;

use crate::sync::plain::{Mutex, MutexGuard};

/// Up to `N` values by numbers. Each place takes every `N`th number, so that neighbours do not drive each other out.
#[derive(Debug)]
pub(super) struct Recent<V, const N: usize> {
    places: [Mutex<Option<(u64, V)>>; N],
}

impl<V, const N: usize> Default for Recent<V, N> {
    fn default() -> Self {
        Self {
            places: [const { Mutex::new(None) }; N],
        }
    }
}

impl<V: Clone, const N: usize> Recent<V, N> {
    /// The value of `number`, if it is still there.
    pub(super) fn get(&self, number: u64) -> Option<V> {
        let place = self.place(number);
        let kept = place.as_ref().filter(|(kept, _)| *kept == number);
        kept.map(|(_, value)| value.clone())
    }

    /// Keeps the value of `number`.
    pub(super) fn put(&self, number: u64, value: V) {
        *self.place(number) = Some((number, value));
    }

    /// How many values are kept.
    pub(super) fn len(&self) -> usize {
        let kept = (0..N as u64).filter(|number| self.place(*number).is_some());
        kept.count()
    }

    fn place(&self, number: u64) -> MutexGuard<'_, Option<(u64, V)>> {
        let place = self.places[(number % N as u64) as usize].lock();
        place.unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_place_is_kept() {
        let recent = Recent::<_, 4>::default();
        recent.put(3, 'a');
        assert_eq!((recent.get(3), recent.get(7)), (Some('a'), None));
        recent.put(7, 'b');
        assert_eq!((recent.get(3), recent.get(7)), (None, Some('b')));
        assert_eq!(recent.len(), 1);
    }
}
