//! The locks and atomics of what threads share, and a word that they sleep on.
//!
//! They are those of the standard library and of the system. Tests can have others:
//! - With `--cfg ledger_shuttle`, which `scripts/interleavings` sets, they are those of `shuttle`: whoever uses one gives its
//!   scheduler the chance to let another thread go on, and so do the files of the simulated disk.
//! - With `--cfg ledger_tsan`, which `scripts/thread-sanitizer` sets, the locks are those of `parking_lot`. Like everything
//!   else in the program they are then compiled for the sanitizer, which the standard library's are not.
//!
//! A lock that is only held over memory is none of the scheduler's business: it comes from [`plain`].

#[cfg(not(ledger_shuttle))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
#[cfg(not(any(ledger_shuttle, ledger_tsan)))]
pub(crate) use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

#[cfg(ledger_shuttle)]
pub(crate) use shuttle::sync::{
    Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicBool, AtomicU32, AtomicU64},
};

#[cfg(ledger_tsan)]
pub(crate) use instrumented::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// What no scheduler needs to know of.
pub(crate) mod plain {
    #[cfg(not(ledger_tsan))]
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, RwLock};

    #[cfg(ledger_tsan)]
    pub(crate) use super::instrumented::{Condvar, Mutex, MutexGuard, OnceLock, RwLock};
}

#[cfg(ledger_tsan)]
mod instrumented;
#[cfg(ledger_shuttle)]
mod scheduled;

#[cfg(not(ledger_shuttle))]
pub(crate) use real::{Word, nap, yield_now};
#[cfg(ledger_shuttle)]
pub(crate) use scheduled::{Word, nap, pause, yield_now};

/// Lets another thread go on, if somebody decides who does.
#[cfg(all(test, not(ledger_shuttle)))]
pub(crate) fn pause() {}

#[cfg(not(ledger_shuttle))]
mod real {
    use std::sync::atomic::{AtomicU32, Ordering};
    pub(crate) use std::thread::yield_now;
    use std::time::Duration;

    /// Sleeps for a moment: for who waits for a disk elsewhere, and has nobody to be woken by.
    #[expect(
        clippy::disallowed_methods,
        reason = "nothing is synchronised by it: who sleeps looks again"
    )]
    pub(crate) fn nap() {
        std::thread::sleep(Duration::from_micros(100));
    }

    /// A number that threads sleep on until it changes.
    #[derive(Debug, Default)]
    pub(crate) struct Word(AtomicU32);

    impl Word {
        #[inline]
        pub(crate) fn load(&self) -> u32 {
            self.0.load(Ordering::Acquire)
        }

        pub(crate) fn store(&self, value: u32) {
            self.0.store(value, Ordering::Release);
        }

        /// Sleeps if the word is `value`. Whoever wakes up looks again: it may be for nothing.
        pub(crate) fn wait(&self, value: u32) {
            atomic_wait::wait(&self.0, value);
        }

        pub(crate) fn wake_all(&self) {
            atomic_wait::wake_all(&self.0);
        }
    }
}
