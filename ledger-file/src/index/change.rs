//! What was said about streams and entries beside the entries themselves: exact, by number and id.

use std::ops::Range;

use crate::format::StreamNumber;

/// What a record says something about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// How far the stream is, without an entry of it.
    State,
    /// What was removed from its old end.
    Removals,
    /// What the entry is marked with.
    Mark(u64),
    /// That the entry's content is erased.
    Purge(u64),
}

/// What changed about an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ChangeKind {
    /// Its marks.
    Mark,
    /// It was purged.
    Purge,
}

/// Where something is said, in the order in which it is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ChangeRow {
    pub(super) stream: StreamNumber,
    pub(super) topic: Topic,
    /// Zero for a topic that is about the stream.
    pub(super) id: u64,
    pub(super) offset: u32,
}

/// The numbers are part of the format of index files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub(super) enum Topic {
    State = 1,
    Removals = 2,
    Mark = 3,
    Purge = 4,
}

impl Topic {
    pub(super) fn of(kind: ChangeKind) -> Self {
        match kind {
            ChangeKind::Mark => Self::Mark,
            ChangeKind::Purge => Self::Purge,
        }
    }

    pub(super) fn from_number(number: u32) -> Option<Self> {
        [Self::State, Self::Removals, Self::Mark, Self::Purge]
            .into_iter()
            .find(|topic| *topic as u32 == number)
    }
}

impl Change {
    pub(super) fn row(self, stream: StreamNumber, offset: u32) -> ChangeRow {
        let (topic, id) = match self {
            Self::State => (Topic::State, 0),
            Self::Removals => (Topic::Removals, 0),
            Self::Mark(id) => (Topic::Mark, id),
            Self::Purge(id) => (Topic::Purge, id),
        };
        ChangeRow {
            stream,
            topic,
            id,
            offset,
        }
    }
}

impl ChangeRow {
    /// The rows about one topic of `stream` for `ids`.
    pub(super) fn range(stream: StreamNumber, topic: Topic, ids: Range<u64>) -> Range<Self> {
        let row = |id| Self {
            stream,
            topic,
            id,
            offset: 0,
        };
        row(ids.start)..row(ids.end)
    }

    /// Whether `self` and `other` say something about the same, so that the later one counts.
    pub(super) fn is_replaced_by(&self, other: &Self) -> bool {
        (self.stream, self.topic, self.id) == (other.stream, other.topic, other.id)
    }
}
