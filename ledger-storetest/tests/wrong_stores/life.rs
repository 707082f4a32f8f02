//! Stores that answer after their end, or never (C9, C11).

use ledger_core::{Error, MemoryStore, Result, Store, StreamName, async_trait};

use crate::caught::{assert_caught, assert_hangs};
use crate::faulty::Fault;

/// Whoever begins to wait too early is never woken.
#[derive(Default)]
pub(crate) struct WakeUpsMissed;

#[async_trait]
impl Fault for WakeUpsMissed {
    async fn wait(
        &self,
        store: &MemoryStore,
        stream: &StreamName,
        after: Option<u64>,
    ) -> Result<()> {
        if store.stat(stream).await?.head <= after {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

#[test]
fn a_missed_wake_up_is_caught() {
    assert_hangs::<WakeUpsMissed>("c9_a_wait_ends_with_an_append");
}

/// A closed store goes on.
#[derive(Default)]
pub(crate) struct ClosedStillAnswers;

#[async_trait]
impl Fault for ClosedStillAnswers {
    async fn close(&self, _store: &MemoryStore) -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_closed_store_that_answers_is_caught() {
    assert_caught::<ClosedStillAnswers>("c11_a_closed_store_says_so");
}

/// A close leaves those behind who wait.
#[derive(Default)]
pub(crate) struct CloseWakesNobody;

#[async_trait]
impl Fault for CloseWakesNobody {
    async fn wait(
        &self,
        store: &MemoryStore,
        stream: &StreamName,
        after: Option<u64>,
    ) -> Result<()> {
        match store.wait(stream, after).await {
            Err(Error::Closed) => std::future::pending().await,
            answer => answer,
        }
    }
}

#[test]
fn a_close_that_wakes_nobody_is_caught() {
    assert_hangs::<CloseWakesNobody>("c11_a_close_wakes_who_waits");
}
