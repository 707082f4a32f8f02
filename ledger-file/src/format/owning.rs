//! Entries that own what they hold, made from entries as they lie in a frame.

use std::borrow::Cow;

use ledger_core::{Bytes, ContentType, Entry, Payload, StreamName, Timestamp};

use super::entry::{EntryRef, Fields};
use super::input::Malformed;
use super::shared::SharedBytes;

/// Makes the entries of a page, before marks. Small payloads share memory.
#[derive(Debug)]
pub(crate) struct Owning<'a> {
    stream: &'a StreamName,
    payloads: SharedBytes,
}

impl<'a> Owning<'a> {
    /// For entries of `stream`, each with memory of its own until somebody says how many there will be.
    pub(crate) fn new(stream: &'a StreamName) -> Self {
        Self {
            stream,
            payloads: SharedBytes::default(),
        }
    }

    /// Says that `count` more entries will be made.
    pub(crate) fn expect(&mut self, count: usize) {
        self.payloads.expect(count);
    }

    /// The entry that readers get for one that [is plain](EntryRef::is_plain): as [`entry`](Self::entry), with less to look at.
    #[inline]
    pub(crate) fn plain(
        &mut self,
        id: u64,
        recorded_at: Timestamp,
        plain: EntryRef<'_>,
    ) -> Entry<u64> {
        let bytes = self.payloads.copy(plain.plain_payload());
        let content_type = match plain.is_json() {
            true => ContentType::JSON,
            false => ContentType::OCTET_STREAM,
        };
        let payload = Payload::new(bytes, content_type);
        Entry::new(id, self.stream.clone(), recorded_at, payload)
    }

    /// The entry that readers get for `entry`, which has `fields`.
    ///
    /// # Errors
    /// Something about it is malformed.
    pub(crate) fn entry(
        &mut self,
        id: u64,
        recorded_at: Timestamp,
        entry: EntryRef<'_>,
        fields: &Fields<'_>,
    ) -> Result<Entry<u64>, Malformed> {
        let bytes = match entry.payload_with(fields)? {
            Cow::Borrowed(bytes) => self.payloads.copy(bytes),
            Cow::Owned(bytes) => Bytes::from(bytes),
        };
        let content_type = ContentType::from_stored(fields.content_type);
        let payload = Payload::new(bytes, content_type);
        let mut owned = Entry::new(id, self.stream.clone(), recorded_at, payload);
        owned.kind = fields.kind.map(str::to_owned);
        owned.order_key = fields.order_key.map(str::to_owned);
        owned.dedup_key = fields.dedup_key.map(str::to_owned);
        owned.schema_version = fields.schema_version;
        if !fields.metadata.0.is_empty() {
            owned.metadata = fields.metadata.to_map()?.into();
        }
        if !fields.tags.0.is_empty() {
            owned.tags = fields.tags.to_set()?.into();
        }
        owned.expires_at = fields.expires_at;
        Ok(owned)
    }
}
