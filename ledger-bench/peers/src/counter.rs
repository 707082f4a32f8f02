//! The keys of stores that need one: counted from 0, because every lap appends to an empty store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Hands out keys to all threads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counter(Arc<AtomicU64>);

impl Counter {
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// The key as bytes, in the order of numbers.
pub(crate) fn bytes(key: u64) -> [u8; 8] {
    key.to_be_bytes()
}
