//! Every method that works on a stream, called once: for what holds for all of them.

use ledger_core::{Bytes, Result, Retention, Revision};

use crate::fixture::{Log, entry, everything};

/// A method's name, and what it answered.
pub(crate) type Answer = (&'static str, Result<()>);

/// What every method that takes a stream answers for this one.
pub(crate) async fn answers(log: &Log) -> Vec<Answer> {
    let mut answers = appends(log).await;
    answers.extend(reads(log).await);
    answers.extend(changes(log).await);
    answers.extend(marks(log).await);
    answers.extend(checkpoints(log, "billing").await);
    answers
}

async fn appends(log: &Log) -> Vec<Answer> {
    let beside = log.beside("beside").batch([entry("x")]);
    let batches = vec![beside, log.batch([entry("x")])];
    vec![
        ("append", log.try_append([entry("x")]).await.map(drop)),
        ("append of nothing", log.try_append([]).await.map(drop)),
        (
            "append_many",
            log.store.append_many(batches).await.map(drop),
        ),
    ]
}

async fn reads(log: &Log) -> Vec<Answer> {
    let (store, name) = (&log.store, &log.name);
    vec![
        ("read", store.read(name, &everything()).await.map(drop)),
        ("stat", store.stat(name).await.map(drop)),
        ("wait", store.wait(name, None).await),
    ]
}

async fn changes(log: &Log) -> Vec<Answer> {
    let (store, name, other) = (&log.store, &log.name, &"other".into());
    let nothing = Retention::new().entries_max(0);
    vec![
        ("trim", store.trim(name, u64::MAX).await.map(drop)),
        ("retain", store.retain(name, &nothing).await.map(drop)),
        ("purge_expired", store.purge_expired(name).await.map(drop)),
        ("rename from", store.rename(name, other).await),
        ("rename to", store.rename(other, name).await),
    ]
}

async fn marks(log: &Log) -> Vec<Answer> {
    let (store, name) = (&log.store, &log.name);
    let changes = [("key".into(), Some("value".into()))].into();
    vec![
        (
            "set_tags",
            store.set_tags(name, 1, ["tag".into()].into()).await,
        ),
        ("annotate", store.annotate(name, 1, changes).await),
    ]
}

/// What every method that takes a checkpoint answers for this one.
pub(crate) async fn checkpoints(log: &Log, checkpoint: &str) -> Vec<Answer> {
    let (store, name, revision) = (&log.store, &log.name, Revision(1));
    let saved = store.save_checkpoint(name, checkpoint, Bytes::new(), Some(revision));
    let deleted = store.delete_checkpoint(name, checkpoint, revision);
    vec![
        ("save_checkpoint", saved.await.map(drop)),
        ("delete_checkpoint", deleted.await),
        (
            "load_checkpoint",
            store.load_checkpoint(name, checkpoint).await.map(drop),
        ),
        (
            "list_checkpoints",
            store.list_checkpoints(name, None, 1).await.map(drop),
        ),
    ]
}
