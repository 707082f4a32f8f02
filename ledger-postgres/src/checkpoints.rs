//! Checkpoints: small values beside a stream, changed by compare-and-set.

use ledger_core::{Bytes, Checkpoint, Error, Result, Revision, StreamName};
use sqlx_core::arguments::Arguments as _;
use sqlx_postgres::{PgArguments, PgRow};

use crate::row::{clamped, get, unsigned};
use crate::store::Opening;
use crate::text::{escaped, unescaped};

/// A checkpoint that is to be changed, if it still is at a revision.
struct Change<'a> {
    stream: &'a StreamName,
    name: &'a str,
    expected: Option<Revision>,
}

impl Opening {
    /// Loads a checkpoint.
    pub(crate) async fn load_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
    ) -> Result<Option<Checkpoint>> {
        let place = &self.database.place;
        self.database
            .ask(
                self.sql.load_checkpoint.clone(),
                || {
                    let mut arguments = PgArguments::default();
                    arguments.add(escaped(stream.as_str()))?;
                    arguments.add(escaped(name))?;
                    Ok(arguments)
                },
                || None,
                |found, row| {
                    *found = Some(Checkpoint {
                        value: Bytes::from(get::<Vec<u8>>(&row, 0, place)?),
                        revision: Revision(unsigned(&row, 1, place)?),
                    });
                    Ok(())
                },
            )
            .await
    }

    /// Saves a checkpoint that still is at revision `expected`.
    pub(crate) async fn save_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
        value: Bytes,
        expected: Option<Revision>,
    ) -> Result<Revision> {
        let (stream_name, checkpoint) = (stream.clone(), name.to_owned());
        let row = self.change(&self.sql.save_checkpoint, move || {
            let mut arguments = PgArguments::default();
            arguments.add(escaped(stream_name.as_str()))?;
            arguments.add(escaped(&checkpoint))?;
            arguments.add(&value[..])?;
            arguments.add(expected.map(stored))?;
            Ok(arguments)
        });
        let row = row.await?;
        self.changed(
            &row,
            &Change {
                stream,
                name,
                expected,
            },
        )
    }

    /// Deletes a checkpoint that still is at revision `expected`.
    pub(crate) async fn delete_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
        expected: Revision,
    ) -> Result<()> {
        let (stream_name, checkpoint) = (stream.clone(), name.to_owned());
        let row = self.change(&self.sql.delete_checkpoint, move || {
            let mut arguments = PgArguments::default();
            arguments.add(escaped(stream_name.as_str()))?;
            arguments.add(escaped(&checkpoint))?;
            arguments.add(stored(expected))?;
            Ok(arguments)
        });
        let row = row.await?;
        self.changed(
            &row,
            &Change {
                stream,
                name,
                expected: Some(expected),
            },
        )
        .map(drop)
    }

    /// The names of a stream's checkpoints behind `after`.
    pub(crate) async fn list_checkpoints(
        &self,
        stream: &StreamName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        let place = &self.database.place;
        self.database
            .ask(
                self.sql.list_checkpoints.clone(),
                || {
                    // Every name is greater than the empty text, because none is empty.
                    let mut arguments = PgArguments::default();
                    arguments.add(escaped(stream.as_str()))?;
                    arguments.add(escaped(after.unwrap_or("")))?;
                    arguments.add(clamped(limit))?;
                    Ok(arguments)
                },
                Vec::new,
                |names, row| {
                    names.push(unescaped(get(&row, 0, place)?).into_owned());
                    Ok(())
                },
            )
            .await
    }

    /// The revision of the change that was made; if none was, the one found instead is the conflict.
    fn changed(&self, row: &PgRow, change: &Change<'_>) -> Result<Revision> {
        let place = &self.database.place;
        if get::<Option<i64>>(row, 0, place)?.is_some() {
            return Ok(Revision(unsigned(row, 0, place)?));
        }
        let found = get::<Option<i64>>(row, 1, place)?.map(|found| Revision(found.unsigned_abs()));
        Err(Error::CheckpointConflict {
            stream: change.stream.clone(),
            name: change.name.into(),
            expected: change.expected,
            found,
        })
    }
}

fn stored(revision: Revision) -> i64 {
    clamped(revision.0)
}
