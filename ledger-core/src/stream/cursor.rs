//! Going through a stream page by page.
//!
//! Holds one page at a time, its entries still encoded; remembers how far it has looked, which is further than the
//! last entry it gave if a filter chose nothing behind that.
//!
//! If the store can read ahead, the next page is begun when half of this one has been given: whoever got so far probably
//! goes on, and decoding the other half takes about as long as a page takes to come. So up to two pages are held. What
//! comes of it is looked at when the page is turned, not before.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::vec;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, MaybeDone, maybe_done};
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
    /// How many entries are left of the page when the next one is begun.
    left_at_half: usize,
    ahead: Option<Ahead<I>>,
    at_end: AtEnd,
    place: Place<I>,
}

/// A page that is under way, or there.
type Ahead<I> = MaybeDone<BoxFuture<'static, Result<Page<I>>>>;

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
            left_at_half: 0,
            ahead: None,
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
                if self.page.len() == self.left_at_half {
                    self.read_ahead().await;
                }
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

    /// Begins to read the next page, if there is one and the store goes on by itself.
    async fn read_ahead(&mut self) {
        let is_able = self.stream.store.capabilities().read_ahead;
        if !is_able || !matches!(self.place, Place::More) {
            return;
        }
        let (store, name) = (self.stream.store.clone(), self.stream.name.clone());
        let options = self.options.clone();
        let mut page = maybe_done(async move { store.read(&name, &options).await }.boxed());
        // Once, to begin it.
        let begun = poll_fn(|context| Poll::Ready(page.poll_unpin(context))).await;
        self.ahead = Some(page);
        if begun.is_pending() {
            // Whoever goes on with it has not had a turn yet, and what follows here need not wait for anything.
            give_way().await;
        }
    }

    async fn turn_page(&mut self) -> Result<()> {
        let page = match self.ahead.take() {
            Some(ahead) => finish(ahead).await,
            None => self.read().await,
        }?;
        self.advance(&page);
        self.page = page.entries.into_iter();
        self.left_at_half = self.page.len() / 2;
        Ok(())
    }

    async fn read(&mut self) -> Result<Page<I>> {
        let (store, name) = (&self.stream.store, &self.stream.name);
        if let Place::CaughtUp { head } = self.place {
            store.wait(name, head).await?;
        }
        store.read(name, &self.options).await
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

/// Lets others run.
async fn give_way() {
    let mut has_given = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_given, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

async fn finish<I>(mut ahead: Ahead<I>) -> Result<Page<I>> {
    (&mut ahead).await;
    let page = Pin::new(&mut ahead).take_output();
    page.expect("it is done, and taken once")
}
