//! Reading pages: one range of the table, stepped through until the page is full.
//!
//! A page and the head told with it come from one read transaction. Entries are chosen here and not in SQL, because
//! SQLite's JSON functions end text at NUL; only order keys, which have an index, narrow down what is looked at.

use std::ops::RangeInclusive;

use ledger_core::{Direction, Entry, Page, ReadOptions, StreamName, Timestamp};
use rusqlite::{Connection, Row, Transaction, TransactionBehavior};

use crate::error::Failure;
use crate::merge::Merge;
use crate::position;
use crate::row;
use crate::sql::Sql;
use crate::streams::StreamRow;

/// How many positions found by order keys are looked up at once.
const CHUNK_MAX: usize = 1_000;

/// How many entries a page makes room for before it has seen them.
const RESERVED_MAX: usize = 1_000;

/// Reads the page of `name` that `options` ask for, in a read transaction of its own.
pub(crate) fn page(
    connection: &Connection,
    sql: &Sql,
    name: &StreamName,
    options: &ReadOptions<u64>,
    now: Timestamp,
) -> Result<Page<u64>, Failure> {
    let snapshot = Transaction::new_unchecked(connection, TransactionBehavior::Deferred)?;
    let Some(stream) = StreamRow::find(&snapshot, sql, name)? else {
        return Ok(Page::empty());
    };
    let reading = Reading {
        connection: &snapshot,
        sql,
        name,
        now,
    };
    reading.page(&stream, options)
}

/// Reads a stream inside a transaction.
pub(crate) struct Reading<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) sql: &'a Sql,
    pub(crate) name: &'a StreamName,
    pub(crate) now: Timestamp,
}

impl Reading<'_> {
    pub(crate) fn page(
        &self,
        stream: &StreamRow,
        options: &ReadOptions<u64>,
    ) -> Result<Page<u64>, Failure> {
        let mut collected = Collected::new(self, options);
        let ids = self.ids(stream, options)?;
        if !ids.is_empty() {
            collected.reserve(&ids);
            let by_key = !options.filter.order_keys.is_empty() && !options.tombstones;
            if by_key {
                self.collect_by_key(stream, ids, &mut collected)?;
            } else {
                self.collect_all(stream, ids, &mut collected)?;
            }
        }
        let Collected {
            entries,
            tombstones,
            ..
        } = collected;
        Ok(Page::new(
            options,
            entries,
            tombstones,
            stream.first(),
            stream.head(),
        ))
    }

    /// The ids that cursors and time leave.
    fn ids(
        &self,
        stream: &StreamRow,
        options: &ReadOptions<u64>,
    ) -> Result<RangeInclusive<u64>, Failure> {
        let after = options.after.map_or(0, |after| after.saturating_add(1));
        let last = options
            .before
            .map_or(stream.head, |id| id.saturating_sub(1).min(stream.head));
        let mut first = after.max(stream.first);
        if let Some(since) = options.since {
            first = first.max(first_since(self.connection, self.sql, stream, since)?);
        }
        Ok(first..=last)
    }

    fn collect_all(
        &self,
        stream: &StreamRow,
        ids: RangeInclusive<u64>,
        collected: &mut Collected<'_>,
    ) -> Result<(), Failure> {
        let sql = match collected.options.direction {
            Direction::Ascending => &self.sql.ascending,
            Direction::Descending => &self.sql.descending,
        };
        let mut statement = self.connection.prepare_cached(sql)?;
        let bounds = [stream.position(*ids.start()), stream.position(*ids.end())];
        let mut rows = statement.query(bounds)?;
        while !collected.is_full()
            && let Some(row) = rows.next()?
        {
            collected.take(row)?;
        }
        Ok(())
    }

    /// Merges the ranges that the order keys have in their index.
    fn collect_by_key(
        &self,
        stream: &StreamRow,
        ids: RangeInclusive<u64>,
        collected: &mut Collected<'_>,
    ) -> Result<(), Failure> {
        let options = collected.options;
        let mut merge = Merge::new(self, stream, ids, options);
        let mut entry = self.connection.prepare_cached(&self.sql.entry)?;
        while !collected.is_full() {
            let positions = merge.next_chunk(collected.room().min(CHUNK_MAX))?;
            if positions.is_empty() {
                break;
            }
            for position in positions {
                let mut rows = entry.query([position])?;
                if let Some(row) = rows.next()? {
                    collected.take(row)?;
                }
            }
        }
        Ok(())
    }
}

/// A page in the making.
struct Collected<'a> {
    options: &'a ReadOptions<u64>,
    name: &'a StreamName,
    now: Timestamp,
    entries: Vec<Entry<u64>>,
    tombstones: Vec<u64>,
}

impl<'a> Collected<'a> {
    fn new(reading: &Reading<'a>, options: &'a ReadOptions<u64>) -> Self {
        Self {
            options,
            name: reading.name,
            now: reading.now,
            entries: Vec::new(),
            tombstones: Vec::new(),
        }
    }

    /// Makes room at once for what is known to come.
    fn reserve(&mut self, ids: &RangeInclusive<u64>) {
        if self.options.filter.is_empty() {
            let rows = usize::try_from(ids.end() + 1 - ids.start()).unwrap_or(usize::MAX);
            self.entries
                .reserve(rows.min(self.options.limit).min(RESERVED_MAX));
        }
    }

    fn room(&self) -> usize {
        self.options
            .limit
            .saturating_sub(self.entries.len() + self.tombstones.len())
    }

    fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// Takes what is in `row`, if it belongs into the page.
    fn take(&mut self, row: &Row<'_>) -> Result<(), Failure> {
        if !row::is_visible(row, self.now)? {
            if self.options.tombstones {
                self.tombstones.push(position::id(row.get(row::POSITION)?));
            }
            return Ok(());
        }
        if self.is_of_a_kind_wanted(row)? {
            let entry = row::entry(row, self.name)?;
            if self.options.filter.matches(&entry) {
                self.entries.push(entry);
            }
        }
        Ok(())
    }

    /// Looked at first, because it costs no copy of the entry.
    fn is_of_a_kind_wanted(&self, row: &Row<'_>) -> Result<bool, Failure> {
        let kinds = &self.options.filter.kinds;
        if kinds.is_empty() {
            return Ok(true);
        }
        Ok(row::kind(row)?.is_some_and(|kind| kinds.iter().any(|wanted| wanted == kind)))
    }
}

/// The first id recorded at `time` or later; one beyond the head if there is none.
///
/// Every id from first to head has a row, and time never steps back along them.
pub(crate) fn first_since(
    connection: &Connection,
    sql: &Sql,
    stream: &StreamRow,
    time: Timestamp,
) -> Result<u64, Failure> {
    let mut statement = connection.prepare_cached(&sql.recorded_at)?;
    let (mut low, mut high) = (stream.first, stream.head + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let recorded_at: i64 = statement.query_row([stream.position(middle)], |row| row.get(0))?;
        if recorded_at < time.as_micros() {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}
