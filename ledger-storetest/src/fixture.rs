//! What the cases are written in: short forms whose answers must be good.

use std::sync::Arc;

use ledger_core::{
    Batch, Bytes, Checkpoint, Condition, Entry, Error, ManualClock, NewEntry, Outcome, Page,
    Payload, ReadOptions, Receipt, Result, Retention, Revision, SharedStore, Stat, StreamName,
    Timestamp,
};

use crate::place::not_applicable;

/// One stream of an opened store. Every short form panics if the store refuses.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) store: SharedStore<u64>,
    pub(crate) name: StreamName,
}

/// Everything that can be seen of a stream at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) stat: Stat<u64>,
    pub(crate) entries: Vec<Entry<u64>>,
}

impl Log {
    pub(crate) fn new(store: SharedStore<u64>, name: impl Into<StreamName>) -> Self {
        Self {
            store,
            name: name.into(),
        }
    }

    /// Another stream of the same opening.
    pub(crate) fn beside(&self, name: impl Into<StreamName>) -> Self {
        Self::new(self.store.clone(), name)
    }

    pub(crate) fn batch(&self, entries: impl IntoIterator<Item = NewEntry>) -> Batch<u64> {
        Batch::new(self.name.clone(), entries.into_iter().collect())
    }

    /// Appends, and hands out whatever the store answers.
    pub(crate) async fn try_append(
        &self,
        entries: impl IntoIterator<Item = NewEntry>,
    ) -> Result<Receipt<u64>> {
        self.store.append(self.batch(entries)).await
    }

    /// Appends under a condition, and hands out whatever the store answers.
    pub(crate) async fn append_when(
        &self,
        condition: Condition<u64>,
        entry: NewEntry,
    ) -> Result<Receipt<u64>> {
        self.store.append(self.batch([entry]).when(condition)).await
    }

    pub(crate) async fn append(
        &self,
        entries: impl IntoIterator<Item = NewEntry>,
    ) -> Vec<Outcome<u64>> {
        self.try_append(entries)
            .await
            .expect("the append succeeds")
            .outcomes
    }

    /// Appends one entry that is not there yet, and tells its id.
    pub(crate) async fn append_one(&self, entry: NewEntry) -> u64 {
        match self.append([entry]).await[..] {
            [Outcome::Appended(id)] => id,
            ref other => panic!("one new entry was answered with {other:?}"),
        }
    }

    /// Appends one entry that holds nothing but a text, and tells its id.
    pub(crate) async fn add(&self, text: &str) -> u64 {
        self.append_one(entry(text)).await
    }

    /// Appends a batch of texts, and tells their ids.
    pub(crate) async fn add_all<const N: usize>(&self, texts: [&str; N]) -> [u64; N] {
        let outcomes = self.append(texts.map(entry)).await;
        let ids: Vec<u64> = outcomes.into_iter().map(Outcome::id).collect();
        ids.try_into().expect("there is an answer for each entry")
    }

    pub(crate) async fn append_many(
        &self,
        batches: impl IntoIterator<Item = Batch<u64>>,
    ) -> Vec<Receipt<u64>> {
        self.store
            .append_many(batches.into_iter().collect())
            .await
            .expect("the append to several streams succeeds")
    }

    pub(crate) async fn read(&self, options: ReadOptions<u64>) -> Page<u64> {
        self.store
            .read(&self.name, &options)
            .await
            .expect("the read succeeds")
    }

    /// Every entry, oldest first.
    pub(crate) async fn entries(&self) -> Vec<Entry<u64>> {
        self.read(everything()).await.entries
    }

    pub(crate) async fn ids(&self) -> Vec<u64> {
        ids(&self.entries().await)
    }

    pub(crate) async fn texts(&self) -> Vec<String> {
        texts(&self.entries().await)
    }

    /// The entry called `id`, which must be there.
    pub(crate) async fn get(&self, id: u64) -> Entry<u64> {
        let found = self
            .entries()
            .await
            .into_iter()
            .find(|entry| entry.id == id);
        found.unwrap_or_else(|| panic!("entry {id} is not there"))
    }

    pub(crate) async fn stat(&self) -> Stat<u64> {
        self.store.stat(&self.name).await.expect("stat succeeds")
    }

    pub(crate) async fn head(&self) -> Option<u64> {
        self.stat().await.head
    }

    pub(crate) async fn trim(&self, through: u64) -> u64 {
        self.store
            .trim(&self.name, through)
            .await
            .expect("the trim succeeds")
    }

    pub(crate) async fn retain(&self, retention: &Retention) -> u64 {
        self.store
            .retain(&self.name, retention)
            .await
            .expect("the retention succeeds")
    }

    pub(crate) async fn purge_expired(&self) -> u64 {
        self.store
            .purge_expired(&self.name)
            .await
            .expect("the purge succeeds")
    }

    /// Returns when the head is beyond `after`, or earlier.
    pub(crate) async fn wait(&self, after: Option<u64>) {
        self.store
            .wait(&self.name, after)
            .await
            .expect("the wait succeeds");
    }

    /// The first entry behind the cursor, as soon as there is one: what a follower does.
    pub(crate) async fn next_after(&self, after: Option<u64>) -> Entry<u64> {
        loop {
            if let Some(next) = self
                .read(ReadOptions::new().after(after).limit(1))
                .await
                .entries
                .pop()
            {
                return next;
            }
            self.wait(after).await;
        }
    }

    /// The names of all streams of the store.
    pub(crate) async fn list(&self) -> Vec<StreamName> {
        self.store
            .list(None, usize::MAX)
            .await
            .expect("the list succeeds")
    }

    pub(crate) async fn load(&self, checkpoint: &str) -> Option<Checkpoint> {
        self.store
            .load_checkpoint(&self.name, checkpoint)
            .await
            .expect("the checkpoint loads")
    }

    /// Saves a checkpoint, and hands out whatever the store answers.
    pub(crate) async fn try_save(
        &self,
        checkpoint: &str,
        value: &'static str,
        expected: Option<Revision>,
    ) -> Result<Revision> {
        self.store
            .save_checkpoint(
                &self.name,
                checkpoint,
                Bytes::from_static(value.as_bytes()),
                expected,
            )
            .await
    }

    pub(crate) async fn save(
        &self,
        checkpoint: &str,
        value: &'static str,
        expected: Option<Revision>,
    ) -> Revision {
        self.try_save(checkpoint, value, expected)
            .await
            .expect("the checkpoint is saved")
    }

    pub(crate) async fn close(&self) {
        self.store.close().await.expect("the store closes");
    }

    pub(crate) async fn picture(&self) -> Picture {
        Picture {
            stat: self.stat().await,
            entries: self.entries().await,
        }
    }
}

/// Checks that an answer is an error of the given pattern.
macro_rules! assert_refused {
    ($answer:expr, $pattern:pat $(if $guard:expr)?) => {
        match $answer {
            Err($pattern) $(if $guard)? => {}
            other => panic!("expected {}, got {other:?}", stringify!($pattern $(if $guard)?)),
        }
    };
}
pub(crate) use assert_refused;

/// Whether ids are dense; if not, says so.
pub(crate) fn has_dense_ids(log: &Log) -> bool {
    let dense_ids = log.store.capabilities().dense_ids;
    if !dense_ids {
        not_applicable("the store's ids are not dense");
    }
    dense_ids
}

/// Whether several streams can be appended to as one; if not, checks that the store says so.
pub(crate) async fn can_append_many(log: &Log) -> bool {
    if log.store.capabilities().append_many {
        return true;
    }
    let batches = vec![
        log.batch([entry("a")]),
        log.beside("another").batch([entry("b")]),
    ];
    assert_refused!(
        log.store.append_many(batches).await,
        Error::Unsupported { .. }
    );
    assert_eq!(
        log.head().await,
        None,
        "what is not supported was half done"
    );
    not_applicable("the store appends to one stream at a time");
    false
}

/// Whether tags and annotations can be changed; if not, checks that the store says so.
pub(crate) async fn can_mark(log: &Log) -> bool {
    if log.store.capabilities().marks {
        return true;
    }
    let id = log.add("unmarked").await;
    let refused = log
        .store
        .set_tags(&log.name, id, ["tag".into()].into())
        .await;
    assert_refused!(refused, Error::Unsupported { .. } | Error::AppendOnly);
    let refused = log
        .store
        .annotate(&log.name, id, [("key".into(), Some("value".into()))].into())
        .await;
    assert_refused!(refused, Error::Unsupported { .. } | Error::AppendOnly);
    assert_eq!(
        log.get(id).await.updated_at,
        None,
        "what is not supported was half done"
    );
    not_applicable("the store's entries cannot be changed");
    false
}

/// An hour that every clock of the suite starts from.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_357_041_600_000_000);

/// A clock that shows [`START`] until it is set.
pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(START))
}

/// The time `micros` after [`START`].
pub(crate) fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(START.as_micros() + micros)
}

/// An entry that holds nothing but a text.
pub(crate) fn entry(text: &str) -> NewEntry {
    NewEntry::new(Payload::octets(text.to_owned()))
}

/// An entry whose dedup key is also its text.
pub(crate) fn keyed(key: &str) -> NewEntry {
    entry(key).dedup_key(key)
}

/// Asks for one page that holds all there is.
pub(crate) fn everything() -> ReadOptions<u64> {
    ReadOptions::new().limit(usize::MAX)
}

pub(crate) fn ids(entries: &[Entry<u64>]) -> Vec<u64> {
    entries.iter().map(|entry| entry.id).collect()
}

pub(crate) fn texts(entries: &[Entry<u64>]) -> Vec<String> {
    entries.iter().map(text).collect()
}

/// The text that an entry holds.
pub(crate) fn text(entry: &Entry<u64>) -> String {
    String::from_utf8(entry.value.bytes.to_vec()).expect("the payload is the text that was written")
}
