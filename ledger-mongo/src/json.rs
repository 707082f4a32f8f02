//! JSON as BSON, where nothing is lost by it.
//!
//! A JSON payload is stored as what it says, so that it can be queried, if writing that out again gives the same bytes.
//! Otherwise (white space, numbers beyond 64 bits or written in another way, keys that come twice) it is stored as bytes,
//! as is a payload whose keys MongoDB could not name in a query: empty ones, with dots, or beginning with a dollar.

use std::borrow::Cow;
use std::collections::HashSet;
use std::{fmt, mem};

use mongodb::bson::RawDocumentBuf;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, Serialize};

use crate::document::Writer;
use crate::reader::{Elements, Value};
use crate::word;

/// MongoDB takes 100 levels; an entry's own document is one of them.
const DEPTH_MAX: usize = 90;

/// Documents of small numbers are larger than their text. Beyond this, a payload is not made one.
const DOCUMENT_BYTES_MAX: usize = 8 << 20;

/// Objects with up to so many keys are compared key by key.
const FEW_KEYS: usize = 16;

/// A document whose only element has the name `key` and the value that `payload` tells, if that loses nothing.
pub(crate) fn to_bson(key: &str, payload: &[u8]) -> Option<RawDocumentBuf> {
    let text = std::str::from_utf8(payload).ok()?;
    let mut writer = Writer::with_capacity(payload.len() * 2);
    let mut json = serde_json::Deserializer::from_str(text);
    let value = Element {
        writer: &mut writer,
        key,
        depth: 0,
    };
    value.deserialize(&mut json).ok()?;
    json.end().ok()?;
    if writer.len() > DOCUMENT_BYTES_MAX {
        return None;
    }
    let document = writer.finish();
    let mut back = Vec::with_capacity(payload.len());
    let (_, value) = Elements::of(document.as_bytes()).ok()?.next().ok()??;
    write_json(&mut back, value)?;
    (back == payload).then_some(document)
}

/// Writes `value` as JSON text; none if it is nothing that [`to_bson`] makes.
pub(crate) fn write_json(out: &mut Vec<u8>, value: Value<'_>) -> Option<()> {
    match value {
        Value::Null => out.extend(b"null"),
        Value::Bool(true) => out.extend(b"true"),
        Value::Bool(false) => out.extend(b"false"),
        Value::Int(number) => write_scalar(out, &number)?,
        Value::Double(number) => write_scalar(out, &number)?,
        Value::Text(text) => write_text(out, text)?,
        Value::Array(values) => write_array(out, values)?,
        Value::Document(members) => write_object(out, members)?,
        Value::Binary(_) | Value::Other => return None,
    }
    Some(())
}

fn write_scalar(out: &mut Vec<u8>, value: &impl Serialize) -> Option<()> {
    serde_json::to_writer(out, value).ok()
}

fn write_text(out: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    if word::has_special(text) {
        return write_scalar(out, &std::str::from_utf8(text).ok()?);
    }
    out.reserve(text.len() + 2);
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
    Some(())
}

fn write_array(out: &mut Vec<u8>, mut values: Elements<'_>) -> Option<()> {
    out.push(b'[');
    let mut is_first = true;
    while let Some((_, value)) = values.next().ok()? {
        if !mem::take(&mut is_first) {
            out.push(b',');
        }
        write_json(out, value)?;
    }
    out.push(b']');
    Some(())
}

fn write_object(out: &mut Vec<u8>, mut members: Elements<'_>) -> Option<()> {
    out.push(b'{');
    let mut is_first = true;
    while let Some((key, value)) = members.next().ok()? {
        if !mem::take(&mut is_first) {
            out.push(b',');
        }
        write_text(out, key)?;
        out.push(b':');
        write_json(out, value)?;
    }
    out.push(b'}');
    Some(())
}

/// A value of a JSON text, on its way into a document.
struct Element<'w, 'k> {
    writer: &'w mut Writer,
    key: &'k str,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Element<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON that a document can hold")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.writer.null(self.key);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.writer.bool(self.key, value);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        match i32::try_from(value) {
            Ok(small) => self.writer.i32(self.key, small),
            Err(_) => self.writer.i64(self.key, value),
        }
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.visit_i64(i64::try_from(value).map_err(E::custom)?)
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.writer.f64(self.key, value);
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.writer.text(self.key, value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        let depth = deeper::<A::Error>(self.depth)?;
        self.writer.open_array(self.key);
        for position in 0_u32.. {
            let value = Element {
                writer: self.writer,
                key: &position.to_string(),
                depth,
            };
            if values.next_element_seed(value)?.is_none() {
                break;
            }
        }
        self.writer.close();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let depth = deeper::<A::Error>(self.depth)?;
        self.writer.open_document(self.key);
        let mut keys = Keys::default();
        while let Some(key) = members.next_key_seed(Key)? {
            if !can_name(&key) {
                return Err(A::Error::custom("a query could not name the key"));
            }
            let value = Element {
                writer: self.writer,
                key: &key,
                depth,
            };
            members.next_value_seed(value)?;
            if !keys.insert(key) {
                return Err(A::Error::custom("a key comes twice"));
            }
        }
        self.writer.close();
        Ok(())
    }
}

fn deeper<E: serde::de::Error>(depth: usize) -> Result<usize, E> {
    if depth == DEPTH_MAX {
        return Err(E::custom("too deep"));
    }
    Ok(depth + 1)
}

fn can_name(key: &str) -> bool {
    !key.is_empty() && !key.starts_with('$') && !key.contains(['.', '\0'])
}

/// A key, which is a part of the text unless something in it is escaped.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

/// The keys of an object so far.
#[derive(Default)]
struct Keys<'de> {
    few: Vec<Cow<'de, str>>,
    many: HashSet<Cow<'de, str>>,
}

impl<'de> Keys<'de> {
    /// Notes `key`, and tells whether it is new.
    fn insert(&mut self, key: Cow<'de, str>) -> bool {
        if self.few.contains(&key) || self.many.contains(&key) {
            return false;
        }
        if self.few.len() < FEW_KEYS {
            self.few.push(key);
            true
        } else {
            self.many.insert(key)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_document(text: &str) -> bool {
        to_bson("payload", text.as_bytes()).is_some()
    }

    #[test]
    fn ordinary_json_becomes_a_document() {
        for text in [
            r#"{"a":[1,-2.5,true,null],"b\"\\":"é\n","c":{"d":{}},"e":[]}"#,
            "7",
            "-2147483649",
            "9223372036854775807",
            "-9223372036854775808",
            "0.1",
            "1.5",
            r#""""#,
            "null",
            "[]",
            r#"{"a":"$b.c"}"#,
        ] {
            assert!(is_document(text), "{text}");
        }
    }

    #[test]
    fn what_would_change_does_not() {
        let deep = format!("{}{}", "[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1));
        for text in [
            "",
            " 7",
            r#"{"a": 1}"#,
            "9223372036854775808",
            "1.10",
            "1E5",
            "-0",
            "123456789012345678901234567890",
            r#""\u00e9""#,
            r#""\/""#,
            r#""\ud800""#,
            r#"{"a":1,"a":1}"#,
            r#"{"a.b":1}"#,
            r#"{"$a":1}"#,
            r#"{"":1}"#,
            r#"{"a\u0000":1}"#,
            "{",
            "1 2",
            &deep,
        ] {
            assert!(!is_document(text), "{text}");
        }
    }

    #[test]
    fn a_key_that_comes_twice_is_found_among_many() {
        let keys: Vec<_> = (0..100).map(|key| format!("\"k{key}\":1")).collect();
        assert!(is_document(&format!("{{{}}}", keys.join(","))));
        assert!(!is_document(&format!("{{{},\"k77\":1}}", keys.join(","))));
    }

    #[test]
    fn bytes_that_are_no_text_do_not() {
        assert!(to_bson("payload", b"\"\xff\"").is_none());
    }
}
