//! All streams of a memory store, and what concerns more than one of them.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use super::stream::StreamState;
use crate::batch::{Batch, Outcome};
use crate::checkpoint::{Checkpoint, Revision};
use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::name::StreamName;
use crate::timestamp::Timestamp;

/// The streams by name. One that was never appended to is here only if it has, or had, checkpoints.
#[derive(Debug, Default)]
pub(super) struct State {
    streams: BTreeMap<StreamName, StreamState>,
    /// The last one given to a checkpoint. One count for all, so that no deletion or renaming brings one back.
    revision: u64,
}

impl State {
    pub(super) fn get(&self, stream: &StreamName) -> Option<&StreamState> {
        self.streams.get(stream)
    }

    pub(super) fn get_mut(&mut self, stream: &StreamName) -> Option<&mut StreamState> {
        self.streams.get_mut(stream)
    }

    /// Checks all, then writes all: what fails, fails before the first write.
    pub(super) fn append(
        &mut self,
        batches: Vec<Batch<u64>>,
        now: Timestamp,
    ) -> Result<Vec<Vec<Outcome<u64>>>> {
        let nothing = StreamState::default();
        for batch in &batches {
            self.get(&batch.stream)
                .unwrap_or(&nothing)
                .check(batch, now)?;
        }
        Ok(batches
            .into_iter()
            .map(|batch| self.write(batch, now))
            .collect())
    }

    fn write(&mut self, batch: Batch<u64>, now: Timestamp) -> Vec<Outcome<u64>> {
        if batch.entries.is_empty() {
            return Vec::new();
        }
        self.streams
            .entry(batch.stream.clone())
            .or_default()
            .append(&batch.stream, batch.entries, now)
    }

    pub(super) fn entry_mut(
        &mut self,
        stream: &StreamName,
        id: u64,
        now: Timestamp,
    ) -> Result<&mut Entry<u64>> {
        self.get_mut(stream)
            .and_then(|stream| stream.visible_mut(id, now))
            .ok_or_else(|| Error::EntryNotFound {
                stream: stream.clone(),
                id: id.to_string(),
            })
    }

    pub(super) fn list(&self, after: Option<&StreamName>, limit: usize) -> Vec<StreamName> {
        let lower = after.map_or(Bound::Unbounded, Bound::Excluded);
        let names = self
            .streams
            .range::<StreamName, _>((lower, Bound::Unbounded));
        names
            .filter(|(_, stream)| !stream.is_trimmed())
            .map(|(name, _)| name.clone())
            .take(limit)
            .collect()
    }

    pub(super) fn rename(&mut self, from: &StreamName, to: &StreamName) -> Result<()> {
        if self.get(from).and_then(StreamState::head).is_none() {
            return Err(Error::StreamNotFound {
                stream: from.clone(),
            });
        }
        if from == to {
            return Ok(());
        }
        if self.get(to).is_some_and(StreamState::is_in_use) {
            return Err(Error::StreamExists { stream: to.clone() });
        }
        if let Some(mut stream) = self.streams.remove(from) {
            stream.rename(to);
            self.streams.insert(to.clone(), stream);
        }
        Ok(())
    }

    pub(super) fn save_checkpoint(
        &mut self,
        stream: &StreamName,
        name: &str,
        value: Bytes,
        expected: Option<Revision>,
    ) -> Result<Revision> {
        self.require_revision(stream, name, expected)?;
        self.revision += 1;
        let revision = Revision(self.revision);
        let stream = self.streams.entry(stream.clone()).or_default();
        stream.save_checkpoint(name, Checkpoint { value, revision });
        Ok(revision)
    }

    pub(super) fn delete_checkpoint(
        &mut self,
        stream: &StreamName,
        name: &str,
        expected: Revision,
    ) -> Result<()> {
        self.require_revision(stream, name, Some(expected))?;
        if let Some(stream) = self.get_mut(stream) {
            stream.delete_checkpoint(name);
        }
        Ok(())
    }

    fn require_revision(
        &self,
        stream: &StreamName,
        name: &str,
        expected: Option<Revision>,
    ) -> Result<()> {
        let checkpoint = self
            .get(stream)
            .and_then(|stream| stream.load_checkpoint(name));
        let found = checkpoint.map(|checkpoint| checkpoint.revision);
        if found == expected {
            return Ok(());
        }
        Err(Error::CheckpointConflict {
            stream: stream.clone(),
            name: name.into(),
            expected,
            found,
        })
    }
}
