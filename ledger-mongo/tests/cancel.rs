//! Callers who stop waiting.

mod common;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use common::{batch, entry, place};
use ledger_core::{ReadOptions, Store};

const CANCELLED: usize = 2_000;

/// Polls a future some times, letting others run in between, and drops it.
async fn begin_and_drop(future: impl Future, polls: usize) {
    let mut future = pin!(future);
    for _ in 0..polls {
        let mut context = Context::from_waker(Waker::noop());
        if future.as_mut().poll(&mut context).is_ready() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_thousand_cancelled_appends_leave_whole_batches_and_no_lock() {
    let Some(place) = place().await else { return };
    let store = place.open().await;
    for n in 0..CANCELLED {
        let pair = batch("s", [entry(&n.to_string()), entry(&n.to_string())]);
        // One in ten goes to two streams, in a transaction of its own.
        if n % 10 > 0 {
            begin_and_drop(store.append(pair), n % 7 + 1).await;
        } else {
            let both = vec![pair, batch("t", [entry("t")])];
            begin_and_drop(store.append_many(both), n % 7 + 1).await;
        }
        begin_and_drop(store.read(&"s".into(), &ReadOptions::new()), n % 3).await;
    }
    // What is appended now comes behind whatever is still under way, or is told to try again behind it.
    let last = store
        .append(batch("s", [entry("last"), entry("last")]))
        .await
        .unwrap();
    store.close().await.unwrap();

    let store = place.open().await;
    let all = ReadOptions::new().limit(usize::MAX);
    let pairs = store.read(&"s".into(), &all).await.unwrap();
    assert!(pairs.head >= last.ids().last());
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
}

#[tokio::test]
async fn an_append_that_nobody_polls_any_more_holds_up_nobody() {
    let Some(place) = place().await else { return };
    let store = place.open().await;
    let mut idle = pin!(store.append(batch("s", [entry("idle")])));
    let mut context = Context::from_waker(Waker::noop());
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
