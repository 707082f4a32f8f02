//! A ledger store in a directory: a native segmented log.

mod disk;
mod error;
mod format;
mod index;
mod log;
mod options;
#[cfg(test)]
mod simulation;
