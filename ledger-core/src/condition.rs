//! Append conditions: optimistic concurrency without locks held by the caller.

use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::id::Id;
use crate::name::StreamName;

/// What must hold in a stream for a batch to be appended, checked and written as one step.
///
/// Conditions look at what a read would return: trimmed and expired entries are not in anybody's way.
///
/// ```
/// use ledger_core::{Condition, Filter};
/// // Nobody reserved seat 12 since I looked at entry 41:
/// let seat: Condition<u64> = Condition::none_after(Filter::new().order_key("seat-12"), 41);
/// // I decided on the state of this aggregate as of its entry 17:
/// let aggregate: Condition<u64> = Condition::last_of("o-1", 17);
/// # let _ = (seat, aggregate);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Condition<I> {
    /// Which entries can be in the way.
    pub filter: Filter,
    /// No such entry has a greater id than this; none: there is no such entry at all.
    pub after: Option<I>,
    /// Also, `after` is no guess: see [`Condition::head_is`] and [`Condition::last_of`].
    pub exact: bool,
}

/// What a store looks up to decide a [`Condition`].
pub trait Evidence<I> {
    /// The newest entry that a read would return and `filter` chooses.
    ///
    /// # Errors
    /// What the look-up runs into.
    fn newest(&mut self, filter: &Filter) -> Result<Option<I>>;

    /// The last id that the stream gave out, also when that entry is gone.
    ///
    /// # Errors
    /// What the look-up runs into.
    fn head(&mut self) -> Result<Option<I>>;

    /// Whether the stream gave `id` out, and a read would no longer return that entry.
    ///
    /// # Errors
    /// What the look-up runs into.
    fn is_gone(&mut self, id: I) -> Result<bool>;
}

impl<I: Id> Condition<I> {
    /// Holds if no entry that `filter` chooses has an id greater than `after` (none: if there is no such entry).
    pub fn none_after(filter: Filter, after: impl Into<Option<I>>) -> Self {
        Self {
            filter,
            after: after.into(),
            exact: false,
        }
    }

    /// Holds if the stream has no entry: it is new, or wholly trimmed.
    pub fn stream_is_empty() -> Self {
        Self::none_after(Filter::new(), None)
    }

    /// Holds if `id` is the last id that the stream gave out, whether or not that entry is still there.
    pub fn head_is(id: I) -> Self {
        Self {
            filter: Filter::new(),
            after: Some(id),
            exact: true,
        }
    }

    /// Holds if `id` is the last entry with this order key (none: if there is no entry with it).
    ///
    /// An `id` that was trimmed or has expired since is taken at its word, so that an aggregate loaded from a snapshot
    /// can go on; one that the stream never gave out, or that belongs to another order key, is a conflict.
    pub fn last_of(order_key: impl Into<String>, id: impl Into<Option<I>>) -> Self {
        let after = id.into();
        Self {
            filter: Filter::new().order_key(order_key),
            after,
            exact: after.is_some(),
        }
    }

    /// Decides the condition for `stream` by what `evidence` shows. For stores.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it does not hold, and what the look-ups run into.
    pub fn check(&self, stream: &StreamName, evidence: &mut impl Evidence<I>) -> Result<()> {
        if self.exact && self.filter.is_empty() {
            let head = evidence.head()?;
            return self.require(stream, head == self.after, head);
        }
        let newest = evidence.newest(&self.filter)?;
        let holds = newest <= self.after
            && (!self.exact || newest == self.after || self.is_anchor_gone(evidence)?);
        self.require(stream, holds, newest)
    }

    fn is_anchor_gone(&self, evidence: &mut impl Evidence<I>) -> Result<bool> {
        match self.after {
            Some(id) => evidence.is_gone(id),
            None => Ok(false),
        }
    }

    fn require(&self, stream: &StreamName, holds: bool, found: Option<I>) -> Result<()> {
        if holds {
            return Ok(());
        }
        Err(Error::Conflict {
            stream: stream.clone(),
            expected: self.after.map(|id| id.to_string()),
            found: found.map(|id| id.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream whose entries 3 (order key a) and 4 (order key b) are there, 1 and 2 trimmed.
    struct Sample;

    impl Evidence<u64> for Sample {
        fn newest(&mut self, filter: &Filter) -> Result<Option<u64>> {
            Ok(match filter.order_keys.first().map(String::as_str) {
                Some("a") => Some(3),
                Some("b") | None => Some(4),
                Some(_) => None,
            })
        }
        fn head(&mut self) -> Result<Option<u64>> {
            Ok(Some(4))
        }
        fn is_gone(&mut self, id: u64) -> Result<bool> {
            Ok(id == 1 || id == 2)
        }
    }

    fn holds(condition: Condition<u64>) -> bool {
        match condition.check(&"s".into(), &mut Sample) {
            Ok(()) => true,
            Err(Error::Conflict { .. }) => false,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn an_entry_after_the_cursor_is_in_the_way() {
        let b = Filter::new().order_key("b");
        assert!(holds(Condition::none_after(b.clone(), 4)));
        assert!(!holds(Condition::none_after(b.clone(), 3)));
        assert!(!holds(Condition::none_after(b, None)));
        assert!(!holds(Condition::stream_is_empty()));
    }

    #[test]
    fn head_is_exact_on_both_sides() {
        assert!(holds(Condition::head_is(4)));
        assert!(!holds(Condition::head_is(3)));
        assert!(!holds(Condition::head_is(5)));
    }

    #[test]
    fn last_of_is_exact_but_believes_in_trimmed_entries() {
        assert!(holds(Condition::last_of("a", 3)));
        assert!(!holds(Condition::last_of("a", 2)), "3 is in the way");
        assert!(!holds(Condition::last_of("a", 4)), "4 belongs to b");
        assert!(!holds(Condition::last_of("a", 5)), "5 was never given out");
        assert!(holds(Condition::last_of("c", 2)), "2 was trimmed");
        assert!(!holds(Condition::last_of("c", 0)), "0 was never given out");
        assert!(holds(Condition::last_of("c", None)));
        assert!(!holds(Condition::last_of("a", None)));
    }

    #[test]
    fn the_conflict_names_what_is_in_the_way() {
        let error = Condition::last_of("a", 2)
            .check(&"s".into(), &mut Sample)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"append to stream "s" conflicts: expected last entry 2, found 3"#
        );
    }
}
