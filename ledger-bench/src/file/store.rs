//! Our own log through the asynchronous store: owned batches, entries that are lent or in owned pages, and a thread that waits
//! for each future, or tasks of a runtime with two threads.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use ledger_core::{Batch, Bytes, NewEntry, Payload, ReadOptions, Store, StreamName};
use ledger_file::FileStore;
use ledger_lap::{Engine, InTasks, Promise, Result};
use tokio::runtime::Builder;

use super::ledger::{Payloads, options};

/// How many entries are read at a time.
const PAGE: usize = 1_000;

/// Who reads entries as they lie in the log, as [`Plain`](super::ledger::Plain) does.
pub(crate) type Lending = Waiting<false>;

/// Who reads pages of owned entries.
pub(crate) type Owning = Waiting<true>;

/// A store, and the name of the one stream.
pub(crate) struct Waiting<const OWNS: bool> {
    store: FileStore,
    stream: StreamName,
}

impl<const OWNS: bool> Waiting<OWNS> {
    /// Shows entries behind `after` where they lie, until `count` are shown or there are no more.
    fn lend(&self, after: u64, count: u64, visit: impl FnMut(&[u8])) -> Result<()> {
        let mut payloads = Payloads::new(after, count, visit);
        let shown = self
            .store
            .scan(&self.stream, after, |record| payloads.see(record));
        block_on(shown)?;
        payloads.finish()
    }

    /// Shows owned entries behind `after` until `count` are shown or there are no more.
    fn show(&self, mut after: u64, count: usize, mut visit: impl FnMut(&[u8])) -> Result<()> {
        let mut left = count;
        while left > 0 {
            let options = ReadOptions::new().after(after).limit(left.min(PAGE));
            let page = block_on(self.store.read(&self.stream, &options))?;
            let Some(last) = page.entries.last() else {
                return Ok(());
            };
            after = last.id;
            left -= page.entries.len();
            for entry in &page.entries {
                visit(&entry.value.bytes);
            }
        }
        Ok(())
    }
}

impl<const OWNS: bool> Engine for Waiting<OWNS> {
    const PROMISES: &'static [Promise] = &[Promise::Process, Promise::Disk];

    fn open(dir: &Path, promise: Promise) -> Result<Self> {
        let store = block_on(FileStore::open_with(dir, options(promise)))?;
        let stream = "records".into();
        Ok(Self { store, stream })
    }

    fn fork(&self) -> Result<Self> {
        Ok(Self {
            store: self.store.clone(),
            stream: self.stream.clone(),
        })
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.append_batch(&[record])
    }

    /// The records of a batch are copied into one piece of memory: the store wants to own them, and what an allocation for
    /// each would take is not the store's.
    fn append_batch(&mut self, records: &[&[u8]]) -> Result<()> {
        let mut rest = Bytes::from(records.concat());
        let entry = |record: &&[u8]| NewEntry::new(Payload::octets(rest.split_to(record.len())));
        let entries = records.iter().map(entry).collect();
        block_on(self.store.append(Batch::new(self.stream.clone(), entries)))?;
        Ok(())
    }

    fn scan(&mut self, visit: impl FnMut(&[u8])) -> Result<()> {
        match OWNS {
            false => self.lend(0, u64::MAX, visit),
            true => self.show(0, usize::MAX, visit),
        }
    }

    fn read(&mut self, first: u64, count: usize, visit: impl FnMut(&[u8])) -> Result<()> {
        match OWNS {
            false => self.lend(first, count as u64, visit),
            true => self.show(first, count, visit),
        }
    }

    fn close(self) -> Result<()> {
        Ok(block_on(self.store.close())?)
    }
}

impl InTasks for Lending {
    async fn append_in_task(&mut self, record: &[u8]) -> Result<()> {
        let entry = NewEntry::new(Payload::octets(record.to_vec()));
        self.store
            .append(Batch::new(self.stream.clone(), vec![entry]))
            .await?;
        Ok(())
    }

    fn run<T: Send + 'static>(
        tasks: Vec<impl Future<Output = T> + Send + 'static>,
    ) -> Result<Vec<T>> {
        let runtime = Builder::new_multi_thread().worker_threads(2).build()?;
        runtime.block_on(async {
            let tasks: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
            let mut ended = Vec::with_capacity(tasks.len());
            for task in tasks {
                ended.push(task.await?);
            }
            Ok(ended)
        })
    }
}

/// Runs a future to its end on this thread: no runtime, whose time would be taken for the store's.
fn block_on<F: Future>(future: F) -> F::Output {
    thread_local! {
        static WAKER: Waker = Arc::new(Unpark(thread::current())).into();
    }
    let mut future = pin!(future);
    WAKER.with(|waker| {
        loop {
            match future.as_mut().poll(&mut Context::from_waker(waker)) {
                Poll::Ready(output) => return output,
                Poll::Pending => thread::park(),
            }
        }
    })
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
