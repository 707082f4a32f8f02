//! Streams with a codec, a schema version, upcasters or kinds of their own.

use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;

use super::Stream;
use crate::codec::{Codec, Json};
use crate::error::{BoxError, Result};
use crate::id::Id;
use crate::name::StreamName;
use crate::schema::{Chain, Step, Upcaster};
use crate::store::SharedStore;

/// Makes a [`Stream`], checking its chain of upcasters.
///
/// ```
/// use ledger_core::{FieldMapper, MemoryStore, Stream};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Price { cents: u64, currency: String }
///
/// let prices: Stream<u64, Price> = Stream::builder(MemoryStore::new(), "prices")
///     .schema_version(2)
///     .upcast(1, FieldMapper::new().default("currency", "EUR"))
///     .build()?;
/// # let _ = prices;
/// # Ok::<(), ledger_core::Error>(())
/// ```
#[must_use = "a builder does nothing until it builds"]
pub struct StreamBuilder<I, T, C = Json> {
    store: SharedStore<I>,
    name: StreamName,
    codec: C,
    chain: Chain,
    kind_of: Option<fn(&T) -> &str>,
}

impl<I: Id, T> StreamBuilder<I, T> {
    pub(super) fn new(store: SharedStore<I>, name: StreamName) -> Self {
        Self {
            store,
            name,
            codec: Json,
            chain: Chain::default(),
            kind_of: None,
        }
    }
}

impl<I: Id, T, C> StreamBuilder<I, T, C> {
    /// Encodes and decodes with another codec.
    pub fn codec<D: Codec<T>>(self, codec: D) -> StreamBuilder<I, T, D> {
        StreamBuilder {
            store: self.store,
            name: self.name,
            codec,
            chain: self.chain,
            kind_of: self.kind_of,
        }
    }

    /// Writes this schema version, and reads it and all older ones. Default: 1.
    pub fn schema_version(mut self, version: u32) -> Self {
        self.chain.set_version(version);
        self
    }

    /// Leads values of version `from` to the next version.
    pub fn upcast(self, from: u32, upcaster: impl Upcaster) -> Self {
        self.step(from, None, Step::Tree(Box::new(upcaster)))
    }

    /// Leads values of version `from` and this kind to the next version, instead of [`upcast`](Self::upcast).
    ///
    /// If a version has steps for some kinds only, values of other kinds are taken as they are.
    pub fn upcast_kind(self, from: u32, kind: impl Into<String>, upcaster: impl Upcaster) -> Self {
        self.step(from, Some(kind.into()), Step::Tree(Box::new(upcaster)))
    }

    /// Leads encoded values of version `from` to the next version: for codecs whose bytes do not describe themselves.
    pub fn upcast_bytes<E: Into<BoxError>>(
        self,
        from: u32,
        upcaster: impl Fn(Bytes) -> Result<Bytes, E> + Send + Sync + 'static,
    ) -> Self {
        self.step(
            from,
            None,
            Step::Bytes(Box::new(move |bytes| upcaster(bytes).map_err(Into::into))),
        )
    }

    /// Names the kind of each value, for entries that are not given one when they are appended.
    pub fn kind_of(mut self, kind_of: fn(&T) -> &str) -> Self {
        self.kind_of = Some(kind_of);
        self
    }

    fn step(mut self, from: u32, kind: Option<String>, step: Step) -> Self {
        self.chain.add(from, kind, step);
        self
    }
}

impl<I: Id, T, C: Codec<T>> StreamBuilder<I, T, C> {
    /// Makes the stream.
    ///
    /// # Errors
    /// [`UpcasterChain`](crate::Error::UpcasterChain) if there is not exactly one way from each older version to the
    /// next, or if the codec has no trees and an upcaster needs them.
    pub fn build(self) -> Result<Stream<I, T, C>> {
        self.chain.check(&self.name, self.codec.tree())?;
        Ok(Stream {
            store: self.store,
            name: self.name,
            codec: self.codec,
            chain: Arc::new(self.chain),
            kind_of: self.kind_of,
            _value: PhantomData,
        })
    }
}
