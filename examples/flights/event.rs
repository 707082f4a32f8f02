//! What can happen to a flight, as this program sees it.
//!
//! The log keeps an event as JSON and gives it back as this type; a field that is added or renamed later is the
//! business of an upcaster.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing that happened to a flight. Times are in UTC, delays in minutes (negative: early).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "payload")]
pub(crate) enum FlightEvent {
    Departed {
        flight: String,
        origin: String,
        dest: String,
        scheduled: String,
        delay_min: i32,
        distance_mi: u32,
    },
    Arrived {
        flight: String,
        origin: String,
        dest: String,
        delay_min: i32,
        air_time_min: u32,
        distance_mi: u32,
    },
    Cancelled {
        flight: String,
        origin: String,
        dest: String,
        scheduled: String,
        distance_mi: u32,
    },
    /// It came down somewhere else: at `arrived_local` by the clock there (1934 is 19:34), if that is known.
    Diverted {
        flight: String,
        origin: String,
        dest: String,
        arrived_local: Option<u32>,
    },
}

impl FlightEvent {
    /// The name under which the log keeps events like this one, and by which readers can choose them.
    pub(crate) fn kind(&self) -> &str {
        match self {
            Self::Departed { .. } => "Departed",
            Self::Arrived { .. } => "Arrived",
            Self::Cancelled { .. } => "Cancelled",
            Self::Diverted { .. } => "Diverted",
        }
    }
}

impl fmt::Display for FlightEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Departed {
                flight,
                origin,
                dest,
                delay_min,
                ..
            } => {
                write!(
                    f,
                    "{flight} left {origin} for {dest}, {}",
                    Delay(*delay_min)
                )
            }
            Self::Arrived {
                flight,
                dest,
                delay_min,
                ..
            } => {
                write!(f, "{flight} arrived at {dest}, {}", Delay(*delay_min))
            }
            Self::Cancelled {
                flight,
                origin,
                dest,
                ..
            } => {
                write!(f, "{flight} from {origin} to {dest} was cancelled")
            }
            Self::Diverted { flight, dest, .. } => {
                write!(f, "{flight} to {dest} came down somewhere else")
            }
        }
    }
}

/// Minutes behind the timetable.
struct Delay(i32);

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("on time"),
            late if late > 0 => write!(f, "{late} min late"),
            early => write!(f, "{} min early", early.unsigned_abs()),
        }
    }
}
