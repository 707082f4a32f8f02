//! How entries lie in their table: as columns on the way in, as rows on the way out.
//!
//! What is absent is NULL. The content type goes without saying for JSON. A payload is in one of two columns: `json` if
//! Postgres can work on it, `bytea` otherwise. A row without schema version is a tombstone.

use std::borrow::Cow;
use std::collections::BTreeSet;

use ledger_core::{
    Collection, ContentType, Entry, NewEntry, Payload, Result, Sparse, StreamName, TextMap,
    Timestamp,
};
use sqlx_core::arguments::Arguments as _;
use sqlx_core::decode::Decode;
use sqlx_core::error::BoxDynError;
use sqlx_core::row::Row;
use sqlx_core::value::ValueRef;
use sqlx_postgres::{PgArguments, PgRow, Postgres};

use crate::error::Place;
use crate::json;
use crate::text::{escaped, unescaped};

// The columns of a page.
const ID: usize = 0;
const RECORDED_AT: usize = 1;
const UPDATED_AT: usize = 2;
const EXPIRES_AT: usize = 3;
const SCHEMA_VERSION: usize = 4;
const KIND: usize = 5;
const ORDER_KEY: usize = 6;
const DEDUP_KEY: usize = 7;
const CONTENT_TYPE: usize = 8;
const PAYLOAD: usize = 9;
const PAYLOAD_BYTES: usize = 10;
const METADATA: usize = 11;
const TAGS: usize = 12;
const ANNOTATIONS: usize = 13;
const IS_VISIBLE: usize = 14;

// The columns of the row of bounds.
const FIRST: usize = 1;
const HEAD: usize = 2;

/// How the store's JSON text shows that a string in it is escaped.
const ESCAPE_IN_JSON: &str = "\\u0001";

/// An entry on its way in.
pub(crate) struct Incoming<'a> {
    expires_at: Option<i64>,
    schema_version: i64,
    kind: Option<Cow<'a, str>>,
    order_key: Option<Cow<'a, str>>,
    dedup_key: Option<Cow<'a, str>>,
    content_type: Option<Cow<'a, str>>,
    payload: Option<&'a str>,
    payload_bytes: Option<&'a [u8]>,
    metadata: Option<String>,
    tags: Option<String>,
}

impl<'a> Incoming<'a> {
    pub(crate) fn new(entry: &'a NewEntry) -> Self {
        let Payload {
            bytes,
            content_type,
            ..
        } = &entry.value;
        let is_json = *content_type == ContentType::JSON;
        let payload = is_json.then(|| json::queryable(bytes)).flatten();
        Self {
            expires_at: entry.expires_at.map(Timestamp::as_micros),
            schema_version: entry.schema_version.into(),
            kind: entry.kind.as_deref().map(escaped),
            order_key: entry.order_key.as_deref().map(escaped),
            dedup_key: entry.dedup_key.as_deref().map(escaped),
            content_type: (!is_json).then(|| escaped(content_type.as_str())),
            payload,
            payload_bytes: payload.is_none().then_some(bytes),
            metadata: stored_map(&entry.metadata),
            tags: stored_tags(entry.tags.iter()),
        }
    }

    /// Adds the columns in the order in which `append_one` takes them.
    pub(crate) fn add_to(self, arguments: &mut PgArguments) -> Result<(), BoxDynError> {
        arguments.add(self.expires_at)?;
        arguments.add(self.schema_version)?;
        arguments.add(self.kind)?;
        arguments.add(self.order_key)?;
        arguments.add(self.dedup_key)?;
        arguments.add(self.content_type)?;
        arguments.add(self.payload)?;
        arguments.add(self.payload_bytes)?;
        arguments.add(self.metadata)?;
        arguments.add(self.tags)
    }
}

/// Entries on their way in: an array for each column.
#[derive(Default)]
pub(crate) struct Columns<'a> {
    expires_at: Vec<Option<i64>>,
    schema_version: Vec<i64>,
    kind: Vec<Option<Cow<'a, str>>>,
    order_key: Vec<Option<Cow<'a, str>>>,
    dedup_key: Vec<Option<Cow<'a, str>>>,
    content_type: Vec<Option<Cow<'a, str>>>,
    payload: Vec<Option<&'a str>>,
    payload_bytes: Vec<Option<&'a [u8]>>,
    metadata: Vec<Option<String>>,
    tags: Vec<Option<String>>,
}

impl<'a> Columns<'a> {
    pub(crate) fn push(&mut self, entry: Incoming<'a>) {
        self.expires_at.push(entry.expires_at);
        self.schema_version.push(entry.schema_version);
        self.kind.push(entry.kind);
        self.order_key.push(entry.order_key);
        self.dedup_key.push(entry.dedup_key);
        self.content_type.push(entry.content_type);
        self.payload.push(entry.payload);
        self.payload_bytes.push(entry.payload_bytes);
        self.metadata.push(entry.metadata);
        self.tags.push(entry.tags);
    }

    /// Adds the columns in the order in which `append` takes them.
    pub(crate) fn add_to(self, arguments: &mut PgArguments) -> Result<(), BoxDynError> {
        arguments.add(unless_empty(self.expires_at))?;
        arguments.add(self.schema_version)?;
        arguments.add(unless_empty(self.kind))?;
        arguments.add(unless_empty(self.order_key))?;
        arguments.add(unless_empty(self.dedup_key))?;
        arguments.add(unless_empty(self.content_type))?;
        arguments.add(unless_empty(self.payload))?;
        arguments.add(unless_empty(self.payload_bytes))?;
        arguments.add(unless_empty(self.metadata))?;
        arguments.add(unless_empty(self.tags))
    }
}

/// A column, unless no entry has a value in it: then nothing is sent, and nothing taken apart by the server.
fn unless_empty<T>(column: Vec<Option<T>>) -> Option<Vec<Option<T>>> {
    column.iter().any(Option::is_some).then_some(column)
}

/// The JSON text of metadata or annotations; none if there are none.
pub(crate) fn stored_map(map: &TextMap) -> Option<String> {
    if map.is_empty() {
        return None;
    }
    let pairs = map
        .iter()
        .map(|(key, value)| (escaped(key), escaped(value)));
    Some(to_json(
        &pairs.collect::<std::collections::BTreeMap<_, _>>(),
    ))
}

/// The JSON text of tags; none if there are none.
pub(crate) fn stored_tags<'a>(tags: impl ExactSizeIterator<Item = &'a String>) -> Option<String> {
    if tags.len() == 0 {
        return None;
    }
    Some(to_json(&tags.map(|tag| escaped(tag)).collect::<Vec<_>>()))
}

pub(crate) fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("text is always JSON")
}

/// Metadata or annotations from their JSON text.
pub(crate) fn map_from(stored: &str) -> Result<TextMap, BoxDynError> {
    let map: TextMap = serde_json::from_str(stored)?;
    if !stored.contains(ESCAPE_IN_JSON) {
        return Ok(map);
    }
    let pairs = map.iter().map(|(key, value)| (owned(key), owned(value)));
    Ok(pairs.collect())
}

fn tags_from(stored: &str) -> Result<BTreeSet<String>, BoxDynError> {
    let tags: BTreeSet<String> = serde_json::from_str(stored)?;
    if !stored.contains(ESCAPE_IN_JSON) {
        return Ok(tags);
    }
    Ok(tags.iter().map(|tag| owned(tag)).collect())
}

fn owned(stored: &str) -> String {
    unescaped(stored).into_owned()
}

/// A row of a page.
pub(crate) struct PageRow<'a> {
    row: &'a PgRow,
    place: &'a Place,
}

impl<'a> PageRow<'a> {
    pub(crate) fn new(row: &'a PgRow, place: &'a Place) -> Self {
        Self { row, place }
    }

    /// The first id that the stream holds, and its head, which are in the row without id; none where there is none.
    pub(crate) fn bounds(&self) -> Result<(Option<u64>, Option<u64>)> {
        let (first, head) = (self.number(FIRST)?, self.number(HEAD)?);
        Ok(((first <= head).then_some(first), (head > 0).then_some(head)))
    }

    /// The id in this row; none if it is the row of bounds.
    pub(crate) fn id(&self) -> Result<Option<u64>> {
        let id: Option<i64> = self.get(ID)?;
        id.map(|id| u64::try_from(id).map_err(|_| self.damage(ID, "it is negative")))
            .transpose()
    }

    /// Tells an entry from a tombstone, in a page that was asked for both.
    pub(crate) fn is_visible(&self) -> Result<bool> {
        self.get(IS_VISIBLE)
    }

    /// The entry in this row, which must be visible.
    pub(crate) fn entry(&self, id: u64, stream: &StreamName) -> Result<Entry<u64>> {
        let recorded_at = Timestamp::from_micros(self.get(RECORDED_AT)?);
        let mut entry = Entry::new(id, stream.clone(), recorded_at, self.payload()?);
        entry.kind = self.text(KIND)?.map(owned);
        entry.order_key = self.text(ORDER_KEY)?.map(owned);
        entry.dedup_key = self.text(DEDUP_KEY)?.map(owned);
        let version = self.number(SCHEMA_VERSION)?;
        entry.schema_version =
            u32::try_from(version).map_err(|_| self.damage(SCHEMA_VERSION, "it is too large"))?;
        entry.metadata = self.parsed(METADATA, map_from)?;
        entry.tags = self.parsed(TAGS, tags_from)?;
        entry.annotations = self.parsed(ANNOTATIONS, map_from)?;
        entry.updated_at = self.time(UPDATED_AT)?;
        entry.expires_at = self.time(EXPIRES_AT)?;
        Ok(entry)
    }

    fn payload(&self) -> Result<Payload> {
        let content_type = self
            .text(CONTENT_TYPE)?
            .map_or(ContentType::JSON, |stored| {
                ContentType::from_stored(&unescaped(stored))
            });
        let bytes = match self.bytes(PAYLOAD)? {
            Some(bytes) => bytes,
            None => self
                .bytes(PAYLOAD_BYTES)?
                .ok_or_else(|| self.damage(PAYLOAD, "it is missing"))?,
        };
        Ok(Payload::new(bytes.to_vec(), content_type))
    }

    fn parsed<T: Collection>(
        &self,
        column: usize,
        parse: impl Fn(&str) -> Result<T, BoxDynError>,
    ) -> Result<Sparse<T>> {
        let Some(stored) = self.text(column)? else {
            return Ok(Sparse::new());
        };
        let parsed = parse(stored).map_err(|error| self.damage(column, &error.to_string()))?;
        Ok(parsed.into())
    }

    fn number(&self, column: usize) -> Result<u64> {
        let number: i64 = self.get(column)?;
        u64::try_from(number).map_err(|_| self.damage(column, "it is negative"))
    }

    fn time(&self, column: usize) -> Result<Option<Timestamp>> {
        Ok(self.get::<Option<i64>>(column)?.map(Timestamp::from_micros))
    }

    fn text(&self, column: usize) -> Result<Option<&'a str>> {
        self.get(column)
    }

    /// What the column holds, as it came over the wire: of `json` and `bytea` that is the value itself.
    fn bytes(&self, column: usize) -> Result<Option<&'a [u8]>> {
        let value = self.row.try_get_raw(column);
        let value = value.map_err(|error| self.damage(column, &error.to_string()))?;
        if value.is_null() {
            return Ok(None);
        }
        let bytes = value.as_bytes();
        bytes
            .map(Some)
            .map_err(|error| self.damage(column, &error.to_string()))
    }

    /// Unchecked, because the statement says what type it is.
    fn get<T: Decode<'a, Postgres>>(&self, column: usize) -> Result<T> {
        let value = self.row.try_get_unchecked(column);
        value.map_err(|error| self.damage(column, &error.to_string()))
    }

    fn damage(&self, column: usize, reason: &str) -> ledger_core::Error {
        self.place
            .damage(format!("column {column} of an entry: {reason}"))
    }
}

/// Reads one value of a row that the crate's own functions made.
pub(crate) fn get<'r, T: Decode<'r, Postgres>>(
    row: &'r PgRow,
    column: usize,
    place: &Place,
) -> Result<T> {
    let value = row.try_get_unchecked(column);
    value.map_err(|error| place.damage(format!("column {column} of an answer: {error}")))
}

/// Reads a number that is never negative.
pub(crate) fn unsigned(row: &PgRow, column: usize, place: &Place) -> Result<u64> {
    let number: i64 = get(row, column, place)?;
    u64::try_from(number)
        .map_err(|_| place.damage(format!("column {column} of an answer is negative")))
}

/// An id or a limit as Postgres holds it. What is beyond is not in any store, and stays beyond.
pub(crate) fn clamped(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_survives_the_trip_through_json() {
        let map: TextMap = [
            ("a\0".into(), "\u{1}\"\\".into()),
            ("".into(), "\u{1}\0".into()),
        ]
        .into();
        assert_eq!(map_from(&stored_map(&map).unwrap()).unwrap(), map);
        let tags: BTreeSet<String> = ["\0".into(), "\\u0001".into()].into();
        assert_eq!(tags_from(&stored_tags(tags.iter()).unwrap()).unwrap(), tags);
    }
}
