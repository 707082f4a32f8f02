//! The reference store against the contract.

use ledger_core::{MemoryOptions, MemoryStore, Result, async_trait};
use ledger_storetest::{Harness, Setup, suite};

/// One store in memory, which every opening shares.
struct Memory(MemoryStore);

#[async_trait]
impl Harness for Memory {
    type Store = MemoryStore;

    async fn fresh() -> Self {
        Self(MemoryStore::new())
    }

    async fn open(&self, setup: Setup) -> Result<MemoryStore> {
        let options = MemoryOptions::default()
            .with_clock(setup.clock)
            .with_limits(setup.limits);
        let options = if setup.append_only {
            options.append_only()
        } else {
            options
        };
        Ok(self.0.reopen(options))
    }
}

suite!(Memory);
