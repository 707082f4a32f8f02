//! What the first bytes of every file have in common: a magic word, the format's number, the log's id.

use ledger_core::Error;

use super::input::Malformed;

/// The format that this version writes, and the newest that it reads; that of a manifest can be another. Described in
/// `docs/FORMAT.md`.
pub(crate) const FORMAT: u32 = 1;

/// The random id of a log, in each of its files: a file of another log is never taken for its own.
pub(crate) type LogId = [u8; 16];

/// Why a file's header cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    /// The magic word is another: some other file.
    NotOurs,
    /// Written by a newer version of this library.
    TooNew {
        /// The format's number.
        found: u32,
        /// The newest that this version reads.
        supported: u32,
    },
    /// It begins as it should, and then does not.
    Damaged(Malformed),
}

impl HeaderError {
    /// What the caller is told of the file at `place`.
    pub(crate) fn at(self, place: String) -> Error {
        match self {
            Self::NotOurs => Error::NotAStore {
                place,
                reason: "it does not begin as such a file does".into(),
            },
            Self::TooNew { found, supported } => Error::FormatTooNew {
                place,
                found,
                supported,
            },
            Self::Damaged(malformed) => Error::Corrupt {
                place,
                reason: malformed.to_string(),
            },
        }
    }
}

impl From<Malformed> for HeaderError {
    fn from(malformed: Malformed) -> Self {
        Self::Damaged(malformed)
    }
}

/// Checks the two fields that every format begins with. `supported` is the newest format of such a file.
pub(crate) fn check(
    magic: &[u8; 8],
    found: [u8; 8],
    format: u32,
    supported: u32,
) -> Result<(), HeaderError> {
    if found != *magic {
        return Err(HeaderError::NotOurs);
    }
    match format {
        0 => Err(HeaderError::Damaged(Malformed("there is no format 0"))),
        format if format <= supported => Ok(()),
        found => Err(HeaderError::TooNew { found, supported }),
    }
}
