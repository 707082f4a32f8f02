//! A mapped log and a mapped file of 8-byte offsets, for whoever only reads: checksums are not looked at, but by a scan.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use ledger_lap::{Engine, NotOffered, Promise, Result};
use memmap2::Mmap;

use super::{file, frame, map};

/// A log and where its records lie.
pub(crate) struct Indexed {
    log_path: PathBuf,
    log: File,
    offsets: File,
    end: u64,
    maps: Option<[Mmap; 2]>,
}

impl Indexed {
    /// The place of the record numbered `number`.
    fn place(offsets: &[u8], number: u64) -> Result<usize> {
        let bytes = offsets.get(8 * number as usize..);
        let bytes = bytes
            .and_then(<[u8]>::first_chunk)
            .ok_or("no such record")?;
        Ok(u64::from_le_bytes(*bytes) as usize)
    }
}

impl Engine for Indexed {
    const PROMISES: &'static [Promise] = &[Promise::Process];

    fn open(dir: &Path, _promise: Promise) -> Result<Self> {
        let log_path = dir.join("log");
        let open = |path: &Path| {
            let mut options = File::options();
            options.create(true).read(true).append(true);
            options.open(path)
        };
        let (log, offsets) = (open(&log_path)?, open(&dir.join("offsets"))?);
        let end = log.metadata()?.len();
        let maps = match end {
            0 => None,
            _ => Some([map::read_only(&log)?, map::read_only(&offsets)?]),
        };
        Ok(Self {
            log_path,
            log,
            offsets,
            end,
            maps,
        })
    }

    fn append(&mut self, _record: &[u8]) -> Result<()> {
        Err(NotOffered.into())
    }

    fn append_batch(&mut self, records: &[&[u8]]) -> Result<()> {
        let (mut bytes, mut offsets) = (Vec::new(), Vec::new());
        frame::encode(records, &mut bytes);
        let mut place = self.end + frame::FIRST_RECORD as u64;
        for record in records {
            offsets.extend(place.to_le_bytes());
            place += (frame::varint_bytes(record.len()) + record.len()) as u64;
        }
        self.log.write_all(&bytes)?;
        self.offsets.write_all(&offsets)?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    fn scan(&mut self, visit: impl FnMut(&[u8])) -> Result<()> {
        file::scan(&self.log_path, visit)
    }

    fn read(&mut self, first: u64, count: usize, mut visit: impl FnMut(&[u8])) -> Result<()> {
        let [log, offsets] = self.maps.as_ref().ok_or("the log is empty")?;
        for number in first..first + count as u64 {
            let at = Self::place(offsets, number)?;
            let (record, _) = frame::split_record(&log[at..]).ok_or("a record is cut")?;
            visit(record);
        }
        Ok(())
    }

    fn close(self) -> Result<()> {
        self.log.sync_data()?;
        Ok(self.offsets.sync_data()?)
    }
}
