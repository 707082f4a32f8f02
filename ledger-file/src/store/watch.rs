//! Noticing what another process appends: a thread that looks, as long as somebody waits.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fmt, io};

use crate::log::Log;

/// How often it looks. A look costs two reads of a page that is in memory.
const INTERVAL: Duration = Duration::from_millis(5);

/// A thread that wakes the followers of a log whenever it shows more, until it is dropped.
pub(super) struct Watch {
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Bell {
    state: Mutex<State>,
    rung: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_rung: bool,
    must_end: bool,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

impl Watch {
    pub(super) fn start(log: Arc<Log>) -> io::Result<Self> {
        let bell = Arc::new(Bell::default());
        let of_thread = Arc::clone(&bell);
        let thread = thread::Builder::new().name("ledger-file-watch".into());
        let thread = thread.spawn(move || of_thread.watch(&log))?;
        Ok(Self {
            bell,
            thread: Some(thread),
        })
    }

    /// Has it look, because somebody waits now.
    pub(super) fn ring(&self) {
        self.bell.lock().is_rung = true;
        self.bell.rung.notify_one();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.bell.lock().must_end = true;
        self.bell.rung.notify_one();
        // The last handle may be dropped by what this very thread woke.
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
            && thread.join().is_err()
        {
            tracing::warn!("the thread that watches panicked");
        }
    }
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, log: &Log) {
        let mut seen = None;
        while self.pause(log.has_followers()) {
            // What fails here fails for whoever reads, too: they are woken, and find out.
            let shown = log.refresh().ok().map(|()| log.visible());
            if shown.is_none() || shown != seen {
                log.wake_followers();
            }
            seen = shown;
        }
    }

    /// Waits for the time to look again: an interval if somebody waits, else until the bell rings. Tells whether to go on.
    fn pause(&self, is_awaited: bool) -> bool {
        let is_quiet = |state: &mut State| !state.is_rung && !state.must_end;
        let mut state = if is_awaited {
            let state = self.lock();
            let waited = self
                .rung
                .wait_timeout_while(state, INTERVAL, |state| !state.must_end);
            waited.unwrap_or_else(PoisonError::into_inner).0
        } else {
            let waited = self.rung.wait_while(self.lock(), is_quiet);
            waited.unwrap_or_else(PoisonError::into_inner)
        };
        state.is_rung = false;
        !state.must_end
    }
}
