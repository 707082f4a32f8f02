//! A bounded queue from tasks to threads.
//!
//! A task that finds it full waits as a task; a thread that finds it empty looks again for a short while, because
//! being woken takes longer than most requests, and then sleeps. Closing lets nothing more in, and everything out.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use event_listener::Event;
use ledger_core::{Error, Result};

/// A queue for any number of tasks and threads.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    /// How many items there are: what a thread looks at without the lock.
    length: AtomicUsize,
    filled: Condvar,
    freed: Event,
    length_max: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    is_closed: bool,
    /// Threads that have to be woken.
    asleep: usize,
}

impl<T> Queue<T> {
    pub(crate) fn new(length_max: usize) -> Self {
        Self {
            state: Mutex::new(State {
                items: VecDeque::new(),
                is_closed: false,
                asleep: 0,
            }),
            length: AtomicUsize::new(0),
            filled: Condvar::new(),
            freed: Event::new(),
            length_max,
        }
    }

    /// Adds `item`, when there is room for it.
    ///
    /// # Errors
    /// `Closed`, also if it was closed while this waited for room.
    pub(crate) async fn push(&self, mut item: T) -> Result<()> {
        let mut room = None;
        loop {
            match self.try_push(item)? {
                None => return Ok(()),
                Some(refused) => item = refused,
            }
            match room.take() {
                // Tried once more after this, so that room made in between is not missed.
                None => room = Some(self.freed.listen()),
                Some(listener) => listener.await,
            }
        }
    }

    /// Adds `item`, or gives it back if the queue is full.
    fn try_push(&self, item: T) -> Result<Option<T>> {
        let state = self.lock();
        if state.is_closed {
            return Err(Error::Closed);
        }
        if state.items.len() >= self.length_max {
            return Ok(Some(item));
        }
        self.add(state, item);
        Ok(None)
    }

    fn add(&self, mut state: MutexGuard<'_, State<T>>, item: T) {
        state.items.push_back(item);
        self.length.store(state.items.len(), Ordering::Release);
        let must_wake = state.asleep > 0;
        drop(state);
        if must_wake {
            self.filled.notify_one();
        }
    }

    /// Waits for an item, first awake for up to `spin`. None: it is closed, and empty.
    pub(crate) fn pop(&self, spin: Duration) -> Option<T> {
        self.look_out(spin);
        let mut state = self.sleep_until_filled();
        let item = state.items.pop_front();
        self.length.store(state.items.len(), Ordering::Release);
        drop(state);
        self.freed.notify(1);
        item
    }

    /// Waits for items as [`pop`](Queue::pop) does, and takes all of them. False: it is closed, and empty.
    pub(crate) fn pop_all(&self, into: &mut VecDeque<T>, spin: Duration) -> bool {
        self.look_out(spin);
        self.empty_into(into, self.sleep_until_filled());
        !into.is_empty()
    }

    /// Takes the items that come within `patience`, all that are there with the first. False: none came.
    pub(crate) fn pop_soon(&self, into: &mut VecDeque<T>, patience: Duration) -> bool {
        if !self.look_out(patience) {
            return false;
        }
        self.empty_into(into, self.lock());
        !into.is_empty()
    }

    fn empty_into(&self, into: &mut VecDeque<T>, mut state: MutexGuard<'_, State<T>>) {
        into.append(&mut state.items);
        self.length.store(0, Ordering::Release);
        drop(state);
        self.freed.notify(usize::MAX);
    }

    /// Looks for an item without the lock, letting others run in between.
    fn look_out(&self, patience: Duration) -> bool {
        let start = Instant::now();
        while self.length.load(Ordering::Acquire) == 0 {
            if start.elapsed() >= patience {
                return false;
            }
            thread::yield_now();
        }
        true
    }

    fn sleep_until_filled(&self) -> MutexGuard<'_, State<T>> {
        let mut state = self.lock();
        while state.items.is_empty() && !state.is_closed {
            state.asleep += 1;
            state = self
                .filled
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.asleep -= 1;
        }
        state
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Lets nothing in any more; what is in it can still be taken out. False: it was closed before.
    pub(crate) fn close(&self) -> bool {
        self.close_state(self.lock())
    }

    /// Closes it behind one last item, for which there is always room.
    pub(crate) fn close_with(&self, last: T) -> bool {
        let mut state = self.lock();
        if !state.is_closed {
            state.items.push_back(last);
            self.length.store(state.items.len(), Ordering::Release);
        }
        self.close_state(state)
    }

    fn close_state(&self, mut state: MutexGuard<'_, State<T>>) -> bool {
        let was_open = !std::mem::replace(&mut state.is_closed, true);
        drop(state);
        self.filled.notify_all();
        self.freed.notify(usize::MAX);
        was_open
    }

    /// Closes it and drops what is in it: nobody will take it out.
    fn abandon(&self) {
        self.close();
        let left = std::mem::take(&mut self.lock().items);
        drop(left);
    }

    /// A panic cannot leave the state half changed, so its poison means nothing.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held by a thread that takes items out: if it panics, nobody waits for it in vain.
pub(crate) struct Consumer<'a, T>(pub(crate) &'a Queue<T>);

impl<T> Drop for Consumer<'_, T> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.abandon();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<F: Future>(future: F) -> Poll<F::Output> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn is_pushed(queue: &Queue<u32>, item: u32) -> bool {
        matches!(poll(queue.push(item)), Poll::Ready(Ok(())))
    }

    #[test]
    fn items_come_out_in_their_order() {
        let queue = Queue::new(3);
        assert!((1..=3).all(|item| is_pushed(&queue, item)));
        assert_eq!(queue.pop(Duration::ZERO), Some(1));
        let mut rest = VecDeque::new();
        assert!(queue.pop_all(&mut rest, Duration::ZERO));
        assert_eq!(rest, [2, 3]);
    }

    #[test]
    fn a_full_queue_makes_tasks_wait_until_there_is_room() {
        let queue = Queue::new(1);
        assert!(is_pushed(&queue, 1));
        let mut second = pin!(queue.push(2));
        let mut context = Context::from_waker(Waker::noop());
        assert!(second.as_mut().poll(&mut context).is_pending());
        assert_eq!(queue.pop(Duration::ZERO), Some(1));
        assert!(second.as_mut().poll(&mut context).is_ready());
        assert_eq!(queue.pop(Duration::ZERO), Some(2));
    }

    #[test]
    fn a_closed_queue_lets_out_but_not_in() {
        let queue = Queue::new(1);
        assert!(is_pushed(&queue, 1));
        assert!(queue.close_with(2));
        assert!(!queue.close());
        assert!(matches!(
            poll(queue.push(3)),
            Poll::Ready(Err(Error::Closed))
        ));
        assert_eq!(queue.pop(Duration::ZERO), Some(1));
        assert_eq!(queue.pop(Duration::ZERO), Some(2));
        assert_eq!(queue.pop(Duration::ZERO), None);
    }

    #[test]
    fn who_waits_for_room_learns_of_the_close() {
        let queue = Queue::new(1);
        assert!(is_pushed(&queue, 1));
        let mut second = pin!(queue.push(2));
        let mut context = Context::from_waker(Waker::noop());
        assert!(second.as_mut().poll(&mut context).is_pending());
        queue.close();
        assert!(matches!(
            second.as_mut().poll(&mut context),
            Poll::Ready(Err(Error::Closed))
        ));
    }

    #[test]
    fn a_sleeping_thread_is_woken_by_an_item() {
        let queue = Queue::new(1);
        let item = thread::scope(|scope| {
            let thread = scope.spawn(|| queue.pop(Duration::ZERO));
            assert!(is_pushed(&queue, 7));
            thread.join().unwrap()
        });
        assert_eq!(item, Some(7));
    }

    #[test]
    fn a_consumer_that_panics_leaves_nobody_waiting() {
        let queue = Queue::new(1);
        assert!(is_pushed(&queue, 1));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _consumer = Consumer(&queue);
            panic!("on purpose");
        }));
        assert!(panicked.is_err());
        assert!(queue.is_closed());
        assert_eq!(queue.pop(Duration::ZERO), None);
    }
}
