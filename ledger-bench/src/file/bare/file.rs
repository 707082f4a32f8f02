//! A file that every append is written to by a call of its own; `fdatasync` makes it durable.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use ledger_lap::{Engine, Promise, Result};

use super::{frame, map};

/// One file, one call of `write` an append.
pub(crate) struct Plain {
    path: PathBuf,
    file: File,
    promise: Promise,
    buffer: Vec<u8>,
}

impl Engine for Plain {
    const PROMISES: &'static [Promise] = &[Promise::Process, Promise::Disk];

    fn open(dir: &Path, promise: Promise) -> Result<Self> {
        let path = dir.join("log");
        let file = File::options().create(true).append(true).open(&path)?;
        Ok(Self {
            path,
            file,
            promise,
            buffer: Vec::new(),
        })
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.append_batch(&[record])
    }

    fn append_batch(&mut self, records: &[&[u8]]) -> Result<()> {
        self.buffer.clear();
        frame::encode(records, &mut self.buffer);
        self.file.write_all(&self.buffer)?;
        match self.promise {
            Promise::Process => Ok(()),
            Promise::Disk => Ok(self.file.sync_data()?),
        }
    }

    fn scan(&mut self, visit: impl FnMut(&[u8])) -> Result<()> {
        scan(&self.path, visit)
    }

    fn close(self) -> Result<()> {
        Ok(self.file.sync_data()?)
    }
}

/// Maps a file and shows its records.
///
/// # Errors
/// If a checksum is wrong.
pub(super) fn scan(path: &Path, visit: impl FnMut(&[u8])) -> Result<()> {
    frame::decode(&map::read_only(&File::open(path)?)?, visit)
}
