//! Reads BSON documents in place: the counterpart of [`Writer`](crate::document::Writer).
//!
//! The driver's own iterator looks at the bytes of every key and every text several times, which is most of what reading
//! a page costs. Here texts stay bytes until somebody needs to know that they are text. Whatever is read is bounded by
//! the document that it stands in; nothing is taken on trust.

use mongodb::bson::spec::ElementType;

use crate::word::first_zero;

/// What a document is that this room can make no sense of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A value, a part of the document that it is read from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    /// Of 32 or 64 bits.
    Int(i64),
    Double(f64),
    /// Said to be UTF-8.
    Text(&'a [u8]),
    Binary(&'a [u8]),
    Array(Elements<'a>),
    Document(Elements<'a>),
    /// What this crate never writes.
    Other,
}

impl<'a> Value<'a> {
    pub(crate) fn as_int(self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(number),
            _ => None,
        }
    }

    pub(crate) fn as_text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }

    pub(crate) fn as_array(self) -> Option<Elements<'a>> {
        match self {
            Self::Array(values) => Some(values),
            _ => None,
        }
    }

    pub(crate) fn as_document(self) -> Option<Elements<'a>> {
        match self {
            Self::Document(members) => Some(members),
            _ => None,
        }
    }
}

/// The elements of a document or an array that are not read yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    /// Those of a whole document.
    pub(crate) fn of(document: &'a [u8]) -> Result<Self, Malformed> {
        let mut rest = document;
        let elements = Self::take(&mut rest)?;
        rest.is_empty().then_some(elements).ok_or(Malformed)
    }

    /// Takes the next element, with its key; none behind the last.
    pub(crate) fn next(&mut self) -> Result<Option<(&'a [u8], Value<'a>)>, Malformed> {
        let Some((kind, rest)) = self.0.split_first() else {
            return Ok(None);
        };
        self.0 = rest;
        let key = take_name(&mut self.0)?;
        Ok(Some((key, take_value(*kind, &mut self.0)?)))
    }

    /// The value of the element with this key.
    pub(crate) fn get(mut self, key: &str) -> Option<Value<'a>> {
        while let Some((found, value)) = self.next().ok()? {
            if found == key.as_bytes() {
                return Some(value);
            }
        }
        None
    }

    /// Takes a document, which begins with its length and ends with a zero.
    fn take(rest: &mut &'a [u8]) -> Result<Self, Malformed> {
        let length = rest.first_chunk().ok_or(Malformed)?;
        let length = usize::try_from(i32::from_le_bytes(*length)).map_err(|_| Malformed)?;
        match take_bytes(rest, length)? {
            [_, _, _, _, elements @ .., 0] => Ok(Self(elements)),
            _ => Err(Malformed),
        }
    }
}

/// The kinds that this crate writes, as they stand in a document.
mod kind {
    use super::ElementType;

    pub(super) const NULL: u8 = ElementType::Null as u8;
    pub(super) const BOOL: u8 = ElementType::Boolean as u8;
    pub(super) const INT_32: u8 = ElementType::Int32 as u8;
    pub(super) const INT_64: u8 = ElementType::Int64 as u8;
    pub(super) const DOUBLE: u8 = ElementType::Double as u8;
    pub(super) const TEXT: u8 = ElementType::String as u8;
    pub(super) const ARRAY: u8 = ElementType::Array as u8;
    pub(super) const DOCUMENT: u8 = ElementType::EmbeddedDocument as u8;
    pub(super) const BINARY: u8 = ElementType::Binary as u8;
}

#[inline]
fn take_value<'a>(kind: u8, rest: &mut &'a [u8]) -> Result<Value<'a>, Malformed> {
    Ok(match kind {
        kind::NULL => Value::Null,
        kind::BOOL => Value::Bool(take_array::<1>(rest)? != [0]),
        kind::INT_32 => Value::Int(i32::from_le_bytes(take_array(rest)?).into()),
        kind::INT_64 => Value::Int(i64::from_le_bytes(take_array(rest)?)),
        kind::DOUBLE => Value::Double(f64::from_le_bytes(take_array(rest)?)),
        kind::TEXT => Value::Text(take_text(rest)?),
        kind::ARRAY => Value::Array(Elements::take(rest)?),
        kind::DOCUMENT => Value::Document(Elements::take(rest)?),
        kind::BINARY => Value::Binary(take_binary(rest)?),
        other => {
            pass_over(ElementType::from(other).ok_or(Malformed)?, rest)?;
            Value::Other
        }
    })
}

/// Takes what only others write, such as a user who adds fields for queries.
fn pass_over(kind: ElementType, rest: &mut &[u8]) -> Result<(), Malformed> {
    match kind {
        ElementType::DateTime | ElementType::Timestamp => take_bytes(rest, 8),
        ElementType::ObjectId => take_bytes(rest, 12),
        ElementType::Decimal128 => take_bytes(rest, 16),
        ElementType::JavaScriptCode | ElementType::Symbol => take_text(rest),
        ElementType::RegularExpression => take_name(rest).and_then(|_| take_name(rest)),
        ElementType::DbPointer => take_text(rest).and_then(|_| take_bytes(rest, 12)),
        ElementType::JavaScriptCodeWithScope => {
            let length = rest.first_chunk().ok_or(Malformed)?;
            let length = usize::try_from(i32::from_le_bytes(*length)).map_err(|_| Malformed)?;
            take_bytes(rest, length)
        }
        _ => Ok(&[][..]),
    }
    .map(drop)
}

fn take_bytes<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Malformed> {
    let (taken, behind) = rest.split_at_checked(length).ok_or(Malformed)?;
    *rest = behind;
    Ok(taken)
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (taken, behind) = rest.split_first_chunk().ok_or(Malformed)?;
    *rest = behind;
    Ok(*taken)
}

fn take_length(rest: &mut &[u8]) -> Result<usize, Malformed> {
    usize::try_from(i32::from_le_bytes(take_array(rest)?)).map_err(|_| Malformed)
}

/// A text that ends with the first zero.
#[inline]
fn take_name<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let end = first_zero(rest).ok_or(Malformed)?;
    let (name, behind) = rest.split_at(end);
    *rest = &behind[1..];
    Ok(name)
}

/// A text behind its length, which counts the zero behind the text.
fn take_text<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let length = take_length(rest)?;
    match take_bytes(rest, length)? {
        [text @ .., 0] => Ok(text),
        _ => Err(Malformed),
    }
}

/// Bytes behind their length and their kind.
fn take_binary<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let length = take_length(rest)?;
    take_bytes(rest, 1)?;
    take_bytes(rest, length)
}

#[cfg(test)]
mod tests {
    use mongodb::bson::oid::ObjectId;
    use mongodb::bson::spec::BinarySubtype;
    use mongodb::bson::{
        Binary, Bson, DateTime, Decimal128, Document, JavaScriptCodeWithScope, Regex, Timestamp,
        cstr, doc,
    };

    use super::*;

    /// Something of every kind that MongoDB knows.
    fn everything() -> Document {
        let subtype = BinarySubtype::Generic;
        let code = "f()".to_owned();
        let scope = doc! { "x": 1 };
        doc! {
            "null": null, "true": true, "false": false, "int": -7, "long": i64::MIN, "double": f64::NEG_INFINITY,
            "text": "a\0ü", "": "", "binary": Binary { subtype, bytes: vec![0, 255] },
            "oid": ObjectId::new(), "date": DateTime::now(), "decimal": Decimal128::from_bytes([7; 16]),
            "regex": Regex { pattern: cstr!("a.*").into(), options: cstr!("i").into() },
            "timestamp": Timestamp { time: 1, increment: 2 }, "symbol": Bson::Symbol("s".into()),
            "code": Bson::JavaScriptCode(code.clone()),
            "scoped": Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope { code, scope }),
            "min": Bson::MinKey, "max": Bson::MaxKey, "undefined": Bson::Undefined,
            "array": [1, [], {}], "document": { "a": { "b": "c" } },
        }
    }

    /// Reads all of it, as deep as it goes, and counts the elements.
    fn walk(mut elements: Elements<'_>) -> Result<usize, Malformed> {
        let mut count = 0;
        while let Some((_, value)) = elements.next()? {
            count += 1;
            if let Value::Array(inner) | Value::Document(inner) = value {
                count += walk(inner)?;
            }
        }
        Ok(count)
    }

    #[test]
    fn every_kind_of_value_is_read_or_passed_over() {
        let bytes = everything().to_vec().unwrap();
        let document = Elements::of(&bytes).unwrap();
        assert_eq!(walk(document), Ok(everything().len() + 3 + 2));
        for (key, value) in [
            ("null", Value::Null),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("int", Value::Int(-7)),
            ("long", Value::Int(i64::MIN)),
            ("double", Value::Double(f64::NEG_INFINITY)),
            ("text", Value::Text("a\0ü".as_bytes())),
            ("", Value::Text(b"")),
            ("binary", Value::Binary(&[0, 255])),
            ("scoped", Value::Other),
        ] {
            assert_eq!(document.get(key), Some(value), "{key}");
        }
        let inner = document.get("document").and_then(Value::as_document);
        let inner = inner.and_then(|it| it.get("a")?.as_document()?.get("b")?.as_text());
        assert_eq!(inner, Some("c"));
        assert_eq!(document.get("absent"), None);
    }

    #[test]
    fn what_is_cut_short_anywhere_is_malformed() {
        let bytes = everything().to_vec().unwrap();
        for end in 0..bytes.len() {
            assert_eq!(Elements::of(&bytes[..end]), Err(Malformed), "{end}");
        }
    }

    #[test]
    fn no_flipped_bit_leads_out_of_the_document() {
        let good = everything().to_vec().unwrap();
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let elements = Elements::of(&bytes).and_then(walk).unwrap_or(0);
            assert!(elements < bytes.len(), "{bit}");
        }
    }
}
