//! The conformance suite of ledger stores: one named test for each clause of the contract.

pub mod harness;

pub use harness::{Harness, Setup, Stalled};
