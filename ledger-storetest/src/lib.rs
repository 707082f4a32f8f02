//! The conformance suite of ledger stores: one named test for each claim of the contract.
//!
//! A backend describes in a [`Harness`] how its store is opened, and calls [`suite!`] in an integration test. That is
//! all: the macro makes one `#[test]` of every case, so that no backend can leave one out. A test's name is the
//! clause it belongs to and the claim it checks: `c1_4_a_trimmed_id_is_never_given_out_again`.
//!
//! The suite knows only `ledger-core`. It synchronises with futures, channels and reads, never by sleeping, and a
//! store that keeps the contract never fails it.

mod cases;
mod fixture;
pub mod harness;
mod hostile;
mod methods;
mod model;
mod place;
mod race;
mod registry;
mod runner;

pub use harness::{Harness, Setup, Stalled};
pub use registry::{Case, cases};
pub use runner::{Failure, run};

/// Keeps the program of the guide compiling, and running.
#[cfg(doctest)]
#[doc = include_str!("../../docs/TEST-YOUR-BACKEND.md")]
pub struct Guide;
