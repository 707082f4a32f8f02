//! Entries that were read by a thread that may wait, to be shown by one that must not.

use std::ops::ControlFlow;

use ledger_core::{Result, StreamName, Timestamp};

use super::scan::{Progress, RecordRef, damaged};
use crate::disk::Patience;
use crate::log::Log;

/// How many bytes of entries are fetched at a time, and the rest of the last one.
const FETCHED_BYTES: usize = 1 << 20;

/// What comes next in a scan.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// As it will be when all of it was shown.
    progress: Progress,
    /// Whether nothing comes behind it.
    is_all: bool,
    entries: Vec<Copied>,
    bytes: Vec<u8>,
}

/// An entry, whose bytes begin where those of the one before it end.
#[derive(Debug)]
struct Copied {
    id: u64,
    recorded_at: Timestamp,
    end: usize,
}

impl Log {
    /// Copies what comes next in a scan of `stream`. May wait.
    pub(crate) fn fetch(&self, stream: &StreamName, progress: Progress) -> Result<Fetched> {
        let mut fetched = Fetched {
            progress,
            is_all: false,
            entries: Vec::new(),
            bytes: Vec::new(),
        };
        let flow = self.ask(|| {
            let (mut progress, wait) = (fetched.progress, Patience::Wait);
            let copied = self.scan_with(stream, &mut progress, wait, |it| fetched.copy(it));
            fetched.progress = progress;
            copied
        })?;
        fetched.is_all = flow.is_continue();
        Ok(fetched)
    }
}

impl Fetched {
    fn copy(&mut self, record: RecordRef<'_>) -> ControlFlow<()> {
        self.bytes.extend_from_slice(record.raw());
        self.entries.push(Copied {
            id: record.id(),
            recorded_at: record.recorded_at(),
            end: self.bytes.len(),
        });
        match self.bytes.len() < FETCHED_BYTES {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    }

    /// Shows `each` what was fetched, until it says to stop, as the scan itself would have.
    ///
    /// # Errors
    /// An entry is malformed.
    pub(crate) fn show(
        &self,
        progress: &mut Progress,
        mut each: impl FnMut(RecordRef<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        progress.goes_on_as(&self.progress);
        let mut start = 0;
        for entry in &self.entries {
            let raw = &self.bytes[start..entry.end];
            start = entry.end;
            progress.note(entry.id);
            let flow = RecordRef::lend(entry.id, entry.recorded_at, raw, &mut each)
                .map_err(|malformed| damaged(entry.id, malformed))?;
            if flow.is_break() {
                return Ok(flow);
            }
        }
        // Behind what was passed over, too.
        *progress = self.progress;
        Ok(match self.is_all {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        })
    }
}
