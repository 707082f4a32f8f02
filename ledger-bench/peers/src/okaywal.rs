//! okaywal: an entry of one chunk a record, or of many. It is meant to be emptied by checkpoints; here none ever comes. It
//! shows what it holds only when it is opened, so that is how all of it is read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ledger_lap::{Engine, Promise, Result};
use okaywal::{Configuration, Entry, EntryId, LogManager, SegmentReader, WriteAheadLog};

/// As much as durable laps write, so that none of them has to grow the file.
const PREALLOCATED_BYTES: u32 = 256 << 20;

pub(crate) struct Okaywal {
    dir: PathBuf,
    log: Option<WriteAheadLog>,
}

impl Okaywal {
    fn log(&self) -> Result<&WriteAheadLog> {
        Ok(self.log.as_ref().ok_or("the log is closed")?)
    }
}

impl Engine for Okaywal {
    const PROMISES: &'static [Promise] = &[Promise::Disk];

    fn open(dir: &Path, _promise: Promise) -> Result<Self> {
        let log = configuration(dir).open(Keep::default())?;
        Ok(Self {
            dir: dir.to_owned(),
            log: Some(log),
        })
    }

    fn fork(&self) -> Result<Self> {
        Ok(Self {
            dir: self.dir.clone(),
            log: self.log.clone(),
        })
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.append_batch(&[record])
    }

    fn append_batch(&mut self, records: &[&[u8]]) -> Result<()> {
        let mut entry = self.log()?.begin_entry()?;
        for record in records {
            entry.write_chunk(record)?;
        }
        entry.commit()?;
        Ok(())
    }

    fn scan(&mut self, mut visit: impl FnMut(&[u8])) -> Result<()> {
        self.log = None;
        let chunks = Arc::default();
        let keep = Keep(Some(Arc::clone(&chunks)));
        self.log = Some(configuration(&self.dir).open(keep)?);
        let chunks = chunks.lock().map_err(|_| "a panic while it was opened")?;
        chunks.iter().for_each(|chunk| visit(chunk));
        Ok(())
    }
}

fn configuration(dir: &Path) -> Configuration {
    Configuration::default_for(dir)
        .preallocate_bytes(PREALLOCATED_BYTES)
        .checkpoint_after_bytes(u64::MAX)
}

/// Keeps what the log holds, if anybody wants it.
#[derive(Debug, Default)]
struct Keep(Option<Arc<Mutex<Vec<Vec<u8>>>>>);

impl LogManager for Keep {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        let (Some(kept), Some(chunks)) = (&self.0, entry.read_all_chunks()?) else {
            return Ok(());
        };
        kept.lock()
            .map_err(|_| io::Error::other("poisoned"))?
            .extend(chunks);
        Ok(())
    }

    fn checkpoint_to(
        &mut self,
        _last_checkpointed_id: EntryId,
        _checkpointed_entries: &mut SegmentReader,
        _log: &WriteAheadLog,
    ) -> io::Result<()> {
        Ok(())
    }
}
