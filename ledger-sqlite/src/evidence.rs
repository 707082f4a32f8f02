//! What appends are decided by: who holds a dedup key, and what stands in the way of a condition.

use ledger_core::{Batch, Filter, NewEntry, ReadOptions, StreamName, Timestamp};
use rusqlite::{Connection, OptionalExtension};

use crate::error::{Failure, Place};
use crate::position;
use crate::read::Reading;
use crate::session::Session;
use crate::sql::Sql;
use crate::streams::StreamRow;

/// The entry that holds a dedup key.
pub(crate) struct Holder {
    pub(crate) position: i64,
    pub(crate) bytes: u64,
    expires_at: Option<Timestamp>,
}

impl Holder {
    pub(crate) fn find(
        connection: &Connection,
        sql: &Sql,
        stream_id: i64,
        key: &str,
    ) -> Result<Option<Self>, Failure> {
        let mut statement = connection.prepare_cached(&sql.find_dedup_key)?;
        let holder = statement.query_row((stream_id, key), |row| {
            Ok(Self {
                position: row.get(0)?,
                expires_at: row.get::<_, Option<i64>>(1)?.map(Timestamp::from_micros),
                bytes: row.get(2)?,
            })
        });
        Ok(holder.optional()?)
    }

    pub(crate) fn id(&self) -> u64 {
        position::id(self.position)
    }

    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}

/// A stream inside a write transaction, as a condition sees it.
pub(crate) struct Evidence<'a> {
    connection: &'a Connection,
    sql: &'a Sql,
    place: &'a Place,
    name: &'a StreamName,
    /// None: the stream was never named before.
    stream: Option<StreamRow>,
    /// What need not be looked at, because it cannot be in the way.
    after: Option<u64>,
    now: Timestamp,
}

impl<'a> Evidence<'a> {
    pub(crate) fn new(
        session: &Session<'a>,
        stream: Option<StreamRow>,
        batch: &'a Batch<u64>,
        now: Timestamp,
    ) -> Self {
        let condition = batch.condition.as_ref();
        Self {
            connection: session.connection,
            sql: session.sql,
            place: session.place,
            name: &batch.stream,
            stream,
            after: condition.and_then(|it| it.after.filter(|_| !it.exact)),
            now,
        }
    }

    /// Whether the stream has an entry with the dedup key of each of `entries`.
    pub(crate) fn holds_all(&self, entries: &[NewEntry]) -> Result<bool, Failure> {
        for entry in entries {
            if !self.holds(entry)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn holds(&self, entry: &NewEntry) -> Result<bool, Failure> {
        let (Some(stream), Some(key)) = (&self.stream, entry.dedup_key.as_deref()) else {
            return Ok(false);
        };
        let holder = Holder::find(self.connection, self.sql, stream.stream_id, key)?;
        Ok(holder.is_some_and(|holder| !holder.is_expired(self.now)))
    }

    fn find_newest(&self, filter: &Filter) -> Result<Option<u64>, Failure> {
        let Some(stream) = &self.stream else {
            return Ok(None);
        };
        let options = ReadOptions::new()
            .filter(filter.clone())
            .after(self.after)
            .descending()
            .limit(1);
        let reading = Reading {
            connection: self.connection,
            sql: self.sql,
            name: self.name,
            now: self.now,
        };
        let page = reading.page(stream, &options)?;
        Ok(page.entries.first().map(|entry| entry.id))
    }

    fn find_gone(&self, id: u64) -> Result<bool, Failure> {
        let Some(stream) = &self.stream else {
            return Ok(false);
        };
        if !(1..=stream.head).contains(&id) {
            return Ok(false);
        }
        let mut statement = self.connection.prepare_cached(&self.sql.is_visible)?;
        Ok(!statement.exists((stream.position(id), self.now.as_micros()))?)
    }
}

impl ledger_core::Evidence<u64> for Evidence<'_> {
    fn newest(&mut self, filter: &Filter) -> ledger_core::Result<Option<u64>> {
        self.find_newest(filter)
            .map_err(|failure| self.place.error(failure))
    }

    fn head(&mut self) -> ledger_core::Result<Option<u64>> {
        Ok(self.stream.as_ref().and_then(StreamRow::head))
    }

    fn is_gone(&mut self, id: u64) -> ledger_core::Result<bool> {
        self.find_gone(id)
            .map_err(|failure| self.place.error(failure))
    }
}
