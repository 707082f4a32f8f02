//! Stores of every format open, and keep what they hold.

mod common;

use common::{Place, batch, keyed, place};
use ledger_core::{ContentType, Error, Outcome, Payload, ReadOptions, Revision, Store};
use ledger_postgres::sqlx_core::query_scalar::query_scalar;
use ledger_postgres::sqlx_core::raw_sql::raw_sql;
use ledger_postgres::sqlx_core::sql_str::AssertSqlSafe;
use ledger_postgres::{Migrations, PostgresStore};

/// What the schema is called in the dump.
const SCHEMA: &str = "fixture";

const FORMAT_1: &str = include_str!("fixtures/format-1.sql");

/// Puts a store of format 1 at `place`.
async fn put_format_1(place: &Place) {
    let dump = AssertSqlSafe(FORMAT_1.replace(SCHEMA, &place.schema));
    let put = raw_sql(dump).execute(&place.admin).await;
    put.expect("the dump is SQL");
}

async fn format_of(place: &Place) -> i64 {
    let schema = &place.schema;
    let sql = format!("SELECT value FROM {schema}.ledger_meta WHERE key = 'format'");
    let format = query_scalar(AssertSqlSafe(sql)).fetch_one(&place.admin);
    format.await.expect("the store says its format")
}

#[tokio::test]
async fn a_store_of_format_1_keeps_every_field() {
    let Some(place) = place().await else { return };
    put_format_1(&place).await;
    let store = place.open().await;
    assert_eq!(format_of(&place).await, 2);

    let options = ReadOptions::new().with_tombstones();
    let page = store.read(&"orders".into(), &options).await.unwrap();
    let [book, paid] = page.entries.try_into().unwrap();
    assert_eq!((book.id, paid.id, page.head), (2, 4, Some(4)));
    assert_eq!(page.tombstones, [3]);
    assert_eq!(book.value, Payload::json(r#"{"item":"book"}"#));
    assert_eq!(book.metadata["user"], "ann");
    assert_eq!(book.annotations["seen"], "yes");
    assert!(book.tags.contains("urgent"));
    assert_eq!(paid.value.content_type, ContentType::OCTET_STREAM);
    assert_eq!(&paid.value.bytes[..], b"\x00\x01\xff");
    assert_eq!(
        (paid.schema_version, paid.order_key.as_deref()),
        (2, Some("o-1"))
    );

    let billing = store.load_checkpoint(&"orders".into(), "billing").await;
    let billing = billing.unwrap().unwrap();
    assert_eq!(
        (&billing.value[..], billing.revision),
        (&b"\x02"[..], Revision(1))
    );
}

#[tokio::test]
async fn a_store_of_format_1_goes_on_where_it_was() {
    let Some(place) = place().await else { return };
    put_format_1(&place).await;
    let store = place.open().await;
    for (stream, key, outcome) in [
        ("orders", "evt-4", Outcome::Duplicate(4)),
        ("orders", "evt-3", Outcome::Appended(5)),
        ("trimmed", "evt-4", Outcome::Appended(3)),
        ("new", "evt-4", Outcome::Appended(1)),
    ] {
        let receipt = store.append(batch(stream, [keyed(key)])).await.unwrap();
        assert_eq!(receipt.outcomes, [outcome], "{stream} {key}");
    }
    let pair = store
        .append(batch("orders", [keyed("a"), keyed("b")]))
        .await;
    assert_eq!(pair.unwrap().ids().collect::<Vec<_>>(), [6, 7]);
    let stat = store.stat(&"orders".into()).await.unwrap();
    assert_eq!(
        (stat.first, stat.head, stat.bytes),
        (Some(2), Some(7), 18 + 5 + 2)
    );
}

#[tokio::test]
async fn a_store_of_format_1_is_upgraded_by_hand_where_migrations_are_switched_off() {
    let Some(place) = place().await else { return };
    put_format_1(&place).await;
    let options = || place.options().with_migrations(Migrations::Never);
    let refused = PostgresStore::open_with(place.url, options()).await;
    assert!(
        matches!(refused, Err(Error::NotAStore { .. })),
        "{refused:?}"
    );
    let sql = AssertSqlSafe(options().upgrade_sql(1).unwrap());
    raw_sql(sql).execute(&place.admin).await.unwrap();
    let store = place.open_with(options()).await;
    let receipt = store.append(batch("orders", [keyed("evt-2")])).await;
    assert_eq!(receipt.unwrap().outcomes, [Outcome::Duplicate(2)]);
}
