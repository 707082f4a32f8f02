//! How a log grows.
//!
//! In a `writer`'s turn an `append` is a `plan`, decided by `evidence`, and then a `section` for each stream. Frames are `put` at the end,
//! which the `tail` holds until they are in the segment file, with `notes` for the index; `commit` says who flushes a group, `flush` how,
//! with zeroes `ahead`, and `roll` goes on in the next segment; the `page` tells other processes.

pub(in crate::log) mod ahead;
pub(in crate::log) mod append;
pub(in crate::log) mod commit;
mod evidence;
mod flush;
pub(in crate::log) mod notes;
pub(in crate::log) mod page;
mod plan;
pub(in crate::log) mod put;
mod roll;
mod section;
pub(in crate::log) mod tail;
pub(in crate::log) mod writer;
