//! Noticing what another process appends: a thread that looks, as long as somebody waits.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fmt, io};

use crate::log::Log;

/// How often it looks. A glance costs one read of a page that is in memory.
const INTERVAL: Duration = Duration::from_millis(5);

/// How many glances in a row may find the same before it looks at everything: a writer that was killed does not say what it left.
const GLANCES_MAX: u32 = 20;

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
        let (mut seen, mut glances) = (None, Glances::default());
        while self.pause(log.has_followers()) {
            if !glances.found_news(log.glance()) {
                continue;
            }
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

/// What the writer said at the last glance, and how many glances found the same.
#[derive(Debug, Default)]
struct Glances {
    said: Option<[u64; 4]>,
    same: u32,
}

impl Glances {
    /// Whether the writer says anything new, or has not been looked after for long.
    fn found_news(&mut self, said: Option<[u64; 4]>) -> bool {
        let is_same = said.is_some() && said == self.said && self.same < GLANCES_MAX;
        self.same = if is_same { self.same + 1 } else { 0 };
        self.said = said;
        !is_same
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_twice_is_no_news_for_a_while() {
        let mut glances = Glances::default();
        let [one, other] = [Some([1; 4]), Some([2; 4])];
        assert!(glances.found_news(one));
        for _ in 0..GLANCES_MAX {
            assert!(!glances.found_news(one));
        }
        assert!(glances.found_news(one));
        assert!(!glances.found_news(one));
        assert!(glances.found_news(other));
        assert!(glances.found_news(one));
    }

    #[test]
    fn what_cannot_be_read_is_always_news() {
        let mut glances = Glances::default();
        assert!(glances.found_news(None));
        assert!(glances.found_news(None));
    }
}
