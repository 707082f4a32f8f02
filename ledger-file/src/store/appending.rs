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
