//! Removing: trims and retention from the old end, purges of what has expired.

use ledger_core::{Retention, StreamName};

use crate::error::Failure;
use crate::read::first_since;
use crate::session::Session;
use crate::streams::StreamRow;

impl Session<'_> {
    /// Removes what has an id up to `through`, and tells how many that were.
    pub(crate) fn trim(&mut self, name: &StreamName, through: u64) -> Result<u64, Failure> {
        let (connection, sql) = (self.connection, self.sql);
        let Some(stream) = self.stream(name)? else {
            return Ok(0);
        };
        let through = through.min(stream.head);
        if through < stream.first {
            return Ok(0);
        }
        let range = [stream.position(stream.first), stream.position(through)];
        let bytes = connection
            .prepare_cached(&sql.measure_range)?
            .query_row(range, |row| row.get(0))?;
        connection
            .prepare_cached(&sql.delete_range)?
            .execute(range)?;
        let removed = through + 1 - stream.first;
        stream.first = through + 1;
        stream.bytes = stream.bytes.saturating_sub(bytes);
        Ok(removed)
    }

    /// Removes from the old end what `retention` does not keep, and tells how many that were.
    pub(crate) fn retain(
        &mut self,
        name: &StreamName,
        retention: &Retention,
    ) -> Result<u64, Failure> {
        let now = self.now();
        let Some(stream) = self.stream(name)?.cloned() else {
            return Ok(0);
        };
        let mut first_kept = stream.first;
        if let Some(age) = retention.age_max {
            let oldest = now.saturating_sub(age);
            first_kept = first_since(self.connection, self.sql, &stream, oldest)?;
        }
        if let Some(entries) = retention.entries_max {
            first_kept = first_kept.max((stream.head + 1).saturating_sub(entries));
        }
        if let Some(bytes) = retention.bytes_max {
            first_kept = first_kept.max(self.first_within(&stream, bytes)?);
        }
        self.trim(name, first_kept - 1)
    }

    /// The id from which on the payloads have no more than `bytes_max` together.
    fn first_within(&self, stream: &StreamRow, bytes_max: u64) -> Result<u64, Failure> {
        let (mut first, mut bytes) = (stream.first, stream.bytes);
        let range = [stream.position(first), stream.position(stream.head)];
        let mut statement = self.connection.prepare_cached(&self.sql.sizes)?;
        let mut rows = statement.query(range)?;
        while bytes > bytes_max
            && let Some(row) = rows.next()?
        {
            bytes = bytes.saturating_sub(row.get(0)?);
            first += 1;
        }
        Ok(first)
    }

    /// Makes tombstones of what has expired, and tells how many were made.
    pub(crate) fn purge_expired(&mut self, name: &StreamName) -> Result<u64, Failure> {
        let (connection, sql, now) = (self.connection, self.sql, self.now());
        let Some(stream) = self.stream(name)? else {
            return Ok(0);
        };
        let expired = (stream.stream_id, now.as_micros());
        let (count, bytes) = connection
            .prepare_cached(&sql.measure_expired)?
            .query_row(expired, |row| Ok((row.get(0)?, row.get(1)?)))?;
        if count > 0 {
            connection
                .prepare_cached(&sql.purge_expired)?
                .execute(expired)?;
            stream.bytes = stream.bytes.saturating_sub(bytes);
        }
        Ok(count)
    }
}
