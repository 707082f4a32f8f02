//! queue-file: an element a record. Without `sync_writes` elements reach the operating system, and go no further.

use std::path::Path;

use ledger_lap::{Engine, Promise, Result};
use queue_file::QueueFile;

pub(crate) struct Queue(QueueFile);

impl Engine for Queue {
    const PROMISES: &'static [Promise] = &[Promise::Process, Promise::Disk];

    fn open(dir: &Path, promise: Promise) -> Result<Self> {
        let mut queue = QueueFile::open(dir.join("queue"))?;
        queue.set_sync_writes(promise == Promise::Disk);
        Ok(Self(queue))
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        Ok(self.0.add(record)?)
    }

    fn append_batch(&mut self, records: &[&[u8]]) -> Result<()> {
        Ok(self.0.add_n(records)?)
    }

    fn scan(&mut self, mut visit: impl FnMut(&[u8])) -> Result<()> {
        self.0.iter().for_each(|element| visit(&element));
        Ok(())
    }

    fn close(mut self) -> Result<()> {
        Ok(self.0.sync_all()?)
    }
}
