//! The model: the contract in its simplest form, a map of lists.
//!
//! It is told every operation of a history and knows every answer that keeps the contract. Where the contract leaves
//! the choice to the store, as with the number of a revision, the model follows the store.

use std::collections::BTreeMap;

use ledger_core::{
    Batch, Capabilities, Error, Receipt, Result, Retention, Revision, StreamName, Timestamp,
};

use super::answer::Answer;
use super::log::Log;
use super::operation::Operation;

/// Everything that a store holds, and the time.
#[derive(Debug)]
pub(super) struct Ideal {
    /// A stream that does not exist is the same as one that holds nothing.
    logs: BTreeMap<StreamName, Log>,
    now: Timestamp,
    capabilities: Capabilities,
}

impl Ideal {
    pub(super) fn new(capabilities: Capabilities, now: Timestamp) -> Self {
        Self {
            logs: BTreeMap::new(),
            now,
            capabilities,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    pub(super) fn head(&self, stream: &StreamName) -> Option<u64> {
        self.logs.get(stream)?.head
    }

    pub(super) fn revision(&self, stream: &StreamName, checkpoint: &str) -> Option<Revision> {
        self.logs.get(stream)?.revision(checkpoint)
    }

    /// Whether the store may let the caller wait for another append.
    pub(super) fn would_sleep(&self, operation: &Operation) -> bool {
        matches!(operation, Operation::Wait(stream, after) if self.head(stream) <= *after)
    }

    /// Moves the clock, back if `micros` is negative, and tells what it shows.
    pub(super) fn move_clock(&mut self, micros: i64) -> Timestamp {
        self.now = Timestamp::from_micros(self.now.as_micros() + micros);
        self.now
    }

    /// Carries `operation` out and tells every answer that keeps the contract; `given` is the store's.
    pub(super) fn answers(&mut self, operation: &Operation, given: &Answer) -> Vec<Answer> {
        match operation {
            Operation::AppendMany(_) if !self.capabilities.append_many => {
                vec![Answer::Refused("Unsupported".into())]
            }
            Operation::SetTags(..) | Operation::Annotate(..) if !self.capabilities.marks => {
                vec![
                    Answer::Refused("Unsupported".into()),
                    Error::AppendOnly.into(),
                ]
            }
            Operation::Append(batch) => self.append(std::slice::from_ref(batch)),
            Operation::AppendMany(batches) => self.append(batches),
            Operation::Rename(from, to) => self.rename(from, to),
            other => vec![self.answer(other, given).into()],
        }
    }

    /// The answer to an operation that has only one.
    fn answer(&mut self, operation: &Operation, given: &Answer) -> Result<Answer> {
        let (now, durability) = (self.now, self.capabilities.durability);
        Ok(match operation {
            Operation::Read(_, options) if options.limit == 0 => return Err(invalid()),
            Operation::Retain(_, retention) if *retention == Retention::new() => {
                return Err(invalid());
            }
            Operation::Read(stream, options) => Answer::Page(self.log(stream).read(options, now)),
            Operation::Stat(stream) => Answer::Stat(self.log(stream).stat(durability)),
            Operation::Trim(stream, through) => Answer::Count(self.log(stream).trim(*through)),
            Operation::Retain(stream, retention) => {
                Answer::Count(self.log(stream).retain(retention, now))
            }
            Operation::PurgeExpired(stream) => Answer::Count(self.log(stream).purge_expired(now)),
            Operation::SetTags(stream, id, tags) => {
                self.log(stream).mark(stream, *id, now, |entry| {
                    entry.tags = tags.clone().into();
                })?
            }
            Operation::Annotate(stream, id, changes) => {
                self.log(stream).mark(stream, *id, now, |entry| {
                    entry
                        .annotations
                        .retain(|key, _| !changes.contains_key(key));
                    let kept = changes
                        .iter()
                        .filter_map(|(key, value)| Some((key.clone(), value.clone()?)));
                    entry.annotations.extend(kept);
                })?
            }
            Operation::List(after, limit) => names(
                self.streams().filter(|name| Some(*name) > after.as_ref()),
                *limit,
            )?,
            checkpoint => self.checkpoint_answer(checkpoint, given)?,
        })
    }

    fn checkpoint_answer(&mut self, operation: &Operation, given: &Answer) -> Result<Answer> {
        Ok(match operation {
            Operation::LoadCheckpoint(stream, name) => {
                Answer::Checkpoint(self.log(stream).checkpoint(name))
            }
            Operation::SaveCheckpoint(stream, name, value, expected) => {
                self.check_revision(stream, name, *expected)?;
                let proposed = if let Answer::Saved(revision) = given {
                    Some(*revision)
                } else {
                    None
                };
                Answer::Saved(
                    self.log(stream)
                        .save_checkpoint(name, value.clone(), proposed),
                )
            }
            Operation::DeleteCheckpoint(stream, name, expected) => {
                self.check_revision(stream, name, Some(*expected))?;
                self.log(stream).delete_checkpoint(name);
                Answer::Done
            }
            Operation::ListCheckpoints(stream, after, limit) => {
                let names_of = self
                    .log(stream)
                    .checkpoints()
                    .filter(|name| Some(*name) > after.as_ref());
                names(names_of, *limit)?
            }
            _ => Answer::Done,
        })
    }

    fn check_revision(
        &self,
        stream: &StreamName,
        name: &str,
        expected: Option<Revision>,
    ) -> Result<()> {
        let found = self.revision(stream, name);
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

    fn log(&mut self, stream: &StreamName) -> &mut Log {
        self.logs.entry(stream.clone()).or_default()
    }

    fn streams(&self) -> impl Iterator<Item = &StreamName> {
        self.logs
            .iter()
            .filter(|(_, log)| !log.is_trimmed())
            .map(|(name, _)| name)
    }
}

// What can be refused for more than one reason.
impl Ideal {
    fn append(&mut self, batches: &[Batch<u64>]) -> Vec<Answer> {
        let mut refusals = self.bad_input(batches);
        if refusals.is_empty() {
            let now = self.now;
            refusals = batches
                .iter()
                .filter_map(|batch| self.log(&batch.stream).conflict(batch, now))
                .collect();
        }
        if refusals.is_empty() {
            return vec![Answer::Receipts(
                batches.iter().map(|batch| self.write(batch)).collect(),
            )];
        }
        refusals.into_iter().map(Answer::from).collect()
    }

    fn bad_input(&self, batches: &[Batch<u64>]) -> Vec<Error> {
        let max = self.capabilities.limits.payload_bytes_max;
        let entries = || batches.iter().flat_map(|batch| &batch.entries);
        let sizes = entries()
            .map(|entry| entry.value.bytes.len())
            .filter(|size| *size > max);
        let mut errors: Vec<_> = sizes
            .map(|size| Error::LimitExceeded {
                limit: "bytes in a payload",
                size: size as u64,
                max: max as u64,
            })
            .collect();
        let mut names: Vec<_> = batches.iter().map(|batch| &batch.stream).collect();
        names.sort();
        if names.is_sorted_by(|one, next| one < next)
            && entries().all(|entry| entry.schema_version > 0)
        {
            return errors;
        }
        errors.push(invalid());
        errors
    }

    fn write(&mut self, batch: &Batch<u64>) -> Receipt<u64> {
        let now = self.now;
        let outcomes = self
            .log(&batch.stream)
            .append(&batch.stream, &batch.entries, now);
        Receipt {
            outcomes,
            durability: self.capabilities.durability,
        }
    }

    fn rename(&mut self, from: &StreamName, to: &StreamName) -> Vec<Answer> {
        let mut refusals = Vec::new();
        if self.head(from).is_none() {
            refusals.push(Error::StreamNotFound {
                stream: from.clone(),
            });
        }
        if from != to && self.log(to).is_in_use() {
            refusals.push(Error::StreamExists { stream: to.clone() });
        }
        if !refusals.is_empty() {
            return refusals.into_iter().map(Answer::from).collect();
        }
        let mut log = self.logs.remove(from).unwrap_or_default();
        log.rename(to);
        self.logs.insert(to.clone(), log);
        vec![Answer::Done]
    }
}

fn names<'a>(
    names: impl Iterator<Item = &'a (impl ToString + 'a)>,
    limit: usize,
) -> Result<Answer> {
    if limit == 0 {
        return Err(invalid());
    }
    Ok(Answer::Names(
        names.take(limit).map(ToString::to_string).collect(),
    ))
}

fn invalid() -> Error {
    Error::InvalidInput {
        reason: String::new(),
    }
}
