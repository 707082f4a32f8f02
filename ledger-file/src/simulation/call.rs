//! One call of a history, and what it answers.

use std::collections::{BTreeMap, BTreeSet};

use ledger_core::{
    Action, Batch, Bytes, Error, Outcome, Receipt, Result, Retention, Revision, StreamName,
};

use super::subject::{Care, Subject};

/// What is called.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// Appends that are under way at the same time, begun in this order.
    Append(Vec<Batch<u64>>),
    AppendMany(Vec<Batch<u64>>),
    Trim(StreamName, u64),
    Retain(StreamName, Retention),
    PurgeExpired(StreamName),
    SetTags(StreamName, u64, BTreeSet<String>),
    Annotate(StreamName, u64, BTreeMap<String, Option<String>>),
    Rename(StreamName, StreamName),
    SaveCheckpoint(StreamName, String, Bytes, Presented),
    DeleteCheckpoint(StreamName, String, Presented),
    /// Moves the clock, also backwards.
    Tick(i64),
    Maintain(Care),
}

/// Which revision a caller presents.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Presented {
    /// The one that is there.
    Current,
    /// That of a checkpoint that does not exist.
    Absent,
}

/// An answer that can be compared: refusals too, revisions not, since each store counts them in its own way.
pub(crate) type Answer = Result<String>;

impl Call {
    /// Makes the call, once for each thing that may be seen on its own.
    pub(crate) fn play(&self, subject: &impl Subject) -> Vec<Answer> {
        match self {
            Self::Append(batches) => {
                let results = subject.append_together(batches);
                results
                    .into_iter()
                    .map(|result| answer(result.map(outcomes)))
                    .collect()
            }
            other => vec![other.play_one(subject)],
        }
    }

    /// The same, for a subject that makes one call after the other; `seen` is told after each.
    pub(crate) fn play_slowly(
        &self,
        subject: &impl Subject,
        mut seen: impl FnMut(),
    ) -> Vec<Answer> {
        let Self::Append(batches) = self else {
            let answers = self.play(subject);
            seen();
            return answers;
        };
        let append = |batch: &Batch<u64>| {
            let mut results = subject.append_together(std::slice::from_ref(batch));
            seen();
            answer(results.remove(0).map(outcomes))
        };
        batches.iter().map(append).collect()
    }

    fn play_one(&self, subject: &impl Subject) -> Answer {
        match self {
            Self::Append(_) => unreachable!("appends are played in groups"),
            Self::AppendMany(batches) => answer(
                subject
                    .append_many(batches.clone())
                    .map(|receipts| receipts.into_iter().map(outcomes).collect::<Vec<_>>()),
            ),
            Self::Trim(stream, through) => answer(subject.trim(stream, *through)),
            Self::Retain(stream, retention) => answer(subject.retain(stream, retention)),
            Self::PurgeExpired(stream) => answer(subject.purge_expired(stream)),
            Self::SetTags(stream, id, tags) => answer(subject.set_tags(stream, *id, tags.clone())),
            Self::Annotate(stream, id, changes) => {
                answer(subject.annotate(stream, *id, changes.clone()))
            }
            Self::Rename(from, to) => answer(subject.rename(from, to)),
            Self::SaveCheckpoint(stream, name, value, presented) => {
                let expected = presented.revision(subject, stream, name);
                let saved = expected.and_then(|expected| {
                    subject.save_checkpoint(stream, name, value.clone(), expected)
                });
                answer(saved.map(|_| "saved"))
            }
            Self::DeleteCheckpoint(stream, name, presented) => {
                let expected = presented.revision(subject, stream, name);
                let expected = expected.map(|expected| expected.unwrap_or(Revision(u64::MAX)));
                answer(
                    expected.and_then(|expected| subject.delete_checkpoint(stream, name, expected)),
                )
            }
            Self::Tick(_) => answer(Ok(())),
            Self::Maintain(care) => answer(subject.maintain(*care)),
        }
    }
}

impl Presented {
    fn revision(
        self,
        subject: &impl Subject,
        stream: &StreamName,
        name: &str,
    ) -> Result<Option<Revision>> {
        match self {
            Self::Current => Ok(subject
                .load_checkpoint(stream, name)?
                .map(|checkpoint| checkpoint.revision)),
            Self::Absent => Ok(None),
        }
    }
}

fn outcomes(receipt: Receipt<u64>) -> Vec<Outcome<u64>> {
    receipt.outcomes
}

fn answer<T: std::fmt::Debug>(result: Result<T>) -> Answer {
    result.map(|value| format!("{value:?}"))
}

/// What a refusal says, apart from what each store says in its own way.
pub(crate) fn refusal(error: &Error) -> String {
    match error {
        Error::CheckpointConflict { name, .. } => format!("checkpoint {name} conflicts"),
        error => error.to_string(),
    }
}

/// Whether the log could not do what it should have done, so that the model knows nothing of it.
pub(crate) fn is_failure(answer: &Answer) -> bool {
    matches!(answer, Err(error) if matches!(error.action(), Action::Repair | Action::Reopen | Action::Retry))
}
