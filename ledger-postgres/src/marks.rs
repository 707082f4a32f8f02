//! Marks: tags and annotations, the only parts of an entry that change.

use std::collections::{BTreeMap, BTreeSet};

use ledger_core::{Error, Result, StreamName, TextMap};
use sqlx_core::arguments::Arguments as _;
use sqlx_postgres::{PgArguments, PgRow};

use crate::row::{clamped, get, map_from, stored_map, stored_tags};
use crate::store::Opening;
use crate::text::escaped;

impl Opening {
    /// Replaces the entry's tags.
    pub(crate) async fn set_tags(
        &self,
        stream: &StreamName,
        id: u64,
        tags: BTreeSet<String>,
    ) -> Result<()> {
        let (name, now) = (stream.clone(), self.now_micros());
        let row = self.change(&self.sql.set_tags, move || {
            let mut arguments = PgArguments::default();
            arguments.add(escaped(name.as_str()))?;
            arguments.add(clamped(id))?;
            arguments.add(now)?;
            arguments.add(stored_tags(tags.iter()))?;
            Ok(arguments)
        });
        let is_found: bool = get(&row.await?, 0, &self.database.place)?;
        require_found(is_found, stream, id)
    }

    /// Merges `changes` into the entry's annotations; a value of none deletes the key.
    pub(crate) async fn annotate(
        &self,
        stream: &StreamName,
        id: u64,
        changes: BTreeMap<String, Option<String>>,
    ) -> Result<()> {
        let (name, now) = (stream.clone(), self.now_micros());
        let bytes_max = self.limits().metadata_bytes_max;
        let row = self.change(&self.sql.annotate, move || {
            let mut arguments = PgArguments::default();
            arguments.add(escaped(name.as_str()))?;
            arguments.add(clamped(id))?;
            arguments.add(now)?;
            add_changes(&changes, &mut arguments)?;
            arguments.add(clamped(bytes_max))?;
            Ok(arguments)
        });
        let row = row.await?;
        let is_found: bool = get(&row, 0, &self.database.place)?;
        require_found(is_found, stream, id)?;
        self.refuse_too_large(&row)
    }

    /// The database answers the annotations that it found to be too large; core says by how much.
    fn refuse_too_large(&self, row: &PgRow) -> Result<()> {
        let Some(merged) = get::<Option<&str>>(row, 1, &self.database.place)? else {
            return Ok(());
        };
        let merged =
            map_from(merged).map_err(|error| self.database.place.damage(error.to_string()))?;
        self.limits().check_annotations(&merged)?;
        Err(self
            .database
            .place
            .damage("annotations are larger there than here"))
    }
}

fn add_changes(
    changes: &BTreeMap<String, Option<String>>,
    arguments: &mut PgArguments,
) -> Result<(), sqlx_core::error::BoxDynError> {
    let added = changes
        .iter()
        .filter_map(|(key, value)| Some((key.clone(), value.clone()?)));
    let added = stored_map(&added.collect::<TextMap>());
    let removed = changes.iter().filter(|(_, value)| value.is_none());
    let removed: Vec<_> = removed.map(|(key, _)| escaped(key)).collect();
    arguments.add(added.unwrap_or_else(|| "{}".into()))?;
    arguments.add(removed)
}

fn require_found(is_found: bool, stream: &StreamName, id: u64) -> Result<()> {
    if is_found {
        return Ok(());
    }
    Err(Error::EntryNotFound {
        stream: stream.clone(),
        id: id.to_string(),
    })
}
