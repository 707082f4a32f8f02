//! The one filter language of reads, subscriptions and append conditions.

use crate::entry::{Entry, TextMap};

/// Chooses entries: any of some order keys, any of some kinds, all of some tags, all of some metadata pairs.
///
/// The four parts must all hold; a part that names nothing holds for every entry. So an empty filter chooses all.
///
/// ```
/// use ledger_core::Filter;
/// let filter = Filter::new().order_key("o-1").order_key("o-2").tag("urgent");
/// assert!(!filter.is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filter {
    /// The entry's order key is one of these.
    pub order_keys: Vec<String>,
    /// The entry's kind is one of these.
    pub kinds: Vec<String>,
    /// The entry has all of these tags.
    pub tags: Vec<String>,
    /// The entry has all of these metadata pairs.
    pub metadata: TextMap,
}

impl Filter {
    /// Makes the filter that chooses every entry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an order key; an entry with any of those added is chosen.
    pub fn order_key(mut self, key: impl Into<String>) -> Self {
        self.order_keys.push(key.into());
        self
    }

    /// Adds a kind; an entry of any of those added is chosen.
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kinds.push(kind.into());
        self
    }

    /// Adds a tag that the entry must have.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Adds a metadata pair that the entry must have.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Tells whether it chooses every entry.
    pub fn is_empty(&self) -> bool {
        self.order_keys.is_empty()
            && self.kinds.is_empty()
            && self.tags.is_empty()
            && self.metadata.is_empty()
    }

    /// Tells whether it chooses `entry`.
    pub fn matches<I, T>(&self, entry: &Entry<I, T>) -> bool {
        is_any_of(entry.order_key.as_deref(), &self.order_keys)
            && is_any_of(entry.kind.as_deref(), &self.kinds)
            && self.tags.iter().all(|tag| entry.tags.contains(tag))
            && self
                .metadata
                .iter()
                .all(|(key, value)| entry.metadata.get(key) == Some(value))
    }
}

fn is_any_of(value: Option<&str>, wanted: &[String]) -> bool {
    wanted.is_empty() || value.is_some_and(|value| wanted.iter().any(|one| one == value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NewEntry, Timestamp};

    fn entry() -> Entry<u64, ()> {
        let new = NewEntry::new(())
            .kind("Placed")
            .order_key("o-1")
            .tag("a")
            .tag("b")
            .metadata("user", "ann");
        Entry::recorded(1, "orders".into(), Timestamp::from_micros(0), new)
    }

    #[test]
    fn an_empty_filter_chooses_all() {
        assert!(Filter::new().matches(&entry()));
    }

    #[test]
    fn any_order_key_and_any_kind_will_do() {
        assert!(
            Filter::new()
                .order_key("o-9")
                .order_key("o-1")
                .kind("Paid")
                .kind("Placed")
                .matches(&entry())
        );
        assert!(!Filter::new().order_key("o-9").matches(&entry()));
        assert!(
            !Filter::new()
                .order_key("o-1")
                .kind("Paid")
                .matches(&entry())
        );
    }

    #[test]
    fn all_tags_and_all_metadata_must_be_there() {
        assert!(
            Filter::new()
                .tag("a")
                .tag("b")
                .metadata("user", "ann")
                .matches(&entry())
        );
        assert!(!Filter::new().tag("a").tag("c").matches(&entry()));
        assert!(!Filter::new().metadata("user", "bob").matches(&entry()));
    }

    #[test]
    fn an_absent_order_key_differs_from_an_empty_one() {
        let mut entry = entry();
        entry.order_key = None;
        assert!(!Filter::new().order_key("").matches(&entry));
        entry.order_key = Some(String::new());
        assert!(Filter::new().order_key("").matches(&entry));
    }
}
