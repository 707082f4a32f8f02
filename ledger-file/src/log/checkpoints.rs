//! Checkpoints: small named values beside a stream, changed by compare-and-set.

use ledger_core::{Bytes, Checkpoint, Error, Revision, StreamName};

use super::read::view::View;
use super::shared::Shared;
use super::write::writer::{Changed, Subject, Turn};
use crate::disk::Patience;
use crate::error::Result;
use crate::format::{CheckpointRecord, Position, Record, StreamNumber};

/// How many names are looked at in one go.
const NAMES_MAX: usize = if cfg!(test) { 2 } else { 256 };

impl Shared {
    /// Loads a checkpoint.
    pub(super) fn load_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
        patience: Patience,
    ) -> Result<Option<Checkpoint>> {
        let (view, state) = self.seen(stream, patience)?;
        match state {
            Some(state) => load(&view, state.number, name),
            None => Ok(None),
        }
    }

    /// Lists up to `limit` names of a stream's checkpoints, behind the name `after`.
    pub(super) fn list_checkpoints(
        &self,
        stream: &StreamName,
        after: Option<&str>,
        limit: usize,
        patience: Patience,
    ) -> Result<Vec<String>> {
        let (view, state) = self.seen(stream, patience)?;
        match state {
            Some(state) => list(&view, state.number, after, limit),
            None => Ok(Vec::new()),
        }
    }

    /// Saves a checkpoint that still is at revision `expected`.
    pub(super) fn save_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
        value: &[u8],
        expected: Option<Revision>,
    ) -> Result<Revision> {
        let mut turn = self.turn(Patience::Wait)?;
        let subject = turn.find_or_new(stream, 1)?;
        turn.require_revision(&subject, name, expected)?;
        turn.write_checkpoint(subject, name, Some(value))
    }

    /// Deletes a checkpoint that still is at revision `expected`.
    pub(super) fn delete_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
        expected: Revision,
    ) -> Result<()> {
        let mut turn = self.turn(Patience::Wait)?;
        let subject = turn.find_or_new(stream, 1)?;
        turn.require_revision(&subject, name, Some(expected))?;
        turn.write_checkpoint(subject, name, None)?;
        Ok(())
    }
}

impl Turn<'_> {
    fn require_revision(
        &self,
        subject: &Subject,
        name: &str,
        expected: Option<Revision>,
    ) -> Result<()> {
        let found = match subject.is_named {
            true => load(&self.view(), subject.state.number, name)?,
            false => None,
        };
        let found = found.map(|checkpoint| checkpoint.revision);
        if found == expected {
            return Ok(());
        }
        Err(Error::CheckpointConflict {
            stream: subject.name.clone(),
            name: name.into(),
            expected,
            found,
        }
        .into())
    }

    /// Writes the checkpoint under a revision that was never used: the place of its frame.
    fn write_checkpoint(
        &mut self,
        subject: Subject,
        name: &str,
        value: Option<&[u8]>,
    ) -> Result<Revision> {
        let (stream, now) = (subject.state.number, self.shared.now());
        let bytes = name.len() + value.map_or(0, <[u8]>::len) + subject.name.as_str().len();
        self.make_room(bytes + CHECKPOINT_OVERHEAD_BYTES_MAX)?;
        let revision = self.writer.header.at(self.writer.end);
        let saved = Record::Checkpoint(CheckpointRecord {
            stream,
            name,
            revision,
            value,
        });
        let bound = Record::Name {
            stream,
            name: subject.name.as_str(),
        };
        match subject.is_named {
            true => self.write_records(now, &[saved]),
            false => self.write_records(now, &[bound, saved]),
        }
        self.writer.streams = self.writer.streams.max(stream.0);
        let state = subject.state;
        self.put(Changed::from_iter([(subject, state)]))?;
        self.drain()?;
        Ok(Revision(revision.as_u64()))
    }
}

/// What a frame with a name and a checkpoint takes beside their texts.
const CHECKPOINT_OVERHEAD_BYTES_MAX: usize = 128;

fn load(view: &View<'_>, stream: StreamNumber, name: &str) -> Result<Option<Checkpoint>> {
    let hash = view.shared().hasher.checkpoint(stream, name);
    let newest = view.look().checkpoint(hash, |position: Position| {
        view.record(position, |_, record| match record {
            Record::Checkpoint(saved) if saved.stream == stream && saved.name == name => {
                Ok(Some(saved.value.map(|value| Checkpoint {
                    value: Bytes::copy_from_slice(value),
                    revision: Revision(saved.revision.as_u64()),
                })))
            }
            _ => Ok::<_, crate::error::Failure>(None),
        })
    })?;
    Ok(newest.flatten())
}

/// Lists up to `limit` names of the checkpoints that `stream` has, behind the name `after`.
pub(super) fn list(
    view: &View<'_>,
    stream: StreamNumber,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<String>> {
    let (mut listed, mut after) = (Vec::new(), after.map(str::to_owned));
    while listed.len() < limit {
        let names = view
            .look()
            .checkpoint_names(stream, after.as_deref(), NAMES_MAX)?;
        after = names.last().cloned();
        let is_last = names.len() < NAMES_MAX;
        for name in names {
            if load(view, stream, &name)?.is_some() {
                listed.push(name);
            }
        }
        if is_last {
            break;
        }
    }
    listed.truncate(limit);
    Ok(listed)
}
