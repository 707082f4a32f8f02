//! Entries that own what they hold, made from entries as they lie in a frame.

use std::borrow::Cow;

use ledger_core::{Bytes, ContentType, Entry, Payload, StreamName, Timestamp};

use super::entry::{EntryRef, Fields};
use super::input::Malformed;
use super::shared::{Gathered, SharedBytes};

/// Makes the entries of a page, before marks. Small payloads share memory.
#[derive(Debug)]
pub(crate) struct Owning<'a> {
    stream: &'a StreamName,
    payloads: SharedBytes,
    /// What is known of plain entries whose payloads were copied together, and are still to be shared out.
    waiting: Vec<Waiting>,
}

/// A plain entry that is made when its piece of payloads is full.
#[derive(Debug)]
struct Waiting {
    id: u64,
    recorded_at: Timestamp,
    is_json: bool,
    payload: Gathered,
}

impl<'a> Owning<'a> {
    /// For entries of `stream`, each with memory of its own until somebody says how many there will be.
    pub(crate) fn new(stream: &'a StreamName) -> Self {
        Self {
            stream,
            payloads: SharedBytes::default(),
            waiting: Vec::new(),
        }
    }

    /// Says that `count` more entries will be made.
    pub(crate) fn expect(&mut self, count: usize) {
        self.payloads.expect(count);
    }

    /// Adds the entry that readers get for one that [is plain](EntryRef::is_plain) to `entries`, now or when they are
    /// [settled](Self::settle): as [`entry`](Self::entry), with less to look at.
    #[inline]
    pub(crate) fn plain(
        &mut self,
        id: u64,
        recorded_at: Timestamp,
        plain: EntryRef<'_>,
        entries: &mut Vec<Entry<u64>>,
    ) {
        let waiting = |payload| Waiting {
            id,
            recorded_at,
            is_json: plain.is_json(),
            payload,
        };
        let bytes = plain.plain_payload();
        if let Some(payload) = self.payloads.gather(bytes) {
            self.waiting.push(waiting(payload));
            return;
        }
        self.settle(entries);
        match self.payloads.gather_anew(bytes) {
            Some(payload) => self.waiting.push(waiting(payload)),
            None => {
                let bytes = self.payloads.copy_alone(bytes);
                entries.push(made(self.stream, id, recorded_at, plain.is_json(), bytes));
            }
        }
    }

    /// How many entries still have to be settled.
    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Adds the plain entries that are not there yet to `entries`.
    ///
    /// All of a piece together, each made where it will stay: to make it elsewhere, and to move it, costs more than all the
    /// rest.
    pub(crate) fn settle(&mut self, entries: &mut Vec<Entry<u64>>) {
        if self.waiting.is_empty() {
            return;
        }
        let (stream, payloads) = (self.stream, self.payloads.share());
        let start = entries.len();
        entries.extend(
            self.waiting
                .iter()
                .map(|it| made(stream, it.id, it.recorded_at, it.is_json, Bytes::new())),
        );
        for (entry, waiting) in entries[start..].iter_mut().zip(self.waiting.drain(..)) {
            entry.value.bytes = waiting.payload.of(&payloads);
        }
    }

    /// The entry that readers get for `entry`, which has `fields`.
    ///
    /// Plain ones that came before have to be settled first.
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

/// An entry with nothing but its payload.
#[inline]
fn made(
    stream: &StreamName,
    id: u64,
    recorded_at: Timestamp,
    is_json: bool,
    bytes: Bytes,
) -> Entry<u64> {
    let content_type = match is_json {
        true => ContentType::JSON,
        false => ContentType::OCTET_STREAM,
    };
    Entry::new(
        id,
        stream.clone(),
        recorded_at,
        Payload::new(bytes, content_type),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry of a payload, with a dedup key if it is to have one.
    fn raw(payload: &[u8], dedup_key: Option<&str>) -> Vec<u8> {
        let mut bytes = vec![if dedup_key.is_some() { 4 } else { 0 }];
        crate::format::put_varint(&mut bytes, payload.len() as u64);
        if let Some(key) = dedup_key {
            bytes.extend([key.len() as u8 + 1, key.len() as u8]);
            bytes.extend(key.as_bytes());
        }
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn entries_come_in_their_order_and_as_they_are_whatever_they_share() {
        let stream = StreamName::from("s");
        let lengths = [100, 0, 100, 3_000, 100, 900, 900, 16_000, 1, 1];
        let raws: Vec<_> = (0..200)
            .map(|i| {
                raw(
                    &vec![i as u8; lengths[i % 10]],
                    (i % 7 == 0).then_some("key"),
                )
            })
            .collect();
        let time = Timestamp::from_micros(7);
        let (mut owning, mut entries) = (Owning::new(&stream), Vec::new());
        owning.expect(raws.len());
        for (id, raw) in (1..).zip(&raws) {
            let entry = EntryRef::parse(raw).unwrap();
            if entry.is_plain() {
                owning.plain(id, time, entry, &mut entries);
            } else {
                owning.settle(&mut entries);
                let fields = entry.fields().unwrap();
                entries.push(owning.entry(id, time, entry, &fields).unwrap());
            }
        }
        owning.settle(&mut entries);
        let alone = |(id, raw): (u64, &Vec<u8>)| {
            let entry = EntryRef::parse(raw).unwrap();
            entry.to_entry(&stream, id, time).unwrap()
        };
        let expected: Vec<_> = (1..).zip(&raws).map(alone).collect();
        assert_eq!(entries, expected);
    }
}
