//! Trim, stat and retention (C6): entries go from the old end only, and the numbers are right.

use std::time::Duration;

use ledger_core::{Error, Retention};

use crate::fixture::{Log, assert_refused, at, clock, entry};
use crate::harness::Setup;
use crate::place::Place;

/// C6.1: a trim removes through the id it is given, and says how many.
pub(crate) async fn c6_1_a_trim_removes_through_its_id(place: Place) {
    let log = place.log("orders").await;
    let [_, b, ..] = log.add_all(["a", "b", "c", "d"]).await;
    assert_eq!(log.trim(b).await, 2);
    assert_eq!(log.texts().await, ["c", "d"]);
}

/// C6.1: a trim may be repeated: what is gone is not counted again.
pub(crate) async fn c6_1_a_trim_may_be_repeated(place: Place) {
    let log = place.log("orders").await;
    let [a, b, c] = log.add_all(["a", "b", "c"]).await;
    assert_eq!(log.trim(b).await, 2);
    assert_eq!(log.trim(b).await, 0);
    assert_eq!(log.trim(a).await, 0);
    assert_eq!(log.trim(c).await, 1);
    assert_eq!(log.trim(c).await, 0);
}

/// C6.1: a trim beyond the head removes everything, and leaves the head where it is.
pub(crate) async fn c6_1_a_trim_beyond_the_head_keeps_the_head(place: Place) {
    let log = place.log("orders").await;
    let [.., last] = log.add_all(["a", "b"]).await;
    assert_eq!(log.trim(u64::MAX).await, 2);
    assert_eq!(log.head().await, Some(last));
    let next = log.add("c").await;
    assert!(next > last);
    assert_eq!(log.texts().await, ["c"]);
}

/// C6.1: a trim through 0 removes nothing.
pub(crate) async fn c6_1_a_trim_before_the_first_removes_nothing(place: Place) {
    let log = place.log("orders").await;
    log.add_all(["a", "b"]).await;
    let before = log.picture().await;
    assert_eq!(log.trim(0).await, 0);
    assert_eq!(log.picture().await, before);
}

/// C6.1: a trim concerns one stream, and creates none.
pub(crate) async fn c6_1_a_trim_concerns_its_stream_only(place: Place) {
    let log = place.log("orders").await;
    let other = log.beside("orders ");
    other.add_all(["a", "b"]).await;
    assert_eq!(log.trim(u64::MAX).await, 0);
    assert_eq!(log.head().await, None);
    assert_eq!(other.texts().await, ["a", "b"]);
}

/// C6.1: a trim holds over a reopen.
pub(crate) async fn c6_1_a_trim_survives_a_reopen(place: Place) {
    let log = place.log("orders").await;
    let [a, ..] = log.add_all(["a", "b"]).await;
    log.trim(a).await;
    let before = log.picture().await;
    log.close().await;
    assert_eq!(place.log("orders").await.picture().await, before);
}

/// C6.1: stat tells first id, head, count and bytes, of a new stream too.
pub(crate) async fn c6_1_stat_counts(place: Place) {
    let log = place.log("orders").await;
    assert_eq!(numbers(&log).await, (None, None, 0, 0));
    let [a, b, c] = log.add_all(["", "four", "nineteen"]).await;
    assert_eq!(numbers(&log).await, (Some(a), Some(c), 3, 12));
    log.trim(a).await;
    assert_eq!(numbers(&log).await, (Some(b), Some(c), 2, 12));
    log.trim(b).await;
    assert_eq!(numbers(&log).await, (Some(c), Some(c), 1, 8));
    log.trim(c).await;
    assert_eq!(numbers(&log).await, (None, Some(c), 0, 0));
    let d = log.add("12345").await;
    assert_eq!(numbers(&log).await, (Some(d), Some(d), 1, 5));
}

async fn numbers(log: &Log) -> (Option<u64>, Option<u64>, u64, u64) {
    let stat = log.stat().await;
    (stat.first, stat.head, stat.count, stat.bytes)
}

/// C6.1: stat counts what has expired, until it is trimmed.
pub(crate) async fn c6_1_stat_counts_what_has_expired(place: Place) {
    let clock = clock();
    let log = place
        .log_with(Setup::default().with_clock(clock.clone()), "orders")
        .await;
    log.append([entry("a").expires_at(at(10)), entry("b")])
        .await;
    let before = log.stat().await;
    clock.set(at(10));
    assert_eq!(log.stat().await, before);
}

/// C6.2: retention by count keeps the newest.
pub(crate) async fn c6_2_retention_by_count_keeps_the_newest(place: Place) {
    let log = place.log("orders").await;
    log.add_all(["a", "b", "c"]).await;
    assert_eq!(log.retain(&Retention::new().entries_max(3)).await, 0);
    assert_eq!(log.retain(&Retention::new().entries_max(2)).await, 1);
    assert_eq!(log.retain(&Retention::new().entries_max(2)).await, 0);
    assert_eq!(log.texts().await, ["b", "c"]);
}

/// C6.2: retention by age removes what was recorded longer ago; what is exactly that old stays.
pub(crate) async fn c6_2_retention_by_age_keeps_the_young(place: Place) {
    let clock = clock();
    let log = place
        .log_with(Setup::default().with_clock(clock.clone()), "orders")
        .await;
    for (micros, text) in [(0, "a"), (10, "b"), (20, "c")] {
        clock.set(at(micros));
        log.add(text).await;
    }
    clock.set(at(30));
    assert_eq!(
        log.retain(&Retention::new().age_max(Duration::from_micros(30)))
            .await,
        0
    );
    assert_eq!(
        log.retain(&Retention::new().age_max(Duration::from_micros(20)))
            .await,
        1
    );
    assert_eq!(log.texts().await, ["b", "c"]);
    assert_eq!(
        log.retain(&Retention::new().age_max(Duration::ZERO)).await,
        2
    );
}

/// C6.2: retention by bytes removes the oldest until the rest fits: a large one among them takes all older along.
pub(crate) async fn c6_2_retention_by_bytes_removes_the_oldest(place: Place) {
    let log = place.log("orders").await;
    log.add_all(["1", "0123456789", "2", "34"]).await;
    assert_eq!(log.retain(&Retention::new().bytes_max(14)).await, 0);
    assert_eq!(log.retain(&Retention::new().bytes_max(13)).await, 1);
    assert_eq!(log.retain(&Retention::new().bytes_max(12)).await, 1);
    assert_eq!(log.texts().await, ["2", "34"]);
    assert_eq!(log.retain(&Retention::new().bytes_max(1)).await, 2);
}

/// C6.2: of several bounds each counts.
pub(crate) async fn c6_2_every_bound_of_a_retention_counts(place: Place) {
    let log = place.log("orders").await;
    log.add_all(["a", "b", "c", "d"]).await;
    assert_eq!(
        log.retain(&Retention::new().entries_max(3).bytes_max(100))
            .await,
        1
    );
    assert_eq!(
        log.retain(&Retention::new().entries_max(100).bytes_max(2))
            .await,
        1
    );
    let far = Retention::new()
        .entries_max(u64::MAX)
        .bytes_max(u64::MAX)
        .age_max(Duration::MAX);
    assert_eq!(log.retain(&far).await, 0);
    assert_eq!(log.texts().await, ["c", "d"]);
}

/// C6.2: a retention without a bound is a mistake, and removes nothing.
pub(crate) async fn c6_2_a_retention_without_a_bound_is_refused(place: Place) {
    let log = place.log("orders").await;
    log.add("a").await;
    assert_refused!(
        log.store.retain(&log.name, &Retention::new()).await,
        Error::InvalidInput { .. }
    );
    assert_eq!(log.texts().await, ["a"]);
}

/// C6.2: retaining a stream that does not exist removes nothing and creates nothing.
pub(crate) async fn c6_2_retention_creates_no_stream(place: Place) {
    let log = place.log("nobody").await;
    assert_eq!(log.retain(&Retention::new().entries_max(0)).await, 0);
    assert_eq!(log.head().await, None);
    assert!(log.list().await.is_empty());
}
