//! What can be done later, by whoever has time.
//!
//! `housekeeping` says who that is, `tidy` in which order: indexes are written (`index_files`), those of the active segment joined (`joining`),
//! those of full segments merged (`merging`); dead segments go after what is alive was carried on (`carry`, `compaction`), and full ones are
//! packed last (`packing`). Both compaction and a repair write segments anew (`rewriting`).

mod carry;
mod compaction;
pub(in crate::log) mod housekeeping;
pub(in crate::log) mod index_files;
mod joining;
pub(in crate::log) mod merging;
pub(in crate::log) mod packing;
pub(in crate::log) mod rewriting;
mod tidy;
