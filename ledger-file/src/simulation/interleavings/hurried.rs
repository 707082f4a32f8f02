//! Who must not wait asks for what is at hand first, and has the rest done by a thread that may: as the store does.

use std::ops::ControlFlow;
use std::task::{Poll, Waker};

use ledger_core::{Batch, Page, ReadOptions, Receipt, Result, StreamName};
use shuttle::thread;

use super::*;
use crate::disk::Patience;
use crate::log::{Progress, RecordRef};

pub(super) fn append(log: &Log, batch: Batch<u64>) -> Result<Receipt<u64>> {
    let batches = [batch];
    let mut decided = log.ask_hurriedly(|patience| log.decide(&batches, patience))?;
    if let Some(lead) = decided.take_lead(log) {
        lead.lead();
    }
    loop {
        match decided.poll(log, Waker::noop()) {
            Poll::Ready(receipts) => return Ok(receipts?.remove(0)),
            Poll::Pending => thread::yield_now(),
        }
    }
}

pub(super) fn read(
    log: &Log,
    stream: &StreamName,
    options: &ReadOptions<u64>,
) -> Result<Page<u64>> {
    log.ask_hurriedly(|patience| log.read_with(stream, options, patience))
}

pub(super) fn scan(
    log: &Log,
    stream: &StreamName,
    mut each: impl FnMut(RecordRef<'_>) -> ControlFlow<()>,
) -> Result<()> {
    let mut progress = Progress::behind(0);
    loop {
        let shown =
            log.ask_now(|| log.scan_with(stream, &mut progress, Patience::Now, &mut each))?;
        let flow = match shown {
            Some(flow) => flow,
            None => log
                .fetch(stream, progress)?
                .show(&mut progress, &mut each)?,
        };
        if flow.is_continue() {
            return Ok(());
        }
    }
}
