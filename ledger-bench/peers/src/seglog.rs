//! seglog: records and commit markers in segments of a fixed size. Whatever has no marker behind it is rolled back, and a
//! marker is always synced: so there is no promise but the durable one.

use std::path::{Path, PathBuf};

use ledger_lap::{Engine, Promise, Result};
use seglog::read::Reader;
use seglog::write::Writer;

/// More than any lap needs: there is one segment.
const SEGMENT_BYTES: usize = 4 << 30;

pub(crate) struct Seglog {
    file: PathBuf,
    writer: Writer<0>,
    appended: u64,
}

impl Seglog {
    fn commit(&mut self, records: usize) -> Result<()> {
        self.appended += records as u64;
        self.writer.commit(self.appended)?;
        Ok(())
    }
}

impl Engine for Seglog {
    const PROMISES: &'static [Promise] = &[Promise::Disk];

    fn open(dir: &Path, _promise: Promise) -> Result<Self> {
        let file = dir.join("segment");
        let writer = match file.exists() {
            true => Writer::open(&file, SEGMENT_BYTES, 0)?,
            false => Writer::create(&file, SEGMENT_BYTES, 0)?,
        };
        let appended = writer.last_committed_position().unwrap_or(0);
        Ok(Self {
            file,
            writer,
            appended,
        })
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.writer.append_data(record)?;
        self.commit(1)
    }

    fn append_batch(&mut self, records: &[&[u8]]) -> Result<()> {
        for record in records {
            self.writer.append_data(record)?;
        }
        self.commit(records.len())
    }

    fn scan(&mut self, mut visit: impl FnMut(&[u8])) -> Result<()> {
        let mut reader = Reader::<0>::open(&self.file, Some(self.writer.flushed_offset()))?;
        let mut records = reader.iter(0);
        while let Some(record) = records.next_record()? {
            visit(&record.data);
        }
        Ok(())
    }
}
