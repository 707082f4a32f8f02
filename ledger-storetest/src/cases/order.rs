//! Order (C1): ids only grow, nothing arrives late, nothing is skipped, nothing is used twice.

use std::pin::pin;

use futures_util::future::maybe_done;
use ledger_core::{Condition, Entry, Error, Retention};
use tokio::task::yield_now;

use crate::fixture::{Log, assert_refused, entry, has_dense_ids, keyed, texts};
use crate::place::Place;
use crate::race::{WRITTEN_PER_LOG, poll_once, start_writers, tail};

/// C1.1: a later append has the greater id.
pub(crate) async fn c1_1_ids_increase_in_the_order_of_appends(place: Place) {
    let log = place.log("orders").await;
    let first = log.add("a").await;
    let [second, third] = log.add_all(["b", "c"]).await;
    assert!(
        first < second && second < third,
        "{first}, {second}, {third}"
    );
    assert_eq!(log.texts().await, ["a", "b", "c"]);
}

/// C1.2: a reader behind a cursor meets every entry of many writers once, and none behind its cursor.
pub(crate) async fn c1_2_a_tailing_reader_misses_nothing_of_many_writers(place: Place) {
    let log = place.log("orders").await;
    let seen = tail(log.clone(), start_writers(&[log.clone(), log.clone()])).await;
    assert_complete(&seen, &log, 2 * WRITTEN_PER_LOG).await;
}

/// C1.2: the same with writers that know nothing of each other.
pub(crate) async fn c1_2_a_tailing_reader_misses_nothing_of_two_openings(place: Place) {
    let Some(openings) = place.open_twice().await else {
        return;
    };
    let logs = openings.map(|store| Log::new(store, "orders"));
    let seen = tail(logs[0].clone(), start_writers(&logs)).await;
    assert_complete(&seen, &logs[1], 2 * WRITTEN_PER_LOG).await;
}

/// C1.2: while an append stands before its commit, nobody sees it, and what is seen meanwhile stays the beginning.
pub(crate) async fn c1_2_a_stalled_append_does_not_arrive_late(place: Place) {
    let log = place.log("orders").await;
    log.add("before").await;
    let Some(stalled) = place
        .stall(log.batch(["stalled 1", "stalled 2"].map(entry)))
        .await
    else {
        return;
    };
    let mut other = pin!(maybe_done(log.append([entry("other")])));
    let seen = watch(&log, async || _ = poll_once(other.as_mut()).await).await;
    stalled.commit().await.expect("the stalled append goes on");
    other.await;
    let all = log.entries().await;
    assert!(
        !texts(&seen).contains(&"stalled 1".into()),
        "an uncommitted append was seen"
    );
    assert_eq!(
        all[..seen.len()],
        seen,
        "something arrived behind what a reader had seen"
    );
    assert_eq!(all.len(), 4);
}

/// C1.2, C1.3: an append that is given up was never there, and uses up no id.
pub(crate) async fn c1_2_an_aborted_append_leaves_neither_entry_nor_gap(place: Place) {
    let log = place.log("orders").await;
    let before = log.add("before").await;
    let Some(stalled) = place
        .stall(log.batch(["stalled 1", "stalled 2"].map(entry)))
        .await
    else {
        return;
    };
    let mut other = pin!(maybe_done(log.append([entry("other")])));
    let seen = watch(&log, async || _ = poll_once(other.as_mut()).await).await;
    stalled.abort().await;
    other.await;
    assert_eq!(log.entries().await[..seen.len()], seen);
    assert_eq!(log.texts().await, ["before", "other"]);
    if log.store.capabilities().dense_ids {
        assert_eq!(log.ids().await, [before, before + 1]);
    }
}

/// Reads again and again, giving `others` a turn each time, and answers what was seen last.
async fn watch(log: &Log, mut others: impl AsyncFnMut()) -> Vec<Entry<u64>> {
    let mut seen: Vec<Entry<u64>> = Vec::new();
    for _ in 0..50 {
        others().await;
        let now = log.entries().await;
        assert_eq!(
            now[..seen.len()],
            seen,
            "something arrived behind what a reader had seen"
        );
        seen = now;
        yield_now().await;
    }
    seen
}

/// What was `seen` is all there is, in its order, and as much as was written.
async fn assert_complete(seen: &[Entry<u64>], log: &Log, count: usize) {
    assert_eq!(
        seen,
        log.entries().await,
        "the cursor and a read from the start differ"
    );
    assert_eq!(seen.len(), count);
    assert!(
        seen.is_sorted_by(|one, next| one.id < next.id),
        "ids do not increase"
    );
}

/// C1.3: the first entry of a stream is 1, and each new one is the previous id + 1.
pub(crate) async fn c1_3_ids_are_dense_from_one(place: Place) {
    let log = place.log("orders").await;
    if !has_dense_ids(&log) {
        return;
    }
    assert_eq!(log.add("a").await, 1);
    assert_eq!(log.add_all(["b", "c"]).await, [2, 3]);
    assert_eq!(log.add("d").await, 4);
    assert_eq!(log.ids().await, [1, 2, 3, 4]);
}

/// C1.3: every stream counts for itself.
pub(crate) async fn c1_3_each_stream_counts_for_itself(place: Place) {
    let log = place.log("orders").await;
    if !has_dense_ids(&log) {
        return;
    }
    log.add_all(["a", "b"]).await;
    assert_eq!(log.beside("Orders").add("a").await, 1);
    assert_eq!(log.add("c").await, 3);
}

/// C1.3: what many writers append has neither gap nor overlap.
pub(crate) async fn c1_3_ids_stay_dense_under_many_writers(place: Place) {
    let log = place.log("orders").await;
    if !has_dense_ids(&log) {
        return;
    }
    start_writers(&[log.clone(), log.clone()])
        .await
        .expect("the writers succeed");
    let expected: Vec<u64> = (1..=2 * WRITTEN_PER_LOG as u64).collect();
    assert_eq!(log.ids().await, expected);
}

/// C1.3: skipped duplicates use up no id.
pub(crate) async fn c1_3_duplicates_use_up_no_id(place: Place) {
    let log = place.log("orders").await;
    if !has_dense_ids(&log) {
        return;
    }
    log.append([keyed("a")]).await;
    log.append([keyed("a")]).await;
    log.append([keyed("a"), keyed("b"), keyed("b"), keyed("a"), keyed("c")])
        .await;
    assert_eq!(log.ids().await, [1, 2, 3]);
    assert_eq!(log.add("d").await, 4);
}

/// C1.3: failed appends use up no id.
pub(crate) async fn c1_3_failed_appends_use_up_no_id(place: Place) {
    let log = place.log("orders").await;
    if !has_dense_ids(&log) {
        return;
    }
    log.add("a").await;
    assert_refused!(
        log.append_when(Condition::stream_is_empty(), entry("b"))
            .await,
        Error::Conflict { .. }
    );
    let key = "k".repeat(log.store.capabilities().limits.key_bytes_max + 1);
    assert_refused!(
        log.try_append([entry("b"), keyed(&key)]).await,
        Error::LimitExceeded { .. }
    );
    assert_eq!(log.add("b").await, 2);
}

/// C1.4: a wholly trimmed stream goes on behind its last id.
pub(crate) async fn c1_4_a_trimmed_id_is_never_given_out_again(place: Place) {
    let log = place.log("orders").await;
    let [.., last] = log.add_all(["a", "b", "c"]).await;
    log.trim(last).await;
    assert_follows(last, log.add("d").await, &log);
}

/// C1.4: also after the store was closed and opened again.
pub(crate) async fn c1_4_a_trimmed_id_is_not_given_out_after_a_reopen(place: Place) {
    let log = place.log("orders").await;
    let [.., last] = log.add_all(["a", "b", "c"]).await;
    log.trim(last).await;
    log.close().await;
    let log = place.log("orders").await;
    assert_eq!(log.head().await, Some(last));
    assert_follows(last, log.add("d").await, &log);
}

/// C1.4: also when it was retention that emptied the stream.
pub(crate) async fn c1_4_an_id_lost_to_retention_is_never_given_out_again(place: Place) {
    let log = place.log("orders").await;
    let [.., last] = log.add_all(["a", "b", "c"]).await;
    log.retain(&Retention::new().entries_max(0)).await;
    assert_follows(last, log.add("d").await, &log);
}

fn assert_follows(last: u64, next: u64, log: &Log) {
    assert!(next > last, "{next} was given out after {last}");
    if log.store.capabilities().dense_ids {
        assert_eq!(next, last + 1);
    }
}
