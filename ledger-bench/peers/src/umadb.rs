//! umadb-core: an event without tags a record. Every append is durable; appends go to the writer thread that its server
//! uses, which commits whatever has gathered.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use ledger_lap::{Engine, Promise, Result};
use tokio::sync::mpsc::{self, Sender};
use tokio::sync::{oneshot, watch};
use umadb_core::db::UmaDb;
use umadb_core::mvcc::{Mvcc, StorageOptions};
use umadb_core::writer_thread_blocking::writer_thread_blocking;
use umadb_core::writer_thread_request::WriterThreadRequest;
use umadb_dcb::{DcbEvent, DcbEventStoreSync};

/// How many appends may wait for the writer, and how many events it commits at a time.
const QUEUE: usize = 1_024;
const COMMIT_EVENTS_MAX: usize = 10_000;

pub(crate) struct Umadb {
    store: Arc<UmaDb>,
    writer: Sender<WriterThreadRequest>,
}

impl Umadb {
    fn show(
        &self,
        start: Option<u64>,
        limit: Option<u32>,
        mut visit: impl FnMut(&[u8]),
    ) -> Result<()> {
        for event in self.store.read(None, start, false, limit)? {
            visit(&event?.event.data);
        }
        Ok(())
    }
}

impl Engine for Umadb {
    const PROMISES: &'static [Promise] = &[Promise::Disk];

    fn open(dir: &Path, _promise: Promise) -> Result<Self> {
        let mvcc = Arc::new(Mvcc::new(false, StorageOptions::default().db_path(dir))?);
        let store = Arc::new(UmaDb::from_arc(Arc::clone(&mvcc)));
        let (writer, requests) = mpsc::channel(QUEUE);
        let (head, _) = watch::channel(None);
        thread::spawn(|| writer_thread_blocking(mvcc, requests, head, COMMIT_EVENTS_MAX));
        Ok(Self { store, writer })
    }

    fn fork(&self) -> Result<Self> {
        Ok(Self {
            store: Arc::clone(&self.store),
            writer: self.writer.clone(),
        })
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.append_batch(&[record])
    }

    fn append_batch(&mut self, records: &[&[u8]]) -> Result<()> {
        let event = |record: &&[u8]| DcbEvent {
            event_type: "record".into(),
            data: record.to_vec(),
            ..DcbEvent::default()
        };
        let (response_tx, response) = oneshot::channel();
        self.writer.blocking_send(WriterThreadRequest::Append {
            events: records.iter().map(event).collect(),
            condition: None,
            tracking_info: None,
            response_tx,
            cancel: None,
        })?;
        response.blocking_recv()??;
        Ok(())
    }

    fn scan(&mut self, visit: impl FnMut(&[u8])) -> Result<()> {
        self.show(None, None, visit)
    }

    fn read(&mut self, first: u64, count: usize, visit: impl FnMut(&[u8])) -> Result<()> {
        self.show(Some(first + 1), Some(count.try_into()?), visit)
    }
}
