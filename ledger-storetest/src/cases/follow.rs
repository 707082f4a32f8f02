//! Follow (C9): every entry once, in order, history first, then live; the wait that live is made of, and pages begun ahead.

use std::pin::pin;

use futures_util::future::{join_all, maybe_done};
use futures_util::{StreamExt, TryStreamExt};
use ledger_core::{BoxError, Codec, ContentType, Entry, Follow, Stream, TreeCodec};

use crate::fixture::{Log, can_append_many, entry, everything, ids, text};
use crate::place::Place;
use crate::race::{WRITTEN_PER_LOG, poll_once, start_writers, together};

/// The codec of the texts that the suite writes.
#[derive(Clone)]
struct Text;

impl Codec<String> for Text {
    fn content_type(&self) -> ContentType {
        ContentType::OCTET_STREAM
    }

    fn encode(&self, value: &String, buffer: &mut Vec<u8>) -> Result<(), BoxError> {
        buffer.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<String, BoxError> {
        Ok(String::from_utf8(bytes.to_vec())?)
    }

    fn tree(&self) -> Option<&dyn TreeCodec> {
        None
    }
}

type Texts = Follow<u64, String, Text>;

/// More than the connections of any pool that a store has by default.
const READERS: usize = 64;

/// The text that ends what a case follows.
const END: &str = "end";

impl Log {
    fn stream(&self) -> Stream<u64, String, Text> {
        Stream::builder(self.store.clone(), self.name.clone())
            .codec(Text)
            .build()
            .expect("a stream without upcasters is sound")
    }

    fn follow(&self) -> Texts {
        self.stream().follow()
    }

    /// Waits until the head is beyond `after`, through all early returns.
    async fn wait_beyond(&self, after: Option<u64>) {
        while self.head().await <= after {
            self.wait(after).await;
        }
    }
}

/// What the follower delivers before the end.
async fn until_end(mut follow: Texts) -> Vec<Entry<u64, String>> {
    let mut entries = Vec::new();
    loop {
        let next = follow
            .try_next()
            .await
            .expect("following succeeds")
            .expect("following does not end by itself");
        if next.value == END {
            return entries;
        }
        entries.push(next);
    }
}

/// Both are the same entries in the same order.
fn assert_delivered(delivered: &[Entry<u64, String>], expected: &[Entry<u64>]) {
    let delivered: Vec<_> = delivered
        .iter()
        .map(|entry| (entry.id, entry.value.clone()))
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|entry| (entry.id, text(entry)))
        .collect();
    assert_eq!(delivered, expected);
}

/// C9: what is there comes first, then what is appended.
pub(crate) async fn c9_history_is_followed_by_what_is_appended(place: Place) {
    let log = place.log("orders").await;
    log.add_all(["a", "b"]).await;
    let mut follow = log.follow();
    for (append, expected) in [(None, "a"), (None, "b"), (Some("c"), "c"), (Some("d"), "d")] {
        if let Some(text) = append {
            log.add(text).await;
        }
        let next = follow
            .try_next()
            .await
            .expect("following succeeds")
            .expect("there is more");
        assert_eq!(next.value, expected);
    }
}

/// C9: no gap and no repeat at the seam, while many write.
pub(crate) async fn c9_there_is_no_seam_under_many_writers(place: Place) {
    let log = place.log("orders").await;
    follow_writers(&log, &[log.clone(), log.clone()]).await;
}

/// C9: the same when the writers know nothing of the follower.
pub(crate) async fn c9_writers_of_another_opening_are_followed(place: Place) {
    let Some(openings) = place.open_twice().await else {
        return;
    };
    let [follower, writer] = openings.map(|store| Log::new(store, "orders"));
    follow_writers(&follower, &[writer.clone(), writer]).await;
}

/// Three followers, one from the start, one begun while others write, and one behind what there is.
async fn follow_writers(log: &Log, writers: &[Log; 2]) {
    start_writers(writers).await.expect("the writers succeed");
    let history = log.entries().await;
    let writing = start_writers(writers);
    let last = history.last().map(|entry| entry.id);
    let followers = [None, history.first().map(|entry| entry.id), last];
    let following = followers.map(|after| until_end(log.follow().after(after)));
    let ending = async {
        writing.await.expect("the writers succeed");
        writers[0].add(END).await;
    };
    let (delivered, ()) = tokio::join!(together(following), ending);
    let mut all = log.entries().await;
    assert_eq!(all.pop().map(|entry| text(&entry)).as_deref(), Some(END));
    assert_eq!(all.len(), 4 * WRITTEN_PER_LOG);
    assert_delivered(&delivered[0], &all);
    assert_delivered(&delivered[1], &all[1..]);
    assert_delivered(&delivered[2], &all[history.len()..]);
}

/// C9: a follower with a filter gets what matches, and is not kept from it by what does not.
pub(crate) async fn c9_a_filter_chooses_what_is_followed(place: Place) {
    let log = place.log("orders").await;
    let batch = |n: i32| {
        [
            entry(&format!("yes {n}")).kind("Yes"),
            entry("no").kind("No"),
            entry("bare"),
        ]
    };
    log.append(batch(0)).await;
    let following = tokio::spawn(until_end(log.follow().kind("Yes")));
    for n in 1..6 {
        log.append(batch(n)).await;
    }
    log.append_one(entry(END).kind("Yes")).await;
    let delivered = following.await.expect("the follower succeeds");
    let texts: Vec<_> = delivered.iter().map(|entry| entry.value.as_str()).collect();
    assert_eq!(
        texts,
        ["yes 0", "yes 1", "yes 2", "yes 3", "yes 4", "yes 5"]
    );
}

/// C9: a stream may be followed before it exists.
pub(crate) async fn c9_a_stream_may_be_followed_before_it_exists(place: Place) {
    let log = place.log("orders").await;
    let mut follow = log.follow();
    let mut next = pin!(follow.try_next());
    assert!(poll_once(next.as_mut()).await.is_pending());
    assert!(log.list().await.is_empty());
    log.beside("payments").add("other").await;
    log.add("a").await;
    let next = next
        .await
        .expect("following succeeds")
        .expect("there is an entry");
    assert_eq!(next.value, "a");
}

/// C9: dropping followers and waits frees them, whatever they were doing: the rest is served.
pub(crate) async fn c9_dropped_followers_are_forgotten(place: Place) {
    let log = place.log("orders").await;
    let mut kept = log.follow();
    for _ in 0..100 {
        let mut dropped = log.follow();
        assert!(poll_once(pin!(dropped.try_next())).await.is_pending());
        assert!(poll_once(pin!(log.wait_beyond(None))).await.is_pending());
    }
    let mut next = pin!(kept.try_next());
    assert!(poll_once(next.as_mut()).await.is_pending());
    log.add("a").await;
    assert!(next.await.expect("following succeeds").is_some());
}

/// C9: a wait for what is already there returns, also when that is trimmed.
pub(crate) async fn c9_a_wait_for_the_past_returns(place: Place) {
    let log = place.log("orders").await;
    let [a, b] = log.add_all(["a", "b"]).await;
    log.wait(None).await;
    log.wait(Some(a)).await;
    log.trim(b).await;
    log.wait(None).await;
    log.wait(Some(a)).await;
}

/// C9: a wait ends with an append through the same opening, one entry or several streams.
pub(crate) async fn c9_a_wait_ends_with_an_append(place: Place) {
    let log = place.log("orders").await;
    let mut waiting = pin!(log.wait_beyond(None));
    assert!(poll_once(waiting.as_mut()).await.is_pending());
    let first = log.add("a").await;
    waiting.await;
    if !can_append_many(&log).await {
        return;
    }
    let other = log.beside("payments");
    let mut waiting =
        pin!(async { tokio::join!(log.wait_beyond(Some(first)), other.wait_beyond(None)) });
    assert!(poll_once(waiting.as_mut()).await.is_pending());
    log.append_many([log.batch([entry("b")]), other.batch([entry("x")])])
        .await;
    waiting.await;
}

/// C9: a wait ends with an append through another opening.
pub(crate) async fn c9_a_wait_ends_with_an_append_of_another_opening(place: Place) {
    let Some(openings) = place.open_twice().await else {
        return;
    };
    let [waiter, writer] = openings.map(|store| Log::new(store, "orders"));
    let mut after = None;
    for _ in 0..3 {
        let mut waiting = pin!(waiter.wait_beyond(after));
        assert!(poll_once(waiting.as_mut()).await.is_pending());
        after = Some(writer.add("a").await);
        waiting.await;
    }
}

/// C9: many waits for one stream all end with one append.
pub(crate) async fn c9_all_waits_end(place: Place) {
    let log = place.log("orders").await;
    let waits = (0..50).map(|_| {
        let log = log.clone();
        async move { log.wait_beyond(None).await }
    });
    let appending = async { log.add("a").await };
    tokio::join!(together(waits), appending);
}

/// C9: reads that were begun, and that nobody polls any more, hold up nobody: walks and followers may begin a page ahead, and
/// any task may wait for something else first.
pub(crate) async fn c9_reads_that_nobody_polls_hold_up_nobody(place: Place) {
    let log = place.log("orders").await;
    // More than what lies between a server and here.
    let large = "x".repeat(50_000);
    log.append((0..20).map(|_| entry(&large))).await;
    let options = everything();
    let mut pages: Vec<_> = (0..READERS)
        .map(|_| Box::pin(maybe_done(log.store.read(&log.name, &options))))
        .collect();
    for page in &mut pages {
        // Whether it is there at once is up to the store.
        let _ = poll_once(page.as_mut()).await;
    }
    assert_eq!(
        log.add("next").await,
        log.head().await.expect("it is there")
    );
    let all = log.ids().await;
    for mut page in pages {
        page.as_mut().await;
        let page = page.as_mut().take_output().expect("it is done");
        let found = ids(&page.expect("the read succeeds").entries);
        assert!(found.len() >= 20, "entries are missing: {found:?}");
        assert_eq!(found, all[..found.len()]);
    }
}

/// C9: walks that append for each entry, more of them than a store has connections, hold up neither each other nor themselves.
pub(crate) async fn c9_walks_may_append_as_they_go(place: Place) {
    let log = place.log("orders").await;
    log.add_all(["a", "b", "c", "d", "e", "f", "g", "h"]).await;
    let last = log.head().await;
    let copies = log.beside("copies");
    let walks = (0..READERS).map(|_| {
        let walk = log.stream().read().before(last).limit(3).walk();
        walk.then(async |next| copies.add(&next.expect("the walk succeeds").value).await)
            .count()
    });
    assert_eq!(join_all(walks).await, [7; READERS]);
    assert_eq!(copies.ids().await.len(), 7 * READERS);
}
