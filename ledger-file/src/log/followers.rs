//! Those who wait for entries, inside this process.
//!
//! An append looks at one number to learn that nobody waits. Whoever waits is counted before it looks at the scene, and
//! an append changes the scene before it looks at the number: so one of them sees the other.

use std::sync::atomic::{AtomicUsize, Ordering};

use ledger_core::{Listener, StreamName, Wakeups};

/// Whom to wake for which stream.
#[derive(Debug, Default)]
pub(crate) struct Followers {
    waiting: AtomicUsize,
    wakeups: Wakeups,
}

/// One who waits for a stream.
#[derive(Debug)]
pub(crate) struct Follower<'a> {
    waiting: &'a AtomicUsize,
    listener: Option<Listener<'a>>,
}

impl Followers {
    /// Begins to listen. Look at the stream after this, and before waiting.
    pub(crate) fn listen(&self, stream: &StreamName) -> Follower<'_> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        Follower {
            waiting: &self.waiting,
            listener: Some(self.wakeups.listen(stream)),
        }
    }

    /// Whether there is anybody to wake.
    #[inline]
    pub(super) fn are_there(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    pub(super) fn wake(&self, stream: &StreamName) {
        self.wakeups.wake(stream);
    }

    pub(super) fn wake_all(&self) {
        self.wakeups.wake_all();
    }
}

impl Follower<'_> {
    /// Waits until the stream was woken since this began to listen.
    pub(crate) async fn wait(mut self) {
        if let Some(listener) = self.listener.take() {
            listener.wait().await;
        }
    }
}

impl Drop for Follower<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}
