//! Checkpoints: small values beside a stream, changed by compare-and-set.
//!
//! Revisions are counted for the whole store, so that none is used twice for one name, whatever is deleted or renamed.

use ledger_core::{Bytes, Checkpoint, Error, Revision, StreamName};
use rusqlite::{Connection, OptionalExtension};

use crate::error::Failure;
use crate::session::Session;
use crate::sql::Sql;
use crate::streams::{StreamRow, limit_of};

/// Loads a checkpoint.
pub(crate) fn load(
    connection: &Connection,
    sql: &Sql,
    stream: &StreamRow,
    name: &str,
) -> Result<Option<Checkpoint>, Failure> {
    let mut statement = connection.prepare_cached(&sql.load_checkpoint)?;
    let found = statement.query_row((stream.stream_id, name), |row| {
        Ok(Checkpoint {
            value: Bytes::from(row.get::<_, Vec<u8>>(0)?),
            revision: Revision(row.get(1)?),
        })
    });
    Ok(found.optional()?)
}

/// The names of a stream's checkpoints behind `after`.
pub(crate) fn list(
    connection: &Connection,
    sql: &Sql,
    stream: &StreamRow,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<String>, Failure> {
    let mut statement = connection.prepare_cached(&sql.list_checkpoints)?;
    // Every name is greater than the empty text, because none is empty.
    let parameters = (stream.stream_id, after.unwrap_or(""), limit_of(limit));
    let names = statement.query_map(parameters, |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

impl Session<'_> {
    /// Saves a checkpoint that still is at revision `expected`.
    pub(crate) fn save_checkpoint(
        &mut self,
        stream: &StreamName,
        name: &str,
        value: &[u8],
        expected: Option<Revision>,
    ) -> Result<Revision, Failure> {
        self.require_revision(stream, name, expected)?;
        let stream_id = self.stream_or_new(stream)?.stream_id;
        let revision = self
            .connection
            .prepare_cached(&self.sql.next_revision)?
            .query_row([], |row| row.get(0))?;
        self.connection
            .prepare_cached(&self.sql.save_checkpoint)?
            .execute((stream_id, name, revision, value))?;
        Ok(Revision(revision))
    }

    /// Deletes a checkpoint that still is at revision `expected`, and its stream if that was named for it only.
    pub(crate) fn delete_checkpoint(
        &mut self,
        stream: &StreamName,
        name: &str,
        expected: Revision,
    ) -> Result<(), Failure> {
        self.require_revision(stream, name, Some(expected))?;
        let stream_id = self.stream_or_new(stream)?.stream_id;
        self.connection
            .prepare_cached(&self.sql.delete_checkpoint)?
            .execute((stream_id, name))?;
        self.delete_if_unused(stream)
    }

    fn require_revision(
        &mut self,
        stream: &StreamName,
        name: &str,
        expected: Option<Revision>,
    ) -> Result<(), Failure> {
        let (connection, sql) = (self.connection, self.sql);
        let checkpoint = match self.stream(stream)? {
            Some(row) => load(connection, sql, row, name)?,
            None => None,
        };
        let found = checkpoint.map(|checkpoint| checkpoint.revision);
        if found == expected {
            return Ok(());
        }
        Err(Failure::Refusal(Error::CheckpointConflict {
            stream: stream.clone(),
            name: name.into(),
            expected,
            found,
        }))
    }

    fn delete_if_unused(&mut self, stream: &StreamName) -> Result<(), Failure> {
        let row = self.stream_or_new(stream)?;
        let (stream_id, is_unused) = (row.stream_id, row.head == 0);
        if is_unused {
            let mut statement = self
                .connection
                .prepare_cached(&self.sql.delete_unused_stream)?;
            if statement.execute([stream_id])? > 0 {
                self.forget(stream);
            }
        }
        Ok(())
    }
}
