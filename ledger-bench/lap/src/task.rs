//! What a lap can be told to do: plain data, handed to the process of the lap as an argument.

use serde::{Deserialize, Serialize};

use crate::engine::Promise;

/// One lap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// Appends to an empty log, against the clock; ends by a kill.
    Write(Write),
    /// Fills an empty log in batches and closes it.
    Fill(Volume),
    /// Opens a filled log, against the clock.
    Reopen(Opening),
    /// Opens a filled log, then reads from it against the clock.
    Read(Read),
    /// Opens a log and checks every record, given how many each thread has appended.
    Verify {
        /// How many records each thread has appended.
        appended: Vec<u64>,
        /// The length of a record.
        record_bytes: usize,
    },
}

/// Which opening of a log is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Opening {
    /// The first of the process, which loads the code from the program's file, page by page, as it gets there.
    First,
    /// The one behind it.
    Again,
}

/// How much a log is filled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// How many records.
    pub records: u64,
    /// The length of a record.
    pub record_bytes: usize,
}

/// How to append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// What must hold when an append answers.
    pub promise: Promise,
    /// How many threads append.
    pub threads: usize,
    /// How many records an append has; 1 is an append of a record, and not of a batch.
    pub batch: usize,
    /// The length of a record.
    pub record_bytes: usize,
    /// How many records there are to append, over all threads.
    pub records_max: u64,
    /// When to stop even if not all are appended.
    pub millis_max: u64,
}

/// How to read a filled log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// What is in the log.
    pub volume: Volume,
    /// In which order.
    pub order: Order,
}

/// In which order records are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// All of them, from the first to the last.
    All,
    /// Here and there.
    Random {
        /// How many records each read asks for.
        length: usize,
        /// How many reads there are.
        reads: usize,
    },
}

impl Task {
    /// How many bytes the lap handles, roughly: as much memory is touched before the clock starts.
    pub(crate) fn bytes(&self) -> usize {
        let of = |records: u64, record_bytes: usize| records as usize * record_bytes;
        match self {
            Self::Write(write) => of(write.records_max, write.record_bytes),
            Self::Fill(volume) => of(volume.records, volume.record_bytes),
            Self::Read(read) => of(read.volume.records, read.volume.record_bytes),
            Self::Reopen(_) | Self::Verify { .. } => 0,
        }
    }
}
