//! Reading pages: the head of the stream and what lies before it, as of one moment.

use std::ops::RangeInclusive;

use futures_util::TryStreamExt;
use ledger_core::{Direction, Entry, Page, ReadOptions, StreamName};
use mongodb::ClientSession;
use mongodb::options::ReadConcern;
use mongodb::raw_batch_cursor::{RawBatch, SessionRawBatchCursor};

use crate::database::{Database, Question};
use crate::error::Failure;
use crate::head::Head;
use crate::options::Indexes;
use crate::query::{Query, first_since};
use crate::reader::{Elements, Malformed};
use crate::row;

/// Entries are made room for in advance, but no more than this.
const ROOM_MAX: usize = 1_000;

/// The most entries that are asked for at once; the server sends no more than 16 MiB of them anyway.
const BATCH_MAX: u32 = 100_000;

/// So many entries are made in one go: a tenth of what an answer takes.
const TURN: usize = 100;

/// The question for a page.
pub(crate) struct PageOf {
    pub(crate) stream: StreamName,
    pub(crate) options: ReadOptions<u64>,
    pub(crate) indexes: Indexes,
}

impl Question for PageOf {
    type Answer = Page<u64>;

    async fn ask(&self, database: &Database) -> Result<Page<u64>, Failure> {
        let mut session = database.look().await?;
        if let Some(guess) = self.guess(database)
            && let Some(page) = self.ask_guessing(database, &mut session, &guess).await?
        {
            return Ok(page);
        }
        let head = Head::find_then(database, &mut session, &self.stream).await?;
        database.known.learn(&self.stream, head.as_ref());
        let Some(head) = head else {
            return Ok(Page::empty());
        };
        let ids = ids(database, &mut session, &head, &self.options).await?;
        let mut collected = self.room();
        if !ids.is_empty() {
            let query = Query::of(&head, &ids, &self.options, self.indexes);
            let mut cursor = self.find(database, query, &mut session).await?;
            let mut batches = cursor.stream(&mut session);
            while let Some(batch) = batches.try_next().await? {
                collected.take_batch(&batch, &self.stream, &head).await?;
            }
        }
        Ok(collected.into_page(&self.options, &head))
    }
}

impl PageOf {
    /// What the stream's head may be like, if the page can be asked for by that: one that is held whole, as the server
    /// sent it, until the head is there.
    fn guess(&self, database: &Database) -> Option<Head> {
        let is_fit = self.options.since.is_none() && self.options.limit <= ROOM_MAX;
        is_fit.then(|| database.known.guess(&self.stream)).flatten()
    }

    /// Asks for the page first, and for the head of the same moment while the entries are made. None if the head is not what
    /// was guessed: then the page means nothing.
    async fn ask_guessing(
        &self,
        database: &Database,
        session: &mut ClientSession,
        guess: &Head,
    ) -> Result<Option<Page<u64>>, Failure> {
        let ids = ids(database, session, guess, &self.options).await?;
        if ids.is_empty() {
            return Ok(None);
        }
        let query = Query::of(guess, &ids, &self.options, self.indexes);
        let mut cursor = self.find(database, query, session).await?;
        let batches: Vec<_> = cursor.stream(session).try_collect().await?;
        let mut collected = self.room();
        let taken = async {
            for batch in &batches {
                collected.take_batch(batch, &self.stream, guess).await?;
            }
            Ok(())
        };
        let head = Head::find_then(database, session, &self.stream);
        let (head, ()) = futures_util::try_join!(head, taken)?;
        let head = head.filter(|head| guess.sid == head.sid && !head.expires);
        let head = head.filter(|head| collected.is_within(head));
        Ok(head.map(|head| collected.into_page(&self.options, &head)))
    }

    /// Asks for what `query` finds, in one batch if it is small enough.
    async fn find(
        &self,
        database: &Database,
        query: Query,
        session: &mut ClientSession,
    ) -> Result<SessionRawBatchCursor, Failure> {
        let (limit, hint) = (self.options.limit, query.hint());
        let find = database.entries.find(query.filter).sort(query.sort);
        let find = find.hint(hint).batch_size(batch_size(limit));
        let find = find.limit(i64::try_from(limit).unwrap_or(i64::MAX));
        let find = find.read_concern(ReadConcern::snapshot());
        Ok(find.session(session).batch().await?)
    }

    fn room(&self) -> Collected {
        Collected::with_room(self.options.limit.min(ROOM_MAX))
    }
}

/// The ids between the cursors that the stream still holds, of the time asked for.
async fn ids(
    database: &Database,
    session: &mut ClientSession,
    head: &Head,
    options: &ReadOptions<u64>,
) -> Result<RangeInclusive<u64>, Failure> {
    let after = options.after.map_or(0, |after| after.saturating_add(1));
    let before = options
        .before
        .map_or(head.head, |before| before.saturating_sub(1));
    let first = match options.since {
        Some(since) => first_since(database, session, head, since).await?,
        None => head.first,
    };
    Ok(first.max(after)..=head.head.min(before))
}

/// One more than the limit, so that the server knows at once that there is no more to come.
fn batch_size(limit: usize) -> u32 {
    u32::try_from(limit).map_or(BATCH_MAX, |limit| limit.min(BATCH_MAX)) + 1
}

/// A page in the making.
struct Collected {
    entries: Vec<Entry<u64>>,
    tombstones: Vec<u64>,
}

impl Collected {
    fn with_room(entries: usize) -> Self {
        Self {
            entries: Vec::with_capacity(entries),
            tombstones: Vec::new(),
        }
    }

    /// Takes in the documents of a batch, and lets others have a turn now and then.
    async fn take_batch(
        &mut self,
        batch: &RawBatch,
        stream: &StreamName,
        head: &Head,
    ) -> Result<(), Failure> {
        let mut documents = Elements::of(batch.doc_slices()?.as_bytes())?;
        let mut made = 0_usize;
        while let Some((_, document)) = documents.next()? {
            let document = document.as_document().ok_or(Malformed)?;
            self.take(row::read(document, stream)?, head);
            made += 1;
            if made.is_multiple_of(TURN) {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Whether the stream with this head can hold all that was taken.
    fn is_within(&self, head: &Head) -> bool {
        let is_within = |id: &u64| (head.first..=head.head).contains(id);
        let ends = [self.entries.first(), self.entries.last()];
        self.tombstones.is_empty() && ends.iter().flatten().all(|entry| is_within(&entry.id))
    }

    fn take(&mut self, (id, entry): (u64, Option<Entry<u64>>), head: &Head) {
        match entry {
            Some(entry) if !entry.is_expired(head.now) => self.entries.push(entry),
            _ => self.tombstones.push(id),
        }
    }

    fn into_page(self, options: &ReadOptions<u64>, head: &Head) -> Page<u64> {
        debug_assert!(
            is_in_order(&self.entries, options.direction),
            "a page came out of order"
        );
        Page::new(
            options,
            self.entries,
            self.tombstones,
            head.oldest(),
            head.last(),
        )
    }
}

fn is_in_order(entries: &[Entry<u64>], direction: Direction) -> bool {
    match direction {
        Direction::Ascending => entries.is_sorted_by(|a, b| a.id < b.id),
        Direction::Descending => entries.is_sorted_by(|a, b| a.id > b.id),
    }
}
