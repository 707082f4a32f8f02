//! What a history is made of: one call of the store, or one thing that happens around it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ledger_core::{
    Batch, Bytes, NewEntry, ReadOptions, Retention, Revision, StreamName, Timestamp,
};

use super::ideal::Ideal;

/// One operation of a history, by one of the openings of the store.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Which opening.
    pub(super) opening: usize,
    /// What it is asked for.
    pub(super) operation: Operation,
}

/// A call of the store, or an event around it.
///
/// As generated, its ids, times and revisions are relative, because random absolute ones would hardly ever meet
/// anything; [`Operation::aimed`] makes them absolute.
#[derive(Clone)]
pub(super) enum Operation {
    Append(Batch<u64>),
    AppendMany(Vec<Batch<u64>>),
    Read(StreamName, ReadOptions<u64>),
    Stat(StreamName),
    Trim(StreamName, u64),
    Retain(StreamName, Retention),
    PurgeExpired(StreamName),
    SetTags(StreamName, u64, BTreeSet<String>),
    Annotate(StreamName, u64, BTreeMap<String, Option<String>>),
    List(Option<StreamName>, usize),
    Rename(StreamName, StreamName),
    Wait(StreamName, Option<u64>),
    LoadCheckpoint(StreamName, String),
    SaveCheckpoint(StreamName, String, Bytes, Option<Revision>),
    DeleteCheckpoint(StreamName, String, Revision),
    ListCheckpoints(StreamName, Option<String>, usize),
    /// The clock moves by so many microseconds, back if negative.
    MoveClock(i64),
    /// The opening is closed, and another takes its place.
    Reopen,
}

impl Operation {
    /// Makes relative ids, times and revisions absolute, as of what `ideal` holds now.
    pub(super) fn aimed(mut self, ideal: &Ideal) -> Self {
        match &mut self {
            Self::Append(batch) => aim_batch(batch, ideal),
            Self::AppendMany(batches) => {
                batches.iter_mut().for_each(|batch| aim_batch(batch, ideal))
            }
            Self::Read(stream, options) => aim_read(stream, options, ideal),
            Self::Trim(stream, id)
            | Self::SetTags(stream, id, _)
            | Self::Annotate(stream, id, _) => {
                *id = aim_id(stream, *id, ideal);
            }
            Self::Wait(stream, after) => *after = after.map(|id| aim_id(stream, id, ideal)),
            Self::SaveCheckpoint(stream, name, _, expected) => {
                *expected = expected.map(|revision| aim_revision(stream, name, revision, ideal));
            }
            Self::DeleteCheckpoint(stream, name, expected) => {
                *expected = aim_revision(stream, name, *expected, ideal);
            }
            Self::Stat(_)
            | Self::Retain(..)
            | Self::PurgeExpired(_)
            | Self::List(..)
            | Self::Rename(..)
            | Self::LoadCheckpoint(..)
            | Self::ListCheckpoints(..)
            | Self::MoveClock(_)
            | Self::Reopen => {}
        }
        self
    }
}

fn aim_batch(batch: &mut Batch<u64>, ideal: &Ideal) {
    if let Some(condition) = &mut batch.condition {
        condition.after = condition.after.map(|id| aim_id(&batch.stream, id, ideal));
    }
    for entry in &mut batch.entries {
        entry.expires_at = entry.expires_at.map(|time| aim_time(time, ideal));
    }
}

fn aim_read(stream: &StreamName, options: &mut ReadOptions<u64>, ideal: &Ideal) {
    options.after = options.after.map(|id| aim_id(stream, id, ideal));
    options.before = options.before.map(|id| aim_id(stream, id, ideal));
    options.since = options.since.map(|time| aim_time(time, ideal));
}

/// Relative ids count back from two beyond the head; the greatest stays what it is.
fn aim_id(stream: &StreamName, back: u64, ideal: &Ideal) -> u64 {
    if back == u64::MAX {
        return back;
    }
    (ideal.head(stream).unwrap_or(0) + 2).saturating_sub(back)
}

/// Relative times are microseconds from now.
fn aim_time(offset: Timestamp, ideal: &Ideal) -> Timestamp {
    Timestamp::from_micros(ideal.now().as_micros() + offset.as_micros())
}

/// Relative revisions count back from the current one.
fn aim_revision(stream: &StreamName, name: &str, back: Revision, ideal: &Ideal) -> Revision {
    let current = ideal.revision(stream, name).unwrap_or(Revision(1));
    Revision(current.0.saturating_sub(back.0))
}

/// Tells an operation in a line that can be read, and typed in as a test.
impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Append(batch) => write!(f, "append {}", told(batch)),
            Self::AppendMany(batches) => {
                write!(
                    f,
                    "append as one [{}]",
                    batches.iter().map(told).collect::<Vec<_>>().join("; ")
                )
            }
            Self::Read(stream, options) => write!(f, "read {stream:?} {}", told_read(options)),
            Self::Stat(stream) => write!(f, "stat {stream:?}"),
            Self::Trim(stream, through) => write!(f, "trim {stream:?} through {through}"),
            Self::Retain(stream, retention) => write!(f, "retain {stream:?} {retention:?}"),
            Self::PurgeExpired(stream) => write!(f, "purge expired {stream:?}"),
            Self::SetTags(stream, id, tags) => write!(f, "set tags of {stream:?} {id} to {tags:?}"),
            Self::Annotate(stream, id, changes) => {
                write!(f, "annotate {stream:?} {id} with {changes:?}")
            }
            Self::List(after, limit) => write!(f, "list {limit} streams after {after:?}"),
            Self::Rename(from, to) => write!(f, "rename {from:?} to {to:?}"),
            Self::Wait(stream, after) => write!(f, "wait for {stream:?} after {after:?}"),
            Self::LoadCheckpoint(stream, name) => {
                write!(f, "load checkpoint {name:?} of {stream:?}")
            }
            Self::SaveCheckpoint(stream, name, value, expected) => {
                write!(
                    f,
                    "save checkpoint {name:?} of {stream:?} as {value:?} at {expected:?}"
                )
            }
            Self::DeleteCheckpoint(stream, name, expected) => {
                write!(
                    f,
                    "delete checkpoint {name:?} of {stream:?} at {expected:?}"
                )
            }
            Self::ListCheckpoints(stream, after, limit) => {
                write!(f, "list {limit} checkpoints of {stream:?} after {after:?}")
            }
            Self::MoveClock(micros) => write!(f, "move the clock by {micros} us"),
            Self::Reopen => write!(f, "close and reopen"),
        }
    }
}

fn told(batch: &Batch<u64>) -> String {
    let entries: Vec<_> = batch.entries.iter().map(told_entry).collect();
    let condition = batch
        .condition
        .as_ref()
        .map_or(String::new(), |condition| format!(" when {condition:?}"));
    format!("to {:?} [{}]{condition}", batch.stream, entries.join(", "))
}

fn told_entry(entry: &NewEntry) -> String {
    let mut text = format!("{} {:?}", entry.value.content_type, entry.value.bytes);
    let keys = [
        ("kind", &entry.kind),
        ("order key", &entry.order_key),
        ("dedup key", &entry.dedup_key),
    ];
    for (what, key) in keys {
        text += &key
            .as_ref()
            .map_or(String::new(), |key| format!(" {what} {key:?}"));
    }
    if entry.schema_version != 1 {
        text += &format!(" schema {}", entry.schema_version);
    }
    if !entry.metadata.is_empty() {
        text += &format!(" metadata {:?}", entry.metadata);
    }
    if !entry.tags.is_empty() {
        text += &format!(" tags {:?}", entry.tags);
    }
    text + &entry.expires_at.map_or(String::new(), |time| {
        format!(" expires {}", time.as_micros())
    })
}

fn told_read(options: &ReadOptions<u64>) -> String {
    let mut text = format!("{:?} limit {}", options.direction, options.limit);
    for (what, id) in [("after", options.after), ("before", options.before)] {
        text += &id.map_or(String::new(), |id| format!(" {what} {id}"));
    }
    text += &options
        .since
        .map_or(String::new(), |time| format!(" since {}", time.as_micros()));
    if !options.filter.is_empty() {
        text += &format!(" {:?}", options.filter);
    }
    text + if options.tombstones {
        " with tombstones"
    } else {
        ""
    }
}
