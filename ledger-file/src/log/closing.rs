//! Syncing on request, and closing.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::shared::Shared;
use super::writer::Turn;
use crate::disk::Patience;
use crate::error::{Failure, Fault, Result};

impl Shared {
    /// Makes everything that was committed so far survive the loss of power.
    pub(super) fn sync(&self) -> Result<()> {
        let mut turn = self.turn(Patience::Wait)?;
        turn.sync()
    }

    /// Finishes what was begun, leaves the log as it is quickest to open, and lets it go.
    pub(super) fn close(&self) -> Result<()> {
        if self.is_closed.swap(true, Ordering::AcqRel) {
            return Err(ledger_core::Error::Closed.into());
        }
        let finished = self.finish_all();
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        drop(lock.take());
        finished
    }

    fn finish_all(&self) -> Result<()> {
        let mut turn = self.turn_at_any_price(Patience::Wait)?;
        if let Some(fault) = &turn.writer.fault {
            return Err(fault.error(&self.place).into());
        }
        turn.drain()?;
        turn.sync()?;
        drop(turn);
        Ok(())
    }
}

impl Turn<'_> {
    /// Makes everything that was committed so far survive the loss of power.
    fn sync(&mut self) -> Result<()> {
        if self.shared.is_sync() {
            return self.drain();
        }
        self.empty_stage()?;
        self.sync_sealed()?;
        let end = self.writer.header.at(self.writer.end);
        if self.shared.durable.load(Ordering::Acquire) >= end.as_u64() {
            return Ok(());
        }
        self.writer
            .file
            .sync_data()
            .map_err(|error| self.poison(&self.file_name(), error))?;
        self.shared.note_durable(end);
        Ok(())
    }

    /// Full segments may not have been synced yet; they come before the active one.
    fn sync_sealed(&mut self) -> Result<()> {
        let sealed = self.shared.keeper().sealed.clone();
        let picture = std::sync::Arc::clone(&self.shared.scene().picture);
        for sealed in sealed {
            let end = crate::format::Position::new(sealed.number, sealed.bytes);
            if self.shared.durable.load(Ordering::Acquire) >= end.as_u64() {
                continue;
            }
            let segment = picture.segment_of(end)?;
            segment
                .file()
                .sync_data()
                .map_err(|error| self.poison(&segment.file_name(), error))?;
            self.shared.note_durable(end);
        }
        Ok(())
    }

    /// After a failed sync nothing is known of the disk (rule 7).
    fn poison(&self, file: &str, error: std::io::Error) -> Failure {
        let cause = crate::disk::failure(file, error);
        let fault = Fault::Poisoned(std::sync::Arc::new(cause));
        self.shared.break_down(fault.clone());
        Failure::Error(fault.error(&self.shared.place))
    }
}
