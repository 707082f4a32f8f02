//! sled: numbers as keys. What was inserted stays in its own memory until `flush`, which is durable.

use std::path::Path;

use ledger_lap::{Engine, Promise, Result};
use sled::{Batch, Config, Db};

use crate::counter::{self, Counter};

/// The default of its own documentation.
const LEAF_FANOUT: usize = 1_024;

pub(crate) struct Sled {
    records: Db<LEAF_FANOUT>,
    keys: Counter,
}

impl Engine for Sled {
    const PROMISES: &'static [Promise] = &[Promise::Disk];

    fn open(dir: &Path, _promise: Promise) -> Result<Self> {
        let records = Config::new().path(dir).open()?;
        let keys = Counter::default();
        Ok(Self { records, keys })
    }

    fn fork(&self) -> Result<Self> {
        Ok(Self {
            records: self.records.clone(),
            keys: self.keys.clone(),
        })
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.records
            .insert(counter::bytes(self.keys.next()), record)?;
        self.records.flush()?;
        Ok(())
    }

    fn append_batch(&mut self, records: &[&[u8]]) -> Result<()> {
        let mut batch = Batch::default();
        for record in records {
            batch.insert(&counter::bytes(self.keys.next()), *record);
        }
        self.records.apply_batch(batch)?;
        self.records.flush()?;
        Ok(())
    }

    fn scan(&mut self, mut visit: impl FnMut(&[u8])) -> Result<()> {
        for entry in self.records.iter() {
            visit(&entry?.1);
        }
        Ok(())
    }

    fn read(&mut self, first: u64, count: usize, mut visit: impl FnMut(&[u8])) -> Result<()> {
        let key = counter::bytes(first);
        if count == 1 {
            visit(&self.records.get(key)?.ok_or("no such key")?);
            return Ok(());
        }
        for entry in self.records.range(key..).take(count) {
            visit(&entry?.1);
        }
        Ok(())
    }
}
