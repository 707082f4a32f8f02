//! Files of every format that was ever released open, and keep what they hold.

#![expect(clippy::unwrap_used, reason = "what helps tests is a test")]

use std::fs;
use std::path::{Path, PathBuf};

use ledger_core::{
    Batch, ContentType, Error, Filter, NewEntry, Outcome, Payload, ReadOptions, Revision, Store,
};
use ledger_sqlite::SqliteStore;
use ledger_sqlite::rusqlite::Connection;
use tempfile::TempDir;

/// A copy of a fixture, in a directory of its own.
fn copy_of(fixture: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(fixture);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    fs::copy(fixtures.join(fixture), &path).unwrap();
    (directory, path)
}

fn format_of(path: &Path) -> u32 {
    let connection = Connection::open(path).unwrap();
    let sql = "SELECT value FROM ledger_meta WHERE key = 'format'";
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_file_of_format_1_keeps_every_field() {
    let (_directory, path) = copy_of("format-1.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let options = ReadOptions::new().with_tombstones();
    let page = store.read(&"orders".into(), &options).await.unwrap();

    let [book, lamp, paid] = page.entries.try_into().unwrap();
    assert_eq!(page.tombstones, [4]);
    assert_eq!((book.id, lamp.id, paid.id), (2, 3, 5));
    assert_eq!(book.value, Payload::json(r#"{"item":"book"}"#));
    assert_eq!(book.dedup_key.as_deref(), Some("evt-2"));
    assert_eq!(book.metadata["user"], "ann");
    assert!(book.tags.contains("urgent"));
    assert_eq!(lamp.annotations["seen"], "yes");
    assert_eq!(
        lamp.updated_at,
        Some("2013-01-01T12:00:00.000009Z".parse().unwrap())
    );
    assert_eq!(paid.value.content_type, ContentType::OCTET_STREAM);
    assert_eq!(&paid.value.bytes[..], b"\x00\x01\xff");
    assert_eq!(
        paid.recorded_at,
        "2013-01-01T12:00:00.000005Z".parse().unwrap()
    );
    assert_eq!(format_of(&path), 2);
}

#[tokio::test]
async fn a_file_of_format_1_gets_what_format_2_has() {
    let (_directory, path) = copy_of("format-1.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let stat = store.stat(&"orders".into()).await.unwrap();
    assert_eq!(
        (stat.first, stat.head, stat.bytes),
        (Some(2), Some(5), 15 + 15 + 3)
    );
    let trimmed = store.stat(&"trimmed".into()).await.unwrap();
    assert_eq!(
        (trimmed.first, trimmed.head, trimmed.bytes),
        (None, Some(7), 0)
    );

    let options = ReadOptions::new().filter(Filter::new().order_key("o-1"));
    let page = store.read(&"orders".into(), &options).await.unwrap();
    assert_eq!(
        page.entries
            .iter()
            .map(|entry| entry.id)
            .collect::<Vec<_>>(),
        [2, 5]
    );
}

#[tokio::test]
async fn a_file_of_format_1_goes_on_where_it_was() {
    let (_directory, path) = copy_of("format-1.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let entries = ["evt-3", "evt-6"].map(|key| NewEntry::new(Payload::json("6")).dedup_key(key));
    let receipt = store
        .append(Batch::new("orders", entries.into()))
        .await
        .unwrap();
    assert_eq!(
        receipt.outcomes,
        [Outcome::Duplicate(3), Outcome::Appended(6)]
    );

    let next = NewEntry::new(Payload::json("8"));
    let receipt = store
        .append(Batch::new("trimmed", vec![next]))
        .await
        .unwrap();
    assert_eq!(receipt.outcomes, [Outcome::Appended(8)]);

    let loaded = store
        .load_checkpoint(&"orders".into(), "billing")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (&loaded.value[..], loaded.revision),
        (&b"\x05"[..], Revision(4))
    );
}

#[tokio::test]
async fn openings_that_race_to_migrate_agree() {
    let (_directory, path) = copy_of("format-1.db");
    let open = || tokio::spawn(SqliteStore::open(path.clone()));
    for opening in [open(), open(), open(), open()] {
        let store = opening.await.unwrap().unwrap();
        let stat = store.stat(&"orders".into()).await.unwrap();
        assert_eq!(stat.bytes, 33);
    }
}

#[tokio::test]
async fn a_newer_format_is_refused_and_left_alone() {
    let (_directory, path) = copy_of("format-1.db");
    let connection = Connection::open(&path).unwrap();
    let sql = "UPDATE ledger_meta SET value = 3 WHERE key = 'format'";
    connection.execute(sql, []).unwrap();
    drop(connection);
    let before = fs::read(&path).unwrap();

    let refused = SqliteStore::open(&path).await.unwrap_err();
    let Error::FormatTooNew {
        place,
        found,
        supported,
    } = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!(
        (place, found, supported),
        (path.display().to_string(), 3, 2)
    );
    assert_eq!(fs::read(&path).unwrap(), before);
}
