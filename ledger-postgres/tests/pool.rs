//! A pool that is used up, and one that is the caller's.

mod common;

use std::time::Duration;

use std::pin::pin;
use std::task::{Context, Waker};

use common::{batch, entry, place};
use futures_util::StreamExt;
use ledger_core::{Error, ReadOptions, Store, Stream};
use ledger_postgres::PostgresStore;
use ledger_postgres::sqlx_postgres::PgPoolOptions;

#[tokio::test]
async fn a_pool_that_is_used_up_is_a_typed_error_after_the_bounded_wait() {
    let Some(place) = place().await else { return };
    let wait = Duration::from_millis(200);
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(wait);
    let pool = pool.connect(place.url).await.unwrap();
    let store = PostgresStore::with_pool(pool.clone(), place.options())
        .await
        .unwrap();
    let (one, two) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    let error = store.append(batch("s", [entry("one")])).await.unwrap_err();
    assert!(
        matches!(error, Error::Busy { waited, .. } if waited == wait),
        "{error:?}"
    );
    let error = store.stat(&"s".into()).await.unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error:?}");
    drop((one, two));
    let receipt = store.append(batch("s", [entry("one")])).await.unwrap();
    assert_eq!(
        receipt.ids().collect::<Vec<_>>(),
        [1],
        "what was refused was not written"
    );
}

#[tokio::test]
async fn the_callers_pool_outlives_the_store() {
    let Some(place) = place().await else { return };
    let store = PostgresStore::with_pool(place.admin.clone(), place.options())
        .await
        .unwrap();
    store.close().await.unwrap();
    assert!(matches!(store.health().await, Err(Error::Closed)));
    assert!(!place.admin.is_closed());
}

#[tokio::test]
async fn an_append_that_waits_too_long_for_another_is_busy() {
    let Some(place) = place().await else { return };
    let store = place
        .open_with(
            place
                .options()
                .with_lock_timeout(Duration::from_millis(100)),
        )
        .await;
    let mut transaction = place.admin.begin().await.unwrap();
    store
        .append_in(&mut transaction, batch("s", [entry("one")]))
        .await
        .unwrap();
    let error = store.append(batch("s", [entry("two")])).await.unwrap_err();
    assert!(
        matches!(error, Error::Busy { .. }) && error.is_retryable(),
        "{error:?}"
    );
    transaction.commit().await.unwrap();
    assert_eq!(store.stat(&"s".into()).await.unwrap().head, Some(1));
}

#[tokio::test]
async fn a_page_that_was_begun_and_left_takes_no_connection_from_anybody() {
    let Some(place) = place().await else { return };
    let options = place.options().with_connections_max(1);
    let store = place.open_with(options).await;
    // More than what fits between the server and here.
    let large = "x".repeat(100_000);
    let entries = (0..200).map(|_| entry(&large));
    store.append(batch("s", entries)).await.unwrap();
    let (name, options) = ("s".into(), ReadOptions::new().limit(1_000));
    let mut page = pin!(store.read(&name, &options));
    let begun = page.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(begun.is_pending());
    store.append(batch("s", [entry("next")])).await.unwrap();
    assert_eq!(page.await.unwrap().entries.len(), 200);
}

#[tokio::test]
async fn walks_append_by_the_only_connection_while_they_read_ahead() {
    let Some(place) = place().await else { return };
    let options = place.options().with_connections_max(1);
    let store = place.open_with(options).await;
    let numbers: Stream<u64, u64> = Stream::new(store, "n");
    numbers.append_all(0..100).await.unwrap();
    let walks = (0..8).map(|_| async {
        let walk = numbers.read().before(101).limit(10).walk();
        walk.then(async |entry| numbers.append(entry.unwrap().value).await.unwrap())
            .count()
            .await
    });
    let walked = futures_util::future::join_all(walks).await;
    assert_eq!(walked, [100; 8]);
    assert_eq!(numbers.count().await.unwrap(), 900);
}
