//! What a process of the scale rows can be told to do: plain data, handed to it as an argument.

use ledger_lap::Measured;
use serde::{Deserialize, Serialize};

/// One measurement.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Task {
    /// Fills an empty log.
    Fill {
        /// What with.
        entries: Entries,
        /// How many entries an append has.
        batch: u64,
        /// How it ends.
        end: End,
    },
    /// Opens a log and closes it.
    Open,
    /// Appends one entry at a time to streams of a filled log, here and there.
    AppendOne(Entries),
    /// Reads ten entries at a time from streams of a filled log, here and there.
    ReadTen(Entries),
    /// Reads the 100 entries of one key, again and again.
    OneKey {
        /// What is in the log.
        entries: Entries,
        /// What of it is in memory.
        warmth: Warmth,
    },
}

impl Task {
    /// Fills an empty log with `entries`, so many at once.
    pub(super) fn fill(entries: Entries, batch: u64, end: End) -> Self {
        Self::Fill {
            entries,
            batch,
            end,
        }
    }
}

/// How a process ends that has filled a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum End {
    /// By a kill, with everything still open.
    Killed,
    /// It closes the log.
    Closed,
}

/// What of a log is in memory when a key is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Warmth {
    /// All of it: the same key is looked up again and again.
    Warm,
    /// The segments, but not the indexes; each time the log was just opened, and it is another key.
    ColdIndexes,
    /// Nothing. Otherwise as before.
    Cold,
}

/// What a measurement found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Found {
    pub(super) measured: Measured,
    /// The most memory of its own that the process held when it was looked at; without what it has mapped of files.
    pub(super) own_kib: u64,
}

/// What is in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entries {
    pub(super) shape: Shape,
    pub(super) count: u64,
}

/// How entries are spread. All of them have a dedup key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Shape {
    /// One stream.
    One,
    /// One stream, ten entries an order key; and some keys with a hundred entries, which are everywhere.
    Keys,
    /// Ten entries a stream.
    Streams,
}

impl Shape {
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::One => "one stream",
            Self::Keys => "one stream, 10 an order key",
            Self::Streams => "10 a stream",
        }
    }
}

/// How many entries a stream or an order key has.
pub(super) const TEN: u64 = 10;

/// Every so many entries one has a rare key.
const RARE_EVERY: u64 = 1_000;

/// How many entries a rare key has, unless there are too few of them.
const RARE_ENTRIES: u64 = 100;

impl Entries {
    /// How many streams there are.
    pub(super) fn streams(self) -> u64 {
        match self.shape {
            Shape::One | Shape::Keys => 1,
            Shape::Streams => self.count / TEN,
        }
    }

    /// The stream of the entry numbered `number`: streams take turns.
    pub(super) fn stream_of(self, number: u64) -> u64 {
        number % self.streams()
    }

    /// The order key of the entry numbered `number`.
    pub(super) fn order_key_of(self, number: u64) -> Option<String> {
        let keyed = self.shape == Shape::Keys;
        keyed.then(|| match number % RARE_EVERY {
            7 => rare_key(number / RARE_EVERY % self.rare_keys()),
            _ => format!("o-{}", number % (self.count / TEN)),
        })
    }

    /// How many rare keys there are.
    pub(super) fn rare_keys(self) -> u64 {
        (self.count / RARE_EVERY / RARE_ENTRIES).max(1)
    }

    /// How many entries each of them has at least.
    pub(super) fn rare_entries(self) -> u64 {
        self.count / RARE_EVERY / self.rare_keys()
    }
}

/// The name of one of the rare keys.
pub(super) fn rare_key(number: u64) -> String {
    format!("rare-{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rare_key_has_a_hundred_entries_however_many_there_are() {
        for count in [500_000, 1_000_000] {
            let shape = Shape::Keys;
            let entries = Entries { shape, count };
            let last = rare_key(entries.rare_keys() - 1);
            let found =
                (0..count).filter(|number| entries.order_key_of(*number).as_ref() == Some(&last));
            assert_eq!(found.count() as u64, entries.rare_entries());
            assert_eq!(entries.rare_entries(), 100);
        }
    }
}
