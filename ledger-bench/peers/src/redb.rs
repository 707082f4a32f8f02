//! redb: numbers as keys, a transaction for each append. Commits that are not durable stay in its own memory, so there is
//! no promise but the durable one.

use std::path::Path;
use std::sync::Arc;

use ledger_lap::{Engine, Promise, Result};
use redb::{Database, ReadOnlyTable, ReadableDatabase, TableDefinition};

use crate::counter::Counter;

const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");

pub(crate) struct Redb {
    database: Arc<Database>,
    keys: Counter,
}

impl Redb {
    fn records(&self) -> Result<ReadOnlyTable<u64, &'static [u8]>> {
        Ok(self.database.begin_read()?.open_table(RECORDS)?)
    }
}

impl Engine for Redb {
    const PROMISES: &'static [Promise] = &[Promise::Disk];

    fn open(dir: &Path, _promise: Promise) -> Result<Self> {
        let database = Arc::new(Database::create(dir.join("records.redb"))?);
        let keys = Counter::default();
        Ok(Self { database, keys })
    }

    fn fork(&self) -> Result<Self> {
        Ok(Self {
            database: Arc::clone(&self.database),
            keys: self.keys.clone(),
        })
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.append_batch(&[record])
    }

    fn append_batch(&mut self, records: &[&[u8]]) -> Result<()> {
        let transaction = self.database.begin_write()?;
        let mut table = transaction.open_table(RECORDS)?;
        for record in records {
            table.insert(self.keys.next(), record)?;
        }
        drop(table);
        Ok(transaction.commit()?)
    }

    fn scan(&mut self, mut visit: impl FnMut(&[u8])) -> Result<()> {
        for entry in self.records()?.range::<u64>(..)? {
            visit(entry?.1.value());
        }
        Ok(())
    }

    fn read(&mut self, first: u64, count: usize, mut visit: impl FnMut(&[u8])) -> Result<()> {
        let records = self.records()?;
        if count == 1 {
            visit(records.get(first)?.ok_or("no such key")?.value());
            return Ok(());
        }
        for entry in records.range(first..first + count as u64)? {
            visit(entry?.1.value());
        }
        Ok(())
    }
}
