//! How a log comes to be open.
//!
//! An `opening` sets a log right, with `recovery`, or has it made by a `creation`; what only a writer needs waits for the `first_turn`. One
//! for `reading` does neither, and follows as a `follower`, who goes by what is `said` on the writer's page, has `kept` what a
//! killed one left before it shows it, sees by the lock when the log is `idle`, and by the stage whether it is in its `place`.

mod creation;
mod first_turn;
mod followed;
pub(in crate::log) mod follower;
mod idle;
mod kept;
pub(in crate::log) mod opening;
mod place;
pub(in crate::log) mod reading;
pub(in crate::log) mod recovery;
mod said;
