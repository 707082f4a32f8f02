//! Dedup (C3): a key is stored once, a repeat is answered and writes nothing, and a key goes with its entry.

use std::collections::BTreeSet;

use ledger_core::{NewEntry, Outcome, Retention};

use crate::fixture::{Log, at, clock, entry, ids, keyed};
use crate::harness::Setup;
use crate::place::Place;
use crate::race::together;

/// C3.1: a key that is there is a duplicate, whatever else the entry holds.
pub(crate) async fn c3_1_a_key_is_stored_once(place: Place) {
    let log = place.log("orders").await;
    let first = log.append_one(keyed("k")).await;
    log.add("between").await;
    let repeat = entry("other").kind("Other").order_key("o-2").dedup_key("k");
    assert_eq!(log.append([repeat]).await, [Outcome::Duplicate(first)]);
    assert_eq!(log.texts().await, ["k", "between"]);
}

/// C3.1: also when both are in one batch.
pub(crate) async fn c3_1_a_key_is_stored_once_within_a_batch(place: Place) {
    let log = place.log("orders").await;
    let outcomes = log
        .append([entry("a").dedup_key("k"), entry("b").dedup_key("k")])
        .await;
    let id = outcomes[0].id();
    assert_eq!(outcomes, [Outcome::Appended(id), Outcome::Duplicate(id)]);
    assert_eq!(log.texts().await, ["a"]);
}

/// C3.1, C2.2: new, there already, new, and the same key twice, in one batch.
pub(crate) async fn c3_1_a_mixed_batch_is_answered_entry_by_entry(place: Place) {
    let log = place.log("orders").await;
    let known = log.append_one(keyed("known")).await;
    let outcomes = log
        .append([
            keyed("a"),
            keyed("known"),
            entry("b"),
            keyed("c"),
            keyed("c"),
            keyed("a"),
        ])
        .await;
    let [a, b, c] = [0, 2, 3].map(|index| outcomes[index].id());
    let expected = [
        Outcome::Appended(a),
        Outcome::Duplicate(known),
        Outcome::Appended(b),
        Outcome::Appended(c),
        Outcome::Duplicate(c),
        Outcome::Duplicate(a),
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(log.ids().await, [known, a, b, c]);
    assert_eq!(log.texts().await, ["known", "a", "b", "c"]);
    if log.store.capabilities().dense_ids {
        assert_eq!([a, b, c], [known + 1, known + 2, known + 3]);
    }
}

/// C3.1: of racing appends with one key, one is stored, and all are answered with its id.
pub(crate) async fn c3_1_racing_equal_keys_are_stored_once(place: Place) {
    let log = place.log("orders").await;
    race_equal_keys(&[log.clone(), log]).await;
}

/// C3.1: the same from writers that know nothing of each other.
pub(crate) async fn c3_1_racing_equal_keys_of_two_openings_are_stored_once(place: Place) {
    let Some(openings) = place.open_twice().await else {
        return;
    };
    race_equal_keys(&openings.map(|store| Log::new(store, "orders"))).await;
}

async fn race_equal_keys(logs: &[Log; 2]) {
    for round in 0..8 {
        let racers = logs.iter().chain(logs).cloned();
        let appends =
            racers.map(|log| async move { log.append([keyed(&format!("key {round}"))]).await[0] });
        let outcomes = together(appends).await;
        let ids: BTreeSet<u64> = outcomes.iter().map(|outcome| outcome.id()).collect();
        assert_eq!(ids.len(), 1, "one key has several ids: {outcomes:?}");
        let winners = outcomes
            .iter()
            .filter(|outcome| !outcome.is_duplicate())
            .count();
        assert_eq!(
            winners, 1,
            "one key was stored {winners} times: {outcomes:?}"
        );
    }
    assert_eq!(logs[0].entries().await.len(), 8);
}

/// C3.1: racing batches that hold the same keys in opposite orders neither deadlock nor store a key twice.
pub(crate) async fn c3_1_keys_in_opposite_orders_do_not_deadlock(place: Place) {
    let log = place.log("orders").await;
    race_opposite_orders(&[log.clone(), log]).await;
}

/// C3.1: the same from writers that know nothing of each other.
pub(crate) async fn c3_1_keys_in_opposite_orders_of_two_openings_do_not_deadlock(place: Place) {
    let Some(openings) = place.open_twice().await else {
        return;
    };
    race_opposite_orders(&openings.map(|store| Log::new(store, "orders"))).await;
}

/// Half of the writers of each log begin where the others end.
async fn race_opposite_orders(logs: &[Log; 2]) {
    let writers = (0..30).flat_map(|_| logs.iter().cloned()).enumerate();
    let writers = writers.map(|(writer, log)| async move {
        let mut keys: Vec<_> = (0..40).map(|n| keyed(&n.to_string())).collect();
        if writer % 4 < 2 {
            keys.reverse();
        }
        log.append(keys).await
    });
    let outcomes = together(writers).await.concat();
    let appended = outcomes.iter().filter(|it| !it.is_duplicate()).count();
    assert_eq!((appended, logs[0].entries().await.len()), (40, 40));
}

/// C3.1: streams have their own keys.
pub(crate) async fn c3_1_a_key_belongs_to_its_stream(place: Place) {
    let log = place.log("orders").await;
    log.append_one(keyed("k")).await;
    log.beside("payments").append_one(keyed("k")).await;
    assert_eq!(log.beside("payments").texts().await, ["k"]);
}

/// C3.1: keys are compared byte by byte: not by case, trailing space, or how an accent is composed.
pub(crate) async fn c3_1_similar_keys_are_different(place: Place) {
    let log = place.log("orders").await;
    let keys = [
        "k", "K", "k ", " k", "k\0", "\u{e9}", "e\u{301}", "01", "1", "1.0",
    ];
    log.append(keys.map(keyed)).await;
    assert_eq!(log.texts().await, keys);
}

/// C3.1: an empty key is no key, and comes back as it was written; so does none.
pub(crate) async fn c3_1_an_empty_key_is_kept_but_is_no_key(place: Place) {
    let log = place.log("orders").await;
    let empty = || entry("empty").dedup_key("");
    let outcomes = log
        .append([empty(), empty(), entry("none"), entry("none")])
        .await;
    assert!(outcomes.iter().all(|outcome| !outcome.is_duplicate()));
    log.append_one(empty()).await;
    let keys: Vec<_> = log
        .entries()
        .await
        .into_iter()
        .map(|entry| entry.dedup_key)
        .collect();
    let empty = Some(String::new());
    assert_eq!(keys, [empty.clone(), empty.clone(), None, None, empty]);
}

/// C3.2: a repeat writes nothing: neither entry nor stat changes.
pub(crate) async fn c3_2_a_repeat_writes_nothing(place: Place) {
    let clock = clock();
    let log = place
        .log_with(Setup::default().with_clock(clock.clone()), "orders")
        .await;
    log.append([keyed("a").tag("t"), keyed("b")]).await;
    let before = log.picture().await;
    clock.set(at(1_000));
    log.append([
        entry("other").dedup_key("a").tag("u").metadata("m", "n"),
        keyed("b"),
        keyed("a"),
    ])
    .await;
    assert_eq!(log.picture().await, before);
}

/// C3.2: a repeat wakes nobody: what a follower gets next is the next new entry.
pub(crate) async fn c3_2_a_repeat_is_not_followed(place: Place) {
    let log = place.log("orders").await;
    let first = log.append_one(keyed("a")).await;
    let follower = log.clone();
    let next = tokio::spawn(async move { follower.next_after(Some(first)).await });
    log.append([keyed("a")]).await;
    let second = log.append_one(keyed("b")).await;
    assert_eq!(next.await.expect("the follower succeeds").id, second);
}

/// C3.2: a repeat is answered with the original id also after a reopen.
pub(crate) async fn c3_2_a_repeat_is_known_after_a_reopen(place: Place) {
    let log = place.log("orders").await;
    let outcomes = log.append([keyed("a"), keyed("b")]).await;
    log.close().await;
    let log = place.log("orders").await;
    assert_eq!(
        log.append([keyed("b")]).await,
        [Outcome::Duplicate(outcomes[1].id())]
    );
}

/// C3.3: trimming forgets the keys of what it removes, and no others.
pub(crate) async fn c3_3_a_trim_forgets_its_keys_only(place: Place) {
    let log = place.log("orders").await;
    let outcomes = log.append([keyed("a"), keyed("b")]).await;
    log.trim(outcomes[0].id()).await;
    let again = log.append([keyed("a"), keyed("b")]).await;
    assert_eq!(again[1], Outcome::Duplicate(outcomes[1].id()));
    assert!(!again[0].is_duplicate(), "a trimmed key is still known");
    assert_eq!(log.texts().await, ["b", "a"]);
    assert_eq!(
        log.append([keyed("a")]).await,
        [Outcome::Duplicate(again[0].id())]
    );
}

/// C3.3: so does retention.
pub(crate) async fn c3_3_retention_forgets_its_keys(place: Place) {
    let log = place.log("orders").await;
    let outcomes = log.append([keyed("a"), keyed("b")]).await;
    log.retain(&Retention::new().entries_max(1)).await;
    let again = log.append([keyed("b"), keyed("a")]).await;
    assert_eq!(again[0], Outcome::Duplicate(outcomes[1].id()));
    assert!(
        !again[1].is_duplicate(),
        "a key lost to retention is still known"
    );
}

/// C3.3: an expired entry's key can be used again at once, and belongs to the new entry from then on.
pub(crate) async fn c3_3_an_expired_key_can_be_used_again(place: Place) {
    let clock = clock();
    let log = place
        .log_with(Setup::default().with_clock(clock.clone()), "orders")
        .await;
    let first = log.append_one(expiring("k")).await;
    assert_eq!(
        log.append([expiring("k")]).await,
        [Outcome::Duplicate(first)]
    );
    clock.set(at(10));
    let second = log.append_one(keyed("k")).await;
    assert!(second > first);
    assert_eq!(log.append([keyed("k")]).await, [Outcome::Duplicate(second)]);
    log.purge_expired().await;
    assert_eq!(log.append([keyed("k")]).await, [Outcome::Duplicate(second)]);
    log.trim(first).await;
    assert_eq!(log.append([keyed("k")]).await, [Outcome::Duplicate(second)]);
}

/// C3.3: using it again erases what its expired holder held, and nothing else.
pub(crate) async fn c3_3_taking_over_an_expired_key_harms_no_neighbour(place: Place) {
    let clock = clock();
    let log = place
        .log_with(Setup::default().with_clock(clock.clone()), "orders")
        .await;
    let neighbour = log.add("neighbour").await;
    log.append_one(expiring("k")).await;
    clock.set(at(10));
    let second = log.append_one(keyed("k")).await;
    let entries = log.entries().await;
    assert_eq!(ids(&entries), [neighbour, second]);
    let bytes: usize = entries.iter().map(|entry| entry.value.bytes.len()).sum();
    let stat = log.stat().await;
    assert_eq!((stat.count, stat.bytes), (3, bytes as u64));
    clock.set(at(0));
    assert_eq!(
        log.ids().await,
        [neighbour, second],
        "a holder came back to life"
    );
}

/// C3.3: the key of a purged entry can be used again.
pub(crate) async fn c3_3_a_purged_key_can_be_used_again(place: Place) {
    let clock = clock();
    let log = place
        .log_with(Setup::default().with_clock(clock.clone()), "orders")
        .await;
    log.append_one(expiring("k")).await;
    clock.set(at(10));
    log.purge_expired().await;
    let second = log.append_one(keyed("k")).await;
    assert_eq!(log.append([keyed("k")]).await, [Outcome::Duplicate(second)]);
}

fn expiring(key: &str) -> NewEntry {
    keyed(key).expires_at(at(10))
}
