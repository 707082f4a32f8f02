//! Read (C5.1 to C5.3): cursors, order, limit, filter and time; one consistent state; time that never steps back.

use std::sync::Arc;

use ledger_core::{Direction, Entry, Error, Filter, ManualClock, NewEntry, Page, ReadOptions};
use tokio::task::yield_now;

use crate::fixture::{Log, assert_refused, at, clock, entry, everything, ids, texts};
use crate::harness::Setup;
use crate::place::Place;
use crate::race::start_writers;

/// Twelve entries whose order keys, kinds, tags, metadata and times repeat in different rhythms.
async fn sample(place: &Place) -> Log {
    let clock = clock();
    let log = place
        .log_with(Setup::default().with_clock(clock.clone()), "orders")
        .await;
    for n in 0..12 {
        clock.set(at(10 * (n / 2)));
        log.append_one(sample_entry(n)).await;
    }
    log
}

fn sample_entry(n: i64) -> NewEntry {
    let mut new = entry(&n.to_string())
        .order_key(format!("o-{}", n % 3))
        .kind(["Placed", "Paid"][n as usize % 2]);
    if n % 4 < 2 {
        new = new.tag("a");
    }
    if n % 3 > 0 {
        new = new.tag("b");
    }
    new.metadata("user", ["ann", "bob"][n as usize / 6])
}

fn filters() -> [Filter; 9] {
    [
        Filter::new(),
        Filter::new().order_key("o-1"),
        Filter::new().order_key("o-1").order_key("o-2"),
        Filter::new().kind("Paid"),
        Filter::new().tag("a"),
        Filter::new().tag("a").tag("b"),
        Filter::new().metadata("user", "bob"),
        Filter::new()
            .order_key("o-0")
            .order_key("o-1")
            .kind("Placed")
            .tag("a")
            .metadata("user", "ann"),
        Filter::new().order_key("nobody"),
    ]
}

/// What a read of `all` with `options` has to return.
fn chosen(all: &[Entry<u64>], options: &ReadOptions<u64>) -> Vec<Entry<u64>> {
    let is_chosen = |entry: &&Entry<u64>| {
        options.after.is_none_or(|after| entry.id > after)
            && options.before.is_none_or(|before| entry.id < before)
            && options.since.is_none_or(|since| entry.recorded_at >= since)
            && options.filter.matches(entry)
    };
    let mut chosen: Vec<_> = all.iter().filter(is_chosen).cloned().collect();
    if options.direction == Direction::Descending {
        chosen.reverse();
    }
    chosen.truncate(options.limit);
    chosen
}

/// C5.1: `after` is exclusive.
pub(crate) async fn c5_1_a_page_begins_behind_its_cursor(place: Place) {
    let log = place.log("orders").await;
    let [a, b, c] = log.add_all(["a", "b", "c"]).await;
    assert_eq!(
        ids(&log.read(ReadOptions::new().after(a)).await.entries),
        [b, c]
    );
    assert_eq!(
        ids(&log.read(ReadOptions::new().after(b)).await.entries),
        [c]
    );
    assert!(
        log.read(ReadOptions::new().after(c))
            .await
            .entries
            .is_empty()
    );
}

/// C5.1: `before` is exclusive.
pub(crate) async fn c5_1_a_page_ends_before_its_cursor(place: Place) {
    let log = place.log("orders").await;
    let [a, b, c] = log.add_all(["a", "b", "c"]).await;
    assert_eq!(
        ids(&log.read(ReadOptions::new().before(c)).await.entries),
        [a, b]
    );
    assert_eq!(
        ids(&log
            .read(ReadOptions::new().before(c).descending())
            .await
            .entries),
        [b, a]
    );
    assert!(
        log.read(ReadOptions::new().before(a))
            .await
            .entries
            .is_empty()
    );
}

/// C5.1: descending is newest first, from the newest end.
pub(crate) async fn c5_1_descending_begins_at_the_newest(place: Place) {
    let log = place.log("orders").await;
    let [a, b, c] = log.add_all(["a", "b", "c"]).await;
    assert_eq!(
        ids(&log.read(ReadOptions::new().descending()).await.entries),
        [c, b, a]
    );
    assert_eq!(
        ids(&log
            .read(ReadOptions::new().descending().limit(2))
            .await
            .entries),
        [c, b]
    );
    assert_eq!(
        ids(&log
            .read(ReadOptions::new().descending().after(a))
            .await
            .entries),
        [c, b]
    );
}

/// C5.1: cursors that leave no room between them choose nothing.
pub(crate) async fn c5_1_cursors_that_cross_choose_nothing(place: Place) {
    let log = place.log("orders").await;
    let [a, b, c] = log.add_all(["a", "b", "c"]).await;
    for (after, before) in [(a, b), (b, b), (c, a), (u64::MAX, 0)] {
        let options = ReadOptions::new().after(after).before(before);
        assert!(
            log.read(options.clone()).await.entries.is_empty(),
            "({after}, {before})"
        );
        assert!(
            log.read(options.descending()).await.entries.is_empty(),
            "({after}, {before}) descending"
        );
    }
}

/// C5.1: cursors and limits at the ends of their range are ordinary.
pub(crate) async fn c5_1_extreme_cursors_are_ordinary(place: Place) {
    let log = place.log("orders").await;
    let all = log.add_all(["a", "b", "c"]).await;
    assert_eq!(ids(&log.read(everything().after(0)).await.entries), all);
    assert_eq!(
        ids(&log.read(everything().before(u64::MAX)).await.entries),
        all
    );
    for options in [everything().after(u64::MAX), everything().before(0)] {
        assert!(log.read(options.clone()).await.entries.is_empty());
        assert!(log.read(options.descending()).await.entries.is_empty());
    }
}

/// C5.1: a page holds no more than its limit.
pub(crate) async fn c5_1_a_page_keeps_to_its_limit(place: Place) {
    let log = place.log("orders").await;
    let all = log.add_all(["a", "b", "c", "d"]).await;
    for limit in 1..=5 {
        let expected = &all[..limit.min(4)];
        assert_eq!(
            ids(&log.read(ReadOptions::new().limit(limit)).await.entries),
            expected
        );
    }
}

/// C5.1: unless told otherwise a page holds 100 entries.
pub(crate) async fn c5_1_a_page_holds_a_hundred_by_default(place: Place) {
    let log = place.log("orders").await;
    log.append((0..101).map(|n| entry(&n.to_string()))).await;
    let page = log.read(ReadOptions::new()).await;
    assert_eq!(page.entries.len(), 100);
    assert_eq!(page.next, page.entries.last().map(|entry| entry.id));
}

/// C5.1: a limit of zero is an error, also for a stream that does not exist.
pub(crate) async fn c5_1_a_zero_limit_is_refused(place: Place) {
    let log = place.log("orders").await;
    let options = ReadOptions::new().limit(0);
    assert_refused!(
        log.store.read(&log.name, &options).await,
        Error::InvalidInput { .. }
    );
    log.add("a").await;
    assert_refused!(
        log.store.read(&log.name, &options).await,
        Error::InvalidInput { .. }
    );
}

/// C5.1: each part of the filter chooses as it says, oldest first.
pub(crate) async fn c5_1_filters_choose_ascending(place: Place) {
    let log = sample(&place).await;
    let all = log.entries().await;
    for filter in filters() {
        let options = everything().filter(filter);
        assert_eq!(
            log.read(options.clone()).await.entries,
            chosen(&all, &options),
            "{options:?}"
        );
    }
}

/// C5.1: and newest first.
pub(crate) async fn c5_1_filters_choose_descending(place: Place) {
    let log = sample(&place).await;
    let all = log.entries().await;
    for filter in filters() {
        let options = everything().descending().filter(filter);
        assert_eq!(
            log.read(options.clone()).await.entries,
            chosen(&all, &options),
            "{options:?}"
        );
    }
}

/// C5.1: an absent order key or kind is chosen by no filter that names one, not even an empty one.
pub(crate) async fn c5_1_filters_tell_empty_from_absent(place: Place) {
    let log = place.log("orders").await;
    log.append([
        entry("absent"),
        entry("empty")
            .order_key("")
            .kind("")
            .tag("")
            .metadata("", ""),
    ])
    .await;
    let empties = [
        Filter::new().order_key(""),
        Filter::new().kind(""),
        Filter::new().tag(""),
        Filter::new().metadata("", ""),
    ];
    for filter in empties {
        assert_eq!(
            texts(&log.read(everything().filter(filter.clone())).await.entries),
            ["empty"],
            "{filter:?}"
        );
    }
}

/// C5.1: a time chooses what was recorded then or later.
pub(crate) async fn c5_1_since_chooses_by_time(place: Place) {
    let log = sample(&place).await;
    let since = |time| everything().since(time);
    assert_eq!(log.read(since(at(0))).await.entries.len(), 12);
    assert_eq!(log.read(since(at(30))).await.entries.len(), 6);
    assert_eq!(log.read(since(at(31))).await.entries.len(), 4);
    assert_eq!(log.read(since(at(51)).descending()).await.entries.len(), 0);
}

/// C5.1: cursors, order, limit, filter and time all hold together.
pub(crate) async fn c5_1_all_options_hold_together(place: Place) {
    let log = sample(&place).await;
    let all = log.entries().await;
    let cursors = [
        (None, None),
        (Some(all[1].id), Some(all[9].id)),
        (Some(all[4].id), None),
        (None, Some(all[7].id)),
    ];
    for (after, before) in cursors {
        for filter in filters() {
            for limit in [1, 3, 100] {
                let options = ReadOptions::new()
                    .after(after)
                    .before(before)
                    .limit(limit)
                    .filter(filter.clone());
                for options in [
                    options.clone(),
                    options.clone().descending(),
                    options.since(at(20)),
                ] {
                    assert_eq!(
                        log.read(options.clone()).await.entries,
                        chosen(&all, &options),
                        "{options:?}"
                    );
                }
            }
        }
    }
}

/// C5.1: going on at `next` meets every entry once, in either direction, whatever the filter and the limit.
pub(crate) async fn c5_1_pages_continue_without_gap_or_repeat(place: Place) {
    let log = sample(&place).await;
    for filter in filters() {
        let ascending = everything().filter(filter);
        for options in [ascending.clone(), ascending.descending()] {
            let expected = log.read(options.clone()).await.entries;
            for limit in [1, 2, 5, 12, 13] {
                assert_eq!(
                    walk(&log, options.clone().limit(limit)).await,
                    expected,
                    "{options:?} by {limit}"
                );
            }
        }
    }
}

/// Reads page after page, for as long as there is a next one.
async fn walk(log: &Log, mut options: ReadOptions<u64>) -> Vec<Entry<u64>> {
    let mut entries = Vec::new();
    for _ in 0..100 {
        let Page {
            entries: page,
            next,
            ..
        } = log.read(options.clone()).await;
        assert!(
            page.len() <= options.limit,
            "a page of {} is longer than {}",
            page.len(),
            options.limit
        );
        entries.extend(page);
        match (next, options.direction) {
            (None, _) => return entries,
            (next, Direction::Ascending) => options.after = next,
            (next, Direction::Descending) => options.before = next,
        }
    }
    panic!("the pages never end: {options:?}");
}

/// C5.1: reading a stream that does not exist answers nothing, and creates nothing.
pub(crate) async fn c5_1_reading_creates_no_stream(place: Place) {
    let log = place.log("nobody").await;
    assert_eq!(log.read(everything()).await, Page::empty());
    assert_eq!(log.read(everything().descending()).await, Page::empty());
    assert_eq!(log.stat().await.head, None);
    assert!(log.list().await.is_empty());
    log.beside("somebody").add("a").await;
    log.store
        .rename(&"somebody".into(), &log.name)
        .await
        .expect("the name is free");
}

/// C5.2: a page tells the head, also when the filter found nothing.
pub(crate) async fn c5_2_a_page_tells_the_head(place: Place) {
    let log = place.log("orders").await;
    let [first, .., head] = log.add_all(["a", "b", "c"]).await;
    let page = log
        .read(ReadOptions::new().filter(Filter::new().kind("none")))
        .await;
    assert_eq!(
        (page.entries.len(), page.first, page.head, page.next),
        (0, Some(first), Some(head), None)
    );
    let page = log.read(ReadOptions::new().limit(1)).await;
    assert_eq!((page.first, page.head), (Some(first), Some(head)));
    assert_eq!(
        log.read(ReadOptions::new().after(head)).await.head,
        Some(head)
    );
}

/// C5.2: a wholly trimmed stream still tells its head.
pub(crate) async fn c5_2_a_trimmed_stream_keeps_its_head(place: Place) {
    let log = place.log("orders").await;
    let [.., head] = log.add_all(["a", "b"]).await;
    log.trim(head).await;
    let page = log.read(everything()).await;
    assert_eq!(
        (page.entries.len(), page.first, page.head),
        (0, None, Some(head))
    );
}

/// C5.2: a page is of one state: its first entry is the first, its last the head, while others append and trim.
pub(crate) async fn c5_2_a_page_is_of_one_state(place: Place) {
    let log = place.log("orders").await;
    log.add("a").await;
    let writing = start_writers(std::slice::from_ref(&log));
    loop {
        let is_finished = writing.is_finished();
        let page = log.read(everything()).await;
        let ids = ids(&page.entries);
        assert_eq!(
            (ids.first(), ids.last()),
            (page.first.as_ref(), page.head.as_ref()),
            "two states in one page"
        );
        if is_finished {
            break;
        }
        if let [.., before_the_last, _] = ids[..] {
            log.trim(before_the_last).await;
        }
        yield_now().await;
    }
    writing.await.expect("the writers succeed");
}

/// C5.3: the store's clock stamps entries, and what it stamped does not change.
pub(crate) async fn c5_3_entries_are_stamped_by_the_stores_clock(place: Place) {
    let clock = clock();
    let log = place
        .log_with(Setup::default().with_clock(clock.clone()), "orders")
        .await;
    log.add_all(["a", "b"]).await;
    clock.set(at(1));
    log.add("c").await;
    assert_eq!(recorded(&log).await, [0, 0, 1]);
}

/// C5.3: a clock that is set back does not take `recorded_at` along.
pub(crate) async fn c5_3_a_clock_set_back_is_not_followed(place: Place) {
    let clock = clock();
    let log = place
        .log_with(Setup::default().with_clock(clock.clone()), "orders")
        .await;
    log.add("a").await;
    for (micros, expected) in [(-1_000_000, 0), (5, 5), (4, 5), (6, 6)] {
        clock.set(at(micros));
        log.add("x").await;
        assert_eq!(recorded(&log).await.last(), Some(&expected), "at {micros}");
    }
    assert!(recorded(&log).await.is_sorted());
}

/// C5.3: also when it is set back while the store is closed, or when the newest entries are trimmed.
pub(crate) async fn c5_3_time_does_not_step_back_over_a_reopen_or_a_trim(place: Place) {
    let setup = |micros| Setup::default().with_clock(Arc::new(ManualClock::new(at(micros))));
    let log = place.log_with(setup(10), "orders").await;
    log.add("a").await;
    log.close().await;
    let log = place.log_with(setup(0), "orders").await;
    log.add("b").await;
    assert_eq!(recorded(&log).await, [10, 10]);
    log.trim(u64::MAX).await;
    log.close().await;
    let log = place.log_with(setup(5), "orders").await;
    log.add("c").await;
    assert_eq!(recorded(&log).await, [10]);
}

/// When the entries were recorded, in microseconds after the start.
async fn recorded(log: &Log) -> Vec<i64> {
    let entries = log.entries().await;
    entries
        .iter()
        .map(|entry| entry.recorded_at.as_micros() - at(0).as_micros())
        .collect()
}
