//! Stores that do not let go of what has expired, or lose track of it (C5.5).

use ledger_core::{Batch, MemoryStore, Page, Result, StreamName, async_trait};

use crate::caught::assert_caught;
use crate::faulty::Fault;

/// Nothing ever expires.
#[derive(Default)]
pub(crate) struct NothingExpires;

impl Fault for NothingExpires {
    fn batch(&self, mut batch: Batch<u64>) -> Batch<u64> {
        batch
            .entries
            .iter_mut()
            .for_each(|new| new.expires_at = None);
        batch
    }
}

#[test]
fn an_expired_entry_that_is_returned_is_caught() {
    assert_caught::<NothingExpires>("c5_5_an_expired_entry_is_not_returned");
}

/// Tombstones are not told.
#[derive(Default)]
pub(crate) struct NoTombstones;

impl Fault for NoTombstones {
    fn page(&self, mut page: Page<u64>) -> Page<u64> {
        page.tombstones.clear();
        page
    }
}

#[test]
fn missing_tombstones_are_caught() {
    assert_caught::<NoTombstones>("c5_5_tombstones_account_for_every_id");
}

/// A purge leaves the bytes where they are.
#[derive(Default)]
pub(crate) struct PurgeDoesNothing;

#[async_trait]
impl Fault for PurgeDoesNothing {
    async fn purge_expired(&self, _store: &MemoryStore, _stream: &StreamName) -> Result<u64> {
        Ok(0)
    }
}

#[test]
fn a_purge_that_does_nothing_is_caught() {
    assert_caught::<PurgeDoesNothing>("c5_5_a_purge_erases_what_has_expired");
}
