//! commitlog: a message at a time, or a buffer of them. Checks its checksums when it reads.
//!
//! Nothing makes it durable: its `flush` is that of `std::fs::File`, which leaves the bytes to the system.

use std::path::Path;

use commitlog::message::{MessageBuf, MessageSet};
use commitlog::{CommitLog, LogOptions, ReadLimit};
use ledger_lap::{Engine, Promise, Result};

/// Enough for the batches and pages of all laps.
const BYTES_MAX: usize = 4 << 20;

/// What a message of 100 bytes takes, and some more.
const MESSAGE_BYTES: usize = 160;

pub(crate) struct Commitlog {
    log: CommitLog,
}

impl Commitlog {
    /// Shows messages from `first` on until `count` are shown or there are no more.
    fn show(
        &self,
        first: u64,
        count: usize,
        page_bytes: usize,
        mut visit: impl FnMut(&[u8]),
    ) -> Result<()> {
        let (mut next, end) = (first, first.saturating_add(count as u64));
        while next < end {
            let page = self.log.read(next, ReadLimit::max_bytes(page_bytes))?;
            if page.is_empty() {
                return Ok(());
            }
            for message in page.iter().take((end - next) as usize) {
                visit(message.payload());
                next += 1;
            }
        }
        Ok(())
    }
}

impl Engine for Commitlog {
    const PROMISES: &'static [Promise] = &[Promise::Process];

    fn open(dir: &Path, _: Promise) -> Result<Self> {
        let mut options = LogOptions::new(dir);
        options.message_max_bytes(BYTES_MAX);
        let log = CommitLog::new(options)?;
        Ok(Self { log })
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.log.append_msg(record)?;
        Ok(())
    }

    fn append_batch(&mut self, records: &[&[u8]]) -> Result<()> {
        let mut messages = MessageBuf::default();
        for record in records {
            messages
                .push(record)
                .map_err(|error| format!("{error:?}"))?;
        }
        self.log.append(&mut messages)?;
        Ok(())
    }

    fn scan(&mut self, visit: impl FnMut(&[u8])) -> Result<()> {
        self.show(0, usize::MAX, BYTES_MAX, visit)
    }

    fn read(&mut self, first: u64, count: usize, visit: impl FnMut(&[u8])) -> Result<()> {
        self.show(first, count, count * MESSAGE_BYTES, visit)
    }

    fn close(mut self) -> Result<()> {
        Ok(self.log.flush()?)
    }
}
