//! Asking for a page of a stream, and the page.

use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::timestamp::Timestamp;

/// The number of entries in a page unless another is asked for.
pub const READ_LIMIT_DEFAULT: usize = 100;

/// Which way a read goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// From old to new.
    #[default]
    Ascending,
    /// From new to old.
    Descending,
}

/// Which page of a stream is wanted. By default: the first 100 entries.
///
/// ```
/// use ledger_core::ReadOptions;
/// let page: ReadOptions<u64> = ReadOptions::new().after(41).limit(10);
/// assert_eq!(page.after, Some(41));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadOptions<I> {
    /// Only ids greater than this.
    pub after: Option<I>,
    /// Only ids less than this.
    pub before: Option<I>,
    /// From which end the page is taken, and how it is ordered.
    pub direction: Direction,
    /// The most entries and tombstones in the page; zero is an error.
    pub limit: usize,
    /// Only entries that it chooses.
    pub filter: Filter,
    /// Only entries recorded at this time or later.
    pub since: Option<Timestamp>,
    /// Whether the page lists the ids of expired entries.
    pub tombstones: bool,
}

impl<I> Default for ReadOptions<I> {
    fn default() -> Self {
        Self {
            after: None,
            before: None,
            direction: Direction::default(),
            limit: READ_LIMIT_DEFAULT,
            filter: Filter::new(),
            since: None,
            tombstones: false,
        }
    }
}

impl<I> ReadOptions<I> {
    /// Asks for the first 100 entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts behind `id`, which is not returned itself.
    pub fn after(mut self, id: impl Into<Option<I>>) -> Self {
        self.after = id.into();
        self
    }

    /// Ends before `id`, which is not returned itself.
    pub fn before(mut self, id: impl Into<Option<I>>) -> Self {
        self.before = id.into();
        self
    }

    /// Takes the page from the newest end, newest first.
    pub fn descending(mut self) -> Self {
        self.direction = Direction::Descending;
        self
    }

    /// Sets the most entries that the page may hold.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Returns only what `filter` chooses.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Returns only what was recorded at `time` or later.
    pub fn since(mut self, time: Timestamp) -> Self {
        self.since = Some(time);
        self
    }

    /// Lists the ids of expired entries too, so that a reader can prove that nothing else is missing.
    pub fn with_tombstones(mut self) -> Self {
        self.tombstones = true;
        self
    }

    /// Refuses what no store can answer. For stores.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the limit is zero.
    pub fn validate(&self) -> Result<()> {
        check_limit(self.limit)
    }
}

/// Refuses to read or list nothing at all, which is a mistake rather than a wish. For stores.
///
/// # Errors
/// [`Error::InvalidInput`] if `limit` is zero.
pub fn check_limit(limit: usize) -> Result<()> {
    if limit == 0 {
        return Err(Error::InvalidInput {
            reason: "the limit is zero".into(),
        });
    }
    Ok(())
}

/// One consistent look at a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page<I, E = Entry<I>> {
    /// The entries, in the order asked for.
    pub entries: Vec<E>,
    /// The ids of expired entries within the page, in the same order, if asked for.
    ///
    /// They are chosen by cursor, and by time, but not by filter: what an expired entry held is no longer told.
    pub tombstones: Vec<I>,
    /// The first id that the stream still holds; none if it holds none. A reader whose cursor lies before it has
    /// missed what was trimmed in between.
    pub first: Option<I>,
    /// The last id that the stream gave out, also when all is trimmed; none if it never gave one.
    pub head: Option<I>,
    /// Where to go on in the same direction: `after` this if ascending, `before` this if descending. None if nothing
    /// more lies there as of this moment. A page that is just full has one even if the page behind it is empty.
    pub next: Option<I>,
}

impl<I: Copy + Ord> Page<I> {
    /// Makes the page that answers a read with `options`. For stores.
    ///
    /// `entries` and `tombstones` are in the order asked for and hold `options.limit` items together at the most;
    /// a page that is full says where to go on.
    pub fn new(
        options: &ReadOptions<I>,
        entries: Vec<Entry<I>>,
        tombstones: Vec<I>,
        first: Option<I>,
        head: Option<I>,
    ) -> Self {
        let is_full = entries.len() + tombstones.len() >= options.limit;
        let last_items = [
            entries.last().map(|entry| entry.id),
            tombstones.last().copied(),
        ];
        let last = match options.direction {
            Direction::Ascending => last_items.into_iter().flatten().max(),
            Direction::Descending => last_items.into_iter().flatten().min(),
        };
        Self {
            entries,
            tombstones,
            first,
            head,
            next: last.filter(|_| is_full),
        }
    }

    /// Makes the page of a stream that does not exist. For stores.
    pub fn empty() -> Self {
        Self {
            entries: Vec::new(),
            tombstones: Vec::new(),
            first: None,
            head: None,
            next: None,
        }
    }
}

impl<I, E> Page<I, E> {
    /// Replaces each entry, keeping everything around them.
    pub fn map<F>(self, f: impl FnMut(E) -> F) -> Page<I, F> {
        Page {
            entries: self.entries.into_iter().map(f).collect(),
            tombstones: self.tombstones,
            first: self.first,
            head: self.head,
            next: self.next,
        }
    }
}

impl<I, T> Page<I, Result<Entry<I, T>>> {
    /// The entries, or the first error among them.
    ///
    /// # Errors
    /// Why the first entry that could not be decoded could not be.
    pub fn into_entries(self) -> Result<Vec<Entry<I, T>>> {
        self.entries.into_iter().collect()
    }
}

impl<I, E> IntoIterator for Page<I, E> {
    type Item = E;
    type IntoIter = std::vec::IntoIter<E>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}
