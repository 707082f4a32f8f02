//! Removing: trims and retention from the old end, purges of what has expired.

use ledger_core::{Result, Retention, StreamName};
use sqlx_core::arguments::Arguments as _;
use sqlx_postgres::PgArguments;

use crate::row::{clamped, unsigned};
use crate::store::Opening;
use crate::text::escaped;

impl Opening {
    /// Removes what has an id up to `through`, and tells how many that were.
    pub(crate) async fn trim(&self, stream: &StreamName, through: u64) -> Result<u64> {
        let stream = stream.clone();
        let row = self.change(&self.sql.trim, move || {
            let mut arguments = PgArguments::default();
            arguments.add(escaped(stream.as_str()))?;
            arguments.add(clamped(through))?;
            Ok(arguments)
        });
        unsigned(&row.await?, 0, &self.database.place)
    }

    /// Removes from the old end what `retention` does not keep, and tells how many that were.
    pub(crate) async fn retain(&self, stream: &StreamName, retention: &Retention) -> Result<u64> {
        let (stream, retention, now) = (stream.clone(), retention.clone(), self.now_micros());
        let row = self.change(&self.sql.retain, move || {
            let mut arguments = PgArguments::default();
            arguments.add(escaped(stream.as_str()))?;
            arguments.add(now)?;
            arguments.add(retention.age_max.map(|age| clamped(age.as_micros())))?;
            arguments.add(retention.entries_max.map(clamped))?;
            arguments.add(retention.bytes_max.map(clamped))?;
            Ok(arguments)
        });
        unsigned(&row.await?, 0, &self.database.place)
    }

    /// Makes tombstones of what has expired, and tells how many were made.
    pub(crate) async fn purge_expired(&self, stream: &StreamName) -> Result<u64> {
        let (stream, now) = (stream.clone(), self.now_micros());
        let row = self.change(&self.sql.purge_expired, move || {
            let mut arguments = PgArguments::default();
            arguments.add(escaped(stream.as_str()))?;
            arguments.add(now)?;
            Ok(arguments)
        });
        unsigned(&row.await?, 0, &self.database.place)
    }
}
