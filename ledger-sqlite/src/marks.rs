//! What may be changed about an entry: its tags and annotations.

use std::collections::{BTreeMap, BTreeSet};

use ledger_core::{Error, Limits, Sparse, StreamName, TextMap, Timestamp, merge_annotations};
use rusqlite::OptionalExtension;

use crate::error::Failure;
use crate::row;
use crate::session::Session;

impl Session<'_> {
    /// Replaces the entry's tags.
    pub(crate) fn set_tags(
        &mut self,
        name: &StreamName,
        id: u64,
        tags: &BTreeSet<String>,
    ) -> Result<(), Failure> {
        let now = self.now();
        let position = self.position_of(name, id)?;
        let changed = self
            .connection
            .prepare_cached(&self.sql.set_tags)?
            .execute((position, now.as_micros(), row::stored_tags(tags)))?;
        if changed == 0 {
            return Err(not_found(name, id));
        }
        Ok(())
    }

    /// Merges `changes` into the entry's annotations; a value of none deletes the key.
    pub(crate) fn annotate(
        &mut self,
        name: &StreamName,
        id: u64,
        changes: &BTreeMap<String, Option<String>>,
        limits: &Limits,
    ) -> Result<(), Failure> {
        let now = self.now();
        let position = self.position_of(name, id)?;
        let mut annotations = self
            .annotations_at(position, now)?
            .ok_or_else(|| not_found(name, id))?;
        merge_annotations(&mut annotations, changes);
        limits.check_annotations(&annotations)?;
        self.connection
            .prepare_cached(&self.sql.set_annotations)?
            .execute((position, now.as_micros(), row::stored_map(&annotations)))?;
        Ok(())
    }

    fn position_of(&mut self, name: &StreamName, id: u64) -> Result<i64, Failure> {
        let stream = self.stream(name)?.filter(|stream| id <= stream.head);
        let stream = stream.ok_or_else(|| not_found(name, id))?;
        Ok(stream.position(id))
    }

    /// The annotations of the entry at `position`; none if no read at `now` returns one.
    fn annotations_at(
        &self,
        position: i64,
        now: Timestamp,
    ) -> Result<Option<Sparse<TextMap>>, Failure> {
        let found: Option<Option<String>> = self
            .connection
            .prepare_cached(&self.sql.find_annotations)?
            .query_row((position, now.as_micros()), |row| row.get(0))
            .optional()?;
        found.map(|text| row::map_from(text.as_deref())).transpose()
    }
}

fn not_found(name: &StreamName, id: u64) -> Failure {
    Failure::Refusal(Error::EntryNotFound {
        stream: name.clone(),
        id: id.to_string(),
    })
}
