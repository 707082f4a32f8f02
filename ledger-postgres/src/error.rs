//! From what Postgres says to what the contract says.
//!
//! Rooms return a [`Failure`]; where a call leaves the crate, the [`Place`] turns it into an [`Error`] that names it.
//! What decides is the SQLSTATE and where in the call it happened, never the text of a message.

use std::sync::Arc;
use std::time::Duration;

use ledger_core::{BoxError, Error};
use sqlx_core::error::Error as SqlxError;
use sqlx_postgres::{PgConnectOptions, PgDatabaseError, PgSeverity};

/// Which store, for error messages: the address without its password.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) acquire_timeout: Duration,
    pub(crate) statement_timeout: Duration,
    pub(crate) lock_timeout: Duration,
}

/// Why a statement has no answer.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// No connection was to be had: all of them are in use.
    Exhausted(Arc<SqlxError>),
    /// The server was not reached, or turned the connection away. Nothing was sent.
    NotConnected(Arc<SqlxError>),
    /// The statement was sent and failed, or its answer got lost.
    Statement(Arc<SqlxError>),
    /// No answer came in this time.
    NoAnswer(Duration),
}

impl Failure {
    /// The statement was sent, and this came back.
    pub(crate) fn statement(source: SqlxError) -> Self {
        Self::Statement(Arc::new(source))
    }

    /// Nothing was sent, because of this.
    pub(crate) fn not_connected(source: SqlxError) -> Self {
        Self::NotConnected(Arc::new(source))
    }

    /// Whether the transaction was rolled back for the sake of another one, and may be run again.
    pub(crate) fn is_serialization(&self) -> bool {
        matches!(self.code(), Some("40001" | "40P01"))
    }

    /// Whether the connection is gone, and with it what was known about the statement.
    pub(crate) fn is_lost_connection(&self) -> bool {
        match self {
            Self::Exhausted(_) | Self::NotConnected(_) => false,
            Self::NoAnswer(_) => true,
            Self::Statement(source) => match database_error(source) {
                // An error takes the transaction back; but a session may also be ended just behind its commit.
                Some(error) => matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic),
                None => matches!(
                    **source,
                    SqlxError::Io(_)
                        | SqlxError::Tls(_)
                        | SqlxError::Protocol(_)
                        | SqlxError::WorkerCrashed
                ),
            },
        }
    }

    /// Whether the server refused the statement, so that another one may well succeed.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Statement(_)) && !self.is_lost_connection()
    }

    /// Whether the statement did its work, and there was none.
    pub(crate) fn is_no_row(&self) -> bool {
        matches!(self, Self::Statement(source) if matches!(**source, SqlxError::RowNotFound))
    }

    /// Whether something is taken that must be unique.
    pub(crate) fn is_taken(&self) -> bool {
        self.code() == Some("23505")
    }

    fn code(&self) -> Option<&str> {
        match self {
            Self::Exhausted(source) | Self::NotConnected(source) | Self::Statement(source) => {
                database_error(source).map(PgDatabaseError::code)
            }
            Self::NoAnswer(_) => None,
        }
    }

    fn into_source(self) -> BoxError {
        match self {
            Self::Exhausted(source) | Self::NotConnected(source) | Self::Statement(source) => {
                source.into()
            }
            Self::NoAnswer(waited) => format!("no answer in {} ms", waited.as_millis()).into(),
        }
    }
}

fn database_error(error: &SqlxError) -> Option<&PgDatabaseError> {
    match error {
        SqlxError::Database(error) => error.try_downcast_ref(),
        _ => None,
    }
}

impl Place {
    /// Names the server that `options` lead to.
    pub(crate) fn address(options: &PgConnectOptions) -> String {
        let host = match options.get_socket() {
            Some(path) => path.display().to_string(),
            None => options.get_host().to_owned(),
        };
        let database = options.get_database().unwrap_or(options.get_username());
        format!(
            "postgres://{}@{host}:{}/{database}",
            options.get_username(),
            options.get_port()
        )
    }

    /// Names why a question has no answer.
    pub(crate) fn read_error(&self, failure: Failure) -> Error {
        if failure.is_lost_connection() {
            return self.unavailable(failure);
        }
        self.error(failure)
    }

    /// Names why it is not known to have been done, or is known not to.
    pub(crate) fn write_error(&self, failure: Failure) -> Error {
        if failure.is_lost_connection() {
            return self.outcome_unknown(failure.into_source());
        }
        self.error(failure)
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

    /// A value read back cannot have been written by this crate.
    pub(crate) fn damage(&self, reason: impl Into<String>) -> Error {
        Error::Corrupt {
            place: self.name.clone(),
            reason: reason.into(),
        }
    }

    fn error(&self, failure: Failure) -> Error {
        match &failure {
            Failure::Exhausted(_) => self.busy(self.acquire_timeout, failure),
            Failure::NotConnected(source) if matches!(**source, SqlxError::PoolClosed) => {
                Error::Closed
            }
            _ => match failure.code().map(str::to_owned) {
                Some(code) => self.error_of_code(&code, failure),
                None if matches!(failure, Failure::NotConnected(_)) => self.unavailable(failure),
                None => self.engine(failure),
            },
        }
    }

    fn error_of_code(&self, code: &str, failure: Failure) -> Error {
        let place = self.name.clone();
        match code {
            "57014" => self.busy(self.statement_timeout, failure),
            "55P03" | "40001" | "40P01" => self.busy(self.lock_timeout, failure),
            "53300" => self.busy(self.acquire_timeout, failure),
            "53100" => Error::Full {
                place,
                source: failure.into_source(),
            },
            "25006" => Error::ReadOnly {
                place,
                source: failure.into_source(),
            },
            "28000" | "28P01" | "3D000" | "42501" => Error::Open {
                place,
                source: failure.into_source(),
            },
            // A function of the store is missing, or takes other arguments.
            "42883" | "42P01" | "3F000" => {
                self.not_a_store("its tables or functions are not those of a ledger store")
            }
            _ if code.starts_with("08") || code.starts_with("57P") => self.unavailable(failure),
            _ => self.engine(failure),
        }
    }

    fn busy(&self, waited: Duration, failure: Failure) -> Error {
        Error::Busy {
            place: self.name.clone(),
            waited,
            source: failure.into_source(),
        }
    }

    fn unavailable(&self, failure: Failure) -> Error {
        Error::Unavailable {
            place: self.name.clone(),
            source: failure.into_source(),
        }
    }

    fn engine(&self, failure: Failure) -> Error {
        Error::Engine {
            place: self.name.clone(),
            source: failure.into_source(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            name: "postgres://me@host:5432/db".into(),
            acquire_timeout: Duration::from_secs(1),
            statement_timeout: Duration::from_secs(2),
            lock_timeout: Duration::from_secs(3),
        }
    }

    fn broken_pipe() -> SqlxError {
        SqlxError::Io(std::io::ErrorKind::BrokenPipe.into())
    }

    #[test]
    fn an_append_whose_connection_broke_may_have_happened() {
        let error = place().write_error(Failure::statement(broken_pipe()));
        assert!(matches!(error, Error::OutcomeUnknown { .. }));
        let error = place().write_error(Failure::NoAnswer(Duration::from_secs(9)));
        assert!(matches!(error, Error::OutcomeUnknown { .. }));
    }

    #[test]
    fn an_append_that_was_not_sent_did_not_happen() {
        let error = place().write_error(Failure::not_connected(broken_pipe()));
        assert!(matches!(error, Error::Unavailable { .. }));
        let error = place().write_error(Failure::Exhausted(Arc::new(SqlxError::PoolTimedOut)));
        assert!(matches!(error, Error::Busy { waited, .. } if waited == Duration::from_secs(1)));
    }

    #[test]
    fn a_read_whose_connection_broke_may_be_tried_again() {
        let error = place().read_error(Failure::statement(broken_pipe()));
        assert!(matches!(error, Error::Unavailable { .. }) && error.is_retryable());
    }
}
