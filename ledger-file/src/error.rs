//! From what goes wrong below to what the contract says.
//!
//! Rooms answer with a [`Failure`]: an error of the contract, or the wish to be asked again by somebody who can wait.

use std::io;
use std::sync::Arc;

use ledger_core::Error;

use crate::disk;
use crate::format::HeaderError;
use crate::index::{IndexError, Origin};

/// A result inside the crate.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why something inside the crate did not answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What the caller is told.
    Error(Error),
    /// The disk would have to be asked, by a thread that must not wait. Nothing was changed.
    WouldBlock,
    /// An index file is not what was written. Nothing was changed; made anew, it will answer.
    Index(Origin, &'static str),
}

impl Failure {
    /// A file holds what this crate did not write, or no longer holds what it wrote.
    pub(crate) fn damage(file: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Error(Error::Corrupt {
            place: file.into(),
            reason: reason.into(),
        })
    }

    /// A call on `file` failed.
    pub(crate) fn io(file: &str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::WouldBlock => Self::WouldBlock,
            _ => Self::Error(disk::failure(file, source)),
        }
    }

    /// The header of `file` cannot be used.
    pub(crate) fn header(file: &str, error: HeaderError) -> Self {
        Self::Error(error.at(file.into()))
    }

    /// What a caller is told who was ready to wait.
    pub(crate) fn into_error(self, place: &str) -> Error {
        match self {
            Self::Error(error) => error,
            Self::WouldBlock => Error::Engine {
                place: place.into(),
                source: io::Error::from(io::ErrorKind::WouldBlock).into(),
            },
            Self::Index(origin, reason) => Error::Corrupt {
                place: place.into(),
                reason: format!("the index of segment {}: {reason}", origin.segment),
            },
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<IndexError> for Failure {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Io(error) => Self::io("an index file", error),
            IndexError::Damaged { origin, reason } => Self::Index(origin, reason),
        }
    }
}

/// A failure to write that concerns all who have something under way. Each of them is told.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Nothing of what was under way is in the log, and it can go on.
    Undone(Arc<Error>),
    /// It is not known what is in the log: it must be opened again.
    Poisoned(Arc<Error>),
}

impl Fault {
    /// What a caller is told.
    pub(crate) fn error(&self, place: &str) -> Error {
        match self {
            Self::Undone(cause) => again(cause),
            Self::Poisoned(cause) => Error::Poisoned {
                place: place.into(),
                source: Arc::clone(cause).into(),
            },
        }
    }
}

/// The same error once more: causes are shared, since they cannot be copied.
fn again(cause: &Arc<Error>) -> Error {
    let source = Arc::clone(cause).into();
    match &**cause {
        Error::Full { place, .. } => Error::Full {
            place: place.clone(),
            source,
        },
        Error::ReadOnly { place, .. } => Error::ReadOnly {
            place: place.clone(),
            source,
        },
        Error::Unavailable { place, .. } => Error::Unavailable {
            place: place.clone(),
            source,
        },
        other => Error::Engine {
            place: other.to_string(),
            source,
        },
    }
}
