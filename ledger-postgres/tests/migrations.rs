//! Making the tables, by several at once, by hand, or not at all.

mod common;

use std::num::NonZeroU32;

use common::{batch, keyed, place};
use futures_util::future::join_all;
use ledger_core::{Outcome, ReadOptions, Store};
use ledger_postgres::sqlx_core::raw_sql::raw_sql;
use ledger_postgres::sqlx_core::sql_str::AssertSqlSafe;
use ledger_postgres::{Indexes, Migrations, PostgresStore};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_instances_may_make_the_same_store_at_once() {
    let Some(place) = place().await else { return };
    let opened =
        join_all((0..8).map(|_| PostgresStore::open_with(place.url, place.options()))).await;
    for (n, store) in opened.into_iter().enumerate() {
        let receipt = store
            .unwrap()
            .append(batch("s", [keyed(&n.to_string())]))
            .await
            .unwrap();
        assert_eq!(receipt.outcomes, [Outcome::Appended(n as u64 + 1)]);
    }
}

#[tokio::test]
async fn the_printed_migration_makes_a_store() {
    let Some(place) = place().await else { return };
    let sql = AssertSqlSafe(place.options().migration_sql().unwrap());
    raw_sql(sql).execute(&place.admin).await.unwrap();
    let store = place
        .open_with(place.options().with_migrations(Migrations::Never))
        .await;
    store.append(batch("s", [keyed("a")])).await.unwrap();
}

#[tokio::test]
async fn a_second_opening_needs_no_permission_to_create() {
    let Some(place) = place().await else { return };
    place.open().await.close().await.unwrap();
    let store = place
        .open_with(place.options().with_migrations(Migrations::Never))
        .await;
    store.health().await.unwrap();
}

#[tokio::test]
async fn two_prefixes_share_a_schema() {
    let Some(place) = place().await else { return };
    let one = place.open().await;
    let other = place
        .open_with(place.options().with_table_prefix("other_"))
        .await;
    one.append(batch("s", [keyed("a")])).await.unwrap();
    assert_eq!(other.stat(&"s".into()).await.unwrap().head, None);
}

#[tokio::test]
async fn a_partitioned_store_is_a_store() {
    let Some(place) = place().await else { return };
    let store = place
        .open_with(place.options().with_partitions(NonZeroU32::new(4).unwrap()))
        .await;
    for stream in ["a", "b", "c", "d", "e"] {
        store
            .append(batch(stream, [keyed("k"), keyed("l")]))
            .await
            .unwrap();
        let again = store
            .append(batch(stream, [keyed("l"), keyed("m")]))
            .await
            .unwrap();
        assert_eq!(
            again.outcomes,
            [Outcome::Duplicate(2), Outcome::Appended(3)]
        );
        let page = store
            .read(&stream.into(), &ReadOptions::new().descending())
            .await
            .unwrap();
        assert_eq!(
            page.entries
                .iter()
                .map(|entry| entry.id)
                .collect::<Vec<_>>(),
            [3, 2, 1]
        );
    }
    place.run("DO $$ BEGIN ASSERT (SELECT count(*) FROM pg_inherits WHERE inhparent = '@.ledger_entries'::regclass) = 4; END $$").await;
    place.open().await.health().await.unwrap();
}

#[tokio::test]
async fn optional_indexes_can_be_added_later() {
    let Some(place) = place().await else { return };
    place.open().await.close().await.unwrap();
    let indexes = Indexes::default()
        .with_payload()
        .with_tags()
        .with_metadata();
    let store = place.open_with(place.options().with_indexes(indexes)).await;
    let json = ledger_core::NewEntry::new(ledger_core::Payload::json(r#"{"item":"book"}"#))
        .tag("t")
        .metadata("k", "v");
    store.append(batch("s", [json])).await.unwrap();
    place
        .run(
            "DO $$ BEGIN
                ASSERT (SELECT count(*) FROM pg_indexes WHERE schemaname = '@' AND indexdef LIKE '%USING gin%') = 3;
                ASSERT (SELECT payload ->> 'item' FROM @.ledger_log WHERE stream = 's') = 'book';
            END $$",
        )
        .await;
    place
        .open_with(place.options().with_indexes(indexes))
        .await
        .health()
        .await
        .unwrap();
}
