//! Entries: as handed to a store, and as read back.
//!
//! Both are generic over what they carry. Below the [`Store`](crate::Store) trait that is a [`Payload`] of bytes;
//! above it, in a [`Stream`](crate::Stream), an application's own type.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::StreamName;
use crate::payload::Payload;
use crate::sparse::Sparse;
use crate::timestamp::Timestamp;

/// Pairs of text: metadata and annotations.
pub type TextMap = BTreeMap<String, String>;

/// Merges `changes` into annotations: a value of none deletes its key. For stores.
pub fn merge_annotations(annotations: &mut TextMap, changes: &BTreeMap<String, Option<String>>) {
    for (key, value) in changes {
        match value {
            Some(value) => annotations.insert(key.clone(), value.clone()),
            None => annotations.remove(key),
        };
    }
}

/// An entry that is to be appended; the store gives it an id and the time.
///
/// ```
/// use ledger_core::NewEntry;
/// let entry = NewEntry::new("placed").order_key("o-1").dedup_key("evt-1").metadata("user", "ann");
/// assert_eq!(entry.order_key.as_deref(), Some("o-1"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewEntry<T = Payload> {
    /// What happened.
    pub value: T,
    /// The event type's name.
    pub kind: Option<String>,
    /// What it happened to, for example the aggregate's id.
    pub order_key: Option<String>,
    /// Stored at most once among a stream's retained entries, unless empty.
    pub dedup_key: Option<String>,
    /// The version of the schema the value is written in, from 1. A [`Stream`](crate::Stream) sets its own.
    pub schema_version: u32,
    /// Facts about the entry that never change.
    pub metadata: Sparse<TextMap>,
    /// Labels that may be replaced later.
    pub tags: Sparse<BTreeSet<String>>,
    /// When the entry stops being returned by reads.
    pub expires_at: Option<Timestamp>,
}

impl<T> NewEntry<T> {
    /// Makes an entry of schema version 1 with nothing but a value.
    pub fn new(value: T) -> Self {
        Self {
            value,
            kind: None,
            order_key: None,
            dedup_key: None,
            schema_version: 1,
            metadata: Sparse::new(),
            tags: Sparse::new(),
            expires_at: None,
        }
    }

    /// Names the event type.
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// Names what the event happened to.
    pub fn order_key(mut self, key: impl Into<String>) -> Self {
        self.order_key = Some(key.into());
        self
    }

    /// Sets the key under which the entry is stored at most once.
    pub fn dedup_key(mut self, key: impl Into<String>) -> Self {
        self.dedup_key = Some(key.into());
        self
    }

    /// Sets the version of the schema, from 1.
    pub fn schema_version(mut self, version: u32) -> Self {
        self.schema_version = version;
        self
    }

    /// Adds one pair of metadata, replacing an earlier one of the same key.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Adds a tag.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.insert(tag.into());
        self
    }

    /// Sets the time from which on the entry is no longer returned.
    pub fn expires_at(mut self, time: Timestamp) -> Self {
        self.expires_at = Some(time);
        self
    }

    /// Replaces the value, keeping everything around it.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> NewEntry<U> {
        NewEntry {
            value: f(self.value),
            kind: self.kind,
            order_key: self.order_key,
            dedup_key: self.dedup_key,
            schema_version: self.schema_version,
            metadata: self.metadata,
            tags: self.tags,
            expires_at: self.expires_at,
        }
    }
}

impl<T> From<T> for NewEntry<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

/// An entry as read back from a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry<I, T = Payload> {
    /// The position in the stream.
    pub id: I,
    /// The stream it is in.
    pub stream: StreamName,
    /// What happened.
    pub value: T,
    /// The event type's name.
    pub kind: Option<String>,
    /// What it happened to, for example the aggregate's id.
    pub order_key: Option<String>,
    /// The key under which it is stored at most once, unless empty.
    pub dedup_key: Option<String>,
    /// The version of the schema that it was written in.
    pub schema_version: u32,
    /// Facts about the entry that never change.
    pub metadata: Sparse<TextMap>,
    /// Labels, as last replaced.
    pub tags: Sparse<BTreeSet<String>>,
    /// Notes, as last merged.
    pub annotations: Sparse<TextMap>,
    /// When the store took it, by the store's clock; never decreases along a stream.
    pub recorded_at: Timestamp,
    /// When tags or annotations last changed; none if they never did.
    pub updated_at: Option<Timestamp>,
    /// When it stops being returned by reads.
    pub expires_at: Option<Timestamp>,
}

impl<I, T> Entry<I, T> {
    /// Makes an entry of schema version 1 with nothing but a value. For stores.
    #[inline]
    pub fn new(id: I, stream: StreamName, recorded_at: Timestamp, value: T) -> Self {
        Self {
            id,
            stream,
            value,
            kind: None,
            order_key: None,
            dedup_key: None,
            schema_version: 1,
            metadata: Sparse::new(),
            tags: Sparse::new(),
            annotations: Sparse::new(),
            recorded_at,
            updated_at: None,
            expires_at: None,
        }
    }

    /// Makes the entry that a store gives back for `new`, recorded at `recorded_at` under `id`.
    pub fn recorded(id: I, stream: StreamName, recorded_at: Timestamp, new: NewEntry<T>) -> Self {
        Self {
            kind: new.kind,
            order_key: new.order_key,
            dedup_key: new.dedup_key,
            schema_version: new.schema_version,
            metadata: new.metadata,
            tags: new.tags,
            expires_at: new.expires_at,
            ..Self::new(id, stream, recorded_at, new.value)
        }
    }

    /// Tells whether reads at `now` no longer return it.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }

    /// Replaces the value, keeping everything around it.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Entry<I, U> {
        Entry {
            id: self.id,
            stream: self.stream,
            value: f(self.value),
            kind: self.kind,
            order_key: self.order_key,
            dedup_key: self.dedup_key,
            schema_version: self.schema_version,
            metadata: self.metadata,
            tags: self.tags,
            annotations: self.annotations,
            recorded_at: self.recorded_at,
            updated_at: self.updated_at,
            expires_at: self.expires_at,
        }
    }
}
