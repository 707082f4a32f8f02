//! yaque: a queue in files, without checksums and without syncs. What is taken out of it is deleted unless that is rolled
//! back: so all of it is taken at once, and rolled back.

use std::path::{Path, PathBuf};

use ledger_lap::{Engine, NotOffered, Promise, Result};
use yaque::queue::RecvGuard;
use yaque::{Receiver, Sender, recovery};

/// More than any lap writes.
const RECORDS_MAX: usize = 1 << 24;

pub(crate) struct Yaque {
    dir: PathBuf,
    sender: Sender,
}

impl Engine for Yaque {
    const PROMISES: &'static [Promise] = &[Promise::Process];

    fn open(dir: &Path, promise: Promise) -> Result<Self> {
        if promise == Promise::Disk {
            return Err(NotOffered.into());
        }
        let used = dir.read_dir()?.next().is_some();
        if used {
            // A sender that was killed leaves its lock behind.
            recovery::recover(dir)?;
        }
        let sender = Sender::open(dir)?;
        let dir = dir.to_owned();
        Ok(Self { dir, sender })
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.sender
            .try_send(record)
            .map_err(|error| format!("{error:?}").into())
    }

    fn append_batch(&mut self, records: &[&[u8]]) -> Result<()> {
        self.sender
            .try_send_batch(records)
            .map_err(|error| format!("{error:?}").into())
    }

    fn scan(&mut self, mut visit: impl FnMut(&[u8])) -> Result<()> {
        let mut receiver = Receiver::open(&self.dir)?;
        let records = receiver
            .try_recv_batch_up_to(RECORDS_MAX)
            .map_err(|error| format!("{error:?}"))?;
        records.iter().for_each(|record| visit(record));
        Ok(RecvGuard::rollback(records)?)
    }
}
