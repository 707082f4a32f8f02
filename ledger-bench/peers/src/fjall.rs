//! fjall: a keyspace with numbers as keys. Its journal reaches the operating system with every insert.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use ledger_lap::{Engine, Promise, Result};

use crate::counter::{self, Counter};

pub(crate) struct Fjall {
    database: Database,
    records: Keyspace,
    keys: Counter,
    promise: Promise,
}

impl Fjall {
    fn persist(&self) -> Result<()> {
        match self.promise {
            Promise::Process => Ok(()),
            Promise::Disk => Ok(self.database.persist(PersistMode::SyncData)?),
        }
    }
}

impl Engine for Fjall {
    const PROMISES: &'static [Promise] = &[Promise::Process, Promise::Disk];

    fn open(dir: &Path, promise: Promise) -> Result<Self> {
        let database = Database::builder(dir).open()?;
        let records = database.keyspace("records", KeyspaceCreateOptions::default)?;
        let keys = Counter::default();
        Ok(Self {
            database,
            records,
            keys,
            promise,
        })
    }

    fn fork(&self) -> Result<Self> {
        Ok(Self {
            database: self.database.clone(),
            records: self.records.clone(),
            keys: self.keys.clone(),
            promise: self.promise,
        })
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.records
            .insert(counter::bytes(self.keys.next()), record)?;
        self.persist()
    }

    fn append_batch(&mut self, records: &[&[u8]]) -> Result<()> {
        let mut batch = self.database.batch();
        for record in records {
            batch.insert(&self.records, counter::bytes(self.keys.next()), *record);
        }
        batch.commit()?;
        self.persist()
    }

    fn scan(&mut self, mut visit: impl FnMut(&[u8])) -> Result<()> {
        for guard in self.records.iter() {
            visit(&guard.value()?);
        }
        Ok(())
    }

    fn read(&mut self, first: u64, count: usize, mut visit: impl FnMut(&[u8])) -> Result<()> {
        if count == 1 {
            let value = self.records.get(counter::bytes(first))?;
            visit(&value.ok_or("no such key")?);
            return Ok(());
        }
        for guard in self.records.range(counter::bytes(first)..).take(count) {
            visit(&guard.value()?);
        }
        Ok(())
    }

    fn close(self) -> Result<()> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }
}
