//! A pool that is used up, and one that is the caller's.

mod common;

use std::time::Duration;

use common::{batch, entry, place};
use ledger_core::{Error, Store};
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
