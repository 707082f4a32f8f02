//! Appends that want the same things in opposite orders: no error reaches a caller.

mod common;

use common::{batch, keyed, place};
use futures_util::future::join_all;
use ledger_core::{Outcome, Store};

const RACERS: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn batches_with_dedup_keys_in_opposite_orders_all_succeed() {
    let Some(place) = place().await else { return };
    let stores = [place.open().await, place.open().await, place.open().await];
    let keys: Vec<_> = (0..40).map(|n| format!("key-{n}")).collect();
    let appends = (0..RACERS).map(|racer| {
        let mut entries: Vec<_> = keys.iter().map(|key| keyed(key)).collect();
        if racer % 2 == 1 {
            entries.reverse();
        }
        let store = stores[racer % stores.len()].clone();
        tokio::spawn(async move { store.append(batch("s", entries)).await })
    });
    let answers = join_all(appends).await;
    let appended: usize = answers
        .into_iter()
        .map(|answer| answer.unwrap().unwrap().appended())
        .sum();
    assert_eq!(appended, keys.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn streams_named_in_opposite_orders_all_succeed() {
    let Some(place) = place().await else { return };
    let stores = [place.open().await, place.open().await];
    let appends = (0..RACERS).map(|racer| {
        let mut names: Vec<_> = (0..6).map(|n| format!("stream-{n}")).collect();
        if racer % 2 == 1 {
            names.reverse();
        }
        let batches = names
            .iter()
            .map(|name| batch(name, [keyed(&racer.to_string())]))
            .collect();
        let store = stores[racer % stores.len()].clone();
        tokio::spawn(async move { store.append_many(batches).await })
    });
    for answer in join_all(appends).await {
        let receipts = answer.unwrap().unwrap();
        assert!(
            receipts
                .iter()
                .all(|receipt| matches!(receipt.outcomes[..], [Outcome::Appended(_)]))
        );
    }
    assert_eq!(
        stores[0].stat(&"stream-3".into()).await.unwrap().head,
        Some(RACERS as u64)
    );
}
