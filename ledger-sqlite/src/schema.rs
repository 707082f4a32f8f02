//! The tables, and how those of older formats become those of today.
//!
//! `docs/FORMAT.md` describes what they hold. A format is only ever left behind by a migration: each step here is
//! frozen once it is released, and a new store runs all of them. All steps, and the new format number, are one
//! transaction: a store is of its old format or of the new one, never between them.

use ledger_core::Error;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::error::{Failure, Place};
use crate::sql::{Sql, with_prefix};

/// What makes each format of the one before; the first makes an empty file a store.
const MIGRATIONS: [&str; 2] = [
    // 1: streams, entries, checkpoints.
    r#"
    CREATE TABLE "{p}meta" (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO "{p}meta" (key, value) VALUES ('revision', 0);
    CREATE TABLE "{p}streams" (
        stream_id INTEGER PRIMARY KEY CHECK (stream_id < 134217728),
        name TEXT NOT NULL UNIQUE,
        head INTEGER NOT NULL,
        first INTEGER NOT NULL,
        recorded_at INTEGER
    ) STRICT;
    CREATE TABLE "{p}entries" (
        position INTEGER PRIMARY KEY,
        stream_id INTEGER NOT NULL,
        recorded_at INTEGER NOT NULL,
        updated_at INTEGER,
        expires_at INTEGER,
        schema_version INTEGER NOT NULL,
        kind TEXT,
        order_key TEXT,
        dedup_key TEXT,
        content_type TEXT,
        payload ANY,
        metadata TEXT,
        tags TEXT,
        annotations TEXT
    ) STRICT;
    CREATE UNIQUE INDEX "{p}entries_dedup_key" ON "{p}entries" (stream_id, dedup_key) WHERE dedup_key <> '';
    CREATE INDEX "{p}entries_expires_at" ON "{p}entries" (stream_id, expires_at) WHERE expires_at IS NOT NULL;
    CREATE TABLE "{p}checkpoints" (
        stream_id INTEGER NOT NULL,
        name TEXT NOT NULL,
        revision INTEGER NOT NULL,
        value BLOB NOT NULL,
        PRIMARY KEY (stream_id, name)
    ) STRICT;
    "#,
    // 2: the size of a stream is known without reading it, and one order key is read without the others.
    r#"
    ALTER TABLE "{p}streams" ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
    UPDATE "{p}streams" SET bytes = (
        SELECT ifnull(sum(octet_length(payload)), 0) FROM "{p}entries"
        WHERE position BETWEEN "{p}streams".stream_id << 36 AND ("{p}streams".stream_id << 36) | 68719476735
    );
    CREATE INDEX "{p}entries_order_key" ON "{p}entries" (stream_id, order_key) WHERE order_key IS NOT NULL;
    "#,
];

/// The format that this version writes.
const FORMAT: u32 = MIGRATIONS.len() as u32;

/// Refuses what is no store, or one of a newer version. Changes nothing.
///
/// Answers the format found; zero if there is no store with these names yet.
pub(crate) fn check(connection: &Connection, sql: &Sql, place: &Place) -> Result<u32, Failure> {
    refuse_other_encodings(connection, place)?;
    let tables: u32 = connection.query_row(&sql.find_tables, [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(0);
    }
    let format = match find_format(connection, sql)? {
        Some(format) if tables == 4 => format,
        _ => {
            return Err(place
                .not_a_store("tables of its names belong to something else")
                .into());
        }
    };
    if format > FORMAT {
        return Err(Error::FormatTooNew {
            place: place.name.clone(),
            found: format,
            supported: FORMAT,
        }
        .into());
    }
    Ok(format)
}

/// Names would not sort by their bytes.
fn refuse_other_encodings(connection: &Connection, place: &Place) -> Result<(), Failure> {
    let encoding: String = connection.query_row("PRAGMA encoding", [], |row| row.get(0))?;
    if encoding != "UTF-8" {
        return Err(place
            .not_a_store(format!("its text is {encoding}, not UTF-8"))
            .into());
    }
    Ok(())
}

/// The format noted in the file; none if the note, or the table for it, is not as this crate writes them.
fn find_format(connection: &Connection, sql: &Sql) -> Result<Option<u32>, Failure> {
    let columns: Option<String> =
        connection.query_row(&sql.find_meta_columns, [], |row| row.get(0))?;
    if columns.as_deref() != Some("key,value") {
        return Ok(None);
    }
    let format: Option<u32> = connection
        .query_row(&sql.find_format, [], |row| row.get(0))
        .optional()?;
    Ok(format.filter(|format| *format > 0))
}

/// Brings the tables to today's format, creating them if need be.
pub(crate) fn migrate(
    connection: &mut Connection,
    sql: &Sql,
    prefix: &str,
    place: &Place,
) -> Result<(), Failure> {
    if check(connection, sql, place)? == FORMAT {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Looked at again under the lock: somebody else may have been faster.
    let found = check(&transaction, sql, place)?;
    for step in MIGRATIONS.iter().skip(found as usize) {
        transaction.execute_batch(&with_prefix(step, prefix))?;
    }
    transaction.execute(&sql.set_format, [FORMAT])?;
    transaction.commit()?;
    if found != FORMAT {
        tracing::info!(place = place.name, from = found, to = FORMAT, "migrated");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn place() -> Place {
        Place {
            name: "test".into(),
            busy_timeout: Duration::ZERO,
        }
    }

    fn migrated() -> (Connection, Sql) {
        let mut connection = Connection::open_in_memory().unwrap();
        let sql = Sql::new("p_");
        migrate(&mut connection, &sql, "p_", &place()).unwrap();
        (connection, sql)
    }

    #[test]
    fn a_new_store_is_of_todays_format() {
        let (connection, sql) = migrated();
        assert_eq!(check(&connection, &sql, &place()).unwrap(), FORMAT);
    }

    #[test]
    fn migrating_twice_changes_nothing() {
        let (mut connection, sql) = migrated();
        let version = |connection: &Connection| -> u32 {
            connection
                .query_row("PRAGMA schema_version", [], |row| row.get(0))
                .unwrap()
        };
        let before = version(&connection);
        migrate(&mut connection, &sql, "p_", &place()).unwrap();
        assert_eq!(version(&connection), before);
    }

    #[test]
    fn two_prefixes_share_a_file() {
        let (mut connection, _) = migrated();
        let other = Sql::new("q_");
        migrate(&mut connection, &other, "q_", &place()).unwrap();
        assert_eq!(check(&connection, &other, &place()).unwrap(), FORMAT);
    }

    #[test]
    fn the_newest_format_is_left_alone() {
        let (connection, sql) = migrated();
        connection.execute(&sql.set_format, [FORMAT + 1]).unwrap();
        let refused = check(&connection, &sql, &place()).unwrap_err();
        assert!(
            matches!(refused, Failure::Refusal(Error::FormatTooNew { found, .. }) if found == FORMAT + 1)
        );
    }
}
