//! The cases, one room for each clause of the contract.
//!
//! A case is given a fresh place, and panics if the store breaks the claim that the case is named after.

pub(crate) mod order;
