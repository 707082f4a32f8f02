//! Appending to the streams of a session.
//!
//! Everything is checked before anything is written, so a request that is refused leaves nothing behind in the
//! transaction that it shares with others. Ids are given out only to rows that were inserted: the unique index on the
//! dedup key decides, and a duplicate costs a look-up but no id.

use ledger_core::{Batch, NewEntry, Outcome, Timestamp};
use rusqlite::{CachedStatement, Connection};

use crate::error::Failure;
use crate::evidence::{Evidence, Holder};
use crate::position;
use crate::row;
use crate::session::Session;
use crate::sql::Sql;
use crate::streams::StreamRow;

impl Session<'_> {
    /// Appends all of `batches` or, if one is refused, none; answers what became of each entry.
    pub(crate) fn append(
        &mut self,
        batches: &[Batch<u64>],
    ) -> Result<Vec<Vec<Outcome<u64>>>, Failure> {
        let now = self.now();
        for batch in batches {
            self.check(batch, now)?;
        }
        batches.iter().map(|batch| self.write(batch, now)).collect()
    }

    /// Decides the batch's condition, unless there is nothing new in the batch.
    fn check(&mut self, batch: &Batch<u64>, now: Timestamp) -> Result<(), Failure> {
        let stream = self.stream(&batch.stream)?.cloned();
        position::check_ids(stream.as_ref().map_or(0, |it| it.head), batch.entries.len())?;
        let Some(condition) = &batch.condition else {
            return Ok(());
        };
        let mut evidence = Evidence::new(self, stream, batch, now);
        if evidence.holds_all(&batch.entries)? {
            return Ok(());
        }
        Ok(condition.check(&batch.stream, &mut evidence)?)
    }

    fn write(&mut self, batch: &Batch<u64>, now: Timestamp) -> Result<Vec<Outcome<u64>>, Failure> {
        if batch.entries.is_empty() {
            return Ok(Vec::new());
        }
        let (connection, sql) = (self.connection, self.sql);
        let stream = self.stream_or_new(&batch.stream)?;
        let mut writing = Writing {
            connection,
            sql,
            insert: connection.prepare_cached(&sql.insert_entry)?,
            recorded_at: stream.recorded_at.map_or(now, |last| last.max(now)),
            now,
            stream,
        };
        batch
            .entries
            .iter()
            .map(|entry| writing.append(entry))
            .collect()
    }
}

/// A batch on its way into its stream.
struct Writing<'a> {
    connection: &'a Connection,
    sql: &'a Sql,
    insert: CachedStatement<'a>,
    stream: &'a mut StreamRow,
    recorded_at: Timestamp,
    now: Timestamp,
}

impl Writing<'_> {
    fn append(&mut self, entry: &NewEntry) -> Result<Outcome<u64>, Failure> {
        if self.insert(entry)? {
            return Ok(Outcome::Appended(self.stream.head));
        }
        let holder = self.holder(entry)?;
        if !holder.is_expired(self.now) {
            return Ok(Outcome::Duplicate(holder.id()));
        }
        self.purge(&holder)?;
        if self.insert(entry)? {
            return Ok(Outcome::Appended(self.stream.head));
        }
        Err(Failure::damage("a dedup key is there twice"))
    }

    /// Inserts `entry` as the new head, unless its dedup key is taken.
    fn insert(&mut self, entry: &NewEntry) -> Result<bool, Failure> {
        let stream = &mut *self.stream;
        let id = stream.head + 1;
        let position = stream.position(id);
        let is_new = row::insert(
            &mut self.insert,
            stream.stream_id,
            position,
            self.recorded_at,
            entry,
        )?;
        if is_new {
            stream.head = id;
            stream.recorded_at = Some(self.recorded_at);
            stream.bytes += entry.value.bytes.len() as u64;
        }
        Ok(is_new)
    }

    /// Who has the dedup key of an entry that could not be inserted.
    fn holder(&self, entry: &NewEntry) -> Result<Holder, Failure> {
        let key = entry.dedup_key.as_deref().unwrap_or_default();
        Holder::find(self.connection, self.sql, self.stream.stream_id, key)?
            .ok_or_else(|| Failure::damage("the index of dedup keys and its table differ"))
    }

    /// Makes a tombstone of an expired entry, whose dedup key is wanted.
    fn purge(&mut self, holder: &Holder) -> Result<(), Failure> {
        self.connection
            .prepare_cached(&self.sql.purge_entry)?
            .execute([holder.position])?;
        self.stream.bytes = self.stream.bytes.saturating_sub(holder.bytes);
        Ok(())
    }
}
