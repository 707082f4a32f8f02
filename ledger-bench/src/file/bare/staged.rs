//! A small mapped file that appends are copied to, and written out from whenever it is full: its pages stay warm.
//!
//! Its first page tells where in the log its content belongs (`base`) and where that ends. When it is opened again, the
//! content is written to its place once more, whether it is there already or not.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use ledger_lap::{Engine, Promise, Result};
use memmap2::MmapMut;

use super::{file, frame, map};

const HEAD: usize = 4_096;
const AREA: usize = 256 << 10;

/// A log, and the stage in front of it.
pub(crate) struct Staged {
    path: PathBuf,
    log: File,
    stage: MmapMut,
    base: u64,
    end: u64,
    buffer: Vec<u8>,
}

impl Staged {
    fn staged(&self) -> usize {
        (self.end - self.base) as usize
    }

    fn write_out(&mut self) -> Result<()> {
        let content = &self.stage[HEAD..HEAD + self.staged()];
        self.log.write_all_at(content, self.base)?;
        self.base = self.end;
        self.stage[..8].copy_from_slice(&self.base.to_le_bytes());
        Ok(())
    }

    fn word(&self, place: usize) -> u64 {
        let bytes = self.stage[place..].first_chunk();
        u64::from_le_bytes(*bytes.expect("the head is longer"))
    }
}

impl Engine for Staged {
    const PROMISES: &'static [Promise] = &[Promise::Process];

    fn open(dir: &Path, _promise: Promise) -> Result<Self> {
        let path = dir.join("log");
        let open = |path: &Path| {
            let mut options = File::options();
            options.create(true).truncate(false).read(true).write(true);
            options.open(path)
        };
        let (log, stage) = (open(&path)?, open(&dir.join("stage"))?);
        stage.set_len((HEAD + AREA) as u64)?;
        let mut staged = Self {
            path,
            log,
            stage: map::shared(&stage, HEAD + AREA)?,
            base: 0,
            end: 0,
            buffer: Vec::new(),
        };
        (staged.base, staged.end) = (staged.word(0), staged.word(8));
        staged.write_out()?;
        Ok(staged)
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.append_batch(&[record])
    }

    fn append_batch(&mut self, records: &[&[u8]]) -> Result<()> {
        self.buffer.clear();
        frame::encode(records, &mut self.buffer);
        if self.staged() + self.buffer.len() > AREA {
            self.write_out()?;
        }
        let start = HEAD + self.staged();
        let end = start + self.buffer.len();
        let place = self.stage.get_mut(start..end);
        place
            .ok_or("more than the stage holds")?
            .copy_from_slice(&self.buffer);
        self.end += self.buffer.len() as u64;
        self.stage[8..16].copy_from_slice(&self.end.to_le_bytes());
        Ok(())
    }

    fn scan(&mut self, visit: impl FnMut(&[u8])) -> Result<()> {
        file::scan(&self.path, visit)
    }

    fn close(mut self) -> Result<()> {
        self.write_out()
    }
}
