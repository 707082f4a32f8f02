//! What the cases are written in: short forms whose answers must be good.

use ledger_core::{
    Batch, Condition, Entry, NewEntry, Outcome, Page, Payload, ReadOptions, Receipt, Result,
    SharedStore, Stat, StreamName,
};

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

    pub(crate) async fn picture(&self) -> Picture {
        Picture {
            stat: self.stat().await,
            entries: self.entries().await,
        }
    }
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
