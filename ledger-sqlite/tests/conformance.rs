//! The contract's own tests, against a file and against memory.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use ledger_core::{Batch, Receipt, Result, async_trait};
use ledger_sqlite::rusqlite::{Connection, DropBehavior, TransactionBehavior};
use ledger_sqlite::{SqliteOptions, SqliteStore};
use ledger_storetest::{Harness, Setup, Stalled};
use tempfile::TempDir;

fn options(setup: Setup) -> SqliteOptions {
    let mut options = SqliteOptions::default()
        .with_clock(setup.clock)
        .with_limits(setup.limits);
    options.append_only = setup.append_only;
    options
}

/// A store in a file.
struct InFile(TempDir);

impl InFile {
    fn path(&self) -> PathBuf {
        self.0.path().join("ledger.db")
    }
}

#[async_trait]
impl Harness for InFile {
    type Store = SqliteStore;

    async fn fresh() -> Self {
        Self(tempfile::tempdir().expect("there is room for a directory"))
    }

    async fn open(&self, setup: Setup) -> Result<SqliteStore> {
        SqliteStore::open_with(self.path(), options(setup)).await
    }

    async fn stall(&self, batch: Batch<u64>) -> Option<Box<dyn Stalled>> {
        let store = self.open(Setup::default()).await.expect("the store opens");
        let mut connection = Connection::open(self.path()).expect("the file opens");
        let mut transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .expect("nobody is writing");
        // It stays open on the connection, which is kept.
        transaction.set_drop_behavior(DropBehavior::Ignore);
        let receipt = store
            .append_in(&mut transaction, batch)
            .expect("the batch is sound");
        drop(transaction);
        Some(Box::new(OpenTransaction {
            connection,
            receipt,
        }))
    }
}

/// An append in a transaction that only has to be committed.
struct OpenTransaction {
    connection: Connection,
    receipt: Receipt<u64>,
}

#[async_trait]
impl Stalled for OpenTransaction {
    async fn commit(self: Box<Self>) -> Result<Receipt<u64>> {
        self.connection
            .execute_batch("COMMIT")
            .expect("the transaction can be committed");
        Ok(self.receipt)
    }

    async fn abort(self: Box<Self>) {
        self.connection
            .execute_batch("ROLLBACK")
            .expect("the transaction can be undone");
    }
}

/// A store in memory, which one more opening keeps alive while the test has none.
struct InMemory {
    name: String,
    _keeper: SqliteStore,
}

#[async_trait]
impl Harness for InMemory {
    type Store = SqliteStore;

    async fn fresh() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("test {}", COUNT.fetch_add(1, Ordering::Relaxed));
        let keeper = SqliteStore::in_memory_named(&name, SqliteOptions::default()).await;
        Self {
            _keeper: keeper.expect("memory can be opened"),
            name,
        }
    }

    async fn open(&self, setup: Setup) -> Result<SqliteStore> {
        SqliteStore::in_memory_named(&self.name, options(setup)).await
    }
}

mod in_file {
    ledger_storetest::suite!(super::InFile);
}

mod in_memory {
    ledger_storetest::suite!(super::InMemory);
}
