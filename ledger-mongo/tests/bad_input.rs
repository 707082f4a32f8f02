//! Places that cannot be a store, or not fully: each a typed error that says what to do.

mod common;

use std::time::Duration;

use common::{batch, entry, place};
use ledger_core::{Error, Limits, NewEntry, Payload, ReadOptions, Store};
use ledger_mongo::mongodb::bson::doc;
use ledger_mongo::{MongoOptions, MongoStore};
use ledger_testservers::Mongo;

async fn refused(url: &str, options: MongoOptions) -> Error {
    MongoStore::open_with(url, options)
        .await
        .expect_err("it must be refused")
}

#[tokio::test]
async fn a_standalone_server_is_told_how_to_become_a_set() {
    let Some(server) = Mongo::private_standalone() else {
        return;
    };
    let error = refused(server.url(), MongoOptions::default()).await;
    assert!(
        matches!(&error, Error::NotAStore { reason, .. } if reason.contains("--replSet") && reason.contains("rs.initiate()")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_wrong_password_cannot_open() {
    let Some(place) = place().await else { return };
    let role = doc! { "role": "readWrite", "db": &place.database };
    place.user("service", "right", role).await;
    let error = refused(&place.url_as("service", "wrong"), place.options()).await;
    assert!(
        matches!(&error, Error::Open { place, .. } if place.contains("service@")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_collection_of_the_same_name_is_left_alone() {
    let Some(place) = place().await else { return };
    let foreign = place.collection("ledger_entries");
    foreign.insert_one(doc! { "mine": 7 }).await.unwrap();
    let error = refused(&place.url, place.options()).await;
    assert!(
        matches!(&error, Error::NotAStore { reason, .. } if reason.contains("ledger_entries")),
        "{error:?}"
    );
    let found = foreign.find_one(doc! {}).await.unwrap().unwrap();
    assert_eq!(found.get_i32("mine").unwrap(), 7);
}

#[tokio::test]
async fn a_collection_that_sorts_otherwise_is_not_ours() {
    let Some(place) = place().await else { return };
    let french = doc! { "create": "ledger_streams", "collation": { "locale": "fr" } };
    place.database().run_command(french).await.unwrap();
    let error = refused(&place.url, place.options()).await;
    assert!(matches!(error, Error::NotAStore { .. }), "{error:?}");
}

#[tokio::test]
async fn a_newer_format_is_refused_and_left_alone() {
    let Some(place) = place().await else { return };
    place.open().await.close().await.unwrap();
    let meta = place.collection("ledger_meta");
    let newer = doc! { "$set": { "value": 99_i64 } };
    meta.update_one(doc! { "_id": "format" }, newer)
        .await
        .unwrap();
    let error = refused(&place.url, place.options()).await;
    assert!(
        matches!(error, Error::FormatTooNew { found: 99, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_format_that_is_no_number_is_damage() {
    let Some(place) = place().await else { return };
    place.open().await.close().await.unwrap();
    let meta = place.collection("ledger_meta");
    let odd = doc! { "$set": { "value": "one" } };
    meta.update_one(doc! { "_id": "format" }, odd)
        .await
        .unwrap();
    let error = refused(&place.url, place.options()).await;
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
}

#[tokio::test]
async fn where_no_server_is_there_is_none_to_reach() {
    let options = MongoOptions::default()
        .with_server_selection_timeout(Duration::from_millis(200))
        .with_transaction_timeout(Duration::from_millis(500));
    let error = refused("mongodb://127.0.0.1:1/", options).await;
    assert!(
        matches!(error, Error::Unavailable { .. }) && error.is_retryable(),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_uri_that_is_none_and_names_that_are_none_are_refused() {
    for uri in ["", "mongodb://", "mongodb://host:port/x", "not a uri"] {
        let error = refused(uri, MongoOptions::default()).await;
        assert!(
            matches!(error, Error::InvalidInput { .. }),
            "{uri}: {error:?}"
        );
    }
    let Some(place) = place().await else { return };
    for prefix in ["a.b", "$a", "system.", ""] {
        let options = place.options().with_collection_prefix(prefix);
        let error = refused(&place.url, options).await;
        assert!(matches!(error, Error::InvalidInput { .. }), "{error:?}");
    }
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

#[tokio::test]
async fn what_no_document_holds_is_refused_with_the_limit() {
    let Some(place) = place().await else { return };
    let mut limits = Limits::default();
    limits.metadata_bytes_max = usize::MAX;
    let store = place.open_with(place.options().with_limits(limits)).await;
    let largest = store.capabilities().limits.payload_bytes_max;
    assert_eq!(largest, 15 << 20, "the limit is told");
    let full = NewEntry::new(Payload::octets(vec![7; largest]));
    store.append(batch("s", [full.clone()])).await.unwrap();
    // Within each limit, and yet too large together: short pairs, each with its own document around it.
    let crowded = (0..45_000).fold(full, |entry, n| entry.metadata(n.to_string(), ""));
    let error = store
        .append(batch("s", [entry("small"), crowded]))
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::LimitExceeded { max, .. } if max == 16 << 20),
        "{error:?}"
    );
    let page = store.read(&"s".into(), &ReadOptions::new()).await.unwrap();
    assert_eq!(
        (page.head, page.entries[0].value.bytes.len()),
        (Some(1), largest)
    );
}

#[tokio::test]
async fn annotations_that_make_a_document_too_large_are_refused() {
    let Some(place) = place().await else { return };
    let mut limits = Limits::default();
    limits.metadata_bytes_max = usize::MAX;
    let store = place.open_with(place.options().with_limits(limits)).await;
    let full = NewEntry::new(Payload::octets(vec![7; 15 << 20]));
    store.append(batch("s", [full])).await.unwrap();
    let many = (0..40_000).map(|n| (n.to_string(), Some(String::new())));
    let error = store
        .annotate(&"s".into(), 1, many.collect())
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::LimitExceeded { max, .. } if max == 16 << 20),
        "{error:?}"
    );
    store
        .annotate(&"s".into(), 1, [("k".into(), Some("v".into()))].into())
        .await
        .unwrap();
}
