//! The workers: what runs in each process of a crew.

use std::env;
use std::io::{self, BufRead, Write};
use std::thread;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use ledger_core::{Error, NewEntry, Outcome, SharedStore};
use tokio::sync::watch;

use super::word::{Order, Word};
use super::{Hot, KEY_MARK, hot};

/// Tells a process that it is a worker, and which one.
pub(super) const NUMBER: &str = "LEDGER_CHAOS_WORKER";

/// How many writers a worker has.
const WRITERS: usize = 4;

/// How long a writer or reader waits before it tries again.
const PAUSE: Duration = Duration::from_millis(10);

/// The part of a crew that runs in this process: four writers and a reader.
#[derive(Debug)]
pub struct Worker {
    name: String,
}

impl Worker {
    /// The worker that this process is; none if it is the one in which the test itself runs.
    pub fn from_env() -> Option<Self> {
        env::var(NUMBER).ok().map(|name| Self { name })
    }

    /// Works on a store until the crew says that it is enough.
    ///
    /// # Panics
    /// If the store answers with an error that no fault excuses, or breaks a batch apart.
    pub async fn work(self, store: impl Into<SharedStore<u64>>) {
        let stream = hot(store.into());
        // The test harness has begun a line of its own.
        writeln!(io::stdout()).expect("the crew listens");
        let orders = listen();
        let writers = (0..WRITERS).map(|writer| {
            let name = format!("{KEY_MARK}{}.{writer}", self.name);
            tokio::spawn(write(stream.clone(), name, orders.clone()))
        });
        let writers = join_all(writers.collect::<Vec<_>>());
        let reader = tokio::spawn(read(stream, orders));
        for writer in writers.await {
            writer.expect("no writer panics");
        }
        say(&Word::Written);
        reader.await.expect("the reader does not panic");
    }
}

/// Hears the orders that come line by line on standard input.
fn listen() -> watch::Receiver<Order> {
    let (orders, heard) = watch::channel(Order::GoOn);
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let line = line.expect("orders can be read");
            orders.send_replace(line.parse().expect("orders are understood"));
        }
    });
    heard
}

/// Says a word on standard output, where the crew listens.
fn say(word: &Word) {
    writeln!(io::stdout().lock(), "{word}").expect("the crew listens");
}

/// Appends batches of one to four entries, one batch after the other.
async fn write(stream: Hot, name: String, orders: watch::Receiver<Order>) {
    let batches = (1..).map(|number| {
        let keys = (0..=number % 4).map(|entry| format!("{name}.{number}.{entry}"));
        keys.collect::<Vec<_>>()
    });
    for keys in batches.take_while(|_| *orders.borrow() == Order::GoOn) {
        let ids = append(&stream, &keys).await;
        assert!(
            ids.is_sorted_by(|one, next| one + 1 == *next),
            "{keys:?} are at {ids:?}"
        );
        for (key, id) in keys.into_iter().zip(ids) {
            say(&Word::Acknowledged { key, id });
        }
    }
}

/// Appends the entries with these keys as one batch, again and again until it is acknowledged, and answers their ids.
async fn append(stream: &Hot, keys: &[String]) -> Vec<u64> {
    loop {
        let entries = keys
            .iter()
            .map(|key| NewEntry::new(key.clone()).dedup_key(key));
        match stream.append_all(entries).await {
            Ok(receipt) => return receipt.outcomes.into_iter().map(Outcome::id).collect(),
            Err(error) => excuse(error).await,
        }
    }
}

/// Follows the stream from its beginning.
async fn read(stream: Hot, mut orders: watch::Receiver<Order>) {
    let mut entries = stream.follow();
    let mut last = 0;
    loop {
        if matches!(*orders.borrow_and_update(), Order::ReadTo(end) if end <= last) {
            return;
        }
        let next = tokio::select! {
            next = entries.next() => next.expect("following does not end"),
            // What was ordered is looked at again.
            Ok(()) = orders.changed() => continue,
        };
        match next {
            Ok(entry) => {
                last = entry.id;
                say(&Word::Seen {
                    key: entry.value,
                    id: entry.id,
                });
            }
            Err(error) => excuse(error).await,
        }
    }
}

/// Lets an error pass that a fault of the server may cause.
async fn excuse(error: Error) {
    let told = format!("{error}: {:?}", std::error::Error::source(&error));
    assert!(error.is_retryable(), "{told}");
    say(&Word::Excused(told));
    if matches!(error, Error::OutcomeUnknown { .. }) {
        say(&Word::Unknown);
    }
    tokio::time::sleep(PAUSE).await;
}
