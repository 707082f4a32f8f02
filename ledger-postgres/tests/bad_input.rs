//! Places that cannot be a store, or not fully: each a typed error that says what to do.

mod common;

use common::{Place, batch, entry, place};
use ledger_core::{Error, Limits, ReadOptions, Store};
use ledger_postgres::sqlx_postgres::PgConnectOptions;
use ledger_postgres::{Migrations, PostgresStore};
use ledger_testservers::fresh_name;

async fn refused_at(place: &Place, connect: PgConnectOptions) -> Error {
    PostgresStore::open_at(connect, place.options())
        .await
        .expect_err("it must be refused")
}

#[tokio::test]
async fn a_wrong_password_cannot_open() {
    let Some(place) = place().await else { return };
    let role = place.role().await;
    let error = refused_at(&place, place.connect_as(&role, "wrong", &place.database())).await;
    assert!(
        matches!(&error, Error::Open { place, .. } if place.contains(&role)),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_database_that_is_not_there_cannot_open() {
    let Some(place) = place().await else { return };
    let role = place.role().await;
    let error = refused_at(&place, place.connect_as(&role, "pw", "no_such_database")).await;
    assert!(matches!(error, Error::Open { .. }), "{error:?}");
}

#[tokio::test]
async fn a_role_that_may_not_create_cannot_open_a_new_store() {
    let Some(place) = place().await else { return };
    let role = place.role().await;
    let error = refused_at(&place, place.connect_as(&role, "pw", &place.database())).await;
    assert!(matches!(error, Error::Open { .. }), "{error:?}");
}

#[tokio::test]
async fn a_role_that_may_only_read_reads_and_cannot_append() {
    let Some(place) = place().await else { return };
    let writer = place.open().await;
    writer.append(batch("s", [entry("one")])).await.unwrap();
    let role = place.role().await;
    place
        .run(&format!(
            "GRANT USAGE ON SCHEMA @ TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA @ TO {role}"
        ))
        .await;
    let connect = place.connect_as(&role, "pw", &place.database());
    let reader = PostgresStore::open_at(connect, place.options())
        .await
        .unwrap();
    assert_eq!(
        reader
            .read(&"s".into(), &ReadOptions::new())
            .await
            .unwrap()
            .entries
            .len(),
        1
    );
    let error = reader.append(batch("s", [entry("two")])).await.unwrap_err();
    assert!(matches!(error, Error::Open { .. }), "{error:?}");
    assert_eq!(writer.stat(&"s".into()).await.unwrap().head, Some(1));
}

#[tokio::test]
async fn the_documented_least_role_can_do_everything() {
    let Some(place) = place().await else { return };
    place.open().await.close().await.unwrap();
    let role = place.role().await;
    place
        .run(&format!(
            "GRANT USAGE ON SCHEMA @ TO {role};
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA @ TO {role};
             GRANT USAGE ON ALL SEQUENCES IN SCHEMA @ TO {role}"
        ))
        .await;
    let connect = place.connect_as(&role, "pw", &place.database());
    let store = PostgresStore::open_at(connect, place.options())
        .await
        .unwrap();
    store.append(batch("s", [entry("one")])).await.unwrap();
    store
        .save_checkpoint(&"s".into(), "c", "v".into(), None)
        .await
        .unwrap();
    store.rename(&"s".into(), &"t".into()).await.unwrap();
    assert_eq!(store.trim(&"t".into(), 1).await.unwrap(), 1);
}

#[tokio::test]
async fn a_read_only_server_can_be_read_and_not_appended_to() {
    let Some(place) = place().await else { return };
    place
        .open()
        .await
        .append(batch("s", [entry("one")]))
        .await
        .unwrap();
    let read_only = (*place.admin.connect_options())
        .clone()
        .options([("default_transaction_read_only", "on")]);
    let store = PostgresStore::open_at(read_only.clone(), place.options())
        .await
        .unwrap();
    assert_eq!(
        store
            .read(&"s".into(), &ReadOptions::new())
            .await
            .unwrap()
            .entries
            .len(),
        1
    );
    let error = store.append(batch("s", [entry("two")])).await.unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
    let new = place.options().with_table_prefix("new_");
    let error = PostgresStore::open_at(read_only, new).await.unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
}

#[tokio::test]
async fn a_table_of_the_same_name_is_left_alone() {
    let Some(place) = place().await else { return };
    place.run("CREATE SCHEMA @; CREATE TABLE @.ledger_entries (id int); INSERT INTO @.ledger_entries VALUES (7)").await;
    let error = PostgresStore::open_with(place.url, place.options())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::NotAStore { reason, .. } if reason.contains(&place.schema)),
        "{error:?}"
    );
    place
        .run("DO $$ BEGIN ASSERT (SELECT sum(id) FROM @.ledger_entries) = 7; END $$")
        .await;
}

#[tokio::test]
async fn a_store_with_a_column_more_is_not_ours() {
    let Some(place) = place().await else { return };
    place.open().await.close().await.unwrap();
    place
        .run("ALTER TABLE @.ledger_streams ADD COLUMN colour text")
        .await;
    let error = PostgresStore::open_with(place.url, place.options())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NotAStore { .. }), "{error:?}");
}

#[tokio::test]
async fn a_newer_format_is_refused_and_left_alone() {
    let Some(place) = place().await else { return };
    place.open().await.close().await.unwrap();
    place
        .run("UPDATE @.ledger_meta SET value = 99 WHERE key = 'format'")
        .await;
    let error = PostgresStore::open_with(place.url, place.options())
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::FormatTooNew { found: 99, .. }),
        "{error:?}"
    );
    place
        .run("DO $$ BEGIN ASSERT (SELECT value FROM @.ledger_meta) = 99; END $$")
        .await;
}

#[tokio::test]
async fn a_format_that_is_no_number_of_ours_is_no_store() {
    let Some(place) = place().await else { return };
    place.open().await.close().await.unwrap();
    place.run("DELETE FROM @.ledger_meta").await;
    let error = PostgresStore::open_with(place.url, place.options())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NotAStore { .. }), "{error:?}");
}

#[tokio::test]
async fn a_database_that_is_not_utf8_is_refused() {
    let Some(place) = place().await else { return };
    let latin = fresh_name();
    place.run(&format!("CREATE DATABASE {latin} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")).await;
    let connect = (*place.admin.connect_options()).clone().database(&latin);
    let error = refused_at(&place, connect).await;
    place
        .run(&format!("DROP DATABASE {latin} WITH (FORCE)"))
        .await;
    assert!(
        matches!(&error, Error::NotAStore { reason, .. } if reason.contains("UTF8")),
        "{error:?}"
    );
}

#[tokio::test]
async fn without_migrations_a_missing_store_is_refused() {
    let Some(place) = place().await else { return };
    let options = place.options().with_migrations(Migrations::Never);
    let error = PostgresStore::open_with(place.url, options)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::NotAStore { reason, .. } if reason.contains("migration")),
        "{error:?}"
    );
}

#[tokio::test]
async fn where_no_server_is_there_is_none_to_reach() {
    let connect = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(1)
        .username("nobody");
    let error = PostgresStore::open_at(connect, Default::default())
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Unavailable { .. }) && error.is_retryable(),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_url_that_is_none_and_names_that_are_none_are_refused() {
    for url in ["", "postgres://host:port/x", "not a url"] {
        let error = PostgresStore::open(url).await.unwrap_err();
        assert!(
            matches!(error, Error::InvalidInput { .. }),
            "{url}: {error:?}"
        );
    }
    let Some(place) = place().await else { return };
    let options = place.options().with_table_prefix("a\"; DROP TABLE x; --");
    let error = PostgresStore::open_with(place.url, options)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::InvalidInput { .. }), "{error:?}");
}

#[tokio::test]
async fn too_much_is_refused_before_anything_is_sent() {
    let Some(place) = place().await else { return };
    let mut limits = Limits::default();
    limits.payload_bytes_max = 10;
    let store = place.open_with(place.options().with_limits(limits)).await;
    let error = store
        .append(batch("s", [entry("one"), entry("12345678901")]))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::LimitExceeded {
                size: 11,
                max: 10,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(store.stat(&"s".into()).await.unwrap().head, None);
}
