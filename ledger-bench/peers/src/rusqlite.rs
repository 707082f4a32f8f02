//! rusqlite: a row a record, write-ahead logging, a transaction for each append; `synchronous=FULL` for the disk, `OFF` for
//! the process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ledger_lap::{Engine, Promise, Result};
use rusqlite::{Connection, TransactionBehavior, params};

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Sqlite {
    dir: PathBuf,
    promise: Promise,
    connection: Connection,
}

impl Engine for Sqlite {
    const PROMISES: &'static [Promise] = &[Promise::Process, Promise::Disk];

    fn open(dir: &Path, promise: Promise) -> Result<Self> {
        let connection = Connection::open(dir.join("records.sqlite"))?;
        connection.busy_timeout(PATIENCE)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        let synchronous = match promise {
            Promise::Process => "OFF",
            Promise::Disk => "FULL",
        };
        connection.pragma_update(None, "synchronous", synchronous)?;
        connection.execute(
            "CREATE TABLE IF NOT EXISTS records (id INTEGER PRIMARY KEY, record BLOB NOT NULL)",
            [],
        )?;
        Ok(Self {
            dir: dir.to_owned(),
            promise,
            connection,
        })
    }

    fn fork(&self) -> Result<Self> {
        Self::open(&self.dir, self.promise)
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.append_batch(&[record])
    }

    fn append_batch(&mut self, records: &[&[u8]]) -> Result<()> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut insert = transaction.prepare_cached("INSERT INTO records (record) VALUES (?1)")?;
        for record in records {
            insert.execute([record])?;
        }
        drop(insert);
        Ok(transaction.commit()?)
    }

    fn scan(&mut self, visit: impl FnMut(&[u8])) -> Result<()> {
        self.read(0, i64::MAX as usize, visit)
    }

    fn read(&mut self, first: u64, count: usize, mut visit: impl FnMut(&[u8])) -> Result<()> {
        let mut select = self
            .connection
            .prepare_cached("SELECT record FROM records WHERE id > ?1 ORDER BY id LIMIT ?2")?;
        let mut rows = select.query(params![first as i64, count as i64])?;
        while let Some(row) = rows.next()? {
            visit(row.get_ref(0)?.as_blob()?);
        }
        Ok(())
    }

    fn close(self) -> Result<()> {
        self.connection.close().map_err(|(_, error)| error.into())
    }
}
