//! raft-engine: an entry a record, in a Raft group for each thread.

use std::path::Path;
use std::sync::Arc;

use ledger_lap::{Engine as Racer, Number, Promise, Result};
use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine, LogBatch, MessageExt};

/// How many entries a scan asks for at a time.
const PAGE: u64 = 1_000;

pub(crate) struct RaftEngine {
    engine: Arc<Engine>,
    batch: LogBatch,
    promise: Promise,
}

struct Record;

impl MessageExt for Record {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        Number::of(entry.get_value()).map_or(0, Number::sequence)
    }
}

impl RaftEngine {
    fn show(&self, group: u64, from: u64, to: u64, mut visit: impl FnMut(&[u8])) -> Result<()> {
        let mut entries = Vec::new();
        for first in (from..to).step_by(PAGE as usize) {
            let end = to.min(first + PAGE);
            entries.clear();
            self.engine
                .fetch_entries_to::<Record>(group, first, end, None, &mut entries)?;
            entries.iter().for_each(|entry| visit(entry.get_value()));
        }
        Ok(())
    }
}

impl Racer for RaftEngine {
    const PROMISES: &'static [Promise] = &[Promise::Process, Promise::Disk];

    fn open(dir: &Path, promise: Promise) -> Result<Self> {
        let dir = dir.to_str().ok_or("a path that is no text")?.to_owned();
        let config = Config {
            dir,
            ..Config::default()
        };
        Ok(Self {
            engine: Arc::new(Engine::open(config)?),
            batch: LogBatch::default(),
            promise,
        })
    }

    fn fork(&self) -> Result<Self> {
        Ok(Self {
            engine: Arc::clone(&self.engine),
            batch: LogBatch::default(),
            promise: self.promise,
        })
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.append_batch(&[record])
    }

    fn append_batch(&mut self, records: &[&[u8]]) -> Result<()> {
        let group = records.first().and_then(|record| Number::of(record));
        let group = group.ok_or("a record without a number")?.thread() as u64;
        let entry = |record: &&[u8]| {
            let mut entry = BytesValue::new();
            entry.set_value(record.to_vec());
            entry
        };
        let entries: Vec<_> = records.iter().map(entry).collect();
        self.batch.add_entries::<Record>(group, &entries)?;
        let sync = self.promise == Promise::Disk;
        self.engine.write(&mut self.batch, sync)?;
        Ok(())
    }

    fn scan(&mut self, mut visit: impl FnMut(&[u8])) -> Result<()> {
        let mut groups = self.engine.raft_groups();
        groups.sort_unstable();
        for group in groups {
            let range = self
                .engine
                .first_index(group)
                .zip(self.engine.last_index(group));
            let (first, last) = range.ok_or("a group without entries")?;
            self.show(group, first, last + 1, &mut visit)?;
        }
        Ok(())
    }

    fn read(&mut self, first: u64, count: usize, mut visit: impl FnMut(&[u8])) -> Result<()> {
        if count > 1 {
            return self.show(0, first, first + count as u64, visit);
        }
        let entry = self.engine.get_entry::<Record>(0, first)?;
        visit(entry.ok_or("no such entry")?.get_value());
        Ok(())
    }

    fn close(self) -> Result<()> {
        Ok(self.engine.sync()?)
    }
}
