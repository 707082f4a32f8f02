//! Points in time, as every store can hold them.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use crate::error::{Error, Result};

/// A point in time: microseconds since 1970-01-01T00:00:00Z, negative before it.
///
/// Microseconds are the finest unit that all backends store exactly, so a timestamp comes back from any of them equal
/// to what went in. Text form is RFC 3339.
///
/// ```
/// use ledger_core::Timestamp;
/// let noon: Timestamp = "2013-01-01T12:00:00Z".parse()?;
/// assert_eq!(noon.to_string(), "2013-01-01T12:00:00Z");
/// # Ok::<(), ledger_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Makes a timestamp from microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Tells the microseconds since the Unix epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Adds `duration`, stopping at the last time that can be told.
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }

    /// Subtracts `duration`, stopping at the first time that can be told.
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros(duration)))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => Self(micros(since)),
            Err(before) => Self(-micros(before.duration())),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => fmt::Display::fmt(&time, f),
            Err(_outside_the_calendar) => write!(f, "{} us", self.0),
        }
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let time: jiff::Timestamp = text.parse().map_err(|_| Error::InvalidInput {
            reason: format!("{text:?} is no RFC 3339 time"),
        })?;
        Ok(Self(time.as_microsecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_keeps_every_microsecond() {
        let time = Timestamp::from_micros(1_357_041_600_000_001);
        assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
    }

    #[test]
    fn times_outside_the_calendar_still_print() {
        assert_eq!(
            Timestamp::from_micros(i64::MAX).to_string(),
            format!("{} us", i64::MAX)
        );
    }

    #[test]
    fn a_time_before_the_epoch_is_negative() {
        let time = SystemTime::UNIX_EPOCH - Duration::from_micros(5);
        assert_eq!(Timestamp::from(time).as_micros(), -5);
    }

    #[test]
    fn text_that_is_no_time_is_refused() {
        assert!(matches!(
            "noon".parse::<Timestamp>(),
            Err(Error::InvalidInput { .. })
        ));
    }
}
