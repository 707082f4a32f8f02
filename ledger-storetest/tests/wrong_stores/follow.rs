//! Stores that are held up by reads that nobody polls (C9).

use ledger_core::{
    Batch, Capabilities, MemoryStore, Page, ReadOptions, Receipt, Result, Store, StreamName,
    async_trait,
};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::yield_now;

use crate::caught::assert_hangs;
use crate::faulty::Fault;

/// A read that was begun keeps one of a few connections until somebody polls it again.
pub(crate) struct PagesKeepTheirConnection(Semaphore);

impl Default for PagesKeepTheirConnection {
    fn default() -> Self {
        Self(Semaphore::new(8))
    }
}

impl PagesKeepTheirConnection {
    async fn connection(&self) -> SemaphorePermit<'_> {
        self.0.acquire().await.expect("it is never closed")
    }
}

#[async_trait]
impl Fault for PagesKeepTheirConnection {
    fn capabilities(&self, mut capabilities: Capabilities) -> Capabilities {
        capabilities.read_ahead = true;
        capabilities
    }

    async fn append(&self, store: &MemoryStore, batch: Batch<u64>) -> Result<Receipt<u64>> {
        let _connection = self.connection().await;
        store.append(batch).await
    }

    async fn read(
        &self,
        store: &MemoryStore,
        stream: &StreamName,
        options: &ReadOptions<u64>,
    ) -> Result<Page<u64>> {
        let _connection = self.connection().await;
        yield_now().await;
        store.read(stream, options).await
    }
}

#[test]
fn reads_that_keep_a_connection_are_caught() {
    assert_hangs::<PagesKeepTheirConnection>("c9_reads_that_nobody_polls_hold_up_nobody");
}

#[test]
fn walks_that_wait_for_their_own_connections_are_caught() {
    assert_hangs::<PagesKeepTheirConnection>("c9_walks_may_append_as_they_go");
}
