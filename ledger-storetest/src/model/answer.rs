//! What a store answers to an operation, in a form that can be compared with what it should have answered.

use std::fmt;

use ledger_core::{Checkpoint, Error, Page, Receipt, Result, Revision, SharedStore, Stat};

use super::operation::Operation;

/// An answer of a store, or of the model.
#[derive(Clone, PartialEq)]
pub(super) enum Answer {
    Receipts(Vec<Receipt<u64>>),
    Page(Page<u64>),
    Stat(Stat<u64>),
    Count(u64),
    Names(Vec<String>),
    Checkpoint(Option<Checkpoint>),
    Saved(Revision),
    Done,
    /// The error's variant, with all that it names.
    Refused(String),
}

impl From<Error> for Answer {
    fn from(error: Error) -> Self {
        Self::Refused(match error {
            // What these say is for people, in the store's own words.
            Error::InvalidInput { .. } => "InvalidInput".into(),
            Error::Unsupported { .. } => "Unsupported".into(),
            other => format!("{other:?}"),
        })
    }
}

impl From<Result<Answer>> for Answer {
    fn from(answer: Result<Answer>) -> Self {
        answer.unwrap_or_else(Self::from)
    }
}

/// Shows the bytes of payloads, which an entry keeps to itself.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Receipts(receipts) => f
                .debug_list()
                .entries(receipts.iter().map(|receipt| &receipt.outcomes))
                .finish(),
            Self::Page(page) => show_page(page, f),
            Self::Stat(stat) => write!(f, "{stat:?}"),
            Self::Count(count) => write!(f, "{count}"),
            Self::Names(names) => write!(f, "{names:?}"),
            Self::Checkpoint(checkpoint) => write!(f, "{checkpoint:?}"),
            Self::Saved(revision) => write!(f, "{revision:?}"),
            Self::Done => write!(f, "done"),
            Self::Refused(error) => write!(f, "{error}"),
        }
    }
}

fn show_page(page: &Page<u64>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "page of {} entries, first {:?}, head {:?}, next {:?}, tombstones {:?}",
        page.entries.len(),
        page.first,
        page.head,
        page.next,
        page.tombstones
    )?;
    for entry in &page.entries {
        write!(f, "\n      {:?} {entry:?}", entry.value.bytes)?;
    }
    Ok(())
}

/// Asks `store` for what `operation` says. What happens around the store is not its to answer.
pub(super) async fn ask(store: &SharedStore<u64>, operation: Operation) -> Answer {
    match operation {
        Operation::Append(batch) => store
            .append(batch)
            .await
            .map(|receipt| Answer::Receipts(vec![receipt])),
        Operation::AppendMany(batches) => store.append_many(batches).await.map(Answer::Receipts),
        Operation::Read(stream, options) => store.read(&stream, &options).await.map(Answer::Page),
        Operation::Stat(stream) => store.stat(&stream).await.map(Answer::Stat),
        Operation::Trim(stream, through) => store.trim(&stream, through).await.map(Answer::Count),
        Operation::Retain(stream, retention) => {
            store.retain(&stream, &retention).await.map(Answer::Count)
        }
        Operation::PurgeExpired(stream) => store.purge_expired(&stream).await.map(Answer::Count),
        Operation::SetTags(stream, id, tags) => store.set_tags(&stream, id, tags).await.map(done),
        Operation::Annotate(stream, id, changes) => {
            store.annotate(&stream, id, changes).await.map(done)
        }
        Operation::Rename(from, to) => store.rename(&from, &to).await.map(done),
        Operation::Wait(stream, after) => store.wait(&stream, after).await.map(done),
        Operation::List(after, limit) => store.list(after.as_ref(), limit).await.map(names),
        checkpoint => return ask_checkpoint(store, checkpoint).await.into(),
    }
    .into()
}

async fn ask_checkpoint(store: &SharedStore<u64>, operation: Operation) -> Result<Answer> {
    match operation {
        Operation::LoadCheckpoint(stream, name) => store
            .load_checkpoint(&stream, &name)
            .await
            .map(Answer::Checkpoint),
        Operation::SaveCheckpoint(stream, name, value, expected) => store
            .save_checkpoint(&stream, &name, value, expected)
            .await
            .map(Answer::Saved),
        Operation::DeleteCheckpoint(stream, name, expected) => store
            .delete_checkpoint(&stream, &name, expected)
            .await
            .map(done),
        Operation::ListCheckpoints(stream, after, limit) => store
            .list_checkpoints(&stream, after.as_deref(), limit)
            .await
            .map(names),
        other => unreachable!("{other:?} is not asked of a store"),
    }
}

fn done(_: ()) -> Answer {
    Answer::Done
}

fn names(names: impl IntoIterator<Item: ToString>) -> Answer {
    Answer::Names(names.into_iter().map(|name| name.to_string()).collect())
}
