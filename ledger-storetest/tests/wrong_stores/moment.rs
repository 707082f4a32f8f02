//! The wrong moment: what lets two calls meet in the middle of each other, without a clock.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::yield_now;

/// How often a call gives way before it takes it that nobody else is there.
const TURNS: usize = 5_000;

/// A place in a call where others are let through.
#[derive(Default)]
pub(crate) struct Moment(AtomicU64);

impl Moment {
    /// Comes by, and tells how many did by now.
    pub(crate) fn pass(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Lingers until more than `passes` came by, or nobody seems to come.
    pub(crate) async fn linger(&self, passes: u64) {
        for _ in 0..TURNS {
            if self.0.load(Ordering::SeqCst) > passes {
                break;
            }
            yield_now().await;
        }
    }
}
