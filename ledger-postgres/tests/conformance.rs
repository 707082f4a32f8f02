//! The Postgres store against the contract.

use ledger_core::{Batch, Receipt, Result, async_trait};
use ledger_postgres::sqlx_postgres::{PgPool, PgTransaction};
use ledger_postgres::{PostgresOptions, PostgresStore};
use ledger_storetest::{Harness, Setup, Stalled, suite};
use ledger_testservers::{Postgres, fresh_name};

/// A schema of its own on the server that all tests share.
struct Schema(String);

impl Schema {
    fn url() -> &'static str {
        Postgres::shared()
            .expect("no case runs without a server")
            .url()
    }

    fn options(&self) -> PostgresOptions {
        PostgresOptions::default()
            .with_schema(&self.0)
            .with_connections_max(6)
    }
}

#[async_trait]
impl Harness for Schema {
    type Store = PostgresStore;

    fn available() -> bool {
        Postgres::shared().is_some()
    }

    async fn fresh() -> Self {
        Self(fresh_name())
    }

    async fn open(&self, setup: Setup) -> Result<PostgresStore> {
        let options = self
            .options()
            .with_clock(setup.clock)
            .with_limits(setup.limits);
        let options = if setup.append_only {
            options.append_only()
        } else {
            options
        };
        PostgresStore::open_with(Self::url(), options).await
    }

    async fn stall(&self, batch: Batch<u64>) -> Option<Box<dyn Stalled>> {
        let store = PostgresStore::open_with(Self::url(), self.options()).await;
        let store = store.expect("the store opens");
        let pool = PgPool::connect(Self::url())
            .await
            .expect("the server can be reached");
        let mut transaction = pool.begin().await.expect("a transaction begins");
        let receipt = store
            .append_in(&mut transaction, batch)
            .await
            .expect("the append succeeds");
        Some(Box::new(Waiting {
            transaction,
            receipt,
        }))
    }
}

/// A transaction whose commit is all that is missing.
struct Waiting {
    transaction: PgTransaction<'static>,
    receipt: Receipt<u64>,
}

#[async_trait]
impl Stalled for Waiting {
    async fn commit(self: Box<Self>) -> Result<Receipt<u64>> {
        self.transaction
            .commit()
            .await
            .expect("the transaction commits");
        Ok(self.receipt)
    }

    async fn abort(self: Box<Self>) {
        self.transaction
            .rollback()
            .await
            .expect("the transaction rolls back");
    }
}

suite!(Schema);
