//! How a log is read.
//!
//! A `view` is the log at one moment, through a `picture` of its `segment`s, of which some are `packed`. It `announce`s what it will need, reads
//! `frames`, and `walk`s through entries with whoever `visit`s them; what was `checked` is not checked again. `pages` are made of it, with the
//! `changes` made to entries since, and a `scan` lends entries, or what another thread has `fetched` of them.

mod announce;
pub(in crate::log) mod changes;
mod checked;
mod fetched;
pub(in crate::log) mod frames;
pub(in crate::log) mod packed;
pub(in crate::log) mod pages;
pub(in crate::log) mod picture;
pub(in crate::log) mod scan;
pub(in crate::log) mod segment;
pub(in crate::log) mod view;
mod visit;
mod walk;
