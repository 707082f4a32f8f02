//! A ledger store in a directory: a native segmented log.

mod disk;
mod error;
mod fault;
mod format;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod log;
mod memory;
mod options;
#[cfg(test)]
mod simulation;
mod store;
mod sync;

pub use format::NewRecord;
pub use log::{Damage, Log, LogStats, LostEntries, Pending, RecordRef, Repair, Verified};
pub use options::{Compression, FileOptions, Housekeeping};
pub use store::FileStore;
