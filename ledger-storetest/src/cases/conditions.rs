//! Conditions (C4): checked and written as one step, decided after dedup, by what a read would return.

use ledger_core::{Condition, Error, Filter, NewEntry, Outcome, Result};

use crate::fixture::{Log, assert_refused, at, can_append_many, can_mark, clock, entry, keyed};
use crate::harness::Setup;
use crate::place::Place;
use crate::race::together;

/// What an append under a condition came to: appended, or the id in the way.
async fn attempt(log: &Log, condition: Condition<u64>) -> Result<(), Option<u64>> {
    match log.append_when(condition, entry("conditional")).await {
        Ok(_) => Ok(()),
        Err(Error::Conflict { stream, found, .. }) => {
            assert_eq!(stream, log.name, "the conflict names another stream");
            Err(found.map(|id| id.parse().expect("the conflict names an id")))
        }
        Err(other) => panic!("neither appended nor a conflict: {other:?}"),
    }
}

fn of(order_key: &str) -> NewEntry {
    entry("x").order_key(order_key)
}

/// C4.1: an entry that matches and is newer than the cursor is in the way; others are not.
pub(crate) async fn c4_1_a_newer_match_is_in_the_way(place: Place) {
    let log = place.log("orders").await;
    let seat = || Filter::new().order_key("seat-12");
    let first = log.append_one(of("seat-12")).await;
    log.append_one(of("seat-13")).await;
    assert_eq!(
        attempt(&log, Condition::none_after(seat(), first)).await,
        Ok(())
    );
    let second = log.append_one(of("seat-12")).await;
    assert_eq!(
        attempt(&log, Condition::none_after(seat(), first)).await,
        Err(Some(second))
    );
    assert_eq!(
        attempt(&log, Condition::none_after(seat(), second)).await,
        Ok(())
    );
}

/// C4.1: a cursor may lie beyond the head: nothing is newer.
pub(crate) async fn c4_1_a_cursor_beyond_the_head_holds(place: Place) {
    let log = place.log("orders").await;
    assert_eq!(
        attempt(&log, Condition::none_after(Filter::new(), u64::MAX)).await,
        Ok(())
    );
    assert_eq!(
        attempt(&log, Condition::none_after(Filter::new(), u64::MAX)).await,
        Ok(())
    );
}

/// C4.1: without a cursor, any entry that matches is in the way.
pub(crate) async fn c4_1_without_a_cursor_any_match_is_in_the_way(place: Place) {
    let log = place.log("orders").await;
    let seat = || Filter::new().order_key("seat-12");
    assert_eq!(
        attempt(&log, Condition::none_after(seat(), None)).await,
        Ok(())
    );
    let id = log.append_one(of("seat-12")).await;
    assert_eq!(
        attempt(&log, Condition::none_after(seat(), None)).await,
        Err(Some(id))
    );
}

/// C4.1: every part of a filter counts: any key, any kind, all tags, all metadata, and all parts together.
pub(crate) async fn c4_1_a_condition_takes_every_filter(place: Place) {
    let log = place.log("orders").await;
    let full = entry("x")
        .order_key("o")
        .kind("Placed")
        .tag("a")
        .tag("b")
        .metadata("user", "ann");
    let id = log.append_one(full).await;
    let matching = [
        Filter::new(),
        Filter::new().order_key("other").order_key("o"),
        Filter::new().kind("Paid").kind("Placed"),
        Filter::new().tag("a").tag("b"),
        Filter::new().metadata("user", "ann"),
        Filter::new()
            .order_key("o")
            .kind("Placed")
            .tag("a")
            .metadata("user", "ann"),
    ];
    for filter in matching {
        assert_eq!(
            attempt(&log, Condition::none_after(filter.clone(), None)).await,
            Err(Some(id)),
            "{filter:?}"
        );
    }
    let others = [
        Filter::new().order_key("other"),
        Filter::new().kind("Paid"),
        Filter::new().tag("a").tag("c"),
        Filter::new().metadata("user", "bob"),
        Filter::new().order_key("o").kind("Paid"),
    ];
    for filter in others {
        assert_eq!(
            attempt(&log, Condition::none_after(filter.clone(), None)).await,
            Ok(()),
            "{filter:?}"
        );
    }
}

/// C4.1: a stream is empty when it is new, and again when all of it is trimmed.
pub(crate) async fn c4_1_an_empty_stream_is_new_or_trimmed(place: Place) {
    let log = place.log("orders").await;
    assert_eq!(attempt(&log, Condition::stream_is_empty()).await, Ok(()));
    let head = log.head().await;
    assert_eq!(attempt(&log, Condition::stream_is_empty()).await, Err(head));
    log.trim(u64::MAX).await;
    assert_eq!(attempt(&log, Condition::stream_is_empty()).await, Ok(()));
}

/// C4.1: the head is exactly the last id given out: not less, not more, and also when that entry is trimmed.
pub(crate) async fn c4_1_the_head_is_exact(place: Place) {
    let log = place.log("orders").await;
    assert_eq!(attempt(&log, Condition::head_is(1)).await, Err(None));
    let [first, second] = log.add_all(["a", "b"]).await;
    assert_eq!(
        attempt(&log, Condition::head_is(first)).await,
        Err(Some(second))
    );
    assert_eq!(
        attempt(&log, Condition::head_is(second + 1)).await,
        Err(Some(second))
    );
    log.trim(second).await;
    assert_eq!(attempt(&log, Condition::head_is(second)).await, Ok(()));
    assert_eq!(
        attempt(&log, Condition::head_is(second)).await,
        Err(log.head().await)
    );
}

/// C4.1: the last entry of an order key is exact: an older one, another key's and an unknown id are conflicts.
pub(crate) async fn c4_1_the_last_of_an_order_key_is_exact(place: Place) {
    let log = place.log("orders").await;
    let first = log.append_one(of("a")).await;
    let last = log.append_one(of("a")).await;
    let other = log.append_one(of("b")).await;
    assert_eq!(
        attempt(&log, Condition::last_of("a", first)).await,
        Err(Some(last))
    );
    assert_eq!(
        attempt(&log, Condition::last_of("a", other)).await,
        Err(Some(last))
    );
    assert_eq!(
        attempt(&log, Condition::last_of("a", other + 1)).await,
        Err(Some(last))
    );
    assert_eq!(
        attempt(&log, Condition::last_of("c", other)).await,
        Err(None)
    );
    assert_eq!(
        attempt(&log, Condition::last_of("c", other + 1)).await,
        Err(None)
    );
    if log.store.capabilities().dense_ids {
        assert_eq!(attempt(&log, Condition::last_of("c", 0)).await, Err(None));
    }
    assert_eq!(attempt(&log, Condition::last_of("a", last)).await, Ok(()));
}

/// C4.1: "there is none of this order key" holds until there is one.
pub(crate) async fn c4_1_an_order_key_may_be_expected_absent(place: Place) {
    let log = place.log("orders").await;
    log.append_one(of("a")).await;
    assert_eq!(attempt(&log, Condition::last_of("b", None)).await, Ok(()));
    let b = log.append_one(of("b")).await;
    assert_eq!(
        attempt(&log, Condition::last_of("b", None)).await,
        Err(Some(b))
    );
}

/// C4.1: an anchor that was trimmed since is taken at its word, unless its order key has gone on.
pub(crate) async fn c4_1_a_trimmed_anchor_is_believed(place: Place) {
    let log = place.log("orders").await;
    let snapshot = log.append_one(of("a")).await;
    log.append_one(of("b")).await;
    log.trim(snapshot).await;
    assert_eq!(
        attempt(&log, Condition::last_of("a", snapshot)).await,
        Ok(())
    );
    let newer = log.append_one(of("a")).await;
    assert_eq!(
        attempt(&log, Condition::last_of("a", snapshot)).await,
        Err(Some(newer))
    );
    log.trim(u64::MAX).await;
    assert_eq!(
        attempt(&log, Condition::last_of("a", newer)).await,
        Ok(()),
        "all is trimmed"
    );
}

/// C4.1: expired entries are in nobody's way, and an expired anchor is believed; the head still counts them.
pub(crate) async fn c4_1_expired_entries_are_in_nobodys_way(place: Place) {
    let clock = clock();
    let log = place
        .log_with(Setup::default().with_clock(clock.clone()), "orders")
        .await;
    let id = log.append_one(of("a").expires_at(at(10))).await;
    assert_eq!(
        attempt(&log, Condition::last_of("a", None)).await,
        Err(Some(id))
    );
    assert_eq!(
        attempt(&log, Condition::stream_is_empty()).await,
        Err(Some(id))
    );
    clock.set(at(10));
    assert_eq!(attempt(&log, Condition::head_is(id)).await, Ok(()));
    assert_eq!(attempt(&log, Condition::last_of("a", None)).await, Ok(()));
    assert_eq!(attempt(&log, Condition::last_of("a", id)).await, Ok(()));
}

/// C4.1: tags are looked at as they are, not as they were written.
pub(crate) async fn c4_1_conditions_see_changed_tags(place: Place) {
    let log = place.log("orders").await;
    if !can_mark(&log).await {
        return;
    }
    let id = log.append_one(entry("x").tag("old")).await;
    log.store
        .set_tags(&log.name, id, ["new".into()].into())
        .await
        .expect("tags can be changed");
    assert_eq!(
        attempt(&log, Condition::none_after(Filter::new().tag("new"), None)).await,
        Err(Some(id))
    );
    assert_eq!(
        attempt(&log, Condition::none_after(Filter::new().tag("old"), None)).await,
        Ok(())
    );
}

/// C4.1: of racers that decided on the same state exactly one wins, round after round.
pub(crate) async fn c4_1_one_racer_wins_each_round(place: Place) {
    let log = place.log("orders").await;
    race_rounds(&[log.clone(), log]).await;
}

/// C4.1: the same with racers that know nothing of each other.
pub(crate) async fn c4_1_one_racer_of_two_openings_wins_each_round(place: Place) {
    let Some(openings) = place.open_twice().await else {
        return;
    };
    race_rounds(&openings.map(|store| Log::new(store, "orders"))).await;
}

async fn race_rounds(logs: &[Log; 2]) {
    let mut last = None;
    for round in 0..8 {
        let racers = logs.iter().chain(logs).cloned();
        let attempts = racers.map(|log| async move {
            log.append_when(Condition::last_of("seat", last), of("seat"))
                .await
        });
        let mut winners = Vec::new();
        for answer in together(attempts).await {
            match answer {
                Ok(receipt) => winners.push(receipt.outcomes[0].id()),
                Err(Error::Conflict { .. }) => {}
                Err(other) => panic!("a racer failed: {other:?}"),
            }
        }
        assert_eq!(
            winners.len(),
            1,
            "round {round} was won {} times",
            winners.len()
        );
        last = Some(winners[0]);
    }
    assert_eq!(logs[0].entries().await.len(), 8);
}

/// C4.2: a batch whose condition fails writes nothing of itself.
pub(crate) async fn c4_2_a_conflict_writes_nothing(place: Place) {
    let log = place.log("orders").await;
    log.append([keyed("a")]).await;
    let before = log.picture().await;
    let batch = log
        .batch([keyed("b"), keyed("a"), keyed("c")])
        .when(Condition::stream_is_empty());
    assert_refused!(log.store.append(batch).await, Error::Conflict { .. });
    assert_eq!(log.picture().await, before);
    assert!(
        !log.append([keyed("b")]).await[0].is_duplicate(),
        "the key of a refused entry is taken"
    );
}

/// C4.2: a conflict on a new stream does not make it.
pub(crate) async fn c4_2_a_conflict_creates_no_stream(place: Place) {
    let log = place.log("orders").await;
    assert_eq!(attempt(&log, Condition::head_is(1)).await, Err(None));
    assert_eq!(log.head().await, None);
    assert!(log.list().await.is_empty());
}

/// C4.2: the conflict tells what was expected, and the newest entry in the way.
pub(crate) async fn c4_2_a_conflict_names_the_newest_in_the_way(place: Place) {
    let log = place.log("orders").await;
    let [first, _, newest] = log.add_all(["a", "b", "c"]).await;
    let answer = log
        .append_when(Condition::none_after(Filter::new(), first), entry("d"))
        .await;
    let (expected, found) = (Some(first.to_string()), Some(newest.to_string()));
    assert_refused!(answer, Error::Conflict { expected: ref e, found: ref f, .. } if *e == expected && *f == found);
}

/// C4.2: appends that share a commit do not share their fate.
pub(crate) async fn c4_2_a_conflict_leaves_its_neighbours_alone(place: Place) {
    let log = place.log("orders").await;
    log.add("first").await;
    let appends = (0..20).map(|n| {
        let log = log.clone();
        async move {
            let batch = log.batch([keyed(&n.to_string())]);
            let batch = if n % 2 == 0 {
                batch
            } else {
                batch.when(Condition::stream_is_empty())
            };
            log.store.append(batch).await.is_ok()
        }
    });
    let answers = together(appends).await;
    assert!(
        answers
            .iter()
            .enumerate()
            .all(|(n, ok)| *ok == (n % 2 == 0)),
        "{answers:?}"
    );
    assert_eq!(log.entries().await.len(), 11);
}

/// C4.3: a batch of nothing but repeats succeeds whatever its condition, so that a retry is safe.
pub(crate) async fn c4_3_a_retry_succeeds_whatever_its_condition(place: Place) {
    let log = place.log("orders").await;
    let batch = log
        .batch([keyed("a"), keyed("b")])
        .when(Condition::stream_is_empty());
    let first = log
        .store
        .append(batch.clone())
        .await
        .expect("the stream is empty");
    log.add("later").await;
    let again = log.store.append(batch).await.expect("a retry is safe");
    assert!(again.outcomes.iter().all(|outcome| outcome.is_duplicate()));
    assert!(again.ids().eq(first.ids()));
    assert_eq!(log.entries().await.len(), 3);
}

/// C4.3: one new entry is enough for the condition to count.
pub(crate) async fn c4_3_a_partly_new_batch_is_held_to_its_condition(place: Place) {
    let log = place.log("orders").await;
    log.append([keyed("a")]).await;
    let before = log.picture().await;
    let batch = log
        .batch([keyed("a"), keyed("b")])
        .when(Condition::stream_is_empty());
    assert_refused!(log.store.append(batch).await, Error::Conflict { .. });
    assert_eq!(log.picture().await, before);
}

/// C4.3: of several batches appended as one, one of nothing but repeats is in nobody's way.
pub(crate) async fn c4_3_a_repeated_batch_among_several_passes(place: Place) {
    let log = place.log("orders").await;
    let other = log.beside("payments");
    if !can_append_many(&log).await {
        return;
    }
    let id = log.append_one(keyed("a")).await;
    let repeat = log.batch([keyed("a")]).when(Condition::stream_is_empty());
    let receipts = log.append_many([repeat, other.batch([entry("x")])]).await;
    assert_eq!(receipts[0].outcomes, [Outcome::Duplicate(id)]);
    assert_eq!(other.texts().await, ["x"]);
}
