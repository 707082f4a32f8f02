//! Kind and keys of an entry, read one by one: a reader of many entries pays for those that it asks for.

use super::entry::flag;
use super::input::Input;

/// The flags of an entry's texts; they lie in the fields in the order of their bits.
const TEXTS: u8 = flag::KIND | flag::ORDER_KEY | flag::DEDUP_KEY;

/// Kind, order key and dedup key of an entry that has no other fields, all of them short and of ASCII alone, as most are.
///
/// That was found out in one pass. So each has a length of one byte, is UTF-8, and ends where it says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShortKeys<'a> {
    flags: u8,
    fields: &'a [u8],
}

impl<'a> ShortKeys<'a> {
    /// Takes the `fields` of an entry with `flags`, if they are nothing else; if not, they may still be malformed.
    #[inline]
    pub(super) fn new(flags: u8, fields: &'a [u8]) -> Option<Self> {
        if flags & flag::FIELDS & !TEXTS != 0 || !fields.is_ascii() {
            return None;
        }
        let mut end = 0;
        for _ in 0..(flags & TEXTS).count_ones() {
            end += 1 + usize::from(*fields.get(end)?);
        }
        (end == fields.len()).then_some(Self { flags, fields })
    }

    /// The event type's name.
    #[inline]
    pub(crate) fn kind(self) -> Option<&'a str> {
        self.text(flag::KIND)
    }

    /// What it happened to.
    #[inline]
    pub(crate) fn order_key(self) -> Option<&'a str> {
        self.text(flag::ORDER_KEY)
    }

    /// The key under which it is stored at most once, unless empty.
    #[inline]
    pub(crate) fn dedup_key(self) -> Option<&'a str> {
        self.text(flag::DEDUP_KEY)
    }

    fn text(self, bit: u8) -> Option<&'a str> {
        if self.flags & bit == 0 {
            return None;
        }
        let mut input = Input::new(self.fields);
        for _ in 0..(self.flags & (bit - 1) & TEXTS).count_ones() {
            input.prefixed().ok()?;
        }
        // Neither can fail, as was found out.
        input.text().ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::{EntryRef, NewRecord};

    fn encoded(record: &NewRecord<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        record.put(&mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn whatever_is_taken_reads_as_all_fields_do(bytes: Vec<u8>, flags in 0..8u8, texts in "[a-d]{0,5}|é|.{0,200}") {
            let length = texts.len().min(255) as u8;
            let single = [&[flags, 0, length.wrapping_add(1), length][..], texts.as_bytes()].concat();
            for bytes in [bytes, single] {
                let Ok(entry) = EntryRef::parse(&bytes) else {
                    continue;
                };
                if let Some(keys) = entry.short_keys() {
                    let fields = entry.fields().unwrap();
                    let all = (fields.kind, fields.order_key, fields.dedup_key);
                    prop_assert_eq!((keys.kind(), keys.order_key(), keys.dedup_key()), all);
                    prop_assert_eq!(fields.expires_at, None);
                    prop_assert_eq!(entry.known_content_type(), fields.content_type);
                    prop_assert_eq!(fields.schema_version, 1);
                }
            }
        }

        #[test]
        fn keys_of_ascii_are_taken_and_come_back(
            kind in proptest::option::of("[ -~]{0,40}"),
            order_key in proptest::option::of("[ -~]{0,40}"),
            dedup_key in proptest::option::of("[ -~]{0,40}"),
        ) {
            let mut record = NewRecord::json(b"payload");
            record.kind = kind.as_deref();
            record.order_key = order_key.as_deref();
            record.dedup_key = dedup_key.as_deref();
            let bytes = encoded(&record);
            let keys = EntryRef::parse(&bytes).unwrap().short_keys().unwrap();
            prop_assert_eq!(keys.kind(), kind.as_deref());
            prop_assert_eq!(keys.order_key(), order_key.as_deref());
            prop_assert_eq!(keys.dedup_key(), dedup_key.as_deref());
        }
    }

    #[test]
    fn what_is_longer_other_text_or_beside_other_fields_is_not_taken() {
        let plain = NewRecord::octets(b"x");
        let long = "k".repeat(128);
        let version = NewRecord {
            schema_version: 2,
            ..plain
        };
        for record in [
            plain.order_key(&long),
            plain.kind("é"),
            version.dedup_key("k"),
        ] {
            let bytes = encoded(&record);
            assert!(EntryRef::parse(&bytes).unwrap().short_keys().is_none());
        }
    }

    #[test]
    fn text_that_is_no_utf8_is_not_taken_and_is_an_error() {
        let bytes = [flag::ORDER_KEY, 0, 2, 1, 0xFF];
        let entry = EntryRef::parse(&bytes).unwrap();
        assert!(entry.short_keys().is_none());
        assert!(entry.fields().is_err());
    }
}
