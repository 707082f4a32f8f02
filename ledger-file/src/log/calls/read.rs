//! Reading.

use std::ops::ControlFlow;

use ledger_core::{Page, ReadOptions, Result, Stat, StreamName};

use crate::disk::Patience;
use crate::error;
use crate::log::read::pages::Reading;
use crate::log::read::scan::Progress;
use crate::log::{Log, RecordRef};

impl Log {
    /// Reads one page: one consistent state of the stream.
    ///
    /// Small payloads of a page share memory: whoever keeps an entry for long keeps up to 16 KiB of its neighbours with it.
    ///
    /// # Errors
    /// As [`Store::read`](ledger_core::Store::read).
    pub fn read(&self, stream: &StreamName, options: &ReadOptions<u64>) -> Result<Page<u64>> {
        self.ask(|| self.read_with(stream, options, Patience::Wait))
    }

    pub(in crate::log) fn page(
        &self,
        stream: &StreamName,
        options: &ReadOptions<u64>,
        patience: Patience,
    ) -> error::Result<Page<u64>> {
        let (view, state) = self.shared.seen(stream, patience)?;
        let Some(state) = state else {
            return Ok(Page::empty());
        };
        let reading = Reading {
            view: &view,
            name: stream,
            state: &state,
            now: self.shared.now(),
        };
        reading.page(options)
    }

    /// Tells a stream's first id, head, count and bytes.
    ///
    /// # Errors
    /// Those of the files.
    pub fn stat(&self, stream: &StreamName) -> Result<Stat<u64>> {
        self.ask(|| self.stat_with(stream, Patience::Wait))
    }

    /// Lists up to `limit` streams that hold entries, in the byte order of their names, behind the name `after`: as of one
    /// moment.
    ///
    /// # Errors
    /// [`InvalidInput`](ledger_core::Error::InvalidInput) for a limit of zero.
    pub fn list(&self, after: Option<&StreamName>, limit: usize) -> Result<Vec<StreamName>> {
        self.ask(|| self.list_with(after, limit, Patience::Wait))
    }
}

// Without owning.
impl Log {
    /// Shows `each` the entries of a stream behind the id `after` (0: all), as of one moment, until it says to stop.
    /// Answers the last id that was shown.
    ///
    /// Expired entries are passed over, and marks are not applied. If an index turns out to be damaged on the way, it is made
    /// anew, and what was trimmed meanwhile is passed over, too.
    ///
    /// # Errors
    /// Those of the files.
    pub fn scan(
        &self,
        stream: &StreamName,
        after: u64,
        mut each: impl FnMut(RecordRef<'_>) -> ControlFlow<()>,
    ) -> Result<Option<u64>> {
        self.enter(stream)?;
        // What was shown is not shown again when an index had to be made anew.
        let mut progress = Progress::behind(after);
        let _all_or_enough = self.ask(|| {
            let (all, wait) = (u64::MAX, Patience::Wait);
            self.shared
                .scan(stream, &mut progress, all, wait, &mut each)
        })?;
        Ok(progress.last())
    }
}
