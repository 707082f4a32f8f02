//! What can go wrong, and what to do about it.

use std::time::Duration;

use crate::checkpoint::Revision;
use crate::name::StreamName;
use crate::payload::ContentType;

/// The cause of an error, kept for whoever wants to look deeper.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. [`Error::action`] tells what to do about it.
///
/// A `place` is a file or an address without its password. A cause stays in `source()` and is not part of the message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The append's condition does not hold: `found` is the newest entry in the way. Nothing was written.
    #[error(
        "append to stream {stream:?} conflicts: expected {}, found {}",
        last_entry(.expected), id_or_none(.found)
    )]
    Conflict {
        /// The stream appended to.
        stream: StreamName,
        /// The last entry that the condition allows; none if it allows none.
        expected: Option<String>,
        /// The newest entry that matches the condition's filter; none if there is none.
        found: Option<String>,
    },
    /// The checkpoint is not at the revision that was presented. Nothing was written.
    #[error(
        "checkpoint {name:?} of stream {stream:?} conflicts: expected {}, found {}",
        revision_or_none(.expected), revision_or_none(.found)
    )]
    CheckpointConflict {
        /// The stream it belongs to.
        stream: StreamName,
        /// Its name.
        name: String,
        /// The revision presented; none if it was expected not to exist.
        expected: Option<Revision>,
        /// The revision it is at; none if it does not exist.
        found: Option<Revision>,
    },
    /// Something is larger than the store takes. Nothing was written.
    #[error("{size} {limit} are more than the {max} allowed")]
    LimitExceeded {
        /// What was measured, with its unit.
        limit: &'static str,
        /// How large it is.
        size: u64,
        /// How large it may be.
        max: u64,
    },
    /// The request makes no sense, whatever the store holds. Nothing was done.
    #[error("invalid request: {reason}")]
    InvalidInput {
        /// What about it.
        reason: String,
    },
    /// There is no such entry: it never was, or was trimmed, or has expired.
    #[error("stream {stream:?} has no entry {id}")]
    EntryNotFound {
        /// The stream looked in.
        stream: StreamName,
        /// The id looked for.
        id: String,
    },
    /// There is no such stream.
    #[error("there is no stream {stream:?}")]
    StreamNotFound {
        /// The name looked for.
        stream: StreamName,
    },
    /// The name is in use.
    #[error("the name {stream:?} is in use")]
    StreamExists {
        /// The name wanted.
        stream: StreamName,
    },
    /// The store is opened append-only: it takes no tags and no annotations.
    #[error("the store is append-only: entries cannot be changed")]
    AppendOnly,
    /// The store cannot do this; its `Capabilities` say so.
    #[error("the store does not support {ability}")]
    Unsupported {
        /// What it cannot do.
        ability: &'static str,
    },

    /// The value could not be encoded. Nothing was written.
    #[error("a value for stream {stream:?} could not be encoded")]
    Encode {
        /// The stream it was meant for.
        stream: StreamName,
        /// The codec's error.
        source: BoxError,
    },
    /// The entry could not be decoded. Reading can go on behind it.
    #[error("entry {id} of stream {stream:?} could not be decoded")]
    Decode {
        /// The stream it is in.
        stream: StreamName,
        /// Its id.
        id: String,
        /// The codec's error.
        source: BoxError,
    },
    /// The entry was written with another codec than the stream is read with. Reading can go on behind it.
    #[error("entry {id} of stream {stream:?} is {found}, not {expected}")]
    ContentTypeMismatch {
        /// The stream it is in.
        stream: StreamName,
        /// Its id.
        id: String,
        /// What the stream's codec reads.
        expected: ContentType,
        /// What the entry is.
        found: ContentType,
    },
    /// The entry is of a newer schema than this program knows. Reading can go on behind it; better update the program.
    #[error(
        "entry {id} of stream {stream:?} has schema version {found}, this program knows {supported}"
    )]
    SchemaTooNew {
        /// The stream it is in.
        stream: StreamName,
        /// Its id.
        id: String,
        /// The entry's version.
        found: u32,
        /// The program's version.
        supported: u32,
    },
    /// An upcaster failed on the entry. Reading can go on behind it.
    #[error("entry {id} of stream {stream:?} could not be upcast from schema version {from}")]
    Upcast {
        /// The stream it is in.
        stream: StreamName,
        /// Its id.
        id: String,
        /// The version whose step failed.
        from: u32,
        /// The upcaster's error.
        source: BoxError,
    },
    /// The chain of upcasters is not sound; found when the stream was built.
    #[error("the upcasters of stream {stream:?} are not sound: {reason}")]
    UpcasterChain {
        /// The stream being built.
        stream: StreamName,
        /// What is missing or there twice.
        reason: String,
    },

    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The store met a failure after which it can promise nothing: reopen it.
    #[error("the store at {place} failed and must be reopened")]
    Poisoned {
        /// Which store.
        place: String,
        /// What happened.
        source: BoxError,
    },
    /// The append may or may not have happened. The same append with its dedup keys tells, and does no harm.
    #[error("it is not known whether the append to {place} happened")]
    OutcomeUnknown {
        /// Which store.
        place: String,
        /// What happened.
        source: BoxError,
    },
    /// Somebody else held the store, or all of its capacity, for the whole of the time that was allowed.
    #[error("{place} was busy for {} ms", .waited.as_millis())]
    Busy {
        /// Which store.
        place: String,
        /// For how long this call waited.
        waited: Duration,
        /// What the engine said.
        source: BoxError,
    },
    /// The store cannot be reached for now.
    #[error("{place} cannot be reached")]
    Unavailable {
        /// Which store.
        place: String,
        /// What happened.
        source: BoxError,
    },
    /// There is no space left. Nothing was written.
    #[error("there is no space left at {place}")]
    Full {
        /// Which store.
        place: String,
        /// What the engine said.
        source: BoxError,
    },
    /// The store may be read but not written.
    #[error("{place} is read-only")]
    ReadOnly {
        /// Which store.
        place: String,
        /// What the engine said.
        source: BoxError,
    },
    /// The place cannot be opened: missing permission, a directory where a file should be, and the like.
    #[error("{place} cannot be opened")]
    Open {
        /// Which place.
        place: String,
        /// What the system said.
        source: BoxError,
    },
    /// The place holds something else than a store of this kind. It was left alone.
    #[error("{place} is not a ledger store: {reason}")]
    NotAStore {
        /// Which place.
        place: String,
        /// What it holds instead.
        reason: String,
    },
    /// The store was written by a newer version of this library. It was left alone: update the program.
    #[error("{place} has format {found}, this version reads formats up to {supported}")]
    FormatTooNew {
        /// Which place.
        place: String,
        /// The format found.
        found: u32,
        /// The newest format that this version knows.
        supported: u32,
    },
    /// The store's data is damaged. It was left alone.
    #[error("{place} is damaged: {reason}")]
    Corrupt {
        /// Which place.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The engine failed in a way that this library has no name for.
    #[error("{place} failed")]
    Engine {
        /// Which store.
        place: String,
        /// What the engine said.
        source: BoxError,
    },
}

/// What to do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// The request cannot succeed: change it.
    FixRequest,
    /// Somebody was faster: read again, decide again.
    DecideAgain,
    /// Try the same again in a while; after [`Error::OutcomeUnknown`] with the same dedup keys.
    Retry,
    /// Open the store again.
    Reopen,
    /// This program cannot read the entry: go on behind it, or update the program.
    SkipEntry,
    /// The store or its surroundings need a person: space, permissions, damage, version.
    Repair,
}

impl Error {
    /// Tells what to do about the error.
    pub fn action(&self) -> Action {
        match self {
            Self::Conflict { .. } | Self::CheckpointConflict { .. } => Action::DecideAgain,
            Self::LimitExceeded { .. }
            | Self::InvalidInput { .. }
            | Self::EntryNotFound { .. }
            | Self::StreamNotFound { .. }
            | Self::StreamExists { .. }
            | Self::AppendOnly
            | Self::Unsupported { .. }
            | Self::Encode { .. }
            | Self::UpcasterChain { .. } => Action::FixRequest,
            Self::Decode { .. }
            | Self::ContentTypeMismatch { .. }
            | Self::SchemaTooNew { .. }
            | Self::Upcast { .. } => Action::SkipEntry,
            Self::OutcomeUnknown { .. } | Self::Busy { .. } | Self::Unavailable { .. } => {
                Action::Retry
            }
            Self::Closed | Self::Poisoned { .. } => Action::Reopen,
            Self::Full { .. }
            | Self::ReadOnly { .. }
            | Self::Open { .. }
            | Self::NotAStore { .. }
            | Self::FormatTooNew { .. }
            | Self::Corrupt { .. }
            | Self::Engine { .. } => Action::Repair,
        }
    }

    /// Tells whether the same call may succeed later without anything being changed.
    ///
    /// An append that ended in [`Error::OutcomeUnknown`] is safe to repeat only if its entries have dedup keys.
    pub fn is_retryable(&self) -> bool {
        self.action() == Action::Retry
    }

    /// Tells whether somebody else's change was in the way: of an append's condition, or of a checkpoint's save.
    pub fn is_conflict(&self) -> bool {
        self.action() == Action::DecideAgain
    }
}

fn last_entry(id: &Option<String>) -> String {
    id.as_ref()
        .map_or_else(|| "no entry".into(), |id| format!("last entry {id}"))
}

fn id_or_none(id: &Option<String>) -> &str {
    id.as_deref().unwrap_or("none")
}

fn revision_or_none(revision: &Option<Revision>) -> String {
    revision.map_or_else(|| "none".into(), |revision| format!("revision {revision}"))
}
