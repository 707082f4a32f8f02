//! One lap of a log, run in a process of its own.
//!
//! `ledger-bench` races logs that live in this workspace against published ones that live in another, so that what those
//! bring along stays out of the project's lock file. What both sides share is here: what an engine has to offer
//! ([`Engine`]), what it can be told to do ([`Task`]), and the program that does it once and tells what came of it
//! ([`run`]). A lap that writes is ended by a kill: whatever the engine only promised is lost then, and the next
//! process, which checks all there is, will notice.

mod answer;
mod engine;
mod lap;
pub mod memory;
mod program;
mod read;
mod records;
mod task;
mod verify;
mod write;

pub use answer::{Findings, Measured, Outcome};
pub use engine::{Engine, InTasks, NotOffered, Promise};
pub use program::{Contestant, run};
pub use records::{Number, record};
pub use task::{Opening, Order, Read, Task, Volume, Write};

/// Why a lap could not be finished.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What laps answer.
pub type Result<T, E = BoxError> = std::result::Result<T, E>;
