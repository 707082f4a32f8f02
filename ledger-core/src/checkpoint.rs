//! Small named values beside a stream, changed by compare-and-set.

use bytes::Bytes;

/// Tells one value of a checkpoint from another.
///
/// Grows with each change, and is never used twice for one name, not even after a deletion or a renaming: whoever
/// still holds an old revision cannot take a new checkpoint for the one it knew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

/// A small named value with its revision: a consumer's position, a lease, a snapshot, the progress of a bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The value, exactly as saved.
    pub value: Bytes,
    /// What the next save must present.
    pub revision: Revision,
}
