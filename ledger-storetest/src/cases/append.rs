//! Append (C2): batches are atomic, answers are in order, and what fails or is cancelled leaves nothing half done.

use std::pin::pin;
use std::task::Poll;

use ledger_core::{Batch, Condition, Entry, Error, Outcome, Receipt, Result};
use tokio::task::yield_now;

use crate::fixture::{Log, assert_refused, can_append_many, entry, everything, keyed, text};
use crate::place::Place;
use crate::race::{WRITTEN_PER_LOG, poll_once, start_writers, tail, together};

/// C2.1: the entries of a batch have adjacent ids, whoever else appends.
pub(crate) async fn c2_1_a_batch_is_adjacent_under_many_writers(place: Place) {
    let log = place.log("orders").await;
    let writers = (0..6).map(|writer| {
        let log = log.clone();
        async move {
            for round in 0..4 {
                log.append((0..5).map(|_| entry("x").order_key(format!("{writer}-{round}"))))
                    .await;
            }
        }
    });
    together(writers).await;
    let entries = log.entries().await;
    assert_eq!(entries.len(), 6 * 4 * 5);
    for batch in entries.chunks(5) {
        assert!(
            batch
                .iter()
                .all(|entry| entry.order_key == batch[0].order_key),
            "a batch was torn: {batch:?}"
        );
    }
}

/// C2.1: a reader that races with writers sees all of a batch or nothing of it.
pub(crate) async fn c2_1_a_racing_reader_sees_whole_batches(place: Place) {
    let log = place.log("orders").await;
    let writer = log.clone();
    let writing = tokio::spawn(async move {
        for batch in 0..20 {
            writer
                .append((0..10).map(|n| entry(&format!("{batch}-{n}"))))
                .await;
        }
    });
    loop {
        let is_finished = writing.is_finished();
        let seen = log.entries().await.len();
        assert_eq!(seen % 10, 0, "a reader saw {seen} entries of batches of 10");
        if is_finished {
            break;
        }
        yield_now().await;
    }
    writing.await.expect("the writer succeeds");
    assert_eq!(log.entries().await.len(), 200);
}

/// C2.1: what is appended to several streams as one is never seen in one of them only.
pub(crate) async fn c2_1_streams_appended_as_one_are_seen_as_one(place: Place) {
    let first = place.log("orders").await;
    let second = first.beside("payments");
    if !can_append_many(&first).await {
        return;
    }
    let (a, b) = (first.clone(), second.clone());
    let writing = tokio::spawn(async move {
        for _ in 0..20 {
            a.append_many([a.batch([entry("x")]), b.batch([entry("y")])])
                .await;
        }
    });
    loop {
        let is_finished = writing.is_finished();
        // Read one after the other: the second may have grown since, but cannot be behind.
        let (seen_first, seen_second) = (first.entries().await.len(), second.entries().await.len());
        assert!(
            seen_second >= seen_first,
            "{seen_first} entries in one stream, {seen_second} in the other"
        );
        if is_finished {
            break;
        }
        yield_now().await;
    }
    writing.await.expect("the writer succeeds");
    assert_eq!(
        (first.entries().await.len(), second.entries().await.len()),
        (20, 20)
    );
}

/// C2.1: each batch of several is answered by itself, in their order.
pub(crate) async fn c2_1_append_many_answers_each_batch(place: Place) {
    let first = place.log("orders").await;
    let second = first.beside("payments");
    if !can_append_many(&first).await {
        return;
    }
    let known = second.append_one(keyed("known")).await;
    let batches = [
        second.batch([keyed("known"), entry("y")]),
        first.batch([entry("a"), entry("b")]),
    ];
    let receipts = first.append_many(batches).await;
    let ids = first.ids().await;
    assert_eq!(receipts[0].outcomes[0], Outcome::Duplicate(known));
    assert_eq!(
        receipts[0].outcomes[1],
        Outcome::Appended(second.ids().await[1])
    );
    assert_eq!(
        receipts[1].outcomes,
        [Outcome::Appended(ids[0]), Outcome::Appended(ids[1])]
    );
}

/// C2.1: one conflict fails all batches, whichever it is.
pub(crate) async fn c2_1_one_conflict_fails_all_streams(place: Place) {
    let first = place.log("orders").await;
    let second = first.beside("payments");
    if !can_append_many(&first).await {
        return;
    }
    second.add("in the way").await;
    let before = (first.picture().await, second.picture().await);
    let good = || first.batch([keyed("good")]);
    let bad = || {
        second
            .batch([keyed("bad")])
            .when(Condition::stream_is_empty())
    };
    for batches in [vec![good(), bad()], vec![bad(), good()]] {
        assert_refused!(first.store.append_many(batches).await, Error::Conflict { ref stream, .. } if *stream == second.name);
        assert_eq!((first.picture().await, second.picture().await), before);
    }
}

/// C2.1: all conditions are decided by the state before the commit, and are decided for each stream by itself.
pub(crate) async fn c2_1_append_many_checks_each_condition(place: Place) {
    let first = place.log("orders").await;
    let second = first.beside("payments");
    if !can_append_many(&first).await {
        return;
    }
    let head = second.add("x").await;
    let batches = |head| {
        vec![
            first.batch([entry("a")]).when(Condition::stream_is_empty()),
            second.batch([entry("y")]).when(Condition::head_is(head)),
        ]
    };
    assert_refused!(
        first.store.append_many(batches(head + 1)).await,
        Error::Conflict { .. }
    );
    first.append_many(batches(head)).await;
    assert_eq!(first.texts().await, ["a"]);
    assert_eq!(second.texts().await, ["x", "y"]);
}

/// C2.1: a stream named twice is a mistake, and nothing is written.
pub(crate) async fn c2_1_append_many_refuses_a_stream_named_twice(place: Place) {
    let log = place.log("orders").await;
    let other = log.beside("payments");
    if !can_append_many(&log).await {
        return;
    }
    let batches = vec![
        log.batch([entry("a")]),
        other.batch([entry("x")]),
        log.batch([entry("b")]),
    ];
    assert_refused!(
        log.store.append_many(batches).await,
        Error::InvalidInput { .. }
    );
    assert_eq!((log.head().await, other.head().await), (None, None));
}

/// C2.1: of several batches, one without entries is answered with an empty receipt; its condition is not looked at.
pub(crate) async fn c2_1_append_many_passes_over_empty_batches(place: Place) {
    let log = place.log("orders").await;
    let empty = log.beside("payments");
    if !can_append_many(&log).await {
        return;
    }
    assert!(log.append_many([]).await.is_empty());
    let impossible = Condition::head_is(17);
    let receipts = log
        .append_many([empty.batch([]).when(impossible), log.batch([entry("a")])])
        .await;
    assert!(receipts[0].outcomes.is_empty());
    assert_eq!(receipts[1].appended(), 1);
    assert_eq!(empty.head().await, None);
}

/// C2.1: racing appends to the same streams in opposite orders all succeed.
pub(crate) async fn c2_1_append_many_does_not_deadlock(place: Place) {
    let log = place.log("orders").await;
    race_opposite_streams(&[log.clone(), log]).await;
}

/// C2.1: the same from writers that know nothing of each other.
pub(crate) async fn c2_1_append_many_of_two_openings_does_not_deadlock(place: Place) {
    let Some(openings) = place.open_twice().await else {
        return;
    };
    race_opposite_streams(&openings.map(|store| Log::new(store, "orders"))).await;
}

/// Half of the writers of each log name the streams in the opposite order.
async fn race_opposite_streams(logs: &[Log; 2]) {
    if !can_append_many(&logs[0]).await {
        return;
    }
    let writers = (0..30).flat_map(|_| logs.iter().cloned()).enumerate();
    let writers = writers.map(|(writer, log)| async move {
        let names = (0..6).map(|n| log.beside(format!("stream-{n}")));
        let mut batches: Vec<_> = names.map(|log| log.batch([entry("x")])).collect();
        if writer % 4 < 2 {
            batches.reverse();
        }
        log.append_many(batches).await;
    });
    together(writers).await;
    for n in 0..6 {
        let log = logs[0].beside(format!("stream-{n}"));
        assert_eq!(log.entries().await.len(), 60);
    }
}

/// C2.2: the answers are in the order of the batch, and name the ids under which the entries are read.
pub(crate) async fn c2_2_answers_are_in_the_order_of_the_batch(place: Place) {
    let log = place.log("orders").await;
    let known = log.append_one(keyed("known")).await;
    let outcomes = log.append([entry("a"), keyed("known"), entry("b")]).await;
    let ids = log.ids().await;
    assert_eq!(
        outcomes,
        [
            Outcome::Appended(ids[1]),
            Outcome::Duplicate(known),
            Outcome::Appended(ids[2])
        ]
    );
    assert_eq!(log.texts().await, ["known", "a", "b"]);
}

/// C2.2: an empty batch answers an empty list and touches nothing, whatever its condition.
pub(crate) async fn c2_2_an_empty_batch_touches_nothing(place: Place) {
    let log = place.log("orders").await;
    assert!(log.append([]).await.is_empty());
    let conditional = log.batch([]).when(Condition::head_is(17));
    assert!(
        log.store
            .append(conditional)
            .await
            .expect("there is nothing to refuse")
            .outcomes
            .is_empty()
    );
    assert_eq!(log.head().await, None);
    assert!(log.list().await.is_empty());
}

/// C2.3: receipt and stat tell the store's durability.
pub(crate) async fn c2_3_the_receipt_tells_the_durability(place: Place) {
    let log = place.log("orders").await;
    let receipt = log
        .try_append([entry("a")])
        .await
        .expect("the append succeeds");
    assert_eq!(receipt.durability, log.store.capabilities().durability);
    assert_eq!(log.stat().await.durability, receipt.durability);
}

/// C2.5: an append that is dropped at any point is wholly there or wholly absent, and may be repeated.
pub(crate) async fn c2_5_a_cancelled_append_is_whole_or_absent(place: Place) {
    let log = place.log("orders").await;
    let batches: Vec<_> = (0..24).map(|batch| keyed_batch(&log, batch)).collect();
    for (polls, batch) in batches.iter().enumerate() {
        cancel_after(log.store.append(batch.clone()), polls % 6).await;
        log.add("between").await;
        assert_whole(&log.entries().await);
    }
    for batch in &batches {
        log.store
            .append(batch.clone())
            .await
            .expect("a cancelled append can be repeated");
    }
    let entries = log.entries().await;
    assert_whole(&entries);
    assert_eq!(entries.len(), 24 + 3 * 24);
}

/// C2.5: the same while other tasks append.
pub(crate) async fn c2_5_cancelled_appends_leave_other_writers_alone(place: Place) {
    let log = place.log("orders").await;
    let writing = start_writers(std::slice::from_ref(&log));
    let canceller = log.clone();
    let cancelling = tokio::spawn(async move {
        for polls in 0..12 {
            cancel_after(
                canceller.store.append(keyed_batch(&canceller, polls)),
                polls % 4,
            )
            .await;
        }
    });
    let seen = tail(log.clone(), writing).await;
    cancelling.await.expect("the canceller succeeds");
    assert_whole(&log.entries().await);
    let written = seen
        .iter()
        .filter(|entry| entry.order_key.is_none())
        .count();
    assert_eq!(written, WRITTEN_PER_LOG);
}

/// C2.5, C2.1: an append to several streams that is dropped is in all of them or in none.
pub(crate) async fn c2_5_a_cancelled_append_many_is_whole_or_absent(place: Place) {
    let first = place.log("orders").await;
    let second = first.beside("payments");
    if !can_append_many(&first).await {
        return;
    }
    for polls in 0..12 {
        let batches = vec![keyed_batch(&first, polls), keyed_batch(&second, polls)];
        cancel_after(first.store.append_many(batches), polls % 4).await;
    }
    let batches = |n| [keyed_batch(&first, n), keyed_batch(&second, n)];
    for n in 0..12 {
        let receipts = first.append_many(batches(n)).await;
        assert_eq!(
            receipts[0].appended(),
            receipts[1].appended(),
            "batch {n} was in one stream only"
        );
    }
    assert_eq!(
        (first.entries().await.len(), second.entries().await.len()),
        (36, 36)
    );
}

/// C2.5: other changes that are dropped are wholly made or wholly absent, too, and the store goes on.
pub(crate) async fn c2_5_a_cancelled_change_is_whole_or_absent(place: Place) {
    let log = place.log("first").await;
    for polls in 0..6 {
        let (old, new) = (format!("old {polls}"), format!("new {polls}"));
        let (old, new) = (log.beside(old), log.beside(new));
        let [_, middle, ..] = old.add_all(["a", "b", "c", "d"]).await;
        cancel_after(old.store.trim(&old.name, middle), polls).await;
        cancel_after(old.try_save("cp", "value", None), polls).await;
        cancel_after(old.store.rename(&old.name, &new.name), polls).await;
        // Refused if the rename that was dropped is made by now.
        let _ = old.store.rename(&old.name, &new.name).await;
        let found = new.texts().await;
        assert!(
            matches!(found.len(), 2 | 4),
            "half a trim, or half a rename: {found:?}"
        );
        let values = [old.load("cp").await, new.load("cp").await];
        assert!(
            values.iter().flatten().all(|found| found.value == "value"),
            "{values:?}"
        );
    }
}

/// Three entries with an order key that tells their batch.
fn keyed_batch(log: &Log, batch: usize) -> Batch<u64> {
    log.batch((0..3).map(|n| keyed(&format!("{batch}-{n}")).order_key(format!("batch {batch}"))))
}

/// Polls an append as often as told, and drops it.
async fn cancel_after<T>(append: impl Future<Output = Result<T>>, polls: usize) {
    let mut append = pin!(append);
    for _ in 0..polls {
        if let Poll::Ready(answer) = poll_once(append.as_mut()).await {
            answer.expect("the append succeeds");
            return;
        }
        yield_now().await;
    }
}

/// Every batch of [`keyed_batch`] that is there at all is there with its three entries, side by side.
fn assert_whole(entries: &[Entry<u64>]) {
    let mut rest = entries;
    while let [first, ..] = rest {
        let size = if first.order_key.is_some() { 3 } else { 1 };
        let batch = rest.get(..size).expect("no batch is torn at the end");
        assert!(
            batch.iter().all(|entry| entry.order_key == first.order_key),
            "a batch was torn at {}",
            text(first)
        );
        rest = &rest[size..];
    }
}

/// C2.6: after each kind of refusal the store works on.
pub(crate) async fn c2_6_a_store_is_usable_after_refusals(place: Place) {
    let log = place.log("orders").await;
    log.add("a").await;
    let missing = u64::MAX;
    assert_refused!(
        log.append_when(Condition::head_is(missing), entry("b"))
            .await,
        Error::Conflict { .. }
    );
    assert_refused!(
        log.try_append([entry("b").schema_version(0)]).await,
        Error::InvalidInput { .. }
    );
    assert_refused!(
        log.store.read(&log.name, &everything().limit(0)).await,
        Error::InvalidInput { .. }
    );
    assert_refused!(
        log.store.rename(&"nobody".into(), &"other".into()).await,
        Error::StreamNotFound { .. }
    );
    assert_refused!(
        log.try_save("cp", "v", Some(ledger_core::Revision(9)))
            .await,
        Error::CheckpointConflict { .. }
    );
    log.add("b").await;
    assert_eq!(log.texts().await, ["a", "b"]);
}

/// The store is an object: everything works through `Arc<dyn Store>`.
pub(crate) async fn c2_a_store_works_as_an_object(place: Place) {
    let store: std::sync::Arc<dyn ledger_core::Store<Id = u64>> = place.object().await;
    let receipt: Receipt<u64> = store
        .append(Batch::new("orders", vec![entry("a")]))
        .await
        .expect("the append succeeds");
    let page = store
        .read(&"orders".into(), &everything())
        .await
        .expect("the read succeeds");
    assert_eq!(page.entries[0].id, receipt.outcomes[0].id());
}
