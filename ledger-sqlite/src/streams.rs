//! Streams as rows: what a stream's row says, and what is done with streams as such.

use ledger_core::{Durability, Error, Stat, StreamName, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::error::Failure;
use crate::position;
use crate::session::Session;
use crate::sql::Sql;

/// A stream's row. There is one for every stream that was ever appended to or has a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamRow {
    pub(crate) stream_id: i64,
    /// The last id given out; 0 if none was.
    pub(crate) head: u64,
    /// The first id that is still there; head + 1 if none is.
    pub(crate) first: u64,
    /// When the entry at `head` was recorded.
    pub(crate) recorded_at: Option<Timestamp>,
    /// The payload bytes of all that is still there.
    pub(crate) bytes: u64,
}

impl StreamRow {
    pub(crate) fn find(
        connection: &Connection,
        sql: &Sql,
        name: &StreamName,
    ) -> Result<Option<Self>, Failure> {
        let mut statement = connection.prepare_cached(&sql.find_stream)?;
        Ok(statement
            .query_row([name.as_str()], Self::from_row)
            .optional()?)
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            stream_id: row.get(0)?,
            head: row.get(1)?,
            first: row.get(2)?,
            recorded_at: row.get::<_, Option<i64>>(3)?.map(Timestamp::from_micros),
            bytes: row.get(4)?,
        })
    }

    pub(crate) fn position(&self, id: u64) -> i64 {
        position::position(self.stream_id, id)
    }

    /// The head, as told to users.
    pub(crate) fn head(&self) -> Option<u64> {
        (self.head > 0).then_some(self.head)
    }

    /// The first id, as told to users.
    pub(crate) fn first(&self) -> Option<u64> {
        (self.first <= self.head).then_some(self.first)
    }

    /// How many ids are still there, tombstones included.
    pub(crate) fn count(&self) -> u64 {
        (self.head + 1).saturating_sub(self.first)
    }

    pub(crate) fn stat(&self, durability: Durability) -> Stat<u64> {
        let mut stat = Stat::empty(durability);
        stat.first = self.first();
        stat.head = self.head();
        stat.count = self.count();
        stat.bytes = self.bytes;
        stat
    }
}

/// The names behind `after` of streams that hold entries.
pub(crate) fn list(
    connection: &Connection,
    sql: &Sql,
    after: Option<&StreamName>,
    limit: usize,
) -> Result<Vec<StreamName>, Failure> {
    let mut statement = connection.prepare_cached(&sql.list_streams)?;
    // Every name is greater than the empty text, because none is empty.
    let after = after.map_or("", StreamName::as_str);
    let names = statement.query_map((after, limit_of(limit)), |row| row.get::<_, String>(0))?;
    Ok(names
        .map(|name| name.map(StreamName::from))
        .collect::<Result<_, _>>()?)
}

/// A limit as SQLite takes it.
pub(crate) fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

impl Session<'_> {
    /// Gives the stream another name, if it was ever appended to and the name is free.
    pub(crate) fn rename(&mut self, from: &StreamName, to: &StreamName) -> Result<(), Failure> {
        let stream = self.stream(from)?.filter(|stream| stream.head > 0);
        let Some(stream_id) = stream.map(|stream| stream.stream_id) else {
            return Err(Error::StreamNotFound {
                stream: from.clone(),
            }
            .into());
        };
        if from == to {
            return Ok(());
        }
        if self.stream(to)?.is_some() {
            return Err(Error::StreamExists { stream: to.clone() }.into());
        }
        self.connection
            .prepare_cached(&self.sql.rename_stream)?
            .execute((stream_id, to.as_str()))?;
        self.moved(from, to);
        Ok(())
    }
}
