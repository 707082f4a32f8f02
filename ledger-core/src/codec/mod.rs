//! Between an application's values and a payload's bytes.

mod json;

use bytes::Bytes;
use serde_json::Value;

use crate::error::BoxError;
use crate::payload::ContentType;

pub use json::Json;

/// Encodes and decodes values of type `T`.
///
/// The content type is the codec's name: it is stored with each entry, and an entry of another content type is an
/// error, never garbage. Two codecs whose bytes differ must have different names.
pub trait Codec<T>: Clone + Send + Sync + 'static {
    /// The name that is stored with each entry.
    fn content_type(&self) -> ContentType;

    /// Encodes a value, adding its bytes to `buffer`, which one batch's values share.
    ///
    /// # Errors
    /// Why this value cannot be encoded. What was added to the buffer then is of no account.
    fn encode(&self, value: &T, buffer: &mut Vec<u8>) -> Result<(), BoxError>;

    /// Decodes a value.
    ///
    /// # Errors
    /// Why these bytes are no such value.
    fn decode(&self, bytes: &[u8]) -> Result<T, BoxError>;

    /// The codec's tree form, which upcasters work on; none if its bytes do not describe themselves.
    fn tree(&self) -> Option<&dyn TreeCodec>;
}

/// Encodes and decodes trees: what a self-describing codec can do without knowing the type.
///
/// Integers from `i64::MIN` to `u64::MAX` must survive.
pub trait TreeCodec {
    /// Encodes a tree.
    ///
    /// # Errors
    /// Why this tree cannot be encoded.
    fn encode_tree(&self, tree: &Value) -> Result<Bytes, BoxError>;

    /// Decodes a tree.
    ///
    /// # Errors
    /// Why these bytes are no tree.
    fn decode_tree(&self, bytes: &[u8]) -> Result<Value, BoxError>;
}
