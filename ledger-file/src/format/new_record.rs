//! An entry that is to be appended, borrowed.

use std::collections::BTreeSet;

use ledger_core::{NewEntry, TextMap, Timestamp};

use super::entry::{JSON, OCTETS, flag, more};
use super::input::{put_measured, put_prefixed};
use super::lists::{Pairs, Tags};
use super::payload::Compressed;
use super::varint::{self, VARINT_BYTES_MAX};

/// Two bytes of flags; the lengths of payload (as stored, and as it was), fields, content type, kind and both keys; schema
/// version and time.
const NUMBERS_BYTES_MAX: usize = 2 + 9 * VARINT_BYTES_MAX;

static NO_METADATA: TextMap = TextMap::new();
static NO_TAGS: BTreeSet<String> = BTreeSet::new();

/// An entry that is to be appended, borrowed from wherever its parts are: what [`NewEntry`] is, without owning.
///
/// For programs that append so much that making owned entries shows.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct NewRecord<'a> {
    /// The bytes.
    pub payload: &'a [u8],
    /// How they are encoded.
    pub content_type: &'a str,
    /// The event type's name.
    pub kind: Option<&'a str>,
    /// What it happened to.
    pub order_key: Option<&'a str>,
    /// Stored at most once among a stream's retained entries, unless empty.
    pub dedup_key: Option<&'a str>,
    /// The version of the schema the payload is written in, from 1.
    pub schema_version: u32,
    /// Facts about the entry that never change.
    pub metadata: &'a TextMap,
    /// Labels that may be replaced later.
    pub tags: &'a BTreeSet<String>,
    /// When the entry stops being returned by reads.
    pub expires_at: Option<Timestamp>,
}

impl<'a> NewRecord<'a> {
    /// Makes an entry of schema version 1 with nothing but a payload, whose bytes no codec vouches for.
    #[inline]
    pub fn octets(payload: &'a [u8]) -> Self {
        Self {
            payload,
            content_type: OCTETS,
            kind: None,
            order_key: None,
            dedup_key: None,
            schema_version: 1,
            metadata: &NO_METADATA,
            tags: &NO_TAGS,
            expires_at: None,
        }
    }

    /// Makes an entry of schema version 1 with nothing but a payload of JSON text.
    #[inline]
    pub fn json(payload: &'a [u8]) -> Self {
        Self {
            content_type: JSON,
            ..Self::octets(payload)
        }
    }

    /// Names the event type.
    #[inline]
    pub fn kind(mut self, kind: &'a str) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Names what the event happened to.
    #[inline]
    pub fn order_key(mut self, key: &'a str) -> Self {
        self.order_key = Some(key);
        self
    }

    /// Sets the key under which the entry is stored at most once.
    #[inline]
    pub fn dedup_key(mut self, key: &'a str) -> Self {
        self.dedup_key = Some(key);
        self
    }

    /// The most bytes that it takes in a frame.
    #[inline]
    pub(crate) fn encoded_bytes_max(&self) -> usize {
        let len = |text: Option<&str>| text.map_or(0, str::len);
        NUMBERS_BYTES_MAX
            + self.payload.len()
            + self.content_type.len()
            + len(self.kind)
            + len(self.order_key)
            + len(self.dedup_key)
            + match self.has_lists() {
                true => self.lists_bytes_max(),
                false => 0,
            }
    }

    #[inline]
    fn has_lists(&self) -> bool {
        !self.tags.is_empty() || !self.metadata.is_empty()
    }

    /// Not a part of what asks for it, which is to become a part of the loop over a batch.
    #[inline(never)]
    fn lists_bytes_max(&self) -> usize {
        let text = |text: &String| VARINT_BYTES_MAX + text.len();
        let tags = self.tags.iter().map(text);
        let pairs = self
            .metadata
            .iter()
            .map(|(key, value)| text(key) + text(value));
        2 * VARINT_BYTES_MAX + tags.sum::<usize>() + pairs.sum::<usize>()
    }

    #[inline]
    fn flags(&self) -> u8 {
        let bit = |is_there: bool, bit: u8| if is_there { bit } else { 0 };
        let is_json = self.content_type == JSON;
        bit(self.kind.is_some(), flag::KIND)
            | bit(self.order_key.is_some(), flag::ORDER_KEY)
            | bit(self.dedup_key.is_some(), flag::DEDUP_KEY)
            | bit(!self.metadata.is_empty(), flag::METADATA)
            | bit(!self.tags.is_empty(), flag::TAGS)
            | bit(self.expires_at.is_some(), flag::EXPIRES_AT)
            | bit(self.more(is_json) != 0, flag::MORE)
            | bit(is_json, flag::JSON)
    }

    #[inline]
    fn more(&self, is_json: bool) -> u8 {
        let bit = |is_there: bool, bit: u8| if is_there { bit } else { 0 };
        bit(self.schema_version != 1, more::SCHEMA_VERSION)
            | bit(!is_json && self.content_type != OCTETS, more::CONTENT_TYPE)
    }

    /// Appends the entry to `buf`.
    #[inline]
    pub(super) fn put(&self, buf: &mut Vec<u8>) {
        match self.short() {
            Some(short) => self.put_short(buf, short),
            None => self.put_any(buf),
        }
        buf.extend_from_slice(self.payload);
    }

    /// Everything before the payload.
    #[inline(never)]
    fn put_any(&self, buf: &mut Vec<u8>) {
        let flags = self.flags();
        buf.push(flags);
        varint::put(buf, self.payload.len() as u64);
        if flags & flag::FIELDS != 0 {
            put_measured(buf, |buf| self.put_fields(buf, flags, None));
        }
    }

    /// Its flags, and how many bytes its texts take, if it has nothing but those and a payload, and both take fewer than 128
    /// bytes, as most do: then each length takes one byte.
    #[inline]
    fn short(&self) -> Option<(u8, u8)> {
        let is_json = self.content_type == JSON;
        if self.schema_version != 1 || self.expires_at.is_some() || self.has_lists() {
            return None;
        }
        if !is_json && self.content_type != OCTETS {
            return None;
        }
        let bit = |is_there: bool, bit: u8| if is_there { bit } else { 0 };
        let flags = bit(self.kind.is_some(), flag::KIND)
            | bit(self.order_key.is_some(), flag::ORDER_KEY)
            | bit(self.dedup_key.is_some(), flag::DEDUP_KEY)
            | bit(is_json, flag::JSON);
        let len = |text: Option<&str>| text.map_or(0, |text| 1 + text.len());
        let bytes = len(self.kind) + len(self.order_key) + len(self.dedup_key);
        (bytes < 0x80 && self.payload.len() < 0x80).then_some((flags, bytes as u8))
    }

    /// As [`put_any`](Self::put_any), without measuring anything.
    #[inline]
    fn put_short(&self, buf: &mut Vec<u8>, (flags, texts_bytes): (u8, u8)) {
        let payload_bytes = self.payload.len() as u8;
        if texts_bytes == 0 {
            return buf.extend_from_slice(&[flags, payload_bytes]);
        }
        buf.extend_from_slice(&[flags, payload_bytes, texts_bytes]);
        let mut put = |text: Option<&str>| {
            if let Some(text) = text {
                buf.push(text.len() as u8);
                buf.extend_from_slice(text.as_bytes());
            }
        };
        put(self.kind);
        put(self.order_key);
        put(self.dedup_key);
    }

    /// Appends the entry to `buf`, with its payload compressed.
    pub(super) fn put_compressed(&self, buf: &mut Vec<u8>, compressed: &Compressed) {
        let flags = self.flags() | flag::MORE;
        buf.push(flags);
        varint::put(buf, compressed.block.len() as u64);
        put_measured(buf, |buf| self.put_fields(buf, flags, Some(compressed)));
        buf.extend_from_slice(&compressed.block);
    }

    #[inline]
    fn put_fields(&self, buf: &mut Vec<u8>, flags: u8, compressed: Option<&Compressed>) {
        if flags & flag::MORE != 0 {
            self.put_more(buf, flags & flag::JSON != 0, compressed);
        }
        let mut put = |text: Option<&str>| {
            if let Some(text) = text {
                put_prefixed(buf, text.as_bytes());
            }
        };
        put(self.kind);
        put(self.order_key);
        put(self.dedup_key);
        if let Some(expires_at) = self.expires_at {
            varint::put_signed(buf, expires_at.as_micros());
        }
        if !self.tags.is_empty() {
            put_measured(buf, |buf| Tags::put(buf, self.tags));
        }
        if !self.metadata.is_empty() {
            put_measured(buf, |buf| Pairs::put(buf, self.metadata));
        }
    }

    fn put_more(&self, buf: &mut Vec<u8>, is_json: bool, compressed: Option<&Compressed>) {
        let more = self.more(is_json);
        buf.push(if compressed.is_some() {
            more | more::COMPRESSED
        } else {
            more
        });
        if more & more::SCHEMA_VERSION != 0 {
            varint::put(buf, u64::from(self.schema_version));
        }
        if more & more::CONTENT_TYPE != 0 {
            put_prefixed(buf, self.content_type.as_bytes());
        }
        if let Some(compressed) = compressed {
            varint::put(buf, compressed.payload_bytes);
        }
    }
}

impl<'a> From<&'a NewEntry> for NewRecord<'a> {
    fn from(entry: &'a NewEntry) -> Self {
        Self {
            payload: &entry.value.bytes,
            content_type: entry.value.content_type.as_str(),
            kind: entry.kind.as_deref(),
            order_key: entry.order_key.as_deref(),
            dedup_key: entry.dedup_key.as_deref(),
            schema_version: entry.schema_version,
            metadata: &entry.metadata,
            tags: &entry.tags,
            expires_at: entry.expires_at,
        }
    }
}

/// Appends what is left of a purged entry whose payload had `payload_bytes`.
pub(super) fn put_tombstone(buf: &mut Vec<u8>, payload_bytes: u64) {
    buf.push(flag::MORE);
    varint::put(buf, 0);
    put_measured(buf, |buf| {
        buf.push(more::TOMBSTONE);
        varint::put(buf, payload_bytes);
    });
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::format::entry::EntryRef;
    use ledger_core::{ContentType, Entry, Payload, StreamName};
    use proptest::prelude::*;

    fn content_types() -> impl Strategy<Value = ContentType> {
        prop_oneof![
            Just(ContentType::JSON),
            Just(ContentType::OCTET_STREAM),
            any::<String>().prop_map(ContentType::from),
        ]
    }

    prop_compose! {
        pub(in crate::format) fn entries()(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            content_type in content_types(),
            keys: (Option<String>, Option<String>, Option<String>),
            schema_version in prop_oneof![Just(1), 1..=u32::MAX],
            metadata in proptest::collection::btree_map(any::<String>(), any::<String>(), 0..4),
            tags in proptest::collection::btree_set(any::<String>(), 0..4),
            expires_at: Option<i64>,
        ) -> NewEntry {
            let mut entry = NewEntry::new(Payload::new(bytes, content_type));
            (entry.kind, entry.order_key, entry.dedup_key) = keys;
            entry.schema_version = schema_version;
            entry.metadata = metadata.into();
            entry.tags = tags.into();
            entry.expires_at = expires_at.map(Timestamp::from_micros);
            entry
        }
    }

    fn recorded(entry: NewEntry) -> Entry<u64> {
        Entry::recorded(5, StreamName::from("s"), Timestamp::from_micros(7), entry)
    }

    fn read_back(bytes: &[u8]) -> Entry<u64> {
        let entry = EntryRef::parse(bytes).unwrap();
        entry
            .to_entry(&"s".into(), 5, Timestamp::from_micros(7))
            .unwrap()
    }

    proptest! {
        #[test]
        fn every_field_comes_back(entry in entries(), behind: Vec<u8>) {
            let record = NewRecord::from(&entry);
            let mut bytes = Vec::new();
            record.put(&mut bytes);
            prop_assert!(bytes.len() <= record.encoded_bytes_max());
            let len = bytes.len();
            bytes.extend(behind);
            prop_assert_eq!(EntryRef::parse(&bytes).unwrap().raw().len(), len);
            prop_assert_eq!(read_back(&bytes), recorded(entry));
        }

        #[test]
        fn a_short_entry_is_put_as_any_other(
            payload in proptest::collection::vec(any::<u8>(), 0..150),
            kind in proptest::option::of("[a-z]{0,60}"),
            order_key in proptest::option::of("[a-z]{0,60}"),
            dedup_key in proptest::option::of("[a-z]{0,60}"),
            is_json: bool,
        ) {
            let mut record = NewRecord::octets(&payload);
            record.content_type = if is_json { JSON } else { OCTETS };
            (record.kind, record.order_key) = (kind.as_deref(), order_key.as_deref());
            record.dedup_key = dedup_key.as_deref();
            let (mut bytes, mut as_any) = (Vec::new(), Vec::new());
            record.put(&mut bytes);
            record.put_any(&mut as_any);
            as_any.extend_from_slice(&payload);
            prop_assert_eq!(bytes, as_any);
        }

        #[test]
        fn a_compressed_payload_comes_back(mut entry in entries(), repeat in 0..100usize) {
            entry.value.bytes = entry.value.bytes.repeat(repeat).into();
            let record = NewRecord::from(&entry);
            let mut bytes = Vec::new();
            if let Some(compressed) = Compressed::lz4(record.payload) {
                record.put_compressed(&mut bytes, &compressed);
                prop_assert!(bytes.len() <= record.encoded_bytes_max() + VARINT_BYTES_MAX);
                let payload_bytes = EntryRef::parse(&bytes).unwrap().payload_bytes().unwrap();
                prop_assert_eq!(payload_bytes, entry.value.bytes.len() as u64);
                prop_assert_eq!(read_back(&bytes), recorded(entry));
            }
        }

        #[test]
        fn any_bytes_are_an_entry_or_an_error(bytes: Vec<u8>) {
            if let Ok(entry) = EntryRef::parse(&bytes) {
                let _either = entry.to_entry(&"s".into(), 1, Timestamp::from_micros(0));
            }
        }

        #[test]
        fn a_tombstone_keeps_the_length_of_its_payload(payload_bytes: u64) {
            let mut bytes = Vec::new();
            put_tombstone(&mut bytes, payload_bytes);
            let entry = EntryRef::parse(&bytes).unwrap();
            let fields = entry.fields().unwrap();
            prop_assert!(fields.is_tombstone);
            prop_assert_eq!(fields.payload_bytes, payload_bytes);
            prop_assert_eq!(entry.payload().unwrap().len(), 0);
        }
    }

    #[test]
    fn a_plain_entry_costs_two_bytes_beside_its_payload() {
        let mut bytes = Vec::new();
        NewRecord::octets(&[9; 100]).put(&mut bytes);
        assert_eq!(bytes.len(), 102);
        bytes.clear();
        NewRecord::json(&[9; 1_000]).put(&mut bytes);
        assert_eq!(bytes.len(), 1_003);
        assert!(EntryRef::parse(&bytes).unwrap().is_plain());
    }

    #[test]
    fn keys_that_are_empty_and_keys_that_are_absent_are_told_apart() {
        let mut bytes = Vec::new();
        NewRecord::octets(b"x").order_key("").put(&mut bytes);
        let fields = EntryRef::parse(&bytes).unwrap().fields().unwrap();
        assert_eq!(
            (fields.kind, fields.order_key, fields.dedup_key),
            (None, Some(""), None)
        );
    }
}
