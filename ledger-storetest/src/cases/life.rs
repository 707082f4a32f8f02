//! Life (C11): what is there stays there, what is closed says so, and openings do not disturb each other.

use std::fmt::Debug;
use std::pin::pin;

use ledger_core::{Error, Result};

use crate::fixture::{Log, at, clock, entry, keyed};
use crate::harness::Setup;
use crate::methods;
use crate::place::{Place, not_applicable};
use crate::race::{poll_once, together};

/// C11: everything is there again after a reopen.
pub(crate) async fn c11_a_reopened_store_holds_everything(place: Place) {
    let log = place.log("orders").await;
    let other = log.beside("payments");
    log.append([
        keyed("a").tag("t").metadata("k", "v"),
        keyed("b").order_key("o").kind("Placed"),
    ])
    .await;
    other
        .append([entry("x").expires_at(at(i64::from(u32::MAX) << 20))])
        .await;
    let revision = log.save("billing", "at 1", None).await;
    let before = (log.picture().await, other.picture().await, log.list().await);
    log.close().await;
    let log = place.log("orders").await;
    let other = log.beside("payments");
    assert_eq!(
        (log.picture().await, other.picture().await, log.list().await),
        before
    );
    assert_eq!(
        log.load("billing")
            .await
            .map(|checkpoint| checkpoint.revision),
        Some(revision)
    );
}

/// C11, C2.3: what was acknowledged is there also if nobody closed the store.
pub(crate) async fn c11_a_store_may_be_dropped_without_a_close(place: Place) {
    let Some([log, bystander]) = place
        .open_twice()
        .await
        .map(|it| it.map(|store| Log::new(store, "orders")))
    else {
        return;
    };
    log.append([keyed("a"), keyed("b")]).await;
    let before = bystander.picture().await;
    drop((log, bystander));
    let log = place.log("orders").await;
    assert_eq!(log.picture().await, before);
    assert!(log.append([keyed("b")]).await[0].is_duplicate());
}

/// C11: a place may be opened and closed again and again, empty or not.
pub(crate) async fn c11_a_store_may_be_reopened_often(place: Place) {
    for round in 0..3 {
        let log = place.log("orders").await;
        assert_eq!(log.entries().await.len(), round);
        log.close().await;
        let log = place.log("orders").await;
        log.add("x").await;
        log.close().await;
    }
}

/// C11: after a close every method answers so, and does nothing; so does a second close.
pub(crate) async fn c11_a_closed_store_says_so(place: Place) {
    let log = place.log("orders").await;
    log.add("a").await;
    let revision = log.save("billing", "at 1", None).await;
    log.close().await;
    let mut answers = methods::answers(&log).await;
    answers.push((
        "append_many of nothing",
        log.store.append_many(vec![]).await.map(drop),
    ));
    answers.push(("list", log.store.list(None, 1).await.map(drop)));
    answers.push(("health", log.store.health().await.map(drop)));
    answers.push(("close", log.store.close().await));
    for (method, answer) in answers {
        assert!(
            matches!(answer, Err(Error::Closed)),
            "{method} answers {answer:?}"
        );
    }
    let log = place.log("orders").await;
    assert_eq!(log.texts().await, ["a"]);
    let found = log.load("billing").await;
    assert_eq!(found.map(|checkpoint| checkpoint.revision), Some(revision));
}

/// C11: what a store can do is told also after its close.
pub(crate) async fn c11_capabilities_are_told_after_a_close(place: Place) {
    let log = place.log("orders").await;
    let before = log.store.capabilities().clone();
    log.close().await;
    assert_eq!(*log.store.capabilities(), before);
}

/// C11: a close wakes who waits, and tells them.
pub(crate) async fn c11_a_close_wakes_who_waits(place: Place) {
    let log = place.log("orders").await;
    let until_closed = async {
        loop {
            // A wait may return early, and is then begun again.
            if let Err(error) = log.store.wait(&log.name, None).await {
                return error;
            }
            tokio::task::yield_now().await;
        }
    };
    let mut waiting = pin!(until_closed);
    assert!(poll_once(waiting.as_mut()).await.is_pending());
    log.close().await;
    assert!(matches!(waiting.await, Error::Closed));
}

/// C11: a close finishes what was begun: each append that races with it is either acknowledged and there, or refused
/// and absent.
pub(crate) async fn c11_a_close_settles_what_was_begun(place: Place) {
    for round in 0..4 {
        let log = place.log(format!("round {round}")).await;
        let appends = (0..12).map(|n| {
            let log = log.clone();
            async move { log.try_append([entry(&n.to_string())]).await }
        });
        let (answers, closed) = tokio::join!(together(appends), async {
            if round > 0 {
                log.wait(None).await;
            }
            log.store.close().await
        });
        closed.expect("the store closes");
        assert_settled(&place.log(log.name).await, &answers).await;
    }
}

async fn assert_settled<T: Debug>(log: &Log, answers: &[Result<T>]) {
    let texts = log.texts().await;
    for (n, answer) in answers.iter().enumerate() {
        assert!(
            matches!(answer, Ok(_) | Err(Error::Closed)),
            "a close left {answer:?}"
        );
        assert_eq!(
            texts.contains(&n.to_string()),
            answer.is_ok(),
            "entry {n} was answered with {answer:?}"
        );
    }
}

/// C11: two openings hold the same store, in every respect.
pub(crate) async fn c11_two_openings_hold_one_store(place: Place) {
    let Some(openings) = place.open_twice().await else {
        return;
    };
    let [one, two] = openings.map(|store| Log::new(store, "orders"));
    let a = one.append_one(keyed("a")).await;
    assert_eq!(two.append([keyed("a")]).await[0].id(), a);
    let b = two.append_one(keyed("b")).await;
    assert!(b > a);
    assert_eq!(one.picture().await, two.picture().await);
    let revision = one.save("billing", "x", None).await;
    two.save("billing", "y", Some(revision)).await;
    two.trim(a).await;
    assert_eq!(one.texts().await, ["b"]);
    assert!(!one.append([keyed("a")]).await[0].is_duplicate());
}

/// C11: time does not step back between openings whose clocks differ.
pub(crate) async fn c11_two_openings_agree_on_time(place: Place) {
    let ahead = clock();
    ahead.set(at(1_000));
    let one = place
        .log_with(Setup::default().with_clock(ahead), "orders")
        .await;
    if !one.store.capabilities().shared {
        not_applicable("the store has one opening at a time");
        return;
    }
    let two = place
        .log_with(Setup::default().with_clock(clock()), "orders")
        .await;
    one.add("a").await;
    two.add("b").await;
    let entries = two.entries().await;
    assert!(
        entries.is_sorted_by_key(|entry| entry.recorded_at),
        "time stepped back: {entries:?}"
    );
}

/// C11: closing one opening leaves the other open.
pub(crate) async fn c11_a_close_leaves_other_openings_open(place: Place) {
    let Some(openings) = place.open_twice().await else {
        return;
    };
    let [one, two] = openings.map(|store| Log::new(store, "orders"));
    one.add("a").await;
    one.close().await;
    two.add("b").await;
    assert_eq!(two.texts().await, ["a", "b"]);
}

/// C11: health names the engine, and touches nothing of the user's.
pub(crate) async fn c11_health_touches_nothing(place: Place) {
    let log = place.log("orders").await;
    let health = log.store.health().await.expect("the store is well");
    assert!(!health.engine.is_empty(), "the engine has a name");
    assert!(log.list().await.is_empty());
    log.add("a").await;
    let before = log.picture().await;
    log.store.health().await.expect("the store is well");
    assert_eq!(log.picture().await, before);
}
