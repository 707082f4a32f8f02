//! rewal: appends go to a queue in memory, and reach the operating system only with `flush`: so each append is followed by
//! one. With `SyncMode::Batch` what was flushed is durable.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ledger_lap::{Engine, Promise, Result};
use rewal::{Batch, SyncMode, Wal};

pub(crate) struct Rewal(Arc<Wal>);

impl Engine for Rewal {
    const PROMISES: &'static [Promise] = &[Promise::Process, Promise::Disk];

    fn open(dir: &Path, promise: Promise) -> Result<Self> {
        let mode = match promise {
            Promise::Process => SyncMode::Never,
            Promise::Disk => SyncMode::Batch,
        };
        let log = Wal::open(dir.join("log")).sync_mode(mode).build()?;
        Ok(Self(Arc::new(log)))
    }

    fn fork(&self) -> Result<Self> {
        Ok(Self(Arc::clone(&self.0)))
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.0.append(record)?;
        Ok(self.0.flush()?)
    }

    fn append_batch(&mut self, records: &[&[u8]]) -> Result<()> {
        let mut batch = Batch::with_capacity(records.len());
        for record in records {
            batch.add(*record);
        }
        self.0.append_batch(batch)?;
        Ok(self.0.flush()?)
    }

    fn scan(&mut self, mut visit: impl FnMut(&[u8])) -> Result<()> {
        let mut events = self.0.iterator(0)?;
        while let Some(event) = events.next_borrowed()? {
            visit(event.payload);
        }
        Ok(())
    }

    fn close(self) -> Result<()> {
        Ok(self.0.shutdown(Duration::from_secs(60))?)
    }
}
