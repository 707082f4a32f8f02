//! How an entry lies in its collection: one document, written and read as raw bytes.
//!
//! What is absent, empty or usual takes no room: no tags, no tags field; version 1, no version. A tombstone is a document
//! whose `expires_at` is minus infinity, so that the one comparison that hides expired entries hides it too.

use std::collections::BTreeSet;

use ledger_core::{Bytes, ContentType, Entry, NewEntry, Payload, StreamName, TextMap, Timestamp};
use mongodb::bson::{Document, doc};

use crate::document::Writer;
use crate::error::{DOCUMENT_BYTES_MAX, Failure};
use crate::json;
use crate::reader::{Elements, Malformed, Value};

/// The `expires_at` of a tombstone: less than every time there is.
pub(crate) const PURGED: f64 = f64::NEG_INFINITY;

/// The `_id` of an entry.
pub(crate) fn entry_id(sid: i64, id: u64) -> Document {
    doc! { "s": sid, "i": stored(id) }
}

/// An id, or a count, as MongoDB holds it. As a bound, one beyond all that can be held will do.
pub(crate) fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A size that the limits keep far below 2 GiB.
fn stored_size(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}

/// Writes `entry` into the document that is open.
pub(crate) fn write(
    writer: &mut Writer,
    (sid, id): (i64, u64),
    recorded_at: Timestamp,
    entry: &NewEntry,
) {
    write_id(writer, (sid, id));
    writer.i64("recorded_at", recorded_at.as_micros());
    writer.i32("bytes", stored_size(entry.value.bytes.len()));
    if entry.schema_version != 1 {
        writer.i64("schema_version", entry.schema_version.into());
    }
    for (field, text) in [
        ("kind", &entry.kind),
        ("order_key", &entry.order_key),
        ("dedup_key", &entry.dedup_key),
    ] {
        if let Some(text) = text {
            writer.text(field, text);
        }
    }
    write_payload(writer, &entry.value);
    if let Some(time) = entry.expires_at {
        writer.i64("expires_at", time.as_micros());
    }
    write_pairs(writer, "metadata", &entry.metadata);
    write_tags(writer, &entry.tags);
}

/// Writes what is left of a purged entry.
pub(crate) fn write_tombstone(writer: &mut Writer, at: (i64, u64), recorded_at: Timestamp) {
    write_id(writer, at);
    writer.i64("recorded_at", recorded_at.as_micros());
    writer.i32("bytes", 0);
    writer.f64("expires_at", PURGED);
}

fn write_id(writer: &mut Writer, (sid, id): (i64, u64)) {
    writer.open_document("_id");
    writer.i64("s", sid);
    writer.i64("i", stored(id));
    writer.close();
}

fn write_payload(writer: &mut Writer, payload: &Payload) {
    if payload.content_type != ContentType::JSON {
        writer.text("content_type", payload.content_type.as_str());
        return writer.binary("payload", &payload.bytes);
    }
    match json::to_bson("payload", &payload.bytes) {
        Some(document) => writer.elements_of(&document),
        None => writer.binary("payload", &payload.bytes),
    }
}

/// Keys may be any text, which names of fields may not.
fn write_pairs(writer: &mut Writer, field: &str, pairs: &TextMap) {
    if pairs.is_empty() {
        return;
    }
    writer.open_array(field);
    for (position, (key, value)) in pairs.iter().enumerate() {
        writer.open_document(&position.to_string());
        writer.text("k", key);
        writer.text("v", value);
        writer.close();
    }
    writer.close();
}

fn write_tags(writer: &mut Writer, tags: &BTreeSet<String>) {
    if tags.is_empty() {
        return;
    }
    writer.open_array("tags");
    for (position, tag) in tags.iter().enumerate() {
        writer.text(&position.to_string(), tag);
    }
    writer.close();
}

/// A pair of metadata as a filter looks for it: the same fields in the same order.
pub(crate) fn pair((key, value): (&String, &String)) -> Document {
    doc! { "k": key, "v": value }
}

/// Reads the document back: the id it stands at, and the entry; none if a tombstone is all that is left.
pub(crate) fn read(
    mut document: Elements<'_>,
    stream: &StreamName,
) -> Result<(u64, Option<Entry<u64>>), Failure> {
    let mut found = Found::new(stream);
    while let Some((field, value)) = document.next()? {
        let taken = found.take(field, value);
        taken.ok_or_else(|| unexpected(field))?;
    }
    Ok((found.entry.id, (!found.is_purged).then_some(found.entry)))
}

/// What was read of a document so far.
struct Found {
    entry: Entry<u64>,
    /// The size of the payload, which is told before it.
    bytes: usize,
    is_purged: bool,
}

impl Found {
    fn new(stream: &StreamName) -> Self {
        let nothing = Payload::json(Bytes::new());
        Self {
            entry: Entry::new(0, stream.clone(), Timestamp::from_micros(0), nothing),
            bytes: 0,
            is_purged: false,
        }
    }

    /// Takes one field; none if it is not what [`write()`] writes.
    fn take(&mut self, field: &[u8], value: Value<'_>) -> Option<()> {
        let entry = &mut self.entry;
        let text = || value.as_text().map(str::to_owned);
        let time = || value.as_int().map(Timestamp::from_micros);
        match field {
            b"_id" => entry.id = id_of(value)?,
            b"recorded_at" => entry.recorded_at = time()?,
            b"updated_at" => entry.updated_at = Some(time()?),
            b"expires_at" if value == Value::Double(PURGED) => self.is_purged = true,
            b"expires_at" => entry.expires_at = Some(time()?),
            b"schema_version" => entry.schema_version = u32::try_from(value.as_int()?).ok()?,
            b"kind" => entry.kind = Some(text()?),
            b"order_key" => entry.order_key = Some(text()?),
            b"dedup_key" => entry.dedup_key = Some(text()?),
            b"content_type" => {
                entry.value.content_type = ContentType::from_stored(value.as_text()?)
            }
            b"bytes" => self.bytes = usize::try_from(value.as_int()?).ok()?,
            b"payload" => entry.value.bytes = payload(value, self.bytes)?,
            b"metadata" => entry.metadata = pairs(value.as_array()?)?.into(),
            b"annotations" => entry.annotations = pairs(value.as_array()?)?.into(),
            b"tags" => entry.tags = tags(value.as_array()?)?.into(),
            // Also what a user adds for queries of their own.
            _ => {}
        }
        Some(())
    }
}

/// The id in an `_id`.
pub(crate) fn id_of(value: Value<'_>) -> Option<u64> {
    let id = value.as_document()?.get("i")?.as_int()?;
    u64::try_from(id).ok()
}

/// The payload, which was `bytes` long: room for just that need not be given back.
fn payload(value: Value<'_>, bytes: usize) -> Option<Bytes> {
    if let Value::Binary(binary) = value {
        return Some(Bytes::copy_from_slice(binary));
    }
    let mut text = Vec::with_capacity(bytes.min(DOCUMENT_BYTES_MAX));
    json::write_json(&mut text, value)?;
    Some(text.into())
}

/// The pairs of metadata or annotations.
pub(crate) fn pairs(mut stored: Elements<'_>) -> Option<TextMap> {
    let mut pairs = TextMap::new();
    while let Some((_, pair)) = stored.next().ok()? {
        let text = |field| Some(pair.as_document()?.get(field)?.as_text()?.to_owned());
        pairs.insert(text("k")?, text("v")?);
    }
    Some(pairs)
}

fn tags(mut stored: Elements<'_>) -> Option<BTreeSet<String>> {
    let mut tags = BTreeSet::new();
    while let Some((_, tag)) = stored.next().ok()? {
        tags.insert(tag.as_text()?.to_owned());
    }
    Some(tags)
}

fn unexpected(field: &[u8]) -> Failure {
    let field = String::from_utf8_lossy(field);
    Failure::damage(format!(
        "the field {field} of an entry is not what it should be"
    ))
}

impl From<Malformed> for Failure {
    fn from(_: Malformed) -> Self {
        Self::damage("a document is no BSON")
    }
}

/// A document is no BSON.
pub(crate) fn damaged(error: mongodb::bson::error::Error) -> Failure {
    Failure::damage(error.to_string())
}

#[cfg(test)]
mod tests {
    use mongodb::bson::RawDocument;

    use super::*;

    fn read_back(document: &RawDocument) -> Result<(u64, Option<Entry<u64>>), Failure> {
        read(Elements::of(document.as_bytes())?, &"s".into())
    }

    fn round_trip(new: NewEntry) {
        let time = Timestamp::from_micros(i64::MAX);
        let mut writer = Writer::with_capacity(0);
        write(&mut writer, (-5, 7), time, &new);
        let document = writer.finish();
        let (id, Some(read)) = read_back(&document).unwrap() else {
            panic!("it is an entry")
        };
        assert_eq!(id, 7);
        assert_eq!(read, Entry::recorded(7, "s".into(), time, new));
    }

    #[test]
    fn every_field_comes_back() {
        let everything = NewEntry::new(Payload::json(r#"{"a":[1]}"#))
            .kind("")
            .order_key("a\0b")
            .dedup_key("$d.e")
            .schema_version(u32::MAX)
            .metadata("a.b", "")
            .metadata("$c", "\0")
            .metadata("", "x")
            .tag("")
            .tag("t")
            .expires_at(Timestamp::from_micros(i64::MIN));
        round_trip(everything);
        round_trip(NewEntry::new(Payload::json("{ }")));
        round_trip(NewEntry::new(Payload::octets("")));
        round_trip(NewEntry::new(Payload::new("[1]", String::new().into())));
    }

    #[test]
    fn a_purged_document_is_a_tombstone() {
        let document =
            mongodb::bson::rawdoc! { "_id": { "s": 1_i64, "i": 3_i64 }, "expires_at": PURGED };
        assert!(matches!(read_back(&document), Ok((3, None))));
    }

    #[test]
    fn what_nobody_wrote_is_damage() {
        let document = mongodb::bson::rawdoc! { "_id": 3_i64 };
        let error = read_back(&document).map(drop).unwrap_err();
        assert!(!error.is_transient());
    }
}
