//! The baseline: the same tables of the same file, written and read by hand with rusqlite.
//!
//! It does what a careful programmer would write for this one layout: cached statements, one transaction for each
//! batch, the head moved along in it. It checks no limits and no conditions, groups nothing, and leaves duplicates to
//! the unique index. The file is made by the store, so that tables, indexes and page size are the same.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use ledger_core::{Clock, NewEntry, SystemClock};
use rusqlite::types::Type;
use rusqlite::{CachedStatement, Connection, Row, TransactionBehavior, params};

use crate::Result;
use crate::arena::Arena;
use crate::ledger::{self, FILE, STREAM};
use crate::race::Lap;
use crate::work::{BATCH, Payment, Work};

/// The stream that all work goes to: the first one of the file.
const STREAM_ID: i64 = 1;

/// Where the stream's entries lie: the position of an entry is this and its id.
const BASE: i64 = STREAM_ID << 36;

const NAME_STREAM: &str =
    "INSERT INTO ledger_streams (stream_id, name, head, first, bytes) VALUES (?1, ?2, 0, 1, 0)";

const INSERT: &str = "INSERT INTO ledger_entries (position, stream_id, recorded_at, expires_at, schema_version, kind, \
     order_key, dedup_key, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

const MOVE_HEAD: &str = "UPDATE ledger_streams SET head = ?2, recorded_at = ?3, bytes = bytes + ?4 WHERE stream_id = ?1";

const PAGE: &str = "SELECT position, recorded_at, updated_at, expires_at, schema_version, kind, order_key, \
     dedup_key, content_type, payload, metadata, tags, annotations FROM ledger_entries \
     WHERE position BETWEEN ?1 AND ?2 ORDER BY position LIMIT ?3";

/// Settings that the store has as well.
const CHECKPOINT_PAGES: u32 = 4_000;
const WRITER_CACHE_KIB: i32 = 32 << 10;
const READER_CACHE_KIB: i32 = 8 << 10;

/// Writes the work to a fresh file in transactions of `size` entries, then checks it.
///
/// # Errors
/// Those of the engine, and what is wrong with what was written.
pub(crate) fn write_lap(arena: &Arena, work: Work, size: usize) -> Result<Lap> {
    let dir = arena.fresh_dir()?;
    arena.runtime.block_on(ledger::make_file(dir.path()))?;
    let mut db = open(dir.path(), WRITER_CACHE_KIB)?;
    db.execute(NAME_STREAM, params![STREAM_ID, STREAM])?;
    let lots = work.lots(size);
    let start = Instant::now();
    let mut head = 0;
    for lot in lots {
        head = append(&mut db, head, lot)?;
    }
    let time = start.elapsed();
    db.close().map_err(|(_, error)| error)?;
    check(&open(dir.path(), READER_CACHE_KIB)?, work)?;
    let entries = work.count;
    Ok(Lap { entries, time })
}

/// Reads the file in `dir` in pages of owned rows, then checks it.
///
/// # Errors
/// Those of the engine, and what is wrong with what was read.
pub(crate) fn read_raw_lap(dir: &Path, work: Work) -> Result<Lap> {
    read_lap(dir, work, |bytes| Ok(bytes.to_vec()))
}

/// Reads the file in `dir` in pages of owned rows with decoded payments, then checks it.
///
/// # Errors
/// Those of the engine, and what is wrong with what was read.
pub(crate) fn read_typed_lap(dir: &Path, work: Work) -> Result<Lap> {
    read_lap(dir, work, payment)
}

fn read_lap<T>(dir: &Path, work: Work, decode: Decode<T>) -> Result<Lap> {
    let db = open(dir, READER_CACHE_KIB)?;
    let start = Instant::now();
    let (mut entries, mut last) = (0, 0);
    loop {
        let page = black_box(page(&db, last, decode)?);
        entries += page.len();
        match page.last() {
            Some(record) => last = record.id,
            None => break,
        }
    }
    let time = start.elapsed();
    work.expect_count(entries)?;
    check(&db, work)?;
    Ok(Lap { entries, time })
}

/// Opens the file with the store's own settings: what they gain is not what is compared.
fn open(dir: &Path, cache_kib: i32) -> Result<Connection> {
    let db = Connection::open(dir.join(FILE))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    db.pragma_update(None, "cache_size", -cache_kib)?;
    Ok(db)
}

/// Appends a batch behind `head` and answers the new one.
fn append(db: &mut Connection, mut head: i64, lot: Vec<NewEntry<Payment>>) -> Result<i64> {
    let now = SystemClock.now().as_micros();
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut insert = transaction.prepare_cached(INSERT)?;
    let mut bytes = 0;
    for entry in lot {
        head += 1;
        bytes += insert_entry(&mut insert, head, now, entry)?;
    }
    drop(insert);
    transaction
        .prepare_cached(MOVE_HEAD)?
        .execute(params![STREAM_ID, head, now, bytes])?;
    transaction.commit()?;
    Ok(head)
}

/// Inserts an entry and answers how many bytes its payload has.
fn insert_entry(
    insert: &mut CachedStatement<'_>,
    id: i64,
    now: i64,
    entry: NewEntry<Payment>,
) -> Result<i64> {
    let payload = serde_json::to_string(&entry.value)?;
    insert.execute(params![
        BASE + id,
        STREAM_ID,
        now,
        entry.expires_at.map(|time| time.as_micros()),
        entry.schema_version,
        entry.kind,
        entry.order_key,
        entry.dedup_key,
        payload,
    ])?;
    Ok(payload.len() as i64)
}

/// A row, all columns of it, owned.
struct Record<T> {
    id: i64,
    _recorded_at: i64,
    _updated_at: Option<i64>,
    _expires_at: Option<i64>,
    _schema_version: u32,
    _kind: Option<String>,
    _order_key: Option<String>,
    dedup_key: Option<String>,
    _content_type: Option<String>,
    value: T,
    _metadata: Option<String>,
    _tags: Option<String>,
    _annotations: Option<String>,
}

impl<T> Record<T> {
    fn from_row(row: &Row<'_>, decode: Decode<T>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get::<_, i64>(0)? - BASE,
            _recorded_at: row.get(1)?,
            _updated_at: row.get(2)?,
            _expires_at: row.get(3)?,
            _schema_version: row.get(4)?,
            _kind: row.get(5)?,
            _order_key: row.get(6)?,
            dedup_key: row.get(7)?,
            _content_type: row.get(8)?,
            value: decode(row.get_ref(9)?.as_bytes().map_err(conversion)?)?,
            _metadata: row.get(10)?,
            _tags: row.get(11)?,
            _annotations: row.get(12)?,
        })
    }
}

/// Makes a value of a payload.
type Decode<T> = fn(&[u8]) -> rusqlite::Result<T>;

fn payment(bytes: &[u8]) -> rusqlite::Result<Payment> {
    serde_json::from_slice(bytes).map_err(conversion)
}

fn conversion(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(9, Type::Text, Box::new(error))
}

/// Reads a page behind `last`.
fn page<T>(db: &Connection, last: i64, decode: Decode<T>) -> Result<Vec<Record<T>>> {
    let mut statement = db.prepare_cached(PAGE)?;
    let range = params![BASE + last + 1, BASE + (1 << 36) - 1, BATCH as i64];
    let rows = statement.query_map(range, |row| Record::from_row(row, decode))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Checks every entry of the file.
fn check(db: &Connection, work: Work) -> Result<()> {
    let mut check = work.check();
    let mut last = 0;
    loop {
        let page = page(db, last, payment)?;
        for record in &page {
            check.entry(
                record.id.try_into()?,
                &record.value,
                record.dedup_key.as_deref(),
            )?;
        }
        match page.last() {
            Some(record) => last = record.id,
            None => return check.finish(),
        }
    }
}
