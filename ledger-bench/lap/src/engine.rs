//! What an engine has to offer in order to race.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Result;

/// What a record survives once the append that wrote it has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Promise {
    /// The end of the process, `kill -9` included.
    Process,
    /// The loss of power.
    Disk,
}

/// A log, or a store used as one: records in the order of their appends, numbered from 0.
///
/// Whatever is not offered answers [`NotOffered`], and the engine is left out of that row.
pub trait Engine: Sized + Send {
    /// What the engine can promise. Readers open it with the first of them.
    const PROMISES: &'static [Promise];

    /// Opens the log in `dir`, which exists and is empty the first time.
    ///
    /// # Errors
    /// Those of the engine.
    fn open(dir: &Path, promise: Promise) -> Result<Self>;

    /// Another handle of the same log, for another thread that appends.
    ///
    /// # Errors
    /// [`NotOffered`] if there can be only one.
    fn fork(&self) -> Result<Self> {
        Err(NotOffered.into())
    }

    /// Makes ready what a thread will append beside its `records`, numbered from 0. That is not in the time of a lap, as little as what
    /// a caller has at hand.
    fn prepare(&mut self, _thread: usize, _records: u64) {}

    /// Appends one record, and returns when it is as safe as was promised.
    ///
    /// # Errors
    /// Those of the engine.
    fn append(&mut self, record: &[u8]) -> Result<()>;

    /// Appends several records as one batch, and returns when they are as safe as was promised.
    ///
    /// # Errors
    /// Those of the engine.
    fn append_batch(&mut self, records: &[&[u8]]) -> Result<()>;

    /// Shows every record in order.
    ///
    /// # Errors
    /// Those of the engine.
    fn scan(&mut self, visit: impl FnMut(&[u8])) -> Result<()>;

    /// Shows `count` records in order, the first one being the one that `first` others were appended before.
    ///
    /// # Errors
    /// Those of the engine.
    fn read(&mut self, _first: u64, _count: usize, _visit: impl FnMut(&[u8])) -> Result<()> {
        Err(NotOffered.into())
    }

    /// Closes the log as its manual says.
    ///
    /// # Errors
    /// Those of the engine.
    fn close(self) -> Result<()> {
        Ok(())
    }
}

/// An engine that can be appended to by tasks, which wait for futures, in place of threads.
pub trait InTasks: Engine + 'static {
    /// Appends one record. The future is ready when the record is as safe as was promised.
    fn append_in_task(&mut self, record: &[u8]) -> impl Future<Output = Result<()>> + Send;

    /// Runs tasks at the same time, and waits for all of them.
    ///
    /// # Errors
    /// Those of the runtime.
    fn run<T: Send + 'static>(
        tasks: Vec<impl Future<Output = T> + Send + 'static>,
    ) -> Result<Vec<T>>;
}

/// The engine cannot do this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotOffered;

impl std::fmt::Display for NotOffered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not offered")
    }
}

impl std::error::Error for NotOffered {}
