//! How much of a stream is kept.

use std::time::Duration;

use crate::error::{Error, Result};

/// How much of a stream is kept; what is beyond any of the bounds goes, from the old end only.
///
/// ```
/// use std::time::Duration;
/// use ledger_core::Retention;
/// let a_week = Retention::new().age_max(Duration::from_secs(7 * 86_400));
/// # let _ = a_week;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// Entries recorded longer ago than this go.
    pub age_max: Option<Duration>,
    /// The oldest go until no more than this many are left.
    pub entries_max: Option<u64>,
    /// The oldest go until the payloads of the rest are no more than this many bytes.
    pub bytes_max: Option<u64>,
}

impl Retention {
    /// Keeps everything, until a bound is set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps what was recorded no longer ago than `age`.
    pub fn age_max(mut self, age: Duration) -> Self {
        self.age_max = Some(age);
        self
    }

    /// Keeps the newest `entries`.
    pub fn entries_max(mut self, entries: u64) -> Self {
        self.entries_max = Some(entries);
        self
    }

    /// Keeps the newest entries whose payloads have no more than `bytes` together.
    pub fn bytes_max(mut self, bytes: u64) -> Self {
        self.bytes_max = Some(bytes);
        self
    }

    /// Refuses a retention without any bound, which is a mistake rather than a wish. For stores.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if no bound is set.
    pub fn validate(&self) -> Result<()> {
        if *self == Self::default() {
            return Err(Error::InvalidInput {
                reason: "the retention sets no bound".into(),
            });
        }
        Ok(())
    }
}
