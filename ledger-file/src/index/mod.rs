//! Where things are in the log: by stream and id, by order key, by dedup key, by name.
//!
//! An index is a cache of the log (rule 12 of docs/RELIABILITY.md). It never reads a frame and is never believed where
//! it speaks of keys: it names candidates, and who asks compares them with what the log holds. What it says of stream
//! numbers and ids is exact. Losing an index costs a scan, nothing else.
//!
//! An [`ActiveIndex`] takes what is appended, in memory. When its segment is sealed it is written to a file, as a
//! [`SealedIndex`]. [`Layers`] are all of them, oldest first; a [`Look`] at them answers questions, and where those go to
//! many files, `waves` ask the disk for all of them before the first is waited for.
//!
//! Most questions are about what is nowhere. The index in memory knows that of names by what it has `seen`, a file by its
//! `filter`; of dedup keys whoever appends knows it by what was appended in `recent` time.

mod active;
mod batch_keys;
mod bins;
mod change;
mod column;
mod filter;
mod glance;
mod hash;
mod latest;
mod layer;
mod layers;
mod names;
mod postings;
mod recent;
mod runs;
pub(crate) mod sealed;
mod seen;
mod table;
#[cfg(test)]
mod testing;
mod together;
mod waves;
mod words;

use std::io;
use std::ops::Range;

use ledger_core::Direction;

pub(crate) use active::{ActiveIndex, EntryKeys};
pub(crate) use batch_keys::BatchKeys;
pub(crate) use change::{Change, ChangeKind};
pub(crate) use hash::{KeyHash, KeyHasher};
pub(crate) use layer::Layer;
pub(crate) use layers::{Layers, Look};
pub(crate) use recent::{Known, Recent};
pub(crate) use sealed::{Merge, MergeError, SealedIndex, Span};

use crate::disk::Patience;
use crate::format::Position;

/// What an index is of: one file of one log, from some offset on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The log's own id.
    pub(crate) log_id: [u8; 16],
    /// The number of the segment.
    pub(crate) segment: u32,
    /// Which of the files that ever had this number.
    pub(crate) generation: u64,
    /// Where in it the index begins.
    pub(crate) from: u32,
}

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    /// Its id in its stream.
    pub(crate) id: u64,
    /// Where it begins.
    pub(crate) position: Position,
    /// Where the record begins that it is the first entry of, if the index knows. Other entries it finds by walking.
    pub(crate) record: Option<Position>,
}

/// Where entries are that follow each other, in their stream and in their segment.
///
/// Between them may be the heads of frames, and records of other kinds; no entry of another stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// The id of the first.
    pub(crate) id: u64,
    /// How many there are.
    pub(crate) count: u32,
    /// Where the first is.
    pub(crate) start: Start,
}

/// Where an entry is, as far as an index knows without looking once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// It is the first entry of the record that begins there.
    Record(Position),
    /// It begins there.
    Entry(Position),
}

impl Start {
    /// A place in the frame that holds the entry.
    pub(crate) fn place(self) -> Position {
        match self {
            Self::Record(place) | Self::Entry(place) => place,
        }
    }
}

impl From<Spot> for Stretch {
    /// The entry alone.
    fn from(spot: Spot) -> Self {
        Self {
            id: spot.id,
            count: 1,
            start: spot
                .record
                .map_or(Start::Entry(spot.position), Start::Record),
        }
    }
}

/// How the files of indexes may be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Means {
    patience: Patience,
    /// Whether they may be mapped.
    may_map: bool,
    /// Whether what is read by calls stays in memory for the next who asks.
    keeps: bool,
}

impl Means {
    /// By calls, however long they take.
    const WAIT: Self = Self::calls(Patience::Wait);

    const fn calls(patience: Patience) -> Self {
        Self {
            patience,
            may_map: false,
            keeps: true,
        }
    }

    /// The same, but what is read by calls does not stay.
    fn in_passing(self) -> Self {
        Self {
            keeps: false,
            ..self
        }
    }

    /// Whether any of them can be looked at where it is mapped, without asking whether it is cached.
    fn is_mapped(self) -> bool {
        self.may_map && self.patience == Patience::Wait
    }
}

/// Why an index cannot answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    /// Its file could not be read; `WouldBlock` if that would have taken patience.
    #[error("an index file could not be read")]
    Io(#[from] io::Error),
    /// Its file does not hold what was written. The log does: scan it, and write the index again.
    #[error("the index of segment {} from {} on is damaged: {reason}", .origin.segment, .origin.from)]
    Damaged {
        /// Which index.
        origin: Origin,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// Which entries of a stream are asked for.
#[derive(Clone, Debug)]
struct Window {
    ids: Range<u64>,
    /// Which end is taken, and shown first, if there are more than `limit`.
    direction: Direction,
    limit: usize,
}

impl Window {
    fn with_limit(&self, limit: usize) -> Self {
        Self {
            limit,
            ..self.clone()
        }
    }

    /// Whether nothing can come behind `stretch`.
    fn ends_with(&self, stretch: &Stretch) -> bool {
        match self.direction {
            Direction::Ascending => stretch.id + u64::from(stretch.count) >= self.ids.end,
            Direction::Descending => stretch.id <= self.ids.start,
        }
    }

    /// The ids of `run` that are asked for, if `left` can still be taken.
    fn clip(&self, run: Range<u64>, left: u64) -> Range<u64> {
        let (start, end) = (run.start.max(self.ids.start), run.end.min(self.ids.end));
        let end = end.max(start);
        match self.direction {
            Direction::Ascending => start..end.min(start.saturating_add(left)),
            Direction::Descending => start.max(end.saturating_sub(left))..end,
        }
    }
}
