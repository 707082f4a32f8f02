//! Reading pages: the head of the stream and what lies before it, as of one moment.

use std::ops::RangeInclusive;

use ledger_core::{Direction, Entry, Page, ReadOptions, StreamName};
use mongodb::ClientSession;
use mongodb::options::ReadConcern;

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

/// The question for a page.
pub(crate) struct PageOf {
    pub(crate) stream: StreamName,
    pub(crate) options: ReadOptions<u64>,
    pub(crate) indexes: Indexes,
}

impl Question for PageOf {
    type Answer = Page<u64>;

    async fn ask(&self, database: &Database) -> Result<Page<u64>, Failure> {
        let (stream, options) = (&self.stream, &self.options);
        let mut session = database.look().await?;
        let Some(head) = Head::find_then(database, &mut session, stream).await? else {
            return Ok(Page::empty());
        };
        let ids = ids(database, &mut session, &head, options).await?;
        let mut collected = Collected::with_room(options.limit.min(ROOM_MAX));
        if !ids.is_empty() {
            let query = Query::of(&head, &ids, options, self.indexes);
            let reading = Reading {
                head: &head,
                stream,
            };
            reading
                .collect(database, &mut session, query, options.limit, &mut collected)
                .await?;
        }
        Ok(collected.into_page(options, &head))
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

/// What is read.
struct Reading<'a> {
    head: &'a Head,
    stream: &'a StreamName,
}

impl Reading<'_> {
    /// Takes in what `query` finds, in one batch if it is small enough.
    async fn collect(
        &self,
        database: &Database,
        session: &mut ClientSession,
        query: Query,
        limit: usize,
        collected: &mut Collected,
    ) -> Result<(), Failure> {
        let hint = query.hint();
        let mut cursor = database
            .entries
            .find(query.filter)
            .sort(query.sort)
            .hint(hint)
            .limit(i64::try_from(limit).unwrap_or(i64::MAX))
            .batch_size(batch_size(limit))
            .read_concern(ReadConcern::snapshot())
            .session(&mut *session)
            .batch()
            .await?;
        let mut batches = cursor.stream(session);
        while let Some(batch) = futures_util::TryStreamExt::try_next(&mut batches).await? {
            let mut documents = Elements::of(batch.doc_slices()?.as_bytes())?;
            while let Some((_, document)) = documents.next()? {
                let document = document.as_document().ok_or(Malformed)?;
                collected.take(row::read(document, self.stream)?, self.head);
            }
        }
        Ok(())
    }
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
