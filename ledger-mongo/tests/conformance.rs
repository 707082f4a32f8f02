//! The MongoDB store against the contract.

use ledger_core::{Batch, Receipt, Result, async_trait};
use ledger_mongo::mongodb::ClientSession;
use ledger_mongo::{MongoOptions, MongoStore};
use ledger_storetest::{Harness, Setup, Stalled, suite};
use ledger_testservers::{Mongo, fresh_name};

/// A database of its own on the server that all tests share.
struct Place(String);

impl Place {
    fn url() -> &'static str {
        Mongo::shared()
            .expect("no case runs without a server")
            .url()
    }

    fn options(&self) -> MongoOptions {
        MongoOptions::default().with_database(&self.0)
    }
}

#[async_trait]
impl Harness for Place {
    type Store = MongoStore;

    fn available() -> bool {
        Mongo::shared().is_some()
    }

    async fn fresh() -> Self {
        Self(fresh_name())
    }

    async fn open(&self, setup: Setup) -> Result<MongoStore> {
        let options = self
            .options()
            .with_clock(setup.clock)
            .with_limits(setup.limits);
        let options = if setup.append_only {
            options.append_only()
        } else {
            options
        };
        MongoStore::open_with(Self::url(), options).await
    }

    async fn stall(&self, batch: Batch<u64>) -> Option<Box<dyn Stalled>> {
        let store = MongoStore::open_with(Self::url(), self.options()).await;
        let store = store.expect("the store opens");
        let mut session = store
            .database()
            .client()
            .start_session()
            .await
            .expect("a session starts");
        session
            .start_transaction()
            .await
            .expect("a transaction begins");
        let receipt = store
            .append_in(&mut session, batch)
            .await
            .expect("the append succeeds");
        Some(Box::new(Waiting { session, receipt }))
    }
}

/// A transaction whose commit is all that is missing.
struct Waiting {
    session: ClientSession,
    receipt: Receipt<u64>,
}

#[async_trait]
impl Stalled for Waiting {
    async fn commit(mut self: Box<Self>) -> Result<Receipt<u64>> {
        self.session
            .commit_transaction()
            .await
            .expect("the transaction commits");
        Ok(self.receipt)
    }

    async fn abort(mut self: Box<Self>) {
        self.session
            .abort_transaction()
            .await
            .expect("the transaction is given up");
    }
}

suite!(Place);
