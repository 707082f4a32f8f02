//! The thread that leads the groups of a store, because no runtime's thread may wait for the disk.
//!
//! It is told of each group once, by whoever appended to it first. When it has nothing to do it looks again for a short
//! while before it sleeps: being woken takes longer than most pauses between two groups.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::log::Lead;

/// How long the thread looks again before it sleeps.
const LOOKING: Duration = Duration::from_micros(100);

/// A thread that leads groups until it is dropped.
#[derive(Debug)]
pub(super) struct Committer {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    /// How many groups there are: what the thread looks at without the lock.
    length: AtomicUsize,
    told: Condvar,
}

#[derive(Debug, Default)]
struct State {
    groups: VecDeque<Lead>,
    is_asleep: bool,
    must_end: bool,
}

impl Committer {
    pub(super) fn start() -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let thread = thread::Builder::new().name("ledger-file-commit".into());
        let of_thread = Arc::clone(&queue);
        let thread = thread.spawn(move || {
            while let Some(group) = of_thread.next() {
                group.lead();
            }
        })?;
        Ok(Self {
            queue,
            thread: Some(thread),
        })
    }

    /// Has a group led.
    pub(super) fn lead(&self, group: Lead) {
        let mut state = self.queue.lock();
        state.groups.push_back(group);
        self.queue.length.fetch_add(1, Ordering::Release);
        let must_wake = std::mem::take(&mut state.is_asleep);
        drop(state);
        if must_wake {
            self.queue.told.notify_one();
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.queue.lock().must_end = true;
        self.queue.told.notify_one();
        // The last handle may be dropped by what a group woke: on that very thread.
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
            && thread.join().is_err()
        {
            tracing::warn!("the thread that commits panicked");
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next group; none when the thread must end and there is none left.
    fn next(&self) -> Option<Lead> {
        let begun = Instant::now();
        while self.length.load(Ordering::Acquire) == 0 && begun.elapsed() < LOOKING {
            thread::yield_now();
        }
        let mut state = self.lock();
        loop {
            if let Some(group) = state.groups.pop_front() {
                self.length.fetch_sub(1, Ordering::Release);
                return Some(group);
            }
            if state.must_end {
                return None;
            }
            state.is_asleep = true;
            let told = self.told.wait(state);
            state = told.unwrap_or_else(PoisonError::into_inner);
        }
    }
}
