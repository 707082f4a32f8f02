//! Schema versions: reading what older programs wrote.
//!
//! A stream writes one schema version and reads all versions up to it. Each version but the last has a step that
//! leads to the next one; the chain is checked when the stream is built, so that a missing step is found by the first
//! test and not by the first old entry.

mod chain;
mod field_mapper;

use serde_json::Value;

use crate::error::BoxError;

pub(crate) use chain::{Chain, Step};
pub use field_mapper::FieldMapper;

/// Leads a value from one schema version to the next, on the decoded tree.
///
/// Any function from a tree to a tree is one; so is a [`FieldMapper`]. Integers from `i64::MIN` to `u64::MAX` keep
/// their value in the tree.
pub trait Upcaster: Send + Sync + 'static {
    /// Upcasts one value.
    ///
    /// # Errors
    /// Why it is not a value of the old version.
    fn upcast(&self, value: Value) -> Result<Value, BoxError>;
}

impl<F, E> Upcaster for F
where
    F: Fn(Value) -> Result<Value, E> + Send + Sync + 'static,
    E: Into<BoxError>,
{
    fn upcast(&self, value: Value) -> Result<Value, BoxError> {
        self(value).map_err(Into::into)
    }
}
