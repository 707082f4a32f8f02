//! Changing what is there, and checkpoints.

use std::collections::{BTreeMap, BTreeSet};

use ledger_core::{Checkpoint, Result, Retention, Revision, StreamName};

use crate::disk::Patience;
use crate::log::Log;

impl Log {
    /// Removes the entries with an id up to `through`, and answers how many that were.
    ///
    /// # Errors
    /// Those of the files.
    pub fn trim(&self, stream: &StreamName, through: u64) -> Result<u64> {
        self.enter(stream)?;
        let removed = self.ask(|| self.shared.trim(stream, through))?;
        self.shared.tidy_after(removed);
        Ok(removed)
    }

    /// Removes from the old end what `retention` does not keep, and answers how many that were.
    ///
    /// # Errors
    /// [`InvalidInput`](ledger_core::Error::InvalidInput) for a retention without any bound.
    pub fn retain(&self, stream: &StreamName, retention: &Retention) -> Result<u64> {
        self.enter(stream)?;
        retention.validate()?;
        let removed = self.ask(|| self.shared.retain(stream, retention))?;
        self.shared.tidy_after(removed);
        Ok(removed)
    }

    /// Erases what expired entries held, and answers how many were erased.
    ///
    /// # Errors
    /// Those of the files.
    pub fn purge_expired(&self, stream: &StreamName) -> Result<u64> {
        self.enter(stream)?;
        self.ask(|| self.shared.purge_expired(stream))
    }

    /// Replaces an entry's tags.
    ///
    /// # Errors
    /// As [`Store::set_tags`](ledger_core::Store::set_tags).
    pub fn set_tags(&self, stream: &StreamName, id: u64, tags: BTreeSet<String>) -> Result<()> {
        self.enter(stream)?;
        self.check_marks()?;
        self.shared.options.limits.check_tags(&tags)?;
        self.ask(|| self.shared.set_tags(stream, id, &tags))
    }

    /// Merges `changes` into an entry's annotations. A value of none deletes the key.
    ///
    /// # Errors
    /// As [`Store::annotate`](ledger_core::Store::annotate).
    pub fn annotate(
        &self,
        stream: &StreamName,
        id: u64,
        changes: &BTreeMap<String, Option<String>>,
    ) -> Result<()> {
        self.enter(stream)?;
        self.check_marks()?;
        self.ask(|| self.shared.annotate(stream, id, changes))
    }

    /// Renames a stream, which keeps its entries, ids and checkpoints.
    ///
    /// # Errors
    /// As [`Store::rename`](ledger_core::Store::rename).
    pub fn rename(&self, from: &StreamName, to: &StreamName) -> Result<()> {
        self.enter(from)?;
        self.shared.options.limits.check_stream_name(to)?;
        self.ask(|| self.shared.rename(from, to))
    }
}

// Checkpoints.
impl Log {
    /// Loads a checkpoint of a stream; none if there is none of that name.
    ///
    /// # Errors
    /// Those of the files.
    pub fn load_checkpoint(&self, stream: &StreamName, name: &str) -> Result<Option<Checkpoint>> {
        self.ask(|| self.load_checkpoint_with(stream, name, Patience::Wait))
    }

    /// Saves a checkpoint that still is at revision `expected` (none: that does not exist), and answers the new one.
    ///
    /// # Errors
    /// [`CheckpointConflict`](ledger_core::Error::CheckpointConflict): load again, decide again.
    pub fn save_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
        value: &[u8],
        expected: Option<Revision>,
    ) -> Result<Revision> {
        self.enter_checkpoint(stream, name)?;
        self.shared.options.limits.check_checkpoint_value(value)?;
        self.ask(|| self.shared.save_checkpoint(stream, name, value, expected))
    }

    /// Deletes a checkpoint that still is at revision `expected`.
    ///
    /// # Errors
    /// [`CheckpointConflict`](ledger_core::Error::CheckpointConflict): load again, decide again.
    pub fn delete_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
        expected: Revision,
    ) -> Result<()> {
        self.enter_checkpoint(stream, name)?;
        self.ask(|| self.shared.delete_checkpoint(stream, name, expected))
    }

    /// Lists up to `limit` names of a stream's checkpoints, in byte order, behind the name `after`.
    ///
    /// # Errors
    /// [`InvalidInput`](ledger_core::Error::InvalidInput) for a limit of zero.
    pub fn list_checkpoints(
        &self,
        stream: &StreamName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        self.ask(|| self.list_checkpoints_with(stream, after, limit, Patience::Wait))
    }
}
