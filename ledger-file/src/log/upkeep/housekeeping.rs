//! The thread that does what can be done later, and syncs at intervals.
//!
//! It is begun when there is something to do, and ends when the log is closed. Without it, whoever appends does the
//! same after the append.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ledger_core::{Durability, Error};

use crate::error::Result;
use crate::fault::{Mistake, is_planted};
use crate::log::shared::Shared;
use crate::options::Housekeeping;
use crate::sync::plain::{Condvar, Mutex, MutexGuard};

/// What the thread is told.
#[derive(Debug, Default)]
pub(in crate::log) struct Signal {
    told: Mutex<Told>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Told {
    has_work: bool,
    wants_zeroes: bool,
    must_end: bool,
    thread: Option<JoinHandle<()>>,
}

/// What there is to do.
#[derive(Clone, Copy, Debug)]
struct Work {
    is_untidy: bool,
    wants_zeroes: bool,
}

impl Signal {
    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for work, but no longer than `interval`. None: the thread must end.
    fn wait(&self, interval: Option<Duration>) -> Option<Work> {
        let is_idle = |told: &mut Told| !told.has_work && !told.wants_zeroes && !told.must_end;
        let mut told = match interval {
            Some(interval) => {
                let waited = self
                    .changed
                    .wait_timeout_while(self.lock(), interval, is_idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => {
                let waited = self.changed.wait_while(self.lock(), is_idle);
                waited.unwrap_or_else(PoisonError::into_inner)
            }
        };
        let work = Work {
            is_untidy: std::mem::take(&mut told.has_work),
            wants_zeroes: std::mem::take(&mut told.wants_zeroes),
        };
        (!told.must_end).then_some(work)
    }

    /// Whether the thread is to end.
    pub(super) fn must_end(&self) -> bool {
        self.lock().must_end
    }

    /// Ends the thread, and waits for that.
    pub(in crate::log) fn end(&self) {
        let mut told = self.lock();
        told.must_end = true;
        let thread = told.thread.take();
        drop(told);
        self.changed.notify_all();
        // The thread holds the log, too: it may be the last that does, and then it ends by itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id())
            && thread.join().is_err()
        {
            tracing::warn!("the housekeeping thread panicked");
        }
    }
}

impl Shared {
    /// Begins to sync at intervals, if that is the durability.
    pub(in crate::log) fn begin_intervals(self: &Arc<Self>) {
        if self.options.housekeeping == Housekeeping::Thread && self.interval().is_some() {
            self.begin_thread(&mut self.signal.lock());
        }
    }

    pub(super) fn interval(&self) -> Option<Duration> {
        match self.options.durability {
            Durability::Interval(interval) => Some(interval),
            _ => None,
        }
    }

    /// Has it done what can be done later: at once if there is no thread for it.
    pub(in crate::log) fn tidy_up(self: &Arc<Self>) {
        if self.options.housekeeping == Housekeeping::Inline {
            return report(self, self.tidy());
        }
        let mut told = self.signal.lock();
        told.has_work = true;
        self.begin_thread(&mut told);
        drop(told);
        self.signal.changed.notify_all();
    }

    /// Has it write zeroes ahead of the writer: at once if there is no thread for it.
    pub(in crate::log) fn zero_ahead(self: &Arc<Self>) {
        if self.options.housekeeping == Housekeeping::Inline {
            return self.write_zeroes();
        }
        let mut told = self.signal.lock();
        told.wants_zeroes = true;
        self.begin_thread(&mut told);
        drop(told);
        self.signal.changed.notify_all();
    }

    fn write_zeroes(&self) {
        if let Err(error) = self.ahead.write(&*self.disk)
            && !is_planted(Mistake::ZeroesSyncPassedOver)
        {
            tracing::warn!(place = self.place, %error, "zeroes could not be synced");
            let _told_to_whoever_writes_next = self.poison(error);
        }
    }

    /// Has it seen to what can go now that entries were `removed`.
    pub(in crate::log) fn tidy_after(self: &Arc<Self>, removed: u64) {
        if removed > 0 {
            self.has_trimmed.store(true, Ordering::Release);
            self.tidy_up();
        }
    }

    fn begin_thread(self: &Arc<Self>, told: &mut Told) {
        if told.thread.is_some() || told.must_end {
            return;
        }
        let shared = Arc::clone(self);
        let thread = thread::Builder::new().name("ledger-file".into());
        match thread.spawn(move || shared.keep_house()) {
            Ok(thread) => told.thread = Some(thread),
            // Whoever fills a segment makes the next one, and the rest waits.
            Err(error) => tracing::warn!(%error, "no thread for housekeeping"),
        }
    }

    fn keep_house(self: Arc<Self>) {
        while let Some(work) = self.signal.wait(self.interval()) {
            if work.wants_zeroes {
                self.write_zeroes();
            }
            if work.is_untidy {
                self.tidy_on();
            }
            if self.interval().is_some() {
                report(&self, self.sync());
            }
        }
    }
}

impl Shared {
    /// Does some of what can be done later, and has the rest done after what is more urgent by then.
    fn tidy_on(&self) {
        let tidied = self.tidy_some();
        if matches!(tidied, Ok(true)) {
            self.signal.lock().has_work = true;
        }
        report(self, tidied.map(drop));
    }
}

/// What fails here is tried again, and fails for a caller if it matters. A closing does what it needs by itself.
fn report(shared: &Shared, done: Result<()>) {
    match done.map_err(|failure| failure.into_error(&shared.place)) {
        Ok(()) | Err(Error::Closed) => {}
        Err(error) => tracing::warn!(%error, "housekeeping is put off"),
    }
}
