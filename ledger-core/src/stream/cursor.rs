//! Going through a stream page by page.
//!
//! Holds one page at a time, its entries still encoded; remembers how far it has looked, which is further than the
//! last entry it gave if a filter chose nothing behind that.

use std::vec;

use futures_util::stream::{self, BoxStream, StreamExt};

use super::Stream;
use crate::codec::Codec;
use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::id::Id;
use crate::read::{Direction, Page, ReadOptions};

/// What to do when all that is there has been given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AtEnd {
    Stop,
    Wait,
}

/// A place in a stream, and what was read ahead of it.
pub(super) struct Cursor<I, T, C> {
    stream: Stream<I, T, C>,
    /// Where and how the next page is read.
    options: ReadOptions<I>,
    page: vec::IntoIter<Entry<I>>,
    at_end: AtEnd,
    place: Place<I>,
}

/// What lies behind the page at hand.
enum Place<I> {
    /// Perhaps more entries.
    More,
    /// Nothing yet, as of this head.
    CaughtUp { head: Option<I> },
    /// Nothing any more.
    Ended,
}

impl<I: Id, T: 'static, C: Codec<T>> Cursor<I, T, C> {
    pub(super) fn new(stream: Stream<I, T, C>, options: ReadOptions<I>, at_end: AtEnd) -> Self {
        Self {
            stream,
            options,
            page: Vec::new().into_iter(),
            at_end,
            place: Place::More,
        }
    }

    pub(super) fn into_stream(self) -> BoxStream<'static, Result<Entry<I, T>>> {
        stream::unfold(self, |mut cursor| async move {
            Some((cursor.next().await?, cursor))
        })
        .boxed()
    }

    async fn next(&mut self) -> Option<Result<Entry<I, T>>> {
        loop {
            if let Some(entry) = self.page.next() {
                return Some(self.stream.decode(entry));
            }
            if let Place::Ended = self.place {
                return None;
            }
            if let Err(error) = self.turn_page().await {
                self.stop_unless_passing(&error);
                return Some(Err(error));
            }
        }
    }

    async fn turn_page(&mut self) -> Result<()> {
        let (store, name) = (&self.stream.store, &self.stream.name);
        if let Place::CaughtUp { head } = self.place {
            store.wait(name, head).await?;
        }
        let page = store.read(name, &self.options).await?;
        self.advance(&page);
        self.page = page.entries.into_iter();
        Ok(())
    }

    fn advance(&mut self, page: &Page<I>) {
        self.place = match (page.next, self.at_end) {
            (Some(_), _) => Place::More,
            (None, AtEnd::Stop) => Place::Ended,
            (None, AtEnd::Wait) => Place::CaughtUp {
                head: page.head.max(self.options.after),
            },
        };
        match self.options.direction {
            Direction::Ascending => {
                self.options.after = page.next.or(page.head).max(self.options.after)
            }
            Direction::Descending => self.options.before = page.next.or(self.options.before),
        }
    }

    /// A follower outlives errors that pass; whoever polls it decides how often.
    fn stop_unless_passing(&mut self, error: &Error) {
        if self.at_end == AtEnd::Stop || !error.is_retryable() {
            self.place = Place::Ended;
        }
    }
}
