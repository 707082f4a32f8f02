//! Appends in a transaction of the caller's.

#![expect(clippy::unwrap_used, reason = "what helps tests is a test")]

use std::path::PathBuf;

use futures_util::FutureExt;
use ledger_core::{Batch, Condition, Error, NewEntry, Outcome, Payload, ReadOptions, Store};
use ledger_sqlite::SqliteStore;
use ledger_sqlite::rusqlite::{Connection, TransactionBehavior};
use tempfile::TempDir;

/// A store, and a connection of an application with a table of its own in the same file.
async fn shop() -> (TempDir, SqliteStore, Connection) {
    let directory = tempfile::tempdir().unwrap();
    let path: PathBuf = directory.path().join("shop.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch("CREATE TABLE stock (item TEXT)")
        .unwrap();
    (directory, store, connection)
}

fn batch(stream: &str, keys: &[&str]) -> Batch<u64> {
    let entry = |key: &&str| NewEntry::new(Payload::json("1")).dedup_key(*key);
    Batch::new(stream, keys.iter().map(entry).collect())
}

fn stock(connection: &Connection) -> u64 {
    connection
        .query_row("SELECT count(*) FROM stock", [], |row| row.get(0))
        .unwrap()
}

async fn ids(store: &SqliteStore, stream: &str) -> Vec<u64> {
    let page = store
        .read(&stream.into(), &ReadOptions::new())
        .await
        .unwrap();
    page.entries.iter().map(|entry| entry.id).collect()
}

#[tokio::test]
async fn tables_and_entries_are_committed_together() {
    let (_directory, store, mut connection) = shop().await;
    store.append(batch("s", &["a"])).await.unwrap();
    let mut transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    transaction
        .execute("INSERT INTO stock VALUES ('book')", [])
        .unwrap();
    let receipt = store
        .append_in(&mut transaction, batch("s", &["a", "b"]))
        .unwrap();
    assert_eq!(
        receipt.outcomes,
        [Outcome::Duplicate(1), Outcome::Appended(2)]
    );
    assert_eq!(ids(&store, "s").await, [1], "not before the commit");
    transaction.commit().unwrap();
    assert_eq!(ids(&store, "s").await, [1, 2]);
    assert_eq!(stock(&connection), 1);
}

#[tokio::test]
async fn a_rollback_leaves_nothing() {
    let (_directory, store, mut connection) = shop().await;
    let mut transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    transaction
        .execute("INSERT INTO stock VALUES ('book')", [])
        .unwrap();
    store
        .append_in(&mut transaction, batch("s", &["a"]))
        .unwrap();
    transaction.rollback().unwrap();
    assert_eq!(store.stat(&"s".into()).await.unwrap().head, None);
    assert_eq!(stock(&connection), 0);
    let receipt = store.append(batch("s", &["a"])).await.unwrap();
    assert_eq!(receipt.outcomes, [Outcome::Appended(1)]);
}

#[tokio::test]
async fn a_conflict_leaves_the_transaction_usable() {
    let (_directory, store, mut connection) = shop().await;
    store.append(batch("t", &["a"])).await.unwrap();
    let mut transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    transaction
        .execute("INSERT INTO stock VALUES ('book')", [])
        .unwrap();
    let refused = batch("t", &["b"]).when(Condition::stream_is_empty());
    let refused = store.append_many_in(&mut transaction, vec![batch("s", &["b"]), refused]);
    assert!(matches!(refused, Err(Error::Conflict { .. })));
    store
        .append_in(&mut transaction, batch("t", &["c"]))
        .unwrap();
    transaction.commit().unwrap();
    assert!(ids(&store, "s").await.is_empty());
    assert_eq!(ids(&store, "t").await, [1, 2]);
    assert_eq!(stock(&connection), 1);
}

#[tokio::test]
async fn a_commit_wakes_those_who_wait() {
    let (_directory, store, mut connection) = shop().await;
    let name = "s".into();
    let mut wait = store.wait(&name, None);
    assert!((&mut wait).now_or_never().is_none());
    let mut transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    store
        .append_in(&mut transaction, batch("s", &["a"]))
        .unwrap();
    transaction.commit().unwrap();
    wait.await.unwrap();
}

#[tokio::test]
async fn a_closed_store_appends_in_no_transaction() {
    let (_directory, store, mut connection) = shop().await;
    store.close().await.unwrap();
    let mut transaction = connection.transaction().unwrap();
    let refused = store.append_in(&mut transaction, batch("s", &["a"]));
    assert!(matches!(refused, Err(Error::Closed)));
}
