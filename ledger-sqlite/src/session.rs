//! One write transaction: the rows of the streams it touches, read once and written back once.
//!
//! Several requests share a session when they are committed as one group. Each looks at what the ones before it did.

use std::collections::HashMap;

use ledger_core::{Clock, StreamName, Timestamp};
use rusqlite::Connection;

use crate::error::{Failure, Place};
use crate::sql::Sql;
use crate::streams::StreamRow;

/// The state of a write transaction that somebody else began and will end.
pub(crate) struct Session<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) sql: &'a Sql,
    pub(crate) place: &'a Place,
    clock: &'a dyn Clock,
    streams: HashMap<StreamName, Touched>,
}

/// A stream that the transaction has looked at.
struct Touched {
    row: StreamRow,
    /// The row as it is in the table.
    stored: StreamRow,
    /// Whether somebody who waits for the stream's head has to be told.
    is_news: bool,
}

impl<'a> Session<'a> {
    /// Begins where `connection`'s open transaction stands.
    pub(crate) fn new(
        connection: &'a Connection,
        sql: &'a Sql,
        place: &'a Place,
        clock: &'a dyn Clock,
    ) -> Self {
        Self {
            connection,
            sql,
            place,
            clock,
            streams: HashMap::new(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The stream's row, if it has one.
    pub(crate) fn stream(&mut self, name: &StreamName) -> Result<Option<&mut StreamRow>, Failure> {
        if !self.streams.contains_key(name) {
            let Some(row) = StreamRow::find(self.connection, self.sql, name)? else {
                return Ok(None);
            };
            self.streams.insert(name.clone(), Touched::new(row));
        }
        Ok(self.streams.get_mut(name).map(|touched| &mut touched.row))
    }

    /// The stream's row, made if it has none.
    pub(crate) fn stream_or_new(&mut self, name: &StreamName) -> Result<&mut StreamRow, Failure> {
        if self.stream(name)?.is_none() {
            let row = self.insert_stream(name)?;
            self.streams.insert(name.clone(), Touched::new(row));
        }
        let touched = self.streams.get_mut(name);
        Ok(&mut touched.expect("it was found or made").row)
    }

    fn insert_stream(&self, name: &StreamName) -> Result<StreamRow, Failure> {
        let mut statement = self.connection.prepare_cached(&self.sql.insert_stream)?;
        let stream_id = statement.query_row([name.as_str()], |row| row.get(0))?;
        Ok(StreamRow {
            stream_id,
            head: 0,
            first: 1,
            recorded_at: None,
            bytes: 0,
        })
    }

    /// The row is under another name now.
    pub(crate) fn moved(&mut self, from: &StreamName, to: &StreamName) {
        if let Some(mut touched) = self.streams.remove(from) {
            touched.is_news = true;
            self.streams.insert(to.clone(), touched);
        }
    }

    /// The row is no longer in the table.
    pub(crate) fn forget(&mut self, name: &StreamName) {
        self.streams.remove(name);
    }

    /// Writes the changed rows back, and tells which streams have news for those who wait for them.
    ///
    /// The last thing to be done before the commit.
    pub(crate) fn finish(self) -> rusqlite::Result<Vec<StreamName>> {
        let mut news = Vec::new();
        for (name, touched) in self.streams {
            if touched.row != touched.stored {
                write_back(self.connection, self.sql, &touched.row)?;
            }
            if touched.is_news || touched.row.head > touched.stored.head {
                news.push(name);
            }
        }
        Ok(news)
    }
}

impl Touched {
    fn new(row: StreamRow) -> Self {
        Self {
            stored: row.clone(),
            row,
            is_news: false,
        }
    }
}

fn write_back(connection: &Connection, sql: &Sql, row: &StreamRow) -> rusqlite::Result<()> {
    connection.prepare_cached(&sql.update_stream)?.execute((
        row.stream_id,
        row.head,
        row.first,
        row.recorded_at.map(Timestamp::as_micros),
        row.bytes,
    ))?;
    Ok(())
}
