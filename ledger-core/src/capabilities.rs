//! What a store can do, as plain data.

use std::time::Duration;

use crate::limits::Limits;

/// What an acknowledged append survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// Nothing: it is gone with the process that holds it.
    Volatile,
    /// The death of the process (kill -9), but not the loss of power.
    Process,
    /// As [`Durability::Process`]; what is older than this also survives the loss of power.
    Interval(Duration),
    /// The loss of power.
    Sync,
}

/// What a store can do, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// What an acknowledged append survives.
    pub durability: Durability,
    /// The sizes beyond which it refuses.
    pub limits: Limits,
    /// Ids are dense: 1, 2, 3 and so on in each stream.
    pub dense_ids: bool,
    /// Several streams can be appended to as one.
    pub append_many: bool,
    /// Tags and annotations can be changed. A store opened append-only refuses.
    pub marks: bool,
    /// Several openings, also in several processes, may write to it at once.
    pub shared: bool,
    /// A read that was begun is finished also while nobody polls it, and holds up nobody meanwhile: neither whoever
    /// waits for the connection it has, nor the one who began it. So walks and followers begin to read a page while they
    /// still give the one before it.
    pub read_ahead: bool,
}

impl Capabilities {
    /// Everything that the contract asks for, and nothing beyond it, with the given durability and the default limits.
    pub fn full(durability: Durability) -> Self {
        Self {
            durability,
            limits: Limits::default(),
            dense_ids: true,
            append_many: true,
            marks: true,
            shared: true,
            read_ahead: false,
        }
    }
}
