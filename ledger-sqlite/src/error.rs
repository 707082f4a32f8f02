//! From what SQLite says to what the contract says.
//!
//! Rooms return a [`Failure`]; where a call leaves the crate, the [`Place`] turns it into an [`Error`] that names it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ledger_core::Error;
use rusqlite::ErrorCode;

/// Which store, for error messages.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) busy_timeout: Duration,
}

/// Why something inside the crate failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The request's own fault, and its own answer: nothing was written for it.
    Refusal(Error),
    /// What was written for the request must be rolled back.
    Breakage(Breakage),
}

/// A failure that is nobody's answer. Everybody in a group can be told of it.
#[derive(Clone, Debug)]
pub(crate) enum Breakage {
    /// SQLite failed.
    Engine(Arc<rusqlite::Error>),
    /// What was read cannot have been written by this crate; says what.
    Damage(String),
    /// SQLite rolled the transaction back.
    Lost,
}

impl Failure {
    pub(crate) fn damage(reason: impl Into<String>) -> Self {
        Self::Breakage(Breakage::Damage(reason.into()))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refusal(error)
    }
}

impl From<Breakage> for Failure {
    fn from(breakage: Breakage) -> Self {
        Self::Breakage(breakage)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Breakage(error.into())
    }
}

impl From<rusqlite::Error> for Breakage {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(Arc::new(error))
    }
}

impl Place {
    /// Names what went wrong, and where.
    pub(crate) fn error(&self, failure: impl Into<Failure>) -> Error {
        match failure.into() {
            Failure::Refusal(error) => error,
            Failure::Breakage(Breakage::Engine(source)) => self.engine_error(source),
            Failure::Breakage(Breakage::Damage(reason)) => Error::Corrupt {
                place: self.name.clone(),
                reason,
            },
            Failure::Breakage(Breakage::Lost) => Error::Engine {
                place: self.name.clone(),
                source: "SQLite rolled the transaction back".into(),
            },
        }
    }

    fn engine_error(&self, engine: Arc<rusqlite::Error>) -> Error {
        let place = self.name.clone();
        let reason = engine.to_string();
        let source = engine.clone().into();
        match engine.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::Busy {
                place,
                waited: self.busy_timeout,
                source,
            },
            Some(ErrorCode::DiskFull) => Error::Full { place, source },
            Some(ErrorCode::ReadOnly) => Error::ReadOnly { place, source },
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                Error::Open { place, source }
            }
            Some(ErrorCode::NotADatabase) => Error::NotAStore { place, reason },
            Some(ErrorCode::DatabaseCorrupt) => Error::Corrupt { place, reason },
            None if is_unexpected_value(&engine) => Error::Corrupt { place, reason },
            _ => Error::Engine { place, source },
        }
    }

    /// The commit failed in a way that leaves open whether it will be there after a crash.
    pub(crate) fn outcome_unknown(&self, source: Arc<rusqlite::Error>) -> Error {
        Error::OutcomeUnknown {
            place: self.name.clone(),
            source: source.into(),
        }
    }

    /// The thread that had taken the change on ended without an answer.
    pub(crate) fn writer_lost(&self) -> Error {
        Error::OutcomeUnknown {
            place: self.name.clone(),
            source: "the writing thread ended early".into(),
        }
    }

    /// The thread that had taken the question on ended without an answer.
    pub(crate) fn reader_lost(&self) -> Error {
        Error::Poisoned {
            place: self.name.clone(),
            source: "the reading thread ended early".into(),
        }
    }

    pub(crate) fn not_a_store(&self, reason: impl Into<String>) -> Error {
        Error::NotAStore {
            place: self.name.clone(),
            reason: reason.into(),
        }
    }
}

/// What could not be opened before SQLite was asked.
pub(crate) fn open_error(path: &Path, source: io::Error) -> Error {
    Error::Open {
        place: path.display().to_string(),
        source: source.into(),
    }
}

/// Whether SQLite found a value of another type, or out of range: this crate writes none such.
fn is_unexpected_value(error: &rusqlite::Error) -> bool {
    use rusqlite::Error as E;
    matches!(
        error,
        E::InvalidColumnType(..)
            | E::FromSqlConversionFailure(..)
            | E::IntegralValueOutOfRange(..)
            | E::Utf8Error(..)
            | E::QueryReturnedNoRows
    )
}
