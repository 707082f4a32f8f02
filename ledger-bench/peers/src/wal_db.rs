//! wal-db: records addressed by their offset. `append` reaches the operating system, `sync` the disk; there are no batches, so a batch
//! is as many appends and one sync.

use std::path::Path;
use std::sync::Arc;

use ledger_lap::{Engine, Promise, Result};
use wal_db::Wal;

pub(crate) struct WalDb {
    log: Arc<Wal>,
    promise: Promise,
}

impl Engine for WalDb {
    const PROMISES: &'static [Promise] = &[Promise::Process, Promise::Disk];

    fn open(dir: &Path, promise: Promise) -> Result<Self> {
        let log = Arc::new(Wal::open(dir.join("log"))?);
        Ok(Self { log, promise })
    }

    fn fork(&self) -> Result<Self> {
        Ok(Self {
            log: Arc::clone(&self.log),
            promise: self.promise,
        })
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        let _offset = match self.promise {
            Promise::Process => self.log.append(record)?,
            Promise::Disk => self.log.append_and_sync(record)?,
        };
        Ok(())
    }

    fn append_batch(&mut self, records: &[&[u8]]) -> Result<()> {
        for record in records {
            let _offset = self.log.append(record)?;
        }
        match self.promise {
            Promise::Process => Ok(()),
            Promise::Disk => Ok(self.log.sync()?),
        }
    }

    fn scan(&mut self, mut visit: impl FnMut(&[u8])) -> Result<()> {
        for record in self.log.iter()? {
            visit(record?.data());
        }
        Ok(())
    }

    fn close(self) -> Result<()> {
        Ok(self.log.sync()?)
    }
}
