//! What is appended as one, and what the store answers.

use crate::capabilities::Durability;
use crate::condition::Condition;
use crate::entry::NewEntry;
use crate::name::StreamName;

/// Entries that are appended to one stream as one: all become visible together, with adjacent ids, or none does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Batch<I> {
    /// Where they go.
    pub stream: StreamName,
    /// What is appended, in order.
    pub entries: Vec<NewEntry>,
    /// What must hold for it.
    pub condition: Option<Condition<I>>,
}

impl<I> Batch<I> {
    /// Makes an unconditional batch.
    pub fn new(stream: impl Into<StreamName>, entries: Vec<NewEntry>) -> Self {
        Self {
            stream: stream.into(),
            entries,
            condition: None,
        }
    }

    /// Adds the condition under which the batch is appended.
    pub fn when(mut self, condition: Condition<I>) -> Self {
        self.condition = Some(condition);
        self
    }
}

/// What became of one entry of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome<I> {
    /// Appended under this id.
    Appended(I),
    /// Not written: the stream holds this entry with the same dedup key.
    Duplicate(I),
}

impl<I: Copy> Outcome<I> {
    /// The id under which the entry is in the stream, whoever appended it.
    pub fn id(self) -> I {
        match self {
            Self::Appended(id) | Self::Duplicate(id) => id,
        }
    }

    /// Tells whether nothing was written.
    pub fn is_duplicate(self) -> bool {
        matches!(self, Self::Duplicate(_))
    }
}

/// The answer to a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt<I> {
    /// What became of each entry, in the order of the batch.
    pub outcomes: Vec<Outcome<I>>,
    /// What the appended entries survive from now on.
    pub durability: Durability,
}

impl<I: Copy> Receipt<I> {
    /// The ids of the batch's entries, in its order, duplicates included.
    pub fn ids(&self) -> impl Iterator<Item = I> + '_ {
        self.outcomes.iter().map(|outcome| outcome.id())
    }

    /// How many entries were written.
    pub fn appended(&self) -> usize {
        self.outcomes
            .iter()
            .filter(|outcome| !outcome.is_duplicate())
            .count()
    }
}
