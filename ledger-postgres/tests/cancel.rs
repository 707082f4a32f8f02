//! Callers who stop waiting.

mod common;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::task::Context;

use common::{batch, entry, place};
use ledger_core::{ReadOptions, Store};
use ledger_postgres::sqlx_core::query_scalar::query_scalar;
use ledger_postgres::sqlx_postgres::Postgres;

const CANCELLED: usize = 2_000;

/// Polls a future some times, letting others run in between, and drops it.
async fn begin_and_drop(future: impl Future, polls: usize) {
    let mut future = pin!(future);
    for _ in 0..polls {
        let mut context = Context::from_waker(std::task::Waker::noop());
        if future.as_mut().poll(&mut context).is_ready() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_thousand_cancelled_appends_leave_whole_batches_and_no_open_transaction() {
    let Some(place) = place().await else { return };
    let store = place.open().await;
    for n in 0..CANCELLED {
        let pair = batch("s", [entry(&n.to_string()), entry(&n.to_string())]);
        if n % 2 == 0 {
            begin_and_drop(store.append(pair), n % 7 + 1).await;
        } else {
            begin_and_drop(
                store.append_many(vec![pair, batch("t", [entry("t")])]),
                n % 7 + 1,
            )
            .await;
        }
        begin_and_drop(store.read(&"s".into(), &ReadOptions::new()), n % 3).await;
    }
    // What is appended now comes behind whatever is still under way.
    let last = store
        .append(batch("s", [entry("last"), entry("last")]))
        .await
        .unwrap();
    let last = last.ids().last();

    let pairs = store
        .read(&"s".into(), &ReadOptions::new().limit(usize::MAX))
        .await
        .unwrap();
    assert!(pairs.head >= last);
    let texts: Vec<_> = pairs
        .entries
        .iter()
        .map(|entry| &entry.value.bytes[..])
        .collect();
    assert!(
        texts.chunks(2).all(|pair| pair[0] == pair[1]),
        "half a batch is there"
    );
    let distinct: BTreeSet<_> = texts.iter().collect();
    assert_eq!(distinct.len() * 2, texts.len(), "a batch is there twice");

    store.close().await.unwrap();
    let stale: i64 = query_scalar::<Postgres, i64>(
        "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n \
         ON n.oid = c.relnamespace JOIN pg_stat_activity a USING (pid) \
         WHERE n.nspname = $1 AND a.state LIKE 'idle in transaction%'",
    )
    .bind(&place.schema)
    .fetch_one(&place.admin)
    .await
    .unwrap();
    assert_eq!(stale, 0, "a connection went back inside a transaction");
}

#[tokio::test]
async fn an_append_that_nobody_polls_any_more_holds_up_nobody() {
    let Some(place) = place().await else { return };
    let store = place.open().await;
    let mut idle = pin!(store.append(batch("s", [entry("idle")])));
    let mut context = Context::from_waker(std::task::Waker::noop());
    assert!(idle.as_mut().poll(&mut context).is_pending());
    let next = store.append(batch("s", [entry("next")])).await.unwrap();
    assert_eq!(next.ids().collect::<Vec<_>>(), [2]);
    assert_eq!(idle.await.unwrap().ids().collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn an_append_that_is_dropped_is_finished_all_the_same() {
    let Some(place) = place().await else { return };
    let store = place.open().await;
    begin_and_drop(store.append(batch("s", [entry("dropped")])), 1).await;
    store.wait(&"s".into(), None).await.unwrap();
    assert_eq!(store.stat(&"s".into()).await.unwrap().head, Some(1));
}
