//! Where races are run: a disk, a runtime with two workers, and how much there is to do.

use std::cell::OnceCell;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ledger_testservers::{Mongo, Postgres};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::Result;
use crate::file::Field;
use crate::work::{Keys, Payloads, Work};

/// How much a lap has to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Entries of a lap that writes or reads batches, or shares commits between tasks.
    pub(crate) many: usize,
    /// Entries of a lap that flushes the disk for each of them.
    pub(crate) alone: usize,
}

/// What all races have in common.
pub(crate) struct Arena {
    dir: PathBuf,
    /// Runs what is asynchronous.
    pub(crate) runtime: Runtime,
    /// How much a lap has to do.
    pub(crate) size: Size,
    /// How many rounds count.
    pub(crate) rounds: usize,
    /// Who takes part in the race of the file log.
    pub(crate) field: Field,
    postgres: OnceCell<Postgres>,
    mongo: OnceCell<Mongo>,
}

impl Arena {
    /// Prepares for races on the disk that `dir` is on.
    ///
    /// # Errors
    /// Those of the runtime.
    pub(crate) fn new(dir: PathBuf, size: Size, rounds: usize) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        Ok(Self {
            dir,
            runtime,
            size,
            rounds,
            field: Field::default(),
            postgres: OnceCell::new(),
            mongo: OnceCell::new(),
        })
    }

    /// The work of a lap that writes or reads batches, or shares commits between tasks.
    pub(crate) fn many(&self, round: u64, keys: Keys) -> Work {
        let count = self.size.many;
        let payloads = Payloads::Bytes100;
        Work {
            round,
            count,
            keys,
            payloads,
        }
    }

    /// The work of a lap that flushes the disk for each entry.
    pub(crate) fn alone(&self, round: u64, keys: Keys) -> Work {
        let count = self.size.alone;
        let payloads = Payloads::Bytes100;
        Work {
            round,
            count,
            keys,
            payloads,
        }
    }

    /// The most records of a lap of the file log.
    pub(crate) fn file_records(&self) -> u64 {
        10 * self.size.many as u64
    }

    /// When a lap of the file log that writes ends, even if there are records left.
    pub(crate) fn file_millis(&self) -> u64 {
        self.size.many as u64 / 50
    }

    /// Makes an empty directory, which goes away when dropped.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn fresh_dir(&self) -> Result<TempDir> {
        Ok(tempfile::Builder::new()
            .prefix("ledger-bench-")
            .tempdir_in(&self.dir)?)
    }

    /// The Postgres server of the races: started by the first of them, with its files on the disk to be measured.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn postgres(&self) -> Result<&Postgres> {
        if let Some(server) = self.postgres.get() {
            return Ok(server);
        }
        let server = Postgres::start(&self.dir)?;
        Ok(self.postgres.get_or_init(|| server))
    }

    /// The MongoDB server of the races: started by the first of them, with its files on the disk to be measured.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn mongo(&self) -> Result<&Mongo> {
        if let Some(server) = self.mongo.get() {
            return Ok(server);
        }
        let server = Mongo::start(&self.dir)?;
        Ok(self.mongo.get_or_init(|| server))
    }

    /// Measures what it takes to make 4 KiB at the end of a file durable: the median of many times.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn flush_time(&self) -> Result<Duration> {
        let dir = self.fresh_dir()?;
        let mut file = File::create(dir.path().join("flushed"))?;
        let mut times = Vec::new();
        for _ in 0..self.size.alone.min(1_000) {
            let start = Instant::now();
            file.write_all(&[1; 4096])?;
            file.sync_data()?;
            times.push(start.elapsed());
        }
        times.sort();
        Ok(times[times.len() / 2])
    }
}
