//! What the suite needs to know about a store under test.

use std::sync::Arc;

use async_trait::async_trait;
use ledger_core::{Batch, Clock, Limits, Receipt, Result, Store, SystemClock};

/// A place that holds one store under test: a directory, a file, a schema.
///
/// The suite makes one place a test. What lies outside of the store, such as a temporary directory, lives as long as
/// the harness.
#[async_trait]
pub trait Harness: Send + Sync + Sized + 'static {
    /// The store under test.
    type Store: Store<Id = u64>;

    /// Tells whether there is a store to test here. If not, the harness has said so, and no case runs.
    fn available() -> bool {
        true
    }

    /// Makes an empty place.
    async fn fresh() -> Self;

    /// Opens the store at the place: the first time it comes into being there, later it is the same one again.
    ///
    /// If the store's `Capabilities::shared` holds, this is also called while it is open: every opening must then be
    /// as independent of the others as one of another process, sharing no queue, cache or connection.
    ///
    /// # Errors
    /// What the store says.
    async fn open(&self, setup: Setup) -> Result<Self::Store>;

    /// Begins an append of `batch` through an opening of its own and stops just before its commit, when all that can
    /// be done before has been done: locks taken, entries written, ids chosen. None: this store cannot be stopped there.
    async fn stall(&self, batch: Batch<u64>) -> Option<Box<dyn Stalled>> {
        let _ = batch;
        None
    }
}

/// An append that stands just before its commit.
#[async_trait]
pub trait Stalled: Send {
    /// Commits, and answers as the append would have.
    ///
    /// # Errors
    /// What the store says.
    async fn commit(self: Box<Self>) -> Result<Receipt<u64>>;

    /// Gives up: nothing of the append may ever be seen.
    async fn abort(self: Box<Self>);
}

/// How a store is to be opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Setup {
    /// Where the store takes the time from.
    pub clock: Arc<dyn Clock>,
    /// The sizes beyond which it refuses.
    pub limits: Limits,
    /// Whether it refuses changes to entries.
    pub append_only: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            limits: Limits::default(),
            append_only: false,
        }
    }
}

impl Setup {
    /// Takes the time from `clock`.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Refuses beyond `limits`.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Refuses changes to entries.
    pub fn append_only(mut self) -> Self {
        self.append_only = true;
        self
    }
}
