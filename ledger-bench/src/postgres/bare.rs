//! The baseline: the same tables and indexes, written and read by hand with sqlx.
//!
//! It does what a careful programmer would write for this one layout: prepared statements, a batch as arrays, rows
//! decoded as they arrive. It checks nothing, groups nothing, leaves duplicates to the unique index, and knows the ids
//! beforehand: no head is moved while the clock runs.

use std::hint::black_box;

use futures_util::TryStreamExt;
use ledger_core::{Clock, NewEntry, SystemClock};
use sqlx_core::query::query;
use sqlx_core::row::Row;
use sqlx_postgres::{PgConnection, PgRow};

use crate::Result;
use crate::ledger::STREAM;
use crate::work::{BATCH, Payment};

const NAME_STREAM: &str = "INSERT INTO ledger_streams (name) VALUES ($1)";

const MOVE_HEAD: &str = "UPDATE ledger_streams SET head = $1";

/// The stream is the first one of the schema.
const INSERT_MANY: &str = "INSERT INTO ledger_entries (stream_id, id, recorded_at, expires_at, schema_version, kind, \
     order_key, dedup_key, content_type, payload, payload_bytes, metadata, tags) \
     SELECT 1, $1 + place, $2, n.expires_at, n.schema_version, n.kind, n.order_key, n.dedup_key, n.content_type, \
     n.payload::json, n.payload_bytes, n.metadata::jsonb, n.tags::jsonb \
     FROM unnest($3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::bytea[], \
     $11::text[], $12::text[]) WITH ORDINALITY AS n(expires_at, schema_version, kind, order_key, dedup_key, \
     content_type, payload, payload_bytes, metadata, tags, place)";

const INSERT_ONE: &str = "INSERT INTO ledger_entries (stream_id, id, recorded_at, expires_at, schema_version, kind, \
     order_key, dedup_key, content_type, payload, payload_bytes, metadata, tags) \
     VALUES (1, $1, $2, $3, $4, $5, $6, $7, $8, $9::text::json, $10, $11::text::jsonb, $12::text::jsonb)";

const PAGE: &str = "SELECT id, recorded_at, updated_at, expires_at, schema_version, kind, order_key, dedup_key, \
     content_type, payload, payload_bytes, metadata::text, tags::text, annotations::text \
     FROM ledger_entries WHERE stream_id = 1 AND id > $1 ORDER BY id LIMIT $2";

/// Makes the row of the stream.
///
/// # Errors
/// Those of the server.
pub(crate) async fn name_stream(connection: &mut PgConnection) -> Result<()> {
    query(NAME_STREAM).bind(STREAM).execute(connection).await?;
    Ok(())
}

/// Moves the head over everything that was appended, so that a store finds it.
///
/// # Errors
/// Those of the server.
pub(crate) async fn move_head(connection: &mut PgConnection, head: usize) -> Result<()> {
    let head = i64::try_from(head)?;
    query(MOVE_HEAD).bind(head).execute(connection).await?;
    Ok(())
}

/// Appends each lot in a statement, and a transaction, of its own.
///
/// # Errors
/// Those of the server.
pub(crate) async fn append_lots(
    connection: &mut PgConnection,
    lots: Vec<Vec<NewEntry<Payment>>>,
) -> Result<()> {
    let mut head = 0;
    for lot in lots {
        let count = lot.len() as i64;
        insert_many(connection, head, lot).await?;
        head += count;
    }
    Ok(())
}

/// Appends each entry in a statement, and a transaction, of its own.
///
/// # Errors
/// Those of the server.
pub(crate) async fn append_each(
    connection: &mut PgConnection,
    entries: Vec<NewEntry<Payment>>,
) -> Result<()> {
    for (entry, id) in entries.into_iter().zip(1..) {
        insert_one(connection, id, entry).await?;
    }
    Ok(())
}

async fn insert_many(
    connection: &mut PgConnection,
    head: i64,
    lot: Vec<NewEntry<Payment>>,
) -> Result<()> {
    let mut columns = Columns::default();
    for entry in lot {
        columns.push(entry)?;
    }
    let insert = query(INSERT_MANY).bind(head).bind(now());
    let insert = insert.bind(columns.expires_at).bind(columns.schema_version);
    let insert = insert.bind(columns.kind).bind(columns.order_key);
    let insert = insert.bind(columns.dedup_key).bind(columns.content_type);
    let insert = insert.bind(columns.payload).bind(columns.payload_bytes);
    let insert = insert.bind(columns.metadata).bind(columns.tags);
    insert.execute(connection).await?;
    Ok(())
}

async fn insert_one(
    connection: &mut PgConnection,
    id: i64,
    entry: NewEntry<Payment>,
) -> Result<()> {
    let payload = serde_json::to_string(&entry.value)?;
    let insert = query(INSERT_ONE).bind(id).bind(now());
    let insert = insert.bind(entry.expires_at.map(|time| time.as_micros()));
    let insert = insert.bind(i64::from(entry.schema_version));
    let insert = insert.bind(entry.kind).bind(entry.order_key);
    let insert = insert.bind(entry.dedup_key).bind(None::<String>);
    let insert = insert.bind(payload).bind(None::<Vec<u8>>);
    let insert = insert.bind(None::<String>).bind(None::<String>);
    insert.execute(connection).await?;
    Ok(())
}

fn now() -> i64 {
    SystemClock.now().as_micros()
}

/// A lot as an array for each column; it has neither marks nor other payloads than JSON.
#[derive(Default)]
struct Columns {
    expires_at: Vec<Option<i64>>,
    schema_version: Vec<i64>,
    kind: Vec<Option<String>>,
    order_key: Vec<Option<String>>,
    dedup_key: Vec<Option<String>>,
    content_type: Vec<Option<String>>,
    payload: Vec<String>,
    payload_bytes: Vec<Option<Vec<u8>>>,
    metadata: Vec<Option<String>>,
    tags: Vec<Option<String>>,
}

impl Columns {
    fn push(&mut self, entry: NewEntry<Payment>) -> Result<()> {
        let expires_at = entry.expires_at.map(|time| time.as_micros());
        self.expires_at.push(expires_at);
        self.schema_version.push(entry.schema_version.into());
        self.kind.push(entry.kind);
        self.order_key.push(entry.order_key);
        self.dedup_key.push(entry.dedup_key);
        self.content_type.push(None);
        self.payload.push(serde_json::to_string(&entry.value)?);
        self.payload_bytes.push(None);
        self.metadata.push(None);
        self.tags.push(None);
        Ok(())
    }
}

/// Reads everything in pages of 1,000 owned rows, and answers how many there were.
///
/// # Errors
/// Those of the server.
pub(crate) async fn read_raw(connection: &mut PgConnection) -> Result<usize> {
    read(connection, |bytes| Ok(bytes.to_vec())).await
}

/// Reads everything in pages of 1,000 owned rows with decoded payments, and answers how many there were.
///
/// # Errors
/// Those of the server and the decoder.
pub(crate) async fn read_typed(connection: &mut PgConnection) -> Result<usize> {
    read::<Payment>(connection, |bytes| Ok(serde_json::from_slice(bytes)?)).await
}

/// Makes a value of a payload.
type Decode<T> = fn(&[u8]) -> Result<T>;

async fn read<T>(connection: &mut PgConnection, decode: Decode<T>) -> Result<usize> {
    let (mut count, mut last) = (0, 0);
    loop {
        let page = black_box(page(connection, last, decode).await?);
        match page.last() {
            Some(record) => last = record.id,
            None => return Ok(count),
        }
        count += page.len();
    }
}

/// Reads a page behind `last`, row by row as it arrives.
async fn page<T>(
    connection: &mut PgConnection,
    last: i64,
    decode: Decode<T>,
) -> Result<Vec<Record<T>>> {
    let mut page = Vec::with_capacity(BATCH);
    let mut rows = query(PAGE).bind(last).bind(BATCH as i64).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        page.push(Record::from_row(&row, decode)?);
    }
    Ok(page)
}

/// A row, all columns of it, owned.
struct Record<T> {
    id: i64,
    _recorded_at: i64,
    _updated_at: Option<i64>,
    _expires_at: Option<i64>,
    _schema_version: i64,
    _kind: Option<String>,
    _order_key: Option<String>,
    _dedup_key: Option<String>,
    _content_type: Option<String>,
    _value: T,
    _payload_bytes: Option<Vec<u8>>,
    _metadata: Option<String>,
    _tags: Option<String>,
    _annotations: Option<String>,
}

impl<T> Record<T> {
    fn from_row(row: &PgRow, decode: Decode<T>) -> Result<Self> {
        Ok(Self {
            id: row.try_get(0)?,
            _recorded_at: row.try_get(1)?,
            _updated_at: row.try_get(2)?,
            _expires_at: row.try_get(3)?,
            _schema_version: row.try_get(4)?,
            _kind: row.try_get(5)?,
            _order_key: row.try_get(6)?,
            _dedup_key: row.try_get(7)?,
            _content_type: row.try_get(8)?,
            _value: decode(row.try_get_raw(9)?.as_bytes()?)?,
            _payload_bytes: row.try_get(10)?,
            _metadata: row.try_get(11)?,
            _tags: row.try_get(12)?,
            _annotations: row.try_get(13)?,
        })
    }
}
