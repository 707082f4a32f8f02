//! Appending in a transaction of the caller's: tables and events change together or not at all.

use ledger_core::{Batch, Receipt, Result};
use rusqlite::{Savepoint, Transaction};

use crate::error::Failure;
use crate::store::SqliteStore;

impl SqliteStore {
    /// Appends `batch` in the caller's own transaction, on the caller's own connection to the same file.
    ///
    /// The entries come into being when the caller commits, and never were if the caller rolls back; only then does
    /// the receipt hold, and as durably as the caller's connection commits. If this fails, what it did is undone and
    /// the transaction can go on.
    ///
    /// No other append can happen in the file until the transaction ends. Begin it as
    /// [`Immediate`](rusqlite::TransactionBehavior::Immediate): one that has read before it writes fails with
    /// [`Busy`](ledger_core::Error::Busy) if somebody else wrote in between. Those who follow the stream are woken
    /// after [`SqliteOptions::poll_interval`](crate::SqliteOptions::poll_interval) at the latest.
    ///
    /// ```
    /// use ledger_core::{Batch, NewEntry, Payload};
    /// use ledger_sqlite::SqliteStore;
    /// use ledger_sqlite::rusqlite::{Connection, TransactionBehavior};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("shop.db");
    /// let store = SqliteStore::open(&path).await?;
    ///
    /// let mut connection = Connection::open(&path)?;
    /// connection.execute_batch("CREATE TABLE stock (item TEXT PRIMARY KEY, count INTEGER)")?;
    /// let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    /// transaction.execute("INSERT INTO stock VALUES ('book', 2)", [])?;
    /// let arrived = NewEntry::new(Payload::json(r#"{"item":"book","count":2}"#));
    /// store.append_in(&mut transaction, Batch::new("stock", vec![arrived]))?;
    /// transaction.commit()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Store::append`](ledger_core::Store::append).
    pub fn append_in(
        &self,
        transaction: &mut Transaction<'_>,
        batch: Batch<u64>,
    ) -> Result<Receipt<u64>> {
        let mut receipts = self.append_many_in(transaction, vec![batch])?;
        Ok(receipts.pop().expect("every batch has its receipt"))
    }

    /// Appends batches to several streams as [`append_in`](SqliteStore::append_in) does one.
    ///
    /// # Errors
    /// As [`Store::append_many`](ledger_core::Store::append_many).
    pub fn append_many_in(
        &self,
        transaction: &mut Transaction<'_>,
        batches: Vec<Batch<u64>>,
    ) -> Result<Vec<Receipt<u64>>> {
        self.check_open()?;
        self.limits().check_batches(&batches)?;
        let outcomes = transaction
            .savepoint()
            .map_err(Failure::from)
            .and_then(|savepoint| self.append_at(savepoint, &batches));
        let outcomes = outcomes.map_err(|failure| self.context().place.error(failure))?;
        Ok(self.receipts(outcomes))
    }

    /// Appends behind a savepoint, which undoes everything unless it is released.
    fn append_at(
        &self,
        savepoint: Savepoint<'_>,
        batches: &[Batch<u64>],
    ) -> Result<Vec<Vec<ledger_core::Outcome<u64>>>, Failure> {
        let mut session = self.context().session(&savepoint);
        let outcomes = session.append(batches)?;
        session.finish()?;
        savepoint.commit()?;
        Ok(outcomes)
    }
}
