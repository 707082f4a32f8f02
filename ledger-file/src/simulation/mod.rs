//! A world of its own for the log: a disk that remembers what would survive, and loses the rest on demand.
//!
//! Nothing in here knows a thread, a machine's clock or a real file: the same seed gives the same history, crash and
//! survival. From the ground up:
//!
//! - [`inode`] and [`state`]: what a file, and a directory of them, may be after the power is cut.
//! - [`disk`]: the traits of [`crate::disk`] over such a state, with a journal of everything that changed it.
//!   [`faults`]: errors that it reports when it is told to. [`random`]: numbers from a seed.
//! - [`call`], [`history`]: what users do, at random. [`subject`]: on what: the strict reference in memory, or a log
//!   ([`log_subject`]). [`observed`]: what can be seen of either, to be compared.
//! - [`played`]: a history that was played once, on both. [`crash`] ends the world at each of its steps, readers in other
//!   processes have [`followed`] it there, [`trouble`] lets calls of the disk fail meanwhile, with all [`courses`] that a call
//!   may take then, [`damage`] alters what was stored, and [`repaired`] repairs it.
//! - `tests`: all of that in numbers.
//! - `interleavings`, only built for `scripts/interleavings`: threads on one log, and others in the place of a process that
//!   only reads it, in every order that there is time for.

mod call;
mod courses;
mod crash;
mod damage;
mod disk;
mod faults;
mod followed;
mod history;
mod inode;
#[cfg(ledger_shuttle)]
mod interleavings;
mod log_subject;
mod models;
mod observed;
mod planted;
mod played;
mod random;
mod repaired;
mod state;
mod subject;
mod tests;
mod trouble;

use disk::SimDisk;
use faults::{DiskCall, Faults, Trouble};
use log_subject::LogSubject;
use random::Random;
use state::{State, Step};
