//! An append as a future. Written by hand, because one is made for every append: one that the compiler makes holds the batch twice,
//! beside room for all that happens where deciding has to wait, four times as much to be moved into its box; and it keeps what was
//! decided, to take it out again at once, for which a processor waits that has not written it yet.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use blocking::Task;
use ledger_core::{Batch, Result};
use smallvec::SmallVec;

use super::FileStore;
use crate::log::{Decided, Receipts};

/// Appends batches as one commit, and makes of their receipts what was asked for.
pub(super) struct Appending<'a, T> {
    store: &'a FileStore,
    stage: Stage,
    answer: fn(Receipts) -> T,
}

/// How far it has got.
enum Stage {
    /// Nothing is decided.
    Asked(SmallVec<[Batch<u64>; 1]>),
    /// A thread that may wait decides.
    Elsewhere(Task<Result<Decided>>),
    /// It is on its way to the disk.
    UnderWay(Decided),
    /// It has answered.
    Over,
}

impl<'a, T> Appending<'a, T> {
    pub(super) fn new(
        store: &'a FileStore,
        batches: SmallVec<[Batch<u64>; 1]>,
        answer: fn(Receipts) -> T,
    ) -> Self {
        Self {
            store,
            stage: Stage::Asked(batches),
            answer,
        }
    }
}

impl<T> Future for Appending<'_, T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let Self {
            store,
            stage,
            answer,
        } = &mut *self;
        let mut decided = match stage {
            Stage::Asked(batches) => match store.decide_now(batches)? {
                Some(decided) => decided,
                None => {
                    let task = store.decide(mem::take(batches));
                    *stage = Stage::Elsewhere(task);
                    return self.poll(context);
                }
            },
            Stage::Elsewhere(task) => ready!(Pin::new(task).poll(context))?,
            Stage::UnderWay(decided) => {
                let answered = ready!(decided.poll(store.log(), context.waker()));
                *stage = Stage::Over;
                return Poll::Ready(answered.map(*answer));
            }
            Stage::Over => panic!("an append was polled that had answered"),
        };
        // Mostly nothing has to be waited for, or everything has been.
        let answered = decided.poll(store.log(), context.waker());
        *stage = match answered {
            Poll::Ready(_) => Stage::Over,
            Poll::Pending => Stage::UnderWay(decided),
        };
        answered.map_ok(*answer)
    }
}

/// What another thread was asked to decide is decided, also if nobody waits for it any more.
impl<T> Drop for Appending<'_, T> {
    fn drop(&mut self) {
        // Looked at before it is moved, which is for few of them.
        if matches!(self.stage, Stage::Elsewhere(_))
            && let Stage::Elsewhere(task) = mem::replace(&mut self.stage, Stage::Over)
        {
            task.detach();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Waker;

    use ledger_core::{Error, NewEntry, Payload, Store};

    use super::*;
    use crate::log::Log;
    use crate::log::not_waiting::cold_log;
    use crate::options::FileOptions;

    #[test]
    fn an_append_that_another_thread_decides_comes_to_its_end_when_nobody_waits_for_it() {
        let (log, place, entries) = cold_log();
        let store = FileStore::over(Arc::new(log), None, None);
        let entry = NewEntry::new(Payload::octets("left alone")).dedup_key("left alone");
        let mut append = store.append(Batch::new("s", vec![entry]));
        let mut context = Context::from_waker(Waker::noop());
        assert!(append.as_mut().poll(&mut context).is_pending());
        drop(append);
        drop(store);
        let path = place.path().join("log");
        let log = loop {
            match Log::open(&path, FileOptions::default()) {
                Err(Error::Busy { .. }) => std::thread::yield_now(),
                opened => break opened.unwrap(),
            }
        };
        let stat = log.stat(&"s".into()).unwrap();
        assert_eq!(stat.head, Some(entries + 1));
    }
}
