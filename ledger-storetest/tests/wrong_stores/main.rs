//! The suite can fail: stores that each break one promise, and the case that catches each of them.
//!
//! A wrong store is a [`Fault`](faulty::Fault) in front of the reference store. A fault that no case catches is a
//! hole in the suite.

mod append;
mod caught;
mod checkpoints;
mod conditions;
mod dedup;
mod expiry;
mod faulty;
mod fields;
mod follow;
mod life;
mod marks;
mod moment;
mod order;
mod random;
mod read;
mod streams;
mod trim;
