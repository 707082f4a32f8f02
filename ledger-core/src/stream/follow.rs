//! Following a stream: history, then live.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{BoxStream, StreamExt};

use super::Stream;
use super::cursor::{AtEnd, Cursor};
use super::read::{WALK_LIMIT_DEFAULT, choose_entries};
use crate::codec::Codec;
use crate::entry::Entry;
use crate::error::Result;
use crate::filter::Filter;
use crate::id::Id;
use crate::read::ReadOptions;
use crate::timestamp::Timestamp;

/// A subscription: a futures stream of every entry behind a cursor that it chooses, once, in order, without end.
///
/// First come the entries that are there, then those that are appended, by whatever process, with no gap and no
/// repeat between them. It keeps to the stream's name. A cursor that lies before the stream's first id misses what
/// was trimmed in between: [`Stream::stat`] tells the first id.
///
/// An entry that cannot be decoded is an error in its place; polling on goes on behind it. After an error that
/// [passes](crate::Error::is_retryable), polling on tries again from the same place, so wait a little; after any
/// other error of the store it ends. Dropping it frees everything.
///
/// ```
/// use futures_util::TryStreamExt;
/// use ledger_core::{MemoryStore, Stream};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> ledger_core::Result<()> {
/// let numbers: Stream<u64, u32> = Stream::new(MemoryStore::new(), "numbers");
/// numbers.append_all([10, 20, 30]).await?;
/// let mut live = numbers.follow().after(1);
/// assert_eq!(live.try_next().await?.map(|entry| entry.value), Some(20));
/// # Ok(()) }
/// ```
#[must_use = "nothing is followed until this is polled"]
pub struct Follow<I, T, C> {
    stream: Stream<I, T, C>,
    options: ReadOptions<I>,
    /// There from the first poll on.
    entries: Option<BoxStream<'static, Result<Entry<I, T>>>>,
}

impl<I: Id, T, C: Codec<T>> Follow<I, T, C> {
    pub(super) fn new(stream: Stream<I, T, C>) -> Self {
        Self {
            stream,
            options: ReadOptions::new().limit(WALK_LIMIT_DEFAULT),
            entries: None,
        }
    }

    choose_entries!();

    /// Sets the most entries in a page. One is held at a time, or two if the store can
    /// [read ahead](crate::Capabilities::read_ahead). Default: 1,000.
    pub fn limit(mut self, limit: usize) -> Self {
        self.options.limit = limit;
        self
    }
}

impl<I: Id, T: 'static, C: Codec<T>> futures_util::Stream for Follow<I, T, C> {
    type Item = Result<Entry<I, T>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self {
            stream,
            options,
            entries,
        } = self.get_mut();
        let begin = || Cursor::new(stream.clone(), options.clone(), AtEnd::Wait).into_stream();
        entries.get_or_insert_with(begin).poll_next_unpin(context)
    }
}

/// Nothing in it is ever pinned in place.
impl<I, T, C> Unpin for Follow<I, T, C> {}
