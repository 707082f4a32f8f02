//! A world of its own for the log: a disk that remembers what would survive, and loses the rest on demand.
//!
//! Nothing in here knows a thread, a clock or a real file: the same seed gives the same history, crash and survival.
//!
//! - [`inode`] and [`state`]: what a file, and a directory of them, may be after the power is cut.
//! - [`disk`]: the traits of [`crate::disk`] over such a state, keeping a journal of everything that changed it.
//! - [`faults`]: errors that the disk reports when it is told to.
//! - [`random`]: numbers from a seed.

mod disk;
mod faults;
mod inode;
mod random;
mod state;

pub(crate) use disk::SimDisk;
pub(crate) use faults::{Call, Faults, Trouble};
pub(crate) use random::Random;
pub(crate) use state::{State, Step};
