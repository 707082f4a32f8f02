//! Groups of commits that share one flush, as a chain: the one who leads a group waits for the group before it.
//!
//! Nothing is handed over to another thread, and no member takes a lock to learn how it ended: the word of a group
//! changes once, and one call of the system wakes all who wait for it. What leading means, the log says; this room says
//! who does it, and who waits.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::error::Fault;
use crate::fault::{Mistake, is_planted};
use crate::sync::plain::OnceLock;
use crate::sync::{AtomicBool, AtomicU32, Mutex, MutexGuard, Word};

/// The values of a group's word.
const UNDER_WAY: u32 = 0;
const DURABLE: u32 = 1;
const FAILED: u32 = 2;

/// Commits that become durable together.
#[derive(Debug, Default)]
pub(in crate::log) struct Group {
    word: Word,
    is_led: AtomicBool,
    members: AtomicU32,
    before: Mutex<Option<Arc<Group>>>,
    wakers: Mutex<Vec<Waker>>,
    fault: OnceLock<Fault>,
}

impl Group {
    /// Makes the group that follows `before`.
    pub(super) fn after(before: Option<Arc<Group>>) -> Arc<Self> {
        Arc::new(Self {
            before: Mutex::new(before.filter(|before| !before.is_over())),
            ..Self::default()
        })
    }

    /// Adds a member. The group must not be closed yet.
    pub(super) fn join(&self) {
        self.members.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn members(&self) -> u32 {
        self.members.load(Ordering::Relaxed)
    }

    /// Makes the caller the one who leads, if nobody is yet.
    pub(in crate::log) fn try_lead(&self) -> bool {
        !self.is_led.swap(true, Ordering::AcqRel)
    }

    /// The group that must be over before this one is written.
    pub(super) fn take_before(&self) -> Option<Arc<Group>> {
        lock(&self.before).take()
    }

    pub(super) fn is_over(&self) -> bool {
        self.word.load() != UNDER_WAY
    }

    /// Sleeps until somebody has ended the group.
    pub(super) fn sleep(&self) {
        while !self.is_over() {
            self.word.wait(UNDER_WAY);
        }
    }

    /// Ends the group, and wakes all who wait for it.
    pub(super) fn end(&self, result: Result<(), Fault>) {
        let word = match result {
            Ok(()) => DURABLE,
            Err(fault) => {
                let _first = self.fault.set(fault);
                FAILED
            }
        };
        self.word.store(word);
        if !is_planted(Mistake::WakeForgotten) {
            self.word.wake_all();
        }
        let wakers = std::mem::take(&mut *lock(&self.wakers));
        wakers.into_iter().for_each(Waker::wake);
    }

    /// How the group ended; nothing as long as it is under way.
    pub(super) fn result(&self) -> Option<Result<(), Fault>> {
        match self.word.load() {
            UNDER_WAY => None,
            DURABLE => Some(Ok(())),
            _ => Some(Err(self
                .fault
                .get()
                .expect("a group that failed says why before it says so")
                .clone())),
        }
    }

    /// As [`result`](Group::result); while it is under way, `waker` is woken at its end.
    pub(in crate::log) fn poll(&self, waker: &Waker) -> Poll<Result<(), Fault>> {
        if let Some(result) = self.result() {
            return Poll::Ready(result);
        }
        let mut wakers = lock(&self.wakers);
        // Whoever ends the group sets its word first and empties the list then: so it is either seen here, or finds us.
        if let Some(result) = self.result() {
            return Poll::Ready(result);
        }
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
        Poll::Pending
    }
}

/// How many appenders have lately been there: for them it is worth while to put a flush off.
#[derive(Debug, Default)]
pub(in crate::log) struct Crowd(AtomicU32);

/// After how many groups half of a crowd that has gone is forgotten, roughly.
const MEMORY: u32 = 8;

impl Crowd {
    /// Notes how many a group had in the end.
    pub(super) fn note(&self, members: u32) {
        let seen = self.0.load(Ordering::Relaxed);
        let fading = seen - seen.div_ceil(MEMORY).min(seen);
        self.0.store(fading.max(members), Ordering::Relaxed);
    }

    /// Waits until `group` has as many members as lately seen, but no longer than `wait`.
    pub(super) fn gather(&self, group: &Group, wait: Duration) {
        let expected = self.0.load(Ordering::Relaxed);
        if group.members() >= expected || wait.is_zero() {
            return;
        }
        let begun = Instant::now();
        while group.members() < expected && begun.elapsed() < wait {
            std::thread::yield_now();
        }
    }
}

/// A panic leaves neither of the lists half changed, so its poison means nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;
    use std::thread;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn exactly_one_member_leads() {
        let group = Group::after(None);
        let leaders = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    group.join();
                    if group.try_lead() {
                        leaders.fetch_add(1, Ordering::SeqCst);
                        group.end(Ok(()));
                    } else {
                        group.sleep();
                    }
                    assert!(matches!(group.result(), Some(Ok(()))));
                });
            }
        });
        assert_eq!(leaders.into_inner(), 1);
    }

    #[test]
    fn a_waker_is_called_once_at_the_end() {
        let (group, count) = (Group::after(None), Arc::new(Count::default()));
        let waker = Waker::from(Arc::clone(&count));
        assert!(group.poll(&waker).is_pending());
        assert!(group.poll(&waker).is_pending());
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        group.end(Ok(()));
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert!(group.poll(&waker).is_ready());
    }

    #[test]
    fn a_group_that_is_over_is_nobody_s_predecessor() {
        let first = Group::after(None);
        let second = Group::after(Some(Arc::clone(&first)));
        assert!(second.take_before().is_some());
        first.end(Ok(()));
        assert!(Group::after(Some(first)).take_before().is_none());
    }

    #[test]
    fn a_crowd_that_has_gone_is_forgotten() {
        let crowd = Crowd::default();
        crowd.note(64);
        for _ in 0..100 {
            crowd.note(1);
        }
        assert_eq!(crowd.0.load(Ordering::Relaxed), 1);
    }
}
