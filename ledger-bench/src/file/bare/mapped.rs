//! A file that is mapped into memory: an append is a copy, and every page is touched for the first time once.

use std::fs::File;
use std::path::{Path, PathBuf};

use ledger_lap::{Engine, Promise, Result};
use memmap2::MmapMut;

use super::{file, frame, map};

/// More than any lap needs: the file is sparse.
const FILE_BYTES: usize = 4 << 30;

/// One mapped file.
pub(crate) struct Mapped {
    path: PathBuf,
    map: MmapMut,
    end: usize,
    buffer: Vec<u8>,
}

impl Engine for Mapped {
    const PROMISES: &'static [Promise] = &[Promise::Process];

    fn open(dir: &Path, _promise: Promise) -> Result<Self> {
        let path = dir.join("log");
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)?;
        file.set_len(FILE_BYTES as u64)?;
        let map = map::shared(&file, FILE_BYTES)?;
        Ok(Self {
            path,
            map,
            end: 0,
            buffer: Vec::new(),
        })
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.append_batch(&[record])
    }

    fn append_batch(&mut self, records: &[&[u8]]) -> Result<()> {
        self.buffer.clear();
        frame::encode(records, &mut self.buffer);
        let end = self.end + self.buffer.len();
        let place = self.map.get_mut(self.end..end).ok_or("the file is full")?;
        place.copy_from_slice(&self.buffer);
        self.end = end;
        Ok(())
    }

    fn scan(&mut self, visit: impl FnMut(&[u8])) -> Result<()> {
        file::scan(&self.path, visit)
    }
}
