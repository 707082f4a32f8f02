//! What this store promises beyond the contract.

#![expect(clippy::unwrap_used, reason = "what helps tests is a test")]

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use ledger_core::{
    Batch, Clock, Condition, Durability, Error, Filter, NewEntry, Outcome, Payload, ReadOptions,
    Store, Timestamp,
};
use ledger_sqlite::rusqlite::Connection;
use ledger_sqlite::{SqliteOptions, SqliteStore};
use tempfile::TempDir;

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    (directory, path)
}

fn entry() -> NewEntry {
    NewEntry::new(Payload::json(r#"{"item":"book","count":2}"#))
}

fn one(entry: NewEntry) -> Batch<u64> {
    Batch::new("s", vec![entry])
}

async fn read(store: &SqliteStore, options: ReadOptions<u64>) -> Vec<u64> {
    let page = store.read(&"s".into(), &options).await.unwrap();
    page.entries.iter().map(|entry| entry.id).collect()
}

#[tokio::test]
async fn sqlites_json_operators_work_on_entries() {
    let (_directory, path) = place();
    let store = SqliteStore::open(&path).await.unwrap();
    store
        .append(one(entry().metadata("user", "ann").tag("urgent")))
        .await
        .unwrap();
    let sql = "SELECT payload ->> 'item', payload ->> '$.count', metadata ->> 'user', tags ->> 0
        FROM ledger_entries JOIN ledger_streams USING (stream_id) WHERE name = 's'";
    let found: (String, u32, String, String) = Connection::open(&path)
        .unwrap()
        .query_row(sql, [], |row| row.try_into())
        .unwrap();
    assert_eq!(found, ("book".into(), 2, "ann".into(), "urgent".into()));
}

#[tokio::test]
async fn each_append_of_a_group_has_its_own_outcome() {
    let (_directory, path) = place();
    let store = SqliteStore::open(&path).await.unwrap();
    store.append(one(entry().dedup_key("a"))).await.unwrap();
    // While this holds the file, appends pile up and become a group.
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let appends = [
        one(entry()),
        one(entry()).when(Condition::stream_is_empty()),
        one(entry().dedup_key("a")),
        one(entry()).when(Condition::head_is(2)),
        one(entry()).when(Condition::head_is(2)),
    ];
    let answers = tokio::spawn({
        let store = store.clone();
        async move { join_all(appends.map(|batch| store.append(batch))).await }
    });
    tokio::task::yield_now().await;
    other.execute_batch("COMMIT").unwrap();
    let outcomes: Vec<_> = answers
        .await
        .unwrap()
        .into_iter()
        .map(|answer| answer.map(|receipt| receipt.outcomes[0]))
        .collect();
    assert_eq!(*outcomes[0].as_ref().unwrap(), Outcome::Appended(2));
    assert!(matches!(outcomes[1], Err(Error::Conflict { .. })));
    assert_eq!(*outcomes[2].as_ref().unwrap(), Outcome::Duplicate(1));
    assert_eq!(*outcomes[3].as_ref().unwrap(), Outcome::Appended(3));
    assert!(matches!(outcomes[4], Err(Error::Conflict { .. })));
}

#[tokio::test]
async fn a_short_queue_makes_appends_wait_and_loses_none() {
    let (_directory, path) = place();
    let length = NonZeroUsize::new(1).unwrap();
    let options = SqliteOptions::default().with_queue_length(length);
    let store = SqliteStore::open_with(&path, options).await.unwrap();
    let appends = (0..50).map(|_| store.append(one(entry())));
    for answer in join_all(appends).await {
        answer.unwrap();
    }
    let ids = read(&store, ReadOptions::new()).await;
    assert!(ids.into_iter().eq(1..=50));
}

/// 5,000 entries: order keys o-0 to o-4 in turn, every hundredth of kind "rare".
async fn many() -> SqliteStore {
    let store = SqliteStore::in_memory().await.unwrap();
    let entries = (1..=5_000).map(|id| {
        let kind = if id % 100 == 0 { "rare" } else { "common" };
        entry().order_key(format!("o-{}", id % 5)).kind(kind)
    });
    store
        .append(Batch::new("s", entries.collect()))
        .await
        .unwrap();
    store
}

#[tokio::test]
async fn several_order_keys_are_read_in_order() {
    let store = many().await;
    let keys = Filter::new()
        .order_key("o-3")
        .order_key("o-1")
        .order_key("o-3");
    let options = ReadOptions::new().filter(keys).after(7).limit(3_000);
    let chosen = |id: &u64| id % 5 == 1 || id % 5 == 3;
    let ids = read(&store, options.clone()).await;
    assert!(ids.into_iter().eq((8..=5_000).filter(chosen)));
    let ids = read(&store, options.descending().before(4_999)).await;
    assert!(ids.into_iter().eq((8..4_999).rev().filter(chosen)));
}

#[tokio::test]
async fn what_few_entries_have_is_found_behind_many_others() {
    let store = many().await;
    let rare = Filter::new().order_key("o-0").order_key("o-2").kind("rare");
    let options = ReadOptions::new().filter(rare).limit(45);
    let ids = read(&store, options.clone()).await;
    assert!(ids.into_iter().eq((1..=45).map(|n| n * 100)));
    let ids = read(&store, options.descending()).await;
    assert!(ids.into_iter().eq((6..=50).rev().map(|n| n * 100)));
}

#[tokio::test]
async fn openings_of_one_name_share_a_memory() {
    let open = |name| SqliteStore::in_memory_named(name, SqliteOptions::default());
    // Names are not taken for parts of a URI.
    let (first, second) = (
        open("a?mode=ro#/%").await.unwrap(),
        open("a?mode=ro#/%").await.unwrap(),
    );
    let other = open("a").await.unwrap();
    first.append(one(entry())).await.unwrap();
    assert_eq!(read(&second, ReadOptions::new()).await, [1]);
    assert!(read(&other, ReadOptions::new()).await.is_empty());
    let unnamed = SqliteStore::in_memory().await.unwrap();
    assert!(read(&unnamed, ReadOptions::new()).await.is_empty());
}

#[tokio::test]
async fn receipts_tell_the_durability_that_was_chosen() {
    let (_directory, path) = place();
    let options = SqliteOptions::default().with_durability(Durability::Process);
    let store = SqliteStore::open_with(&path, options).await.unwrap();
    let receipt = store.append(one(entry())).await.unwrap();
    assert_eq!(receipt.durability, Durability::Process);
    let memory = SqliteStore::in_memory().await.unwrap();
    assert_eq!(memory.capabilities().durability, Durability::Volatile);
}

#[tokio::test]
async fn a_closed_store_is_one_file() {
    let (directory, path) = place();
    let store = SqliteStore::open(&path).await.unwrap();
    store.append(one(entry())).await.unwrap();
    store.close().await.unwrap();
    let files = std::fs::read_dir(directory.path()).unwrap();
    let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    assert_eq!(files, [path]);
}

#[tokio::test]
async fn dropping_the_last_handle_loses_nothing() {
    let (_directory, path) = place();
    let store = SqliteStore::open(&path).await.unwrap();
    let clone = store.clone();
    drop(store);
    clone.append(one(entry())).await.unwrap();
    drop(clone);
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(read(&store, ReadOptions::new()).await, [1]);
}

/// A clock that breaks once it is told to.
#[derive(Debug, Default)]
struct FragileClock(AtomicBool);

impl Clock for FragileClock {
    fn now(&self) -> Timestamp {
        assert!(!self.0.load(Ordering::SeqCst), "the clock is broken");
        Timestamp::from_micros(1)
    }
}

#[tokio::test]
async fn a_panic_in_the_writing_thread_poisons_the_store_and_a_reopen_cures_it() {
    let (_directory, path) = place();
    let clock = Arc::new(FragileClock::default());
    let options = SqliteOptions::default().with_clock(clock.clone());
    let store = SqliteStore::open_with(&path, options).await.unwrap();
    store.append(one(entry())).await.unwrap();

    clock.0.store(true, Ordering::SeqCst);
    let lost = store.append(one(entry())).await;
    assert!(
        matches!(lost, Err(Error::OutcomeUnknown { .. })),
        "{lost:?}"
    );
    // The thread tells its caller first; whoever comes in before it has told the others is left in doubt as well.
    let later = loop {
        match store.append(one(entry())).await {
            Err(Error::OutcomeUnknown { .. }) => {}
            later => break later.map(drop),
        }
    };
    let (stat, close) = (store.stat(&"s".into()).await, store.close().await);
    for answer in [later, stat.map(drop), close] {
        assert!(matches!(answer, Err(Error::Poisoned { .. })), "{answer:?}");
    }

    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(read(&store, ReadOptions::new()).await, [1]);
}
