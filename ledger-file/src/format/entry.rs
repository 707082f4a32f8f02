//! An entry as it lies in a frame.
//!
//! `flags u8, payload length, [fields length, fields], payload`. A plain entry has no fields, and so costs two or three
//! bytes beside its payload. Bits of the flags say which fields there are; a second byte of flags holds the rare ones.

use std::borrow::Cow;

use ledger_core::Timestamp;
#[cfg(any(test, fuzzing))]
use ledger_core::{Entry, StreamName};

use super::input::{Input, Malformed};
use super::lists::{Pairs, Tags};
#[cfg(any(test, fuzzing))]
use super::owning::Owning;
use super::payload::decompress;
use super::short_keys::ShortKeys;

/// The bits of an entry's flags.
pub(super) mod flag {
    pub(crate) const KIND: u8 = 1 << 0;
    pub(crate) const ORDER_KEY: u8 = 1 << 1;
    pub(crate) const DEDUP_KEY: u8 = 1 << 2;
    pub(crate) const METADATA: u8 = 1 << 3;
    pub(crate) const TAGS: u8 = 1 << 4;
    pub(crate) const EXPIRES_AT: u8 = 1 << 5;
    /// The fields begin with a byte of [`more`] flags.
    pub(crate) const MORE: u8 = 1 << 6;
    /// The payload is JSON. It needs no field.
    pub(crate) const JSON: u8 = 1 << 7;
    /// Those with a field.
    pub(crate) const FIELDS: u8 = !JSON;
}

/// The bits of the second byte of flags.
pub(super) mod more {
    /// The schema version is not 1.
    pub(crate) const SCHEMA_VERSION: u8 = 1 << 0;
    /// The payload is neither JSON nor octets.
    pub(crate) const CONTENT_TYPE: u8 = 1 << 1;
    /// The payload is an LZ4 block.
    pub(crate) const COMPRESSED: u8 = 1 << 2;
    /// The entry was purged: nothing is left of it but the length of its payload.
    pub(crate) const TOMBSTONE: u8 = 1 << 3;
    pub(crate) const ALL: u8 = SCHEMA_VERSION | CONTENT_TYPE | COMPRESSED | TOMBSTONE;
}

/// The two content types that take a bit instead of their name.
pub(super) const JSON: &str = "application/json";
pub(super) const OCTETS: &str = "application/octet-stream";

/// What stands before a short payload: flags and length.
const SHORT_HEAD_BYTES: usize = 2;

type Result<T> = std::result::Result<T, Malformed>;

/// An entry in the bytes of its frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryRef<'a> {
    flags: u8,
    raw: &'a [u8],
    fields: &'a [u8],
    stored: &'a [u8],
}

/// What an entry has beside its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fields<'a> {
    pub(crate) kind: Option<&'a str>,
    pub(crate) order_key: Option<&'a str>,
    pub(crate) dedup_key: Option<&'a str>,
    pub(crate) schema_version: u32,
    pub(crate) content_type: &'a str,
    pub(crate) metadata: Pairs<'a>,
    pub(crate) tags: Tags<'a>,
    pub(crate) expires_at: Option<Timestamp>,
    /// Whether it was purged, and compaction has taken everything else away.
    pub(crate) is_tombstone: bool,
    /// Whether the payload is stored as an LZ4 block.
    pub(crate) is_compressed: bool,
    /// The bytes of the payload as it was appended.
    pub(crate) payload_bytes: u64,
}

impl<'a> EntryRef<'a> {
    /// Reads the entry at the front of `bytes`. Its fields are looked at by [`fields`](Self::fields).
    ///
    /// # Errors
    /// The bytes end within it.
    #[inline]
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self> {
        Self::split(bytes).map(|(entry, _)| entry)
    }

    /// Reads the entry at the front of `bytes`, and tells what is behind it.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    #[inline]
    pub(crate) fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8])> {
        match Self::split_plain(bytes) {
            Some(plain) => Ok(plain),
            None => Self::split_any(bytes),
        }
    }

    #[inline(never)]
    fn split_any(bytes: &'a [u8]) -> Result<(Self, &'a [u8])> {
        if let Some(short) = Self::split_short(bytes) {
            return Ok(short);
        }
        let mut input = Input::new(bytes);
        let flags = input.u8()?;
        let stored_bytes = input.varint()?;
        let fields = if flags & flag::FIELDS == 0 {
            &[]
        } else {
            input.prefixed()?
        };
        let stored = input.bytes(stored_bytes)?;
        let entry = Self {
            flags,
            raw: &bytes[..bytes.len() - input.len()],
            fields,
            stored,
        };
        Ok((entry, input.rest()))
    }

    /// As [`split`](Self::split), of an entry that [is plain](Self::is_plain) and has a payload of fewer than 128 bytes, as
    /// most of many entries do; none if it does not.
    #[inline]
    pub(crate) fn split_plain(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let [flags, len @ ..0x80, ..] = *bytes else {
            return None;
        };
        if flags & flag::FIELDS != 0 {
            return None;
        }
        let (raw, rest) = bytes.split_at_checked(SHORT_HEAD_BYTES + usize::from(len))?;
        let entry = Self {
            flags,
            raw,
            fields: &[],
            stored: &raw[SHORT_HEAD_BYTES..],
        };
        Some((entry, rest))
    }

    /// As [`split`](Self::split), of an entry that has fields, and these and its payload fewer than 128 bytes each; none if
    /// not.
    #[inline]
    fn split_short(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let [flags, len @ ..0x80, fields_len @ ..0x80, ..] = *bytes else {
            return None;
        };
        if flags & flag::FIELDS == 0 {
            return None;
        }
        let head = SHORT_HEAD_BYTES + 1 + usize::from(fields_len);
        let (raw, rest) = bytes.split_at_checked(head + usize::from(len))?;
        let (head, stored) = raw.split_at(head);
        let entry = Self {
            flags,
            raw,
            fields: &head[SHORT_HEAD_BYTES + 1..],
            stored,
        };
        Some((entry, rest))
    }

    /// All of the entry's bytes. For copying it as it is.
    pub(crate) fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Whether it has nothing but a payload, of JSON or octets.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.flags & flag::FIELDS == 0
    }

    /// Whether the payload is JSON, if it is plain; octets otherwise.
    #[inline]
    pub(super) fn is_json(&self) -> bool {
        debug_assert!(self.is_plain());
        self.flags & flag::JSON != 0
    }

    /// The payload, if it is plain.
    #[inline]
    pub(super) fn plain_payload(&self) -> &'a [u8] {
        debug_assert!(self.is_plain());
        self.stored
    }

    /// What it has beside its payload, if it is plain: [`fields`](Self::fields) apart from the payload's length.
    #[inline]
    pub(crate) fn plain_fields(&self) -> &'static Fields<'static> {
        debug_assert!(self.is_plain());
        static OCTETS: Fields<'_> = Fields::NONE;
        static JSON: Fields<'_> = Fields {
            content_type: self::JSON,
            ..Fields::NONE
        };
        match self.flags & flag::JSON {
            0 => &OCTETS,
            _ => &JSON,
        }
    }

    /// Whether the payload stands in the entry as it was appended.
    #[inline]
    fn is_payload_stored(&self) -> bool {
        self.flags & flag::MORE == 0
    }

    /// Its kind and keys, if it has nothing else beside its payload, and they are as most are.
    #[inline]
    pub(crate) fn short_keys(&self) -> Option<ShortKeys<'a>> {
        ShortKeys::new(self.flags, self.fields)
    }

    /// How the payload is encoded, if no field says so.
    #[inline]
    pub(crate) fn known_content_type(&self) -> &'static str {
        known_content_type(self.flags)
    }

    /// What it has beside its payload.
    ///
    /// # Errors
    /// The fields are not those that its flags tell of, or of a newer format.
    #[inline]
    pub(crate) fn fields(&self) -> Result<Fields<'a>> {
        let mut fields = Fields {
            content_type: known_content_type(self.flags),
            payload_bytes: self.stored.len() as u64,
            ..Fields::NONE
        };
        if !self.is_plain() {
            fields.read(self.flags, Input::new(self.fields))?;
        }
        if fields.is_tombstone && (!self.stored.is_empty() || self.flags != flag::MORE) {
            return Err(Malformed("a tombstone holds something"));
        }
        Ok(fields)
    }

    /// The payload as it was appended; empty if it was purged.
    ///
    /// # Errors
    /// It is compressed, and damaged.
    #[inline]
    pub(crate) fn payload(&self) -> Result<Cow<'a, [u8]>> {
        if self.is_payload_stored() {
            return Ok(Cow::Borrowed(self.stored));
        }
        self.decoded_payload()
    }

    /// Takes the entry by value: what is borrowed for this has to lie in memory, which costs the rest.
    #[cold]
    fn decoded_payload(self) -> Result<Cow<'a, [u8]>> {
        self.payload_with(&self.fields()?)
    }

    /// The payload, by fields that were read already.
    pub(super) fn payload_with(&self, fields: &Fields<'a>) -> Result<Cow<'a, [u8]>> {
        if fields.is_compressed {
            return Ok(Cow::Owned(decompress(self.stored, fields.payload_bytes)?));
        }
        Ok(Cow::Borrowed(self.stored))
    }

    /// The bytes of the payload as it was appended, also if it was purged since.
    ///
    /// # Errors
    /// Those of [`fields`](Self::fields).
    #[inline]
    pub(crate) fn payload_bytes(&self) -> Result<u64> {
        if self.is_payload_stored() {
            return Ok(self.stored.len() as u64);
        }
        Ok(self.fields()?.payload_bytes)
    }

    /// The entry that readers get, before marks.
    ///
    /// # Errors
    /// Something about it is malformed.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn to_entry(
        self,
        stream: &StreamName,
        id: u64,
        recorded_at: Timestamp,
    ) -> Result<Entry<u64>> {
        let fields = self.fields()?;
        Owning::new(stream).entry(id, recorded_at, self, &fields)
    }
}

impl<'a> Fields<'a> {
    const NONE: Self = Self {
        kind: None,
        order_key: None,
        dedup_key: None,
        schema_version: 1,
        content_type: OCTETS,
        metadata: Pairs(&[]),
        tags: Tags(&[]),
        expires_at: None,
        is_tombstone: false,
        is_compressed: false,
        payload_bytes: 0,
    };

    fn read(&mut self, flags: u8, mut input: Input<'a>) -> Result<()> {
        let has = |bit| flags & bit != 0;
        if has(flag::MORE) {
            self.read_more(&mut input)?;
        }
        if has(flag::KIND) {
            self.kind = Some(input.text()?);
        }
        if has(flag::ORDER_KEY) {
            self.order_key = Some(input.text()?);
        }
        if has(flag::DEDUP_KEY) {
            self.dedup_key = Some(input.text()?);
        }
        if has(flag::EXPIRES_AT) {
            self.expires_at = Some(Timestamp::from_micros(input.signed()?));
        }
        if has(flag::TAGS) {
            self.tags = Tags(input.prefixed()?);
        }
        if has(flag::METADATA) {
            self.metadata = Pairs(input.prefixed()?);
        }
        input.end()
    }

    fn read_more(&mut self, input: &mut Input<'a>) -> Result<()> {
        let more = input.u8()?;
        if more & !more::ALL != 0 {
            return Err(Malformed("an entry has a field of a newer format"));
        }
        if more & more::SCHEMA_VERSION != 0 {
            self.schema_version = input.varint()?.try_into()?;
        }
        if more & more::CONTENT_TYPE != 0 {
            self.content_type = input.text()?;
        }
        self.is_compressed = more & more::COMPRESSED != 0;
        self.is_tombstone = more & more::TOMBSTONE != 0;
        if self.is_compressed || self.is_tombstone {
            self.payload_bytes = input.varint()?;
        }
        Ok(())
    }
}

fn known_content_type(flags: u8) -> &'static str {
    if flags & flag::JSON != 0 {
        JSON
    } else {
        OCTETS
    }
}
