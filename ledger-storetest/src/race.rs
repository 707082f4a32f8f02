//! Tasks that race, and a reader that keeps up with them.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use futures_util::future::join_all;
use ledger_core::{Entry, ReadOptions};
use tokio::task::{JoinHandle, yield_now};

use crate::fixture::{Log, entry};

/// Runs every task on its own, and answers in their order.
pub(crate) async fn together<F>(tasks: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let tasks: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
    join_all(tasks)
        .await
        .into_iter()
        .map(|done| done.expect("a racing task succeeds"))
        .collect()
}

/// Polls once, whatever comes of it.
pub(crate) async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

/// Starts two writers for each of `logs`, which append one, two and three entries by turns, no two texts alike.
pub(crate) fn start_writers(logs: &[Log]) -> JoinHandle<()> {
    let writers: Vec<_> = logs.iter().chain(logs).cloned().enumerate().collect();
    tokio::spawn(async move {
        together(writers.into_iter().map(|(writer, log)| write(log, writer))).await;
    })
}

/// How many entries [`start_writers`] makes the writers of one log append.
pub(crate) const WRITTEN_PER_LOG: usize = 2 * ROUNDS * 6;

const ROUNDS: usize = 5;

async fn write(log: Log, writer: usize) {
    for round in 0..ROUNDS {
        for size in 1..=3 {
            log.append((0..size).map(|n| entry(&format!("{writer}-{round}-{size}-{n}"))))
                .await;
        }
    }
}

/// Reads `log` from its start in small pages, behind a cursor, for as long as `work` goes on and then to the end.
pub(crate) async fn tail(log: Log, work: JoinHandle<()>) -> Vec<Entry<u64>> {
    let mut seen: Vec<Entry<u64>> = Vec::new();
    loop {
        // Asked before the read: what is read afterwards holds all of the work.
        let is_finished = work.is_finished();
        let cursor = seen.last().map(|entry| entry.id);
        let page = log.read(ReadOptions::new().after(cursor).limit(7)).await;
        if page.entries.is_empty() && is_finished {
            break;
        }
        seen.extend(page.entries);
        yield_now().await;
    }
    work.await.expect("the work succeeds");
    seen
}
