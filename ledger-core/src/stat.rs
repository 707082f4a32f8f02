//! What a store tells about a stream, and about itself.

use std::time::Duration;

use crate::capabilities::Durability;

/// A stream in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stat<I> {
    /// The first id that the stream still holds; none if it holds none.
    pub first: Option<I>,
    /// The last id that it gave out, also when all is trimmed: the next id follows it. None if it never gave one.
    pub head: Option<I>,
    /// How many entries it holds. One that has expired counts until it is trimmed, also when only its tombstone is left.
    pub count: u64,
    /// The bytes of their payloads. An expired entry counts until it is purged or trimmed.
    pub bytes: u64,
    /// What an acknowledged append survives.
    pub durability: Durability,
}

impl<I> Stat<I> {
    /// Tells of a stream that was never appended to. For stores, which fill in the rest.
    pub fn empty(durability: Durability) -> Self {
        Self {
            first: None,
            head: None,
            count: 0,
            bytes: 0,
            durability,
        }
    }
}

/// The result of a real round trip through a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// How long it took.
    pub round_trip: Duration,
    /// The engine and its version, for example `SQLite 3.51.3`.
    pub engine: String,
    /// Settings that make the store less than it promises, in words; empty if there are none.
    pub warnings: Vec<String>,
}

impl Health {
    /// Tells of an engine that answered in `round_trip`.
    pub fn new(engine: impl Into<String>, round_trip: Duration) -> Self {
        Self {
            round_trip,
            engine: engine.into(),
            warnings: Vec::new(),
        }
    }
}
