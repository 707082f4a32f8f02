//! What a lap tells: one line of JSON on standard output.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::NotOffered;
use crate::{BoxError, Result};

/// What came of a lap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// It was run against the clock.
    Measured(Measured),
    /// It was a check.
    Found(Findings),
    /// The engine does not offer that.
    NotOffered,
    /// The engine could not do it, and said why.
    Failed(String),
}

/// A lap that was run against the clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// How many records each thread wrote or read.
    pub records: Vec<u64>,
    /// How long that took.
    pub time: Duration,
    /// The most memory that the process held from the start of the clock on, in KiB.
    pub memory_peak_kib: u64,
}

/// What a check has found in a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// Records that are as they were made, each behind all that its thread had appended before.
    pub right: u64,
    /// Records that nobody appended like this, or not in this place.
    pub wrong: u64,
    /// Records that were appended and are not there.
    pub missing: u64,
    /// What the engine said, if it noticed anything.
    pub error: Option<String>,
}

impl Outcome {
    /// Of whatever the lap itself answered.
    pub(crate) fn of(result: Result<Self>) -> Self {
        let failed = |error: BoxError| match error.is::<NotOffered>() {
            true => Self::NotOffered,
            false => Self::Failed(error.to_string()),
        };
        result.unwrap_or_else(failed)
    }
}

impl Measured {
    /// How many records all threads wrote or read.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records.iter().sum()
    }

    /// How long a record took, in nanoseconds.
    #[must_use]
    pub fn ns_per_record(&self) -> f64 {
        self.time.as_secs_f64() * 1e9 / self.records() as f64
    }
}

impl Findings {
    /// Tells whether everything is there and as it was made, and nothing else.
    #[must_use]
    pub fn all_right(&self) -> bool {
        (self.wrong, self.missing, &self.error) == (0, 0, &None)
    }
}
