//! How an entry lies in its row, and how it comes back.
//!
//! Text that is there but empty is stored as empty text; what is absent is NULL. JSON payloads are stored as text, so
//! that SQLite's JSON operators work on them; all others as blobs. A row without payload is a tombstone.

use std::collections::BTreeSet;

use ledger_core::{
    Bytes, ContentType, Entry, NewEntry, Payload, Sparse, StreamName, TextMap, Timestamp,
};
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Row, params};

use crate::error::Failure;
use crate::position;

// The columns of `Sql::entry` and its like.
pub(crate) const POSITION: usize = 0;
const RECORDED_AT: usize = 1;
const UPDATED_AT: usize = 2;
const EXPIRES_AT: usize = 3;
const SCHEMA_VERSION: usize = 4;
const KIND: usize = 5;
const ORDER_KEY: usize = 6;
const DEDUP_KEY: usize = 7;
const CONTENT_TYPE: usize = 8;
const PAYLOAD: usize = 9;
const METADATA: usize = 10;
const TAGS: usize = 11;
const ANNOTATIONS: usize = 12;

/// Writes `entry` at `position` with [`Sql::insert_entry`](crate::sql::Sql::insert_entry), and tells whether it did:
/// it does not if the dedup key is taken.
pub(crate) fn insert(
    statement: &mut CachedStatement<'_>,
    stream_id: i64,
    position: i64,
    recorded_at: Timestamp,
    entry: &NewEntry,
) -> rusqlite::Result<bool> {
    let inserted = statement.execute(params![
        position,
        stream_id,
        recorded_at.as_micros(),
        entry.expires_at.map(Timestamp::as_micros),
        entry.schema_version,
        entry.kind,
        entry.order_key,
        entry.dedup_key,
        stored_content_type(&entry.value.content_type),
        StoredPayload(&entry.value),
        stored_map(&entry.metadata),
        stored_tags(&entry.tags),
    ])?;
    Ok(inserted > 0)
}

/// JSON goes without saying.
fn stored_content_type(content_type: &ContentType) -> Option<&str> {
    (*content_type != ContentType::JSON).then(|| content_type.as_str())
}

struct StoredPayload<'a>(&'a Payload);

impl ToSql for StoredPayload<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let bytes: &[u8] = &self.0.bytes;
        let is_text =
            self.0.content_type == ContentType::JSON && std::str::from_utf8(bytes).is_ok();
        Ok(ToSqlOutput::Borrowed(if is_text {
            ValueRef::Text(bytes)
        } else {
            ValueRef::Blob(bytes)
        }))
    }
}

/// The JSON text of metadata or annotations; none if there are none.
pub(crate) fn stored_map(map: &TextMap) -> Option<String> {
    (!map.is_empty()).then(|| serde_json::to_string(map).expect("text is always JSON"))
}

/// The JSON text of tags; none if there are none.
pub(crate) fn stored_tags(tags: &BTreeSet<String>) -> Option<String> {
    (!tags.is_empty()).then(|| serde_json::to_string(tags).expect("text is always JSON"))
}

/// Metadata or annotations from their JSON text.
pub(crate) fn map_from(text: Option<&str>) -> Result<Sparse<TextMap>, Failure> {
    let Some(text) = text else {
        return Ok(Sparse::new());
    };
    let map: TextMap = serde_json::from_str(text).map_err(not_json)?;
    Ok(map.into())
}

fn tags_from(text: Option<&str>) -> Result<Sparse<BTreeSet<String>>, Failure> {
    let Some(text) = text else {
        return Ok(Sparse::new());
    };
    let tags: BTreeSet<String> = serde_json::from_str(text).map_err(not_json)?;
    Ok(tags.into())
}

/// Tells whether a read at `now` returns the entry of this row.
pub(crate) fn is_visible(row: &Row<'_>, now: Timestamp) -> Result<bool, Failure> {
    if row.get_ref(PAYLOAD)? == ValueRef::Null {
        return Ok(false);
    }
    Ok(time(row, EXPIRES_AT)?.is_none_or(|expires_at| expires_at > now))
}

/// The kind of the entry in this row, without reading the rest of it.
pub(crate) fn kind<'a>(row: &'a Row<'_>) -> Result<Option<&'a str>, Failure> {
    text(row, KIND)
}

/// Reads the entry in this row, which must not be a tombstone.
pub(crate) fn entry(row: &Row<'_>, stream: &StreamName) -> Result<Entry<u64>, Failure> {
    let recorded_at = Timestamp::from_micros(row.get(RECORDED_AT)?);
    let id = position::id(row.get(POSITION)?);
    let mut entry = Entry::new(id, stream.clone(), recorded_at, payload(row)?);
    entry.kind = owned(row, KIND)?;
    entry.order_key = owned(row, ORDER_KEY)?;
    entry.dedup_key = owned(row, DEDUP_KEY)?;
    entry.schema_version = row.get(SCHEMA_VERSION)?;
    entry.metadata = map_from(text(row, METADATA)?)?;
    entry.tags = tags_from(text(row, TAGS)?)?;
    entry.annotations = map_from(text(row, ANNOTATIONS)?)?;
    entry.updated_at = time(row, UPDATED_AT)?;
    entry.expires_at = time(row, EXPIRES_AT)?;
    Ok(entry)
}

fn payload(row: &Row<'_>) -> Result<Payload, Failure> {
    let content_type = text(row, CONTENT_TYPE)?.map_or(ContentType::JSON, ContentType::from_stored);
    let (ValueRef::Text(bytes) | ValueRef::Blob(bytes)) = row.get_ref(PAYLOAD)? else {
        return Err(damage(row, PAYLOAD));
    };
    Ok(Payload::new(Bytes::copy_from_slice(bytes), content_type))
}

fn owned(row: &Row<'_>, column: usize) -> Result<Option<String>, Failure> {
    Ok(text(row, column)?.map(str::to_owned))
}

fn text<'a>(row: &'a Row<'_>, column: usize) -> Result<Option<&'a str>, Failure> {
    row.get_ref(column)?
        .as_str_or_null()
        .map_err(|_| damage(row, column))
}

fn time(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>, Failure> {
    row.get_ref(column)?
        .as_i64_or_null()
        .map(|micros| micros.map(Timestamp::from_micros))
        .map_err(|_| damage(row, column))
}

fn not_json(error: serde_json::Error) -> Failure {
    Failure::damage(format!("an entry's metadata, tags or annotations: {error}"))
}

fn damage(row: &Row<'_>, column: usize) -> Failure {
    let name = row.as_ref().column_name(column).unwrap_or("?").to_owned();
    let position: i64 = row.get(POSITION).unwrap_or_default();
    Failure::damage(format!("column {name} of the entry at position {position}"))
}
