//! Reading values: a page, or everything.

use std::future::IntoFuture;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use super::Stream;
use super::cursor::{AtEnd, Cursor};
use crate::codec::Codec;
use crate::entry::Entry;
use crate::error::Result;
use crate::filter::Filter;
use crate::id::Id;
use crate::read::{Direction, Page, READ_LIMIT_DEFAULT, ReadOptions};
use crate::timestamp::Timestamp;

/// The number of entries in the pages of a walk or a follower unless another is asked for.
pub(super) const WALK_LIMIT_DEFAULT: usize = 1_000;

/// A read about to be made: await it for one page, or [`walk`](Read::walk) through everything it chooses.
#[must_use = "nothing is read until this is awaited"]
pub struct Read<'a, I, T, C> {
    stream: &'a Stream<I, T, C>,
    options: ReadOptions<I>,
    limit: Option<usize>,
}

/// The builder methods that reading and following have in common, for a type with a field `options`.
macro_rules! choose_entries {
    () => {
        /// Starts behind `id`, which is not returned itself.
        pub fn after(mut self, id: impl Into<Option<I>>) -> Self {
            self.options.after = id.into();
            self
        }

        /// Returns only entries with this order key, or another one that is added.
        pub fn order_key(mut self, key: impl Into<String>) -> Self {
            self.options.filter = self.options.filter.order_key(key);
            self
        }

        /// Returns only entries of this kind, or another one that is added.
        pub fn kind(mut self, kind: impl Into<String>) -> Self {
            self.options.filter = self.options.filter.kind(kind);
            self
        }

        /// Returns only entries with this tag.
        pub fn tag(mut self, tag: impl Into<String>) -> Self {
            self.options.filter = self.options.filter.tag(tag);
            self
        }

        /// Returns only entries with this pair of metadata.
        pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
            self.options.filter = self.options.filter.metadata(key, value);
            self
        }

        /// Returns only what `filter` chooses, in place of what was asked for before.
        pub fn filter(mut self, filter: Filter) -> Self {
            self.options.filter = filter;
            self
        }

        /// Returns only what was recorded at `time` or later.
        pub fn since(mut self, time: Timestamp) -> Self {
            self.options.since = Some(time);
            self
        }
    };
}
pub(super) use choose_entries;

impl<'a, I: Id, T, C: Codec<T>> Read<'a, I, T, C> {
    pub(super) fn new(stream: &'a Stream<I, T, C>) -> Self {
        Self {
            stream,
            options: ReadOptions::new(),
            limit: None,
        }
    }

    choose_entries!();

    /// Ends before `id`, which is not returned itself.
    pub fn before(mut self, id: impl Into<Option<I>>) -> Self {
        self.options.before = id.into();
        self
    }

    /// Reads from the newest to the oldest.
    pub fn descending(mut self) -> Self {
        self.options.direction = Direction::Descending;
        self
    }

    /// Sets the most entries in a page. Default: 100; of a walk, which holds one page at a time, or two if the store
    /// can [read ahead](crate::Capabilities::read_ahead): 1,000.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Lists the ids of expired entries in the page. A walk leaves them out.
    pub fn with_tombstones(mut self) -> Self {
        self.options.tombstones = true;
        self
    }

    /// Walks through everything that the read chooses, page by page, to the end as it is when the last page is read: when
    /// it gets there, or a little before if the store can [read ahead](crate::Capabilities::read_ahead).
    ///
    /// An entry that cannot be decoded is an error in its place, and the walk goes on behind it. It ends after an
    /// error of the store.
    pub fn walk(self) -> BoxStream<'static, Result<Entry<I, T>>>
    where
        T: 'static,
    {
        let limit = self.limit.unwrap_or(WALK_LIMIT_DEFAULT);
        Cursor::new(self.stream.clone(), self.options.limit(limit), AtEnd::Stop).into_stream()
    }
}

impl<'a, I: Id, T, C: Codec<T>> IntoFuture for Read<'a, I, T, C> {
    type Output = Result<Page<I, Result<Entry<I, T>>>>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self {
            stream,
            options,
            limit,
        } = self;
        let options = options.limit(limit.unwrap_or(READ_LIMIT_DEFAULT));
        Box::pin(async move {
            let page = stream.store.read(&stream.name, &options).await?;
            Ok(page.map(|entry| stream.decode(entry)))
        })
    }
}
