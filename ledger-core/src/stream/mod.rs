//! The typed side of a store: streams of an application's own events.

mod append;
mod builder;
mod cursor;
mod encode;
mod follow;
mod read;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;

use crate::checkpoint::{Checkpoint, Revision};
use crate::codec::{Codec, Json};
use crate::entry::{Entry, NewEntry};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::name::StreamName;
use crate::retention::Retention;
use crate::schema::Chain;
use crate::stat::Stat;
use crate::store::SharedStore;

pub use append::{Append, AppendAll};
pub use builder::StreamBuilder;
pub use follow::Follow;
pub use read::Read;

/// A stream of values of type `T` in a store whose ids are `I`, encoded by the codec `C`.
///
/// It is a handle: making one touches nothing, cloning one is cheap, and the stream itself comes into being with its
/// first append.
///
/// ```
/// use ledger_core::{MemoryStore, Outcome, Stream};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// enum OrderEvent { Placed { cents: u64 }, Paid }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> ledger_core::Result<()> {
/// let orders: Stream<u64, OrderEvent> = Stream::new(MemoryStore::new(), "orders");
/// orders.append(OrderEvent::Placed { cents: 995 }).order_key("o-1").dedup_key("evt-1").await?;
/// let again = orders.append(OrderEvent::Placed { cents: 995 }).order_key("o-1").dedup_key("evt-1").await?;
/// assert_eq!(again, Outcome::Duplicate(1));
/// orders.append(OrderEvent::Paid).order_key("o-1").await?;
/// assert_eq!(orders.read().order_key("o-1").await?.into_entries()?.len(), 2);
/// # Ok(()) }
/// ```
pub struct Stream<I, T, C = Json> {
    store: SharedStore<I>,
    name: StreamName,
    codec: C,
    chain: Arc<Chain>,
    kind_of: Option<fn(&T) -> &str>,
    _value: PhantomData<fn() -> T>,
}

impl<I, T, C: Clone> Clone for Stream<I, T, C> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            name: self.name.clone(),
            codec: self.codec.clone(),
            chain: Arc::clone(&self.chain),
            kind_of: self.kind_of,
            _value: PhantomData,
        }
    }
}

impl<I, T, C> fmt::Debug for Stream<I, T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("name", &self.name)
            .field("schema_version", &self.chain.version())
            .finish()
    }
}

impl<I: Id, T> Stream<I, T>
where
    Json: Codec<T>,
{
    /// Makes a stream of JSON values of schema version 1, without kinds of its own.
    pub fn new(store: impl Into<SharedStore<I>>, name: impl Into<StreamName>) -> Self {
        Self {
            store: store.into(),
            name: name.into(),
            codec: Json,
            chain: Arc::default(),
            kind_of: None,
            _value: PhantomData,
        }
    }

    /// Begins a stream with a codec, a schema version, upcasters or kinds of its own.
    pub fn builder(
        store: impl Into<SharedStore<I>>,
        name: impl Into<StreamName>,
    ) -> StreamBuilder<I, T> {
        StreamBuilder::new(store.into(), name.into())
    }
}

impl<I: Id, T, C: Codec<T>> Stream<I, T, C> {
    /// The stream's name.
    pub fn name(&self) -> &StreamName {
        &self.name
    }

    /// The store that it is in.
    pub fn store(&self) -> &SharedStore<I> {
        &self.store
    }

    /// Begins to append one value. Await it, or make it part of something larger by [`Append::into_batch`].
    pub fn append(&self, value: T) -> Append<'_, I, T, C> {
        Append::new(self, value)
    }

    /// Begins to append values, or whole [`NewEntry`]s, as one batch.
    pub fn append_all<E: Into<NewEntry<T>>>(
        &self,
        entries: impl IntoIterator<Item = E>,
    ) -> AppendAll<'_, I, T, C> {
        AppendAll::new(self, entries.into_iter().map(Into::into))
    }

    /// Begins to read: a page if awaited, everything by [`Read::walk`].
    pub fn read(&self) -> Read<'_, I, T, C> {
        Read::new(self)
    }

    /// Begins to follow: history, then live, for as long as it is polled.
    pub fn follow(&self) -> Follow<I, T, C> {
        Follow::new(self.clone())
    }

    /// Tells first id, head, count and bytes.
    ///
    /// # Errors
    /// Those of [`Store::stat`](crate::Store::stat).
    pub async fn stat(&self) -> Result<Stat<I>> {
        self.store.stat(&self.name).await
    }

    /// Tells the last id given out; none if there never was one.
    ///
    /// # Errors
    /// Those of [`Store::stat`](crate::Store::stat).
    pub async fn head(&self) -> Result<Option<I>> {
        Ok(self.stat().await?.head)
    }

    /// Tells how many entries the stream holds.
    ///
    /// # Errors
    /// Those of [`Store::stat`](crate::Store::stat).
    pub async fn count(&self) -> Result<u64> {
        Ok(self.stat().await?.count)
    }

    /// Removes the entries up to and including `through`, and answers how many that were.
    ///
    /// # Errors
    /// Those of [`Store::trim`](crate::Store::trim).
    pub async fn trim(&self, through: I) -> Result<u64> {
        self.store.trim(&self.name, through).await
    }

    /// Removes from the old end what `retention` does not keep, and answers how many that were.
    ///
    /// # Errors
    /// Those of [`Store::retain`](crate::Store::retain).
    pub async fn retain(&self, retention: &Retention) -> Result<u64> {
        self.store.retain(&self.name, retention).await
    }

    /// Erases what expired entries held, and answers how many were erased.
    ///
    /// # Errors
    /// Those of [`Store::purge_expired`](crate::Store::purge_expired).
    pub async fn purge_expired(&self) -> Result<u64> {
        self.store.purge_expired(&self.name).await
    }

    /// Replaces an entry's tags.
    ///
    /// # Errors
    /// Those of [`Store::set_tags`](crate::Store::set_tags).
    pub async fn set_tags(
        &self,
        id: I,
        tags: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<()> {
        let tags = tags.into_iter().map(Into::into).collect();
        self.store.set_tags(&self.name, id, tags).await
    }

    /// Merges `changes` into an entry's annotations; a value of none deletes the key.
    ///
    /// # Errors
    /// Those of [`Store::annotate`](crate::Store::annotate).
    pub async fn annotate(
        &self,
        id: I,
        changes: impl IntoIterator<Item = (impl Into<String>, Option<String>)>,
    ) -> Result<()> {
        let changes: BTreeMap<_, _> = changes
            .into_iter()
            .map(|(key, value)| (key.into(), value))
            .collect();
        self.store.annotate(&self.name, id, changes).await
    }

    /// Renames the stream, and this handle with it. Other handles keep the old name, which is free again.
    ///
    /// # Errors
    /// Those of [`Store::rename`](crate::Store::rename); the handle then keeps its name.
    pub async fn rename(&mut self, to: impl Into<StreamName>) -> Result<()> {
        let to = to.into();
        self.store.rename(&self.name, &to).await?;
        self.name = to;
        Ok(())
    }

    /// Loads a checkpoint; none if there is none of that name.
    ///
    /// # Errors
    /// Those of [`Store::load_checkpoint`](crate::Store::load_checkpoint).
    pub async fn load_checkpoint(&self, name: &str) -> Result<Option<Checkpoint>> {
        self.store.load_checkpoint(&self.name, name).await
    }

    /// Saves a checkpoint if it still is at revision `expected` (none: if it does not exist).
    ///
    /// # Errors
    /// Those of [`Store::save_checkpoint`](crate::Store::save_checkpoint).
    pub async fn save_checkpoint(
        &self,
        name: &str,
        value: impl Into<Bytes>,
        expected: Option<Revision>,
    ) -> Result<Revision> {
        self.store
            .save_checkpoint(&self.name, name, value.into(), expected)
            .await
    }

    /// Deletes a checkpoint if it still is at revision `expected`.
    ///
    /// # Errors
    /// Those of [`Store::delete_checkpoint`](crate::Store::delete_checkpoint).
    pub async fn delete_checkpoint(&self, name: &str, expected: Revision) -> Result<()> {
        self.store
            .delete_checkpoint(&self.name, name, expected)
            .await
    }

    /// Decodes an entry, from whatever older schema version it is of.
    fn decode(&self, entry: Entry<I>) -> Result<Entry<I, T>> {
        let expected = self.codec.content_type();
        if entry.value.content_type != expected {
            let (stream, id, found) =
                (entry.stream, entry.id.to_string(), entry.value.content_type);
            return Err(Error::ContentTypeMismatch {
                stream,
                id,
                expected,
                found,
            });
        }
        let decoded = match entry.schema_version {
            version if version == self.chain.version() => self.codec.decode(&entry.value.bytes),
            _ => self.codec.decode(&self.upcast(&entry)?),
        };
        match decoded {
            Ok(value) => Ok(entry.map(|_bytes| value)),
            Err(source) => Err(Error::Decode {
                stream: entry.stream,
                id: entry.id.to_string(),
                source,
            }),
        }
    }

    fn upcast(&self, entry: &Entry<I>) -> Result<Bytes> {
        let (stream, id) = (|| entry.stream.clone(), || entry.id.to_string());
        let (found, supported) = (entry.schema_version, self.chain.version());
        if found > supported {
            return Err(Error::SchemaTooNew {
                stream: stream(),
                id: id(),
                found,
                supported,
            });
        }
        self.chain
            .upcast(
                self.codec.tree(),
                &entry.value.bytes,
                entry.kind.as_deref(),
                found,
            )
            .map_err(|(from, source)| Error::Upcast {
                stream: stream(),
                id: id(),
                from,
                source,
            })
    }
}
