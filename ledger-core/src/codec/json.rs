//! JSON, the default codec.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Codec, TreeCodec};
use crate::error::BoxError;
use crate::payload::ContentType;

/// JSON text by serde: the default codec. Its content type is `application/json`.
///
/// Floats come back bit for bit; nesting is bounded at 128 levels.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl<T: Serialize + DeserializeOwned> Codec<T> for Json {
    fn content_type(&self) -> ContentType {
        ContentType::JSON
    }

    fn encode(&self, value: &T, buffer: &mut Vec<u8>) -> Result<(), BoxError> {
        Ok(serde_json::to_writer(buffer, value)?)
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, BoxError> {
        // Looked at once as a whole, and not again string by string.
        Ok(serde_json::from_str(str::from_utf8(bytes)?)?)
    }

    fn tree(&self) -> Option<&dyn TreeCodec> {
        Some(self)
    }
}

impl TreeCodec for Json {
    fn encode_tree(&self, tree: &Value) -> Result<Bytes, BoxError> {
        Ok(serde_json::to_vec(tree)?.into())
    }

    fn decode_tree(&self, bytes: &[u8]) -> Result<Value, BoxError> {
        Ok(serde_json::from_str(str::from_utf8(bytes)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_beyond_two_to_the_53_survive_the_tree() {
        for number in [
            u64::MAX.to_string(),
            i64::MIN.to_string(),
            "9007199254740993".into(),
        ] {
            let tree = Json.decode_tree(number.as_bytes()).unwrap();
            assert_eq!(Json.encode_tree(&tree).unwrap(), number.as_bytes());
        }
    }

    #[test]
    fn floats_come_back_bit_for_bit() {
        let float = 0.1_f64 + 0.2;
        let mut buffer = Vec::new();
        Json.encode(&float, &mut buffer).unwrap();
        let decoded: f64 = Json.decode(&buffer).unwrap();
        assert_eq!(decoded.to_bits(), float.to_bits());
    }

    #[test]
    fn what_is_no_text_is_an_error_wherever_it_stands() {
        #[derive(Serialize, serde::Deserialize)]
        struct Known {
            a: u8,
        }
        assert!(Codec::<Known>::decode(&Json, br#"{"a":1,"b":"c"}"#).is_ok());
        assert!(Codec::<Known>::decode(&Json, b"{\"a\":1,\"b\":\"\xff\"}").is_err());
        assert!(Json.decode_tree(b"\"\xff\"").is_err());
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert!(Json.decode_tree(deep.as_bytes()).is_err());
    }
}
