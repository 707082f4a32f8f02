//! The cases, one room for each clause of the contract.
//!
//! A case is given a fresh place, and panics if the store breaks the claim that the case is named after.

pub(crate) mod append;
pub(crate) mod checkpoints;
pub(crate) mod conditions;
pub(crate) mod dedup;
pub(crate) mod expiry;
pub(crate) mod fields;
pub(crate) mod follow;
pub(crate) mod life;
pub(crate) mod limits;
pub(crate) mod marks;
pub(crate) mod order;
pub(crate) mod read;
pub(crate) mod streams;
pub(crate) mod trim;

pub(crate) use crate::model;
