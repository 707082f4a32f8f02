//! Notices what other openings and processes commit, while somebody in this one waits for it.
//!
//! SQLite keeps a number that changes with every commit of another connection. One thread looks at it from time to
//! time, and wakes everybody if it has changed; commits of this opening's own writer count as well, which costs a
//! look and no more. The number last seen outlives the breaks, so that no commit falls between two of them.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use crate::opening::Context;

/// Tells the watching thread when to begin and to end.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    state: Mutex<State>,
    rung: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The thread sleeps until somebody begins to wait.
    is_idle: bool,
    is_closed: bool,
}

impl Bell {
    /// Says that somebody waits, who is already among those who are woken.
    pub(crate) fn ring(&self) {
        let was_idle = std::mem::take(&mut self.lock().is_idle);
        if was_idle {
            self.rung.notify_one();
        }
    }

    /// Ends the thread.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.rung.notify_one();
    }

    /// Sleeps until it is time to look. False: the thread is to end.
    fn wait(&self, context: &Context) -> bool {
        let mut state = self.lock();
        if context.wakeups.is_empty() {
            state.is_idle = true;
            while state.is_idle && !state.is_closed {
                state = self
                    .rung
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        } else if !state.is_closed {
            let waited = self.rung.wait_timeout(state, context.poll_interval);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        !state.is_closed
    }

    /// A panic cannot leave the state half changed, so its poison means nothing.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks until the bell is closed.
pub(crate) fn run(context: &Context, connection: &Connection) {
    let mut seen = None;
    while context.bell.wait(context) {
        match data_version(connection) {
            Ok(version) if Some(version) == seen => {}
            Ok(version) => {
                seen = Some(version);
                context.wakeups.wake_all();
            }
            // Whoever is woken by this reads, and learns the reason if it lasts.
            Err(error) => {
                tracing::warn!(%error, "cannot tell whether others have written");
                context.wakeups.wake_all();
            }
        }
    }
}

fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("PRAGMA data_version")?
        .query_row([], |row| row.get(0))
}
