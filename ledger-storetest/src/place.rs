//! The place a case works in: a harness without its type, so that the cases are compiled once and not per backend.

use std::io::Write;

use async_trait::async_trait;
use ledger_core::{Batch, Result, SharedStore, StreamName};

use crate::fixture::Log;
use crate::harness::{Harness, Setup, Stalled};

/// Holds one store, empty when the case begins. Openings of it are shared handles.
pub(crate) struct Place(Box<dyn AnyHarness>);

impl Place {
    pub(crate) async fn fresh<H: Harness>() -> Self {
        Self(Box::new(H::fresh().await))
    }

    /// Opens the store as most users do.
    pub(crate) async fn open(&self) -> SharedStore<u64> {
        self.open_with(Setup::default()).await
    }

    pub(crate) async fn open_with(&self, setup: Setup) -> SharedStore<u64> {
        self.0.open(setup).await.expect("the store opens")
    }

    /// Opens the store and names a stream of it.
    pub(crate) async fn log(&self, stream: impl Into<StreamName>) -> Log {
        Log::new(self.open().await, stream)
    }

    pub(crate) async fn log_with(&self, setup: Setup, stream: impl Into<StreamName>) -> Log {
        Log::new(self.open_with(setup).await, stream)
    }

    /// Two independent openings, if the store can have two.
    pub(crate) async fn open_twice(&self) -> Option<[SharedStore<u64>; 2]> {
        let first = self.open().await;
        if !first.capabilities().shared {
            return not_applicable("the store has one opening at a time");
        }
        Some([first, self.open().await])
    }

    /// An append that stands just before its commit, if the store can be stopped there.
    pub(crate) async fn stall(&self, batch: Batch<u64>) -> Option<Box<dyn Stalled>> {
        match self.0.stall(batch).await {
            Some(stalled) => Some(stalled),
            None => not_applicable("the store's appends cannot be stopped before their commit"),
        }
    }
}

/// Says, past the capture of the test runner, that the running case has nothing to check.
pub(crate) fn not_applicable<T>(why: &str) -> Option<T> {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a case");
    // A line that cannot be printed is no reason to fail a store.
    let _ = writeln!(std::io::stderr(), "not applicable: {name}: {why}");
    None
}

/// A [`Harness`] as an object.
#[async_trait]
trait AnyHarness: Send + Sync {
    async fn open(&self, setup: Setup) -> Result<SharedStore<u64>>;
    async fn stall(&self, batch: Batch<u64>) -> Option<Box<dyn Stalled>>;
}

#[async_trait]
impl<H: Harness> AnyHarness for H {
    async fn open(&self, setup: Setup) -> Result<SharedStore<u64>> {
        Harness::open(self, setup).await.map(SharedStore::from)
    }

    async fn stall(&self, batch: Batch<u64>) -> Option<Box<dyn Stalled>> {
        Harness::stall(self, batch).await
    }
}
