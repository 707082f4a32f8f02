//! Appending values.

use std::future::IntoFuture;

use futures_util::future::BoxFuture;

use super::Stream;
use super::encode::encode;
use crate::batch::{Batch, Outcome, Receipt};
use crate::codec::Codec;
use crate::condition::Condition;
use crate::entry::NewEntry;
use crate::error::Result;
use crate::id::Id;
use crate::timestamp::Timestamp;

/// One value about to be appended: await it to append it.
///
/// The value is encoded when it is awaited or made into a batch. Dropping the future leaves the entry wholly appended
/// or wholly absent.
#[must_use = "nothing is appended until this is awaited"]
pub struct Append<'a, I, T, C> {
    stream: &'a Stream<I, T, C>,
    entry: NewEntry<T>,
    condition: Option<Condition<I>>,
}

impl<'a, I: Id, T, C: Codec<T>> Append<'a, I, T, C> {
    pub(super) fn new(stream: &'a Stream<I, T, C>, value: T) -> Self {
        Self {
            stream,
            entry: NewEntry::new(value),
            condition: None,
        }
    }

    fn map(mut self, f: impl FnOnce(NewEntry<T>) -> NewEntry<T>) -> Self {
        self.entry = f(self.entry);
        self
    }

    /// Names the event type.
    pub fn kind(self, kind: impl Into<String>) -> Self {
        self.map(|entry| entry.kind(kind))
    }

    /// Names what the event happened to.
    pub fn order_key(self, key: impl Into<String>) -> Self {
        self.map(|entry| entry.order_key(key))
    }

    /// Sets the key under which the entry is stored at most once.
    pub fn dedup_key(self, key: impl Into<String>) -> Self {
        self.map(|entry| entry.dedup_key(key))
    }

    /// Adds one pair of metadata.
    pub fn metadata(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.map(|entry| entry.metadata(key, value))
    }

    /// Adds a tag.
    pub fn tag(self, tag: impl Into<String>) -> Self {
        self.map(|entry| entry.tag(tag))
    }

    /// Sets the time from which on the entry is no longer returned.
    pub fn expires_at(self, time: Timestamp) -> Self {
        self.map(|entry| entry.expires_at(time))
    }

    /// Appends only if `condition` holds.
    pub fn when(mut self, condition: Condition<I>) -> Self {
        self.condition = Some(condition);
        self
    }

    /// Encodes the value into a batch, for [`Store::append_many`](crate::Store::append_many) and the transactions of
    /// a backend.
    ///
    /// # Errors
    /// [`Encode`](crate::Error::Encode).
    pub fn into_batch(self) -> Result<Batch<I>> {
        let entries = encode(self.stream, std::iter::once(self.entry))?;
        let mut batch = Batch::new(self.stream.name.clone(), entries);
        batch.condition = self.condition;
        Ok(batch)
    }
}

impl<'a, I: Id, T, C: Codec<T>> IntoFuture for Append<'a, I, T, C> {
    type Output = Result<Outcome<I>>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let store = &self.stream.store;
        let batch = self.into_batch();
        Box::pin(async move {
            let receipt = store.append(batch?).await?;
            Ok(receipt
                .outcomes
                .into_iter()
                .next()
                .expect("a store answers each entry of a batch"))
        })
    }
}

/// Values about to be appended as one batch: await it to append them.
///
/// The values are encoded as soon as they are given, so that no second copy of them is held.
#[must_use = "nothing is appended until this is awaited"]
pub struct AppendAll<'a, I, T, C> {
    stream: &'a Stream<I, T, C>,
    batch: Result<Batch<I>>,
}

impl<'a, I: Id, T, C: Codec<T>> AppendAll<'a, I, T, C> {
    pub(super) fn new(
        stream: &'a Stream<I, T, C>,
        entries: impl Iterator<Item = NewEntry<T>>,
    ) -> Self {
        let entries = encode(stream, entries);
        let batch = entries.map(|entries| Batch::new(stream.name.clone(), entries));
        Self { stream, batch }
    }

    /// Appends only if `condition` holds.
    pub fn when(mut self, condition: Condition<I>) -> Self {
        self.batch = self.batch.map(|batch| batch.when(condition));
        self
    }

    /// Gives the encoded batch, for [`Store::append_many`](crate::Store::append_many) and the transactions of a
    /// backend.
    ///
    /// # Errors
    /// [`Encode`](crate::Error::Encode).
    pub fn into_batch(self) -> Result<Batch<I>> {
        self.batch
    }
}

impl<'a, I: Id, T, C: Codec<T>> IntoFuture for AppendAll<'a, I, T, C> {
    type Output = Result<Receipt<I>>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let store = &self.stream.store;
        Box::pin(async move { store.append(self.batch?).await })
    }
}
