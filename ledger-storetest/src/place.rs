//! The place a case works in: a harness without its type, so that the cases are compiled once and not per backend.

use std::io::Write;
use std::sync::Arc;

use async_trait::async_trait;
use ledger_core::{Batch, Result, SharedStore, Store, StreamName};

use crate::fixture::Log;
use crate::harness::{Harness, Setup, Stalled};

/// Holds one store, empty when the case begins. Openings of it are shared handles.
pub(crate) struct Place(Box<dyn AnyHarness>);

impl Place {
    pub(crate) async fn fresh<H: Harness>() -> Self {
        Self(Box::new(H::fresh().await))
    }

    /// Another place of the same kind.
    pub(crate) async fn another(&self) -> Self {
        Self(self.0.another().await)
    }

    /// Opens the store as most users do.
    pub(crate) async fn open(&self) -> SharedStore<u64> {
        self.open_with(Setup::default()).await
    }

    pub(crate) async fn open_with(&self, setup: Setup) -> SharedStore<u64> {
        self.0.object(setup).await.expect("the store opens").into()
    }

    /// Opens the store as the object that programs with several backends hold.
    pub(crate) async fn object(&self) -> Arc<dyn Store<Id = u64>> {
        self.0
            .object(Setup::default())
            .await
            .expect("the store opens")
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
            not_applicable("the store has one opening at a time");
            return None;
        }
        Some([first, self.open().await])
    }

    /// An append that stands just before its commit, if the store can be stopped there.
    pub(crate) async fn stall(&self, batch: Batch<u64>) -> Option<Box<dyn Stalled>> {
        let stalled = self.0.stall(batch).await;
        if stalled.is_none() {
            not_applicable("the store's appends cannot be stopped before their commit");
        }
        stalled
    }
}

/// Says, past the capture of the test runner, that the running case has nothing to check.
pub(crate) fn not_applicable(why: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a case");
    // A line that cannot be printed is no reason to fail a store.
    let _ = writeln!(std::io::stderr(), "not applicable: {name}: {why}");
}

/// A [`Harness`] as an object.
#[async_trait]
trait AnyHarness: Send + Sync {
    async fn another(&self) -> Box<dyn AnyHarness>;
    async fn object(&self, setup: Setup) -> Result<Arc<dyn Store<Id = u64>>>;
    async fn stall(&self, batch: Batch<u64>) -> Option<Box<dyn Stalled>>;
}

#[async_trait]
impl<H: Harness> AnyHarness for H {
    async fn another(&self) -> Box<dyn AnyHarness> {
        Box::new(H::fresh().await)
    }

    async fn object(&self, setup: Setup) -> Result<Arc<dyn Store<Id = u64>>> {
        Ok(Arc::new(self.open(setup).await?))
    }

    async fn stall(&self, batch: Batch<u64>) -> Option<Box<dyn Stalled>> {
        Harness::stall(self, batch).await
    }
}
