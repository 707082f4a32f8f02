//! A word that is slept on as the scheduler of `shuttle` knows it.

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

/// Lets all others go on first, as who sleeps does.
pub(crate) fn nap() {
    yield_now();
}

/// Lets all others go on first.
pub(crate) fn yield_now() {
    shuttle::thread::yield_now();
}
