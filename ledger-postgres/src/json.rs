//! Which payloads Postgres can work on as JSON.
//!
//! The `json` type keeps text byte for byte, but an index on it, or a query, goes through `jsonb`, which refuses some
//! text that is JSON: U+0000, lone surrogates, numbers beyond `numeric`, extreme depth. A payload that any of this could
//! be true of is stored as bytes, like one that is no JSON at all.

use serde::de::IgnoredAny;
use serde_json::Value;

const DEPTH_MAX: usize = 128;
const NUMBER_BYTES_MAX: usize = 300;
const EXPONENT_DIGITS_MAX: usize = 3;

/// The payload as text that `jsonb` takes, if it is such.
pub(crate) fn queryable(payload: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(payload).ok()?;
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let look = Look::at(payload);
    let is_fit = look.depth <= DEPTH_MAX
        && look.number_bytes <= NUMBER_BYTES_MAX
        && look.exponent_digits <= EXPONENT_DIGITS_MAX
        && (!look.has_unicode_escapes || escapes_are_fit(text));
    is_fit.then_some(text)
}

/// Whether escaped characters are characters, and none is U+0000.
fn escapes_are_fit(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok_and(|value| !has_nul(&value))
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(members) => members
            .iter()
            .any(|(key, value)| key.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The extremes of a JSON text.
#[derive(Default)]
struct Look {
    depth: usize,
    number_bytes: usize,
    exponent_digits: usize,
    has_unicode_escapes: bool,
}

impl Look {
    /// Looks at text that is known to be JSON.
    fn at(json: &[u8]) -> Self {
        let mut look = Self::default();
        let (mut depth, mut position) = (0_usize, 0);
        while let Some(byte) = json.get(position) {
            position += match byte {
                b'"' => look.string(&json[position..]),
                b'-' | b'0'..=b'9' => look.number(&json[position..]),
                other => {
                    match other {
                        b'[' | b'{' => depth += 1,
                        b']' | b'}' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    1
                }
            };
            look.depth = look.depth.max(depth);
        }
        look
    }

    /// Looks at the string that begins here, and tells its length.
    fn string(&mut self, json: &[u8]) -> usize {
        let mut position = 1;
        while let Some(found) = memchr::memchr2(b'"', b'\\', &json[position..]) {
            position += found;
            if json[position] == b'"' {
                return position + 1;
            }
            self.has_unicode_escapes |= json.get(position + 1) == Some(&b'u');
            position += 2;
        }
        json.len()
    }

    /// Looks at the number that begins here, and tells its length.
    fn number(&mut self, json: &[u8]) -> usize {
        let is_part = |byte: &&u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
        let length = json.iter().take_while(is_part).count();
        let number = &json[..length];
        if let Some(exponent) = memchr::memchr2(b'e', b'E', number) {
            let digits = number[exponent..]
                .iter()
                .filter(|byte| byte.is_ascii_digit())
                .count();
            self.exponent_digits = self.exponent_digits.max(digits);
        }
        self.number_bytes = self.number_bytes.max(length);
        length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_queryable(text: &str) -> bool {
        queryable(text.as_bytes()) == Some(text)
    }

    #[test]
    fn ordinary_json_is_queryable() {
        for text in [
            r#"{"a": [1, -2.5e10, true, null], "b\"\\": "\u00e9 \ud83d\ude00 ü"}"#,
            " 7 ",
            r#""""#,
            r#"{"say":"\\u0000"}"#,
            r#""12345678e12345678""#,
        ] {
            assert!(is_queryable(text), "{text}");
        }
    }

    #[test]
    fn what_jsonb_refuses_is_not() {
        let deep = format!("{}{}", "[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1));
        let long = "1".repeat(NUMBER_BYTES_MAX + 1);
        for text in [
            r#""\u0000""#,
            r#"{"a\u0000":1}"#,
            r#""\ud800""#,
            "1e10000",
            "1E-99999",
            &deep,
            &long,
        ] {
            assert!(!is_queryable(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_not() {
        for bytes in [
            &b""[..],
            b"{",
            b"not json",
            b"\"\xff\"",
            b"\xef\xbb\xbf1",
            b"1 2",
        ] {
            assert_eq!(queryable(bytes), None);
        }
    }
}
