//! The locks and atomics of what threads share, and a word that they sleep on.
//!
//! They are those of the standard library and of the system. With `--cfg ledger_shuttle`, which `scripts/interleavings`
//! sets for its tests, they are those of `shuttle`: whoever uses one gives its scheduler the chance to let another thread
//! go on, and so do the files of the simulated disk. A lock that is only held over memory needs none of it, and may be the
//! standard library's in either case.

#[cfg(not(ledger_shuttle))]
pub(crate) use std::sync::{
    Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicBool, AtomicU32, AtomicU64},
};

#[cfg(ledger_shuttle)]
pub(crate) use shuttle::sync::{
    Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicBool, AtomicU32, AtomicU64},
};

#[cfg(not(ledger_shuttle))]
pub(crate) use real::Word;
#[cfg(ledger_shuttle)]
pub(crate) use scheduled::{Word, pause};

/// Lets another thread go on, if somebody decides who does.
#[cfg(all(test, not(ledger_shuttle)))]
pub(crate) fn pause() {}

#[cfg(not(ledger_shuttle))]
mod real {
    use std::sync::atomic::{AtomicU32, Ordering};

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

#[cfg(ledger_shuttle)]
mod scheduled {
    use std::sync::PoisonError;
    use std::sync::atomic::Ordering;

    use shuttle::sync::atomic::AtomicU32;
    use shuttle::sync::{Condvar, Mutex};

    /// As the real one, of what the scheduler knows. What the system does in one step, looking and falling asleep, a lock
    /// makes one step here.
    #[derive(Debug, Default)]
    pub(crate) struct Word {
        value: AtomicU32,
        falling_asleep: Mutex<()>,
        woken: Condvar,
    }

    impl Word {
        pub(crate) fn load(&self) -> u32 {
            self.value.load(Ordering::Acquire)
        }

        pub(crate) fn store(&self, value: u32) {
            self.value.store(value, Ordering::Release);
        }

        pub(crate) fn wait(&self, value: u32) {
            let falling = self.falling_asleep.lock();
            let falling = falling.unwrap_or_else(PoisonError::into_inner);
            if self.load() == value {
                drop(self.woken.wait(falling));
            }
        }

        pub(crate) fn wake_all(&self) {
            drop(self.falling_asleep.lock());
            self.woken.notify_all();
        }
    }

    /// Lets another thread go on.
    pub(crate) fn pause() {
        // Not `yield_now`, which sends the caller behind all others each time: nobody would ever run ahead.
        shuttle::thread::sleep(std::time::Duration::ZERO);
    }
}
