//! From what MongoDB says to what the contract says.
//!
//! Rooms return a [`Failure`]; where a call leaves the crate, the [`Place`] turns it into an [`Error`] that names it.
//! What decides is the code, the labels of the driver's specification, and whether the change may have been made,
//! never the text of a message.

use std::time::Duration;

use ledger_core::{BoxError, Error};
use mongodb::error::{
    Error as DriverError, ErrorKind, TRANSIENT_TRANSACTION_ERROR,
    UNKNOWN_TRANSACTION_COMMIT_RESULT, WriteFailure,
};

const WRITE_CONFLICT: i32 = 112;
const UNAUTHORIZED: i32 = 13;
const AUTHENTICATION_FAILED: i32 = 18;
const NAMESPACE_EXISTS: i32 = 48;
const ATLAS_ERROR: i32 = 8_000;
const DUPLICATE_KEY: i32 = 11_000;
const OUT_OF_DISK_SPACE: i32 = 14_031;
const DOCUMENT_TOO_LARGE: [i32; 3] = [10_334, 17_419, 17_420];

/// Others hold what is needed, or held it for too long: lock timeout, time limit, write conflict, snapshot gone,
/// transaction ended by the server, cache full.
const BUSY: [i32; 8] = [24, 50, 112, 225, 239, 246, 251, 313];

/// The server is going, coming, or no primary: nothing that waiting would not help.
const UNAVAILABLE: [i32; 15] = [
    6, 7, 89, 91, 134, 189, 262, 9_001, 10_058, 10_107, 11_600, 11_601, 11_602, 13_435, 13_436,
];

/// The largest document that MongoDB holds.
pub(crate) const DOCUMENT_BYTES_MAX: usize = 16 << 20;

/// Which store, for error messages: the address without its password.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) transaction_timeout: Duration,
}

/// Why a call has no answer.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    cause: Cause,
    /// Whether the change may have been made all the same.
    may_have_happened: bool,
}

#[derive(Clone, Debug)]
enum Cause {
    /// The driver or the server said so.
    Driver(DriverError),
    /// No answer came in this time.
    NoAnswer(Duration),
    /// What was read back cannot have been written by this crate.
    Damage(String),
}

/// Nothing was changed; what fails inside a transaction is undone.
impl From<DriverError> for Failure {
    fn from(source: DriverError) -> Self {
        Self {
            cause: Cause::Driver(source),
            may_have_happened: false,
        }
    }
}

impl Failure {
    /// A write outside of a transaction failed.
    pub(crate) fn of_write(source: DriverError) -> Self {
        let may_have_happened = is_network(&source)
            || is_of_write_concern(&source)
            || code(&source).is_some_and(|code| UNAVAILABLE.contains(&code));
        Self {
            cause: Cause::Driver(source),
            may_have_happened,
        }
    }

    /// A commit failed. Only an error that tells to run the whole transaction again says that nothing was committed:
    /// a commit can also be interrupted while it waits for other members.
    pub(crate) fn of_commit(source: DriverError) -> Self {
        let may_have_happened = !source.contains_label(TRANSIENT_TRANSACTION_ERROR);
        Self {
            cause: Cause::Driver(source),
            may_have_happened,
        }
    }

    /// Nothing came back in `waited`.
    pub(crate) fn no_answer(waited: Duration, may_have_happened: bool) -> Self {
        Self {
            cause: Cause::NoAnswer(waited),
            may_have_happened,
        }
    }

    /// What was read back makes no sense.
    pub(crate) fn damage(reason: impl Into<String>) -> Self {
        Self {
            cause: Cause::Damage(reason.into()),
            may_have_happened: false,
        }
    }

    pub(crate) fn may_have_happened(&self) -> bool {
        self.may_have_happened
    }

    /// Whether what failed may well succeed if it is done again: the whole transaction, the commit, the read.
    pub(crate) fn is_transient(&self) -> bool {
        match &self.cause {
            Cause::Driver(source) => {
                source.contains_label(TRANSIENT_TRANSACTION_ERROR)
                    || source.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT)
                    || is_network(source)
                    || matches!(*source.kind, ErrorKind::ServerSelection { .. })
                    || self
                        .code()
                        .is_some_and(|code| BUSY.contains(&code) || UNAVAILABLE.contains(&code))
            }
            Cause::NoAnswer(_) => true,
            Cause::Damage(_) => false,
        }
    }

    /// Whether the server refused what it was told, so that something else may well succeed.
    pub(crate) fn is_refusal(&self) -> bool {
        self.code().is_some() && !self.is_transient() && !self.may_have_happened
    }

    /// Whether another transaction has written, or holds, what was to be written.
    pub(crate) fn is_write_conflict(&self) -> bool {
        self.code() == Some(WRITE_CONFLICT)
    }

    /// Whether the server said that the transaction has come to nothing: with any error inside of it, it ends it.
    pub(crate) fn has_ended_transaction(&self) -> bool {
        self.code().is_some() && !self.may_have_happened
    }

    /// Whether an entry of a unique index is taken already.
    pub(crate) fn is_duplicate_key(&self) -> bool {
        self.code() == Some(DUPLICATE_KEY)
    }

    /// Whether the collection that was to be made is there.
    pub(crate) fn is_there_already(&self) -> bool {
        self.code() == Some(NAMESPACE_EXISTS)
    }

    fn code(&self) -> Option<i32> {
        match &self.cause {
            Cause::Driver(source) => code(source),
            Cause::NoAnswer(_) | Cause::Damage(_) => None,
        }
    }

    fn into_source(self) -> BoxError {
        match self.cause {
            Cause::Driver(source) => source.into(),
            Cause::NoAnswer(waited) => format!("no answer in {} ms", waited.as_millis()).into(),
            Cause::Damage(reason) => reason.into(),
        }
    }
}

fn is_network(error: &DriverError) -> bool {
    matches!(
        *error.kind,
        ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. }
    )
}

/// Whether the write was made, and only not acknowledged by enough members.
fn is_of_write_concern(error: &DriverError) -> bool {
    matches!(
        *error.kind,
        ErrorKind::Write(WriteFailure::WriteConcernError(_))
    )
}

fn code(error: &DriverError) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(error) => Some(error.code),
        ErrorKind::Write(WriteFailure::WriteError(error)) => Some(error.code),
        ErrorKind::Write(WriteFailure::WriteConcernError(error)) => Some(error.code),
        ErrorKind::InsertMany(error) => {
            let first = error
                .write_errors
                .as_ref()
                .and_then(|errors| errors.first());
            first.map(|error| error.code)
        }
        _ => None,
    }
}

impl Place {
    /// Names why there is no answer.
    pub(crate) fn error(&self, failure: Failure) -> Error {
        if failure.may_have_happened {
            return self.outcome_unknown(failure.into_source());
        }
        match &failure.cause {
            Cause::Driver(source) => match (code(source), &*source.kind) {
                (Some(code), _) => self.error_of_code(code, failure),
                (None, ErrorKind::Shutdown) => Error::Closed,
                (None, ErrorKind::Authentication { .. } | ErrorKind::InvalidTlsConfig { .. }) => {
                    self.open(failure)
                }
                (None, ErrorKind::ServerSelection { .. } | ErrorKind::DnsResolve { .. }) => {
                    self.unavailable(failure.into_source())
                }
                (None, _) if is_network(source) => self.unavailable(failure.into_source()),
                (None, _) => self.engine(failure),
            },
            Cause::NoAnswer(_) => self.unavailable(failure.into_source()),
            Cause::Damage(reason) => self.damage(reason),
        }
    }

    fn error_of_code(&self, code: i32, failure: Failure) -> Error {
        match code {
            UNAUTHORIZED | AUTHENTICATION_FAILED | ATLAS_ERROR => self.open(failure),
            OUT_OF_DISK_SPACE => Error::Full {
                place: self.name.clone(),
                source: failure.into_source(),
            },
            code if DOCUMENT_TOO_LARGE.contains(&code) => too_large(DOCUMENT_BYTES_MAX + 1),
            code if BUSY.contains(&code) => Error::Busy {
                place: self.name.clone(),
                waited: self.transaction_timeout,
                source: failure.into_source(),
            },
            code if UNAVAILABLE.contains(&code) => self.unavailable(failure.into_source()),
            _ => self.engine(failure),
        }
    }

    pub(crate) fn outcome_unknown(&self, source: impl Into<BoxError>) -> Error {
        Error::OutcomeUnknown {
            place: self.name.clone(),
            source: source.into(),
        }
    }

    pub(crate) fn not_a_store(&self, reason: impl Into<String>) -> Error {
        Error::NotAStore {
            place: self.name.clone(),
            reason: reason.into(),
        }
    }

    fn damage(&self, reason: &str) -> Error {
        Error::Corrupt {
            place: self.name.clone(),
            reason: reason.into(),
        }
    }

    fn open(&self, failure: Failure) -> Error {
        Error::Open {
            place: self.name.clone(),
            source: failure.into_source(),
        }
    }

    pub(crate) fn unavailable(&self, source: impl Into<BoxError>) -> Error {
        Error::Unavailable {
            place: self.name.clone(),
            source: source.into(),
        }
    }

    fn engine(&self, failure: Failure) -> Error {
        Error::Engine {
            place: self.name.clone(),
            source: failure.into_source(),
        }
    }
}

/// An entry, with all that is around its payload, is larger than a document can be.
pub(crate) fn too_large(bytes: usize) -> Error {
    Error::LimitExceeded {
        limit: "bytes in an entry's document",
        size: bytes as u64,
        max: DOCUMENT_BYTES_MAX as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            name: "mongodb://me@host:27017/db".into(),
            transaction_timeout: Duration::from_secs(3),
        }
    }

    fn broken_pipe() -> DriverError {
        DriverError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe))
    }

    #[test]
    fn a_write_whose_connection_broke_may_have_happened() {
        let error = place().error(Failure::of_write(broken_pipe()));
        assert!(matches!(error, Error::OutcomeUnknown { .. }));
        let error = place().error(Failure::no_answer(Duration::from_secs(9), true));
        assert!(matches!(error, Error::OutcomeUnknown { .. }));
    }

    #[test]
    fn what_failed_before_the_commit_did_not_happen() {
        let error = place().error(Failure::from(broken_pipe()));
        assert!(matches!(error, Error::Unavailable { .. }) && error.is_retryable());
        let error = place().error(Failure::no_answer(Duration::from_secs(9), false));
        assert!(matches!(error, Error::Unavailable { .. }));
    }

    #[test]
    fn a_commit_that_failed_in_whatever_way_may_have_happened() {
        let interrupted = DriverError::custom("interrupted while it waited");
        assert!(Failure::of_commit(interrupted).may_have_happened());
        assert!(Failure::of_commit(broken_pipe()).may_have_happened());
    }

    #[test]
    fn only_the_server_can_say_that_it_ended_a_transaction() {
        assert!(!Failure::from(broken_pipe()).has_ended_transaction());
        assert!(!Failure::no_answer(Duration::from_secs(9), false).has_ended_transaction());
    }

    #[test]
    fn a_broken_connection_is_transient_and_damage_is_not() {
        assert!(Failure::from(broken_pipe()).is_transient());
        assert!(!Failure::damage("torn").is_transient());
    }
}
