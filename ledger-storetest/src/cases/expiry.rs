//! Expiry (C5.5): expired entries are not returned, leave tombstones, and can be erased.

use std::sync::Arc;

use ledger_core::{Direction, Filter, ManualClock, NewEntry, ReadOptions};

use crate::fixture::{Log, at, clock, entry, everything, ids};
use crate::harness::Setup;
use crate::place::Place;

/// A stream whose entries b, c and e expire at 10, and its clock, which shows 0.
async fn sample(place: &Place) -> (Log, Arc<ManualClock>) {
    let clock = clock();
    let log = place
        .log_with(Setup::default().with_clock(clock.clone()), "orders")
        .await;
    log.append([
        entry("a"),
        expiring("b"),
        expiring("c"),
        entry("d"),
        expiring("e"),
    ])
    .await;
    (log, clock)
}

fn expiring(text: &str) -> NewEntry {
    entry(text).kind("Expiring").expires_at(at(10))
}

/// C5.5: an entry is returned until it expires, and not from then on.
pub(crate) async fn c5_5_an_expired_entry_is_not_returned(place: Place) {
    let (log, clock) = sample(&place).await;
    clock.set(at(9));
    assert_eq!(log.texts().await, ["a", "b", "c", "d", "e"]);
    clock.set(at(10));
    assert_eq!(log.texts().await, ["a", "d"]);
    let page = log
        .read(
            everything()
                .descending()
                .filter(Filter::new().kind("Expiring")),
        )
        .await;
    assert!(page.entries.is_empty() && page.tombstones.is_empty());
}

/// C5.5: the head counts expired entries, and the next id follows it.
pub(crate) async fn c5_5_an_expired_entry_keeps_its_id(place: Place) {
    let (log, clock) = sample(&place).await;
    let head = log.head().await;
    clock.set(at(10));
    assert_eq!(log.head().await, head);
    assert_eq!(log.read(ReadOptions::new()).await.head, head);
    assert!(Some(log.add("f").await) > head);
}

/// C5.5: an entry that has expired when it is appended takes an id, and is never returned.
pub(crate) async fn c5_5_an_entry_may_be_born_expired(place: Place) {
    let (log, _) = sample(&place).await;
    let before = log.texts().await;
    let id = log.append_one(entry("late").expires_at(at(0))).await;
    assert_eq!(log.texts().await, before);
    assert_eq!(log.head().await, Some(id));
}

/// C5.5: a limit counts what is returned: expired entries do not fill a page.
pub(crate) async fn c5_5_expired_entries_do_not_fill_a_page(place: Place) {
    let (log, clock) = sample(&place).await;
    clock.set(at(10));
    let page = log.read(ReadOptions::new().limit(2)).await;
    assert_eq!(page.entries.len(), 2);
    let page = log.read(ReadOptions::new().limit(2).descending()).await;
    assert_eq!(page.entries.len(), 2);
}

/// C5.5: with tombstones a walk accounts for every id, in either direction, page by page.
pub(crate) async fn c5_5_tombstones_account_for_every_id(place: Place) {
    let (log, clock) = sample(&place).await;
    let all = log.ids().await;
    clock.set(at(10));
    assert_accounted(&log, &all).await;
    log.purge_expired().await;
    assert_accounted(&log, &all).await;
}

async fn assert_accounted(log: &Log, all: &[u64]) {
    for limit in 1..=6 {
        let options = ReadOptions::new().limit(limit).with_tombstones();
        assert_eq!(walk(log, options.clone()).await, all, "by {limit}");
        let mut backwards = walk(log, options.descending()).await;
        backwards.reverse();
        assert_eq!(backwards, all, "backwards by {limit}");
    }
}

/// The ids of entries and tombstones, page by page, in the order asked for.
async fn walk(log: &Log, mut options: ReadOptions<u64>) -> Vec<u64> {
    let mut walked = Vec::new();
    for _ in 0..100 {
        let page = log.read(options.clone()).await;
        let mut items = [ids(&page.entries), page.tombstones].concat();
        assert!(
            items.len() <= options.limit,
            "a page of {} is longer than {}",
            items.len(),
            options.limit
        );
        items.sort_unstable();
        match options.direction {
            Direction::Ascending => options.after = page.next,
            Direction::Descending => {
                items.reverse();
                options.before = page.next;
            }
        }
        walked.extend(items);
        if page.next.is_none() {
            return walked;
        }
    }
    panic!("the pages never end: {options:?}");
}

/// C5.5: tombstones are in the order asked for, keep to the cursors, and know no filter.
pub(crate) async fn c5_5_tombstones_are_chosen_by_cursor_only(place: Place) {
    let (log, clock) = sample(&place).await;
    let all = log.ids().await;
    let [a, b, c, d, e] = all[..] else {
        panic!("five entries, not {all:?}")
    };
    clock.set(at(10));
    let options = everything().with_tombstones();
    assert_eq!(log.read(options.clone()).await.tombstones, [b, c, e]);
    assert_eq!(
        log.read(options.clone().descending()).await.tombstones,
        [e, c, b]
    );
    assert_eq!(log.read(options.clone().after(b)).await.tombstones, [c, e]);
    assert_eq!(log.read(options.clone().before(c)).await.tombstones, [b]);
    let page = log
        .read(
            options
                .clone()
                .after(a)
                .before(e)
                .filter(Filter::new().kind("None")),
        )
        .await;
    assert_eq!((page.entries.len(), page.tombstones), (0, vec![b, c]));
    assert_eq!(ids(&log.read(options).await.entries), [a, d]);
}

/// C5.5: tombstones are chosen by time too.
pub(crate) async fn c5_5_tombstones_are_chosen_by_time(place: Place) {
    let (log, clock) = sample(&place).await;
    clock.set(at(5));
    let later = log.append_one(expiring("f")).await;
    clock.set(at(10));
    let options = everything().with_tombstones().since(at(5));
    assert_eq!(log.read(options.clone()).await.tombstones, [later]);
    log.purge_expired().await;
    assert_eq!(log.read(options).await.tombstones, [later]);
}

/// C5.5: a purge erases what has expired, wherever it is, and nothing else; and says how many.
pub(crate) async fn c5_5_a_purge_erases_what_has_expired(place: Place) {
    let (log, clock) = sample(&place).await;
    let before = log.stat().await;
    assert_eq!(log.purge_expired().await, 0, "nothing has expired yet");
    assert_eq!(log.stat().await, before);
    clock.set(at(10));
    let kept = log.entries().await;
    assert_eq!(log.purge_expired().await, 3);
    assert_eq!(log.purge_expired().await, 0);
    assert_eq!(log.entries().await, kept);
    let after = log.stat().await;
    assert_eq!(
        (after.first, after.head, after.bytes),
        (before.first, before.head, before.bytes - 3)
    );
}

/// C5.5: what was purged stays purged when the clock is set back, and over a reopen.
pub(crate) async fn c5_5_what_was_purged_does_not_come_back(place: Place) {
    let (log, clock) = sample(&place).await;
    let all = log.ids().await;
    clock.set(at(10));
    log.purge_expired().await;
    clock.set(at(0));
    assert_eq!(log.texts().await, ["a", "d"]);
    log.close().await;
    let log = place
        .log_with(Setup::default().with_clock(clock), "orders")
        .await;
    assert_eq!(log.texts().await, ["a", "d"]);
    assert_accounted(&log, &all).await;
}

/// C5.5: purging a stream that does not exist erases nothing and creates nothing.
pub(crate) async fn c5_5_purging_creates_no_stream(place: Place) {
    let log = place.log("nobody").await;
    assert_eq!(log.purge_expired().await, 0);
    assert_eq!(log.head().await, None);
    assert!(log.list().await.is_empty());
}
