//! Appending.

use std::sync::Arc;

use ledger_core::{Batch, Condition, NewEntry, Outcome, Receipt, Result, StreamName};
use smallvec::SmallVec;

use crate::disk::Patience;
use crate::error::{self, Failure};
use crate::fault::{Mistake, is_planted};
use crate::format::NewRecord;
use crate::log::shared::Shared;
use crate::log::write::append::Wanted;
use crate::log::write::commit::Group;
use crate::log::write::writer::Turn;
use crate::log::{Log, limits};

/// What became of batches. Mostly there is one.
pub(crate) type Receipts = SmallVec<[Receipt<u64>; 1]>;

/// Appends that were decided, and are on their way to the disk.
#[derive(Debug)]
pub struct Pending {
    pub(in crate::log) shared: Arc<Shared>,
    pub(in crate::log) decided: Decided,
}

/// What was decided about batches.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(in crate::log) answer: Result<Receipts>,
    /// Whose end has to be waited for before anybody is told.
    pub(in crate::log) group: Option<Arc<Group>>,
}

impl Pending {
    /// Waits until they are as durable as was promised.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn wait(self) -> Result<Vec<Receipt<u64>>> {
        let receipts = self.decided.wait(&self.shared)?;
        Ok(receipts.into_vec())
    }
}

impl Decided {
    fn wait(self, shared: &Shared) -> Result<Receipts> {
        if let Some(group) = &self.group
            && let Err(fault) = shared.finish(group)
        {
            return Err(fault.error(&shared.place));
        }
        self.answer
    }
}

impl Log {
    /// Appends a batch as one atomic commit.
    ///
    /// # Errors
    /// As [`Store::append`](ledger_core::Store::append).
    pub fn append(&self, batch: Batch<u64>) -> Result<Receipt<u64>> {
        let batch = std::slice::from_ref(&batch);
        let decided = self.ask(|| self.decide(batch, Patience::Wait))?;
        let mut receipts = decided.wait(&self.shared)?;
        Ok(receipts.pop().expect("every batch has its receipt"))
    }

    /// Appends batches to several streams as one atomic commit.
    ///
    /// # Errors
    /// As [`Store::append_many`](ledger_core::Store::append_many).
    pub fn append_many(&self, batches: Vec<Batch<u64>>) -> Result<Vec<Receipt<u64>>> {
        self.begin_append(batches)?.wait()
    }

    /// Decides about batches, which are one commit, and leaves the waiting to the caller.
    ///
    /// # Errors
    /// What has nothing to do with what is in the log: `Closed`, `InvalidInput`, `LimitExceeded`.
    pub fn begin_append(&self, batches: Vec<Batch<u64>>) -> Result<Pending> {
        Ok(Pending {
            shared: Arc::clone(&self.shared),
            decided: self.ask(|| self.decide(&batches, Patience::Wait))?,
        })
    }

    /// As [`begin_append`](Log::begin_append), by who must not wait: as the store does.
    #[cfg(test)]
    pub(crate) fn begin_hurried_append(&self, batches: &[Batch<u64>]) -> Result<Pending> {
        Ok(Pending {
            shared: Arc::clone(&self.shared),
            decided: self.ask_hurriedly(|patience| self.decide(batches, patience))?,
        })
    }

    /// Decides about batches, which are one commit.
    pub(crate) fn decide(
        &self,
        batches: &[Batch<u64>],
        patience: Patience,
    ) -> error::Result<Decided> {
        self.shared.check_open()?;
        self.shared.options.limits.check_batches(batches)?;
        match batches {
            [batch] => self.decide_wanted(&[Wanted::of(batch)], patience),
            _ => {
                let wanted: Vec<_> = batches.iter().map(Wanted::of).collect();
                self.decide_wanted(&wanted, patience)
            }
        }
    }

    #[inline]
    fn decide_wanted(
        &self,
        wanted: &[Wanted<'_, NewEntry>],
        patience: Patience,
    ) -> error::Result<Decided> {
        let mut turn = self.shared.turn(patience)?;
        let appended = turn.append(wanted, self.shared.now());
        let group = turn.unfinished().filter(|_| {
            let mut outcomes = turn.writer.scratch.outcomes.iter();
            !is_planted(Mistake::DuplicateNotWaitedFor)
                || appended.is_ok() && outcomes.any(|outcome| !outcome.is_duplicate())
        });
        let answer = match appended {
            Ok(()) => Ok(self.receipts(wanted, &turn.writer.scratch.outcomes)),
            Err(Failure::Error(error)) => Err(error),
            Err(failure) => return Err(failure),
        };
        self.end_turn(turn);
        Ok(Decided { answer, group })
    }

    /// What became of batches, told for each of them.
    #[inline]
    fn receipts(&self, wanted: &[Wanted<'_, NewEntry>], mut outcomes: &[Outcome<u64>]) -> Receipts {
        let mut receipts = Receipts::new();
        for wanted in wanted {
            let (of_batch, rest) = outcomes.split_at(wanted.records.len());
            outcomes = rest;
            receipts.push(Receipt {
                outcomes: of_batch.to_vec(),
                durability: self.shared.options.durability,
            });
        }
        receipts
    }

    /// Gives the turn back, and sees to what can be done later.
    fn end_turn(&self, mut turn: Turn<'_>) {
        let wants_tidying = std::mem::take(&mut turn.writer.wants_tidying);
        drop(turn);
        if wants_tidying {
            self.shared.tidy_up();
        }
        if self.shared.ahead.take_wish() {
            self.shared.zero_ahead();
        }
    }

    /// Appends records that borrow what they hold, as one atomic commit, and tells in `outcomes` what became of each.
    ///
    /// # Errors
    /// As [`append`](Log::append).
    pub fn append_records(
        &self,
        stream: &StreamName,
        records: &[NewRecord<'_>],
        condition: Option<&Condition<u64>>,
        outcomes: &mut Vec<Outcome<u64>>,
    ) -> Result<()> {
        self.answer(self.shared.check_open())?;
        limits::check_records(&self.shared.options.limits, stream, records, condition)?;
        let wanted = [Wanted {
            stream,
            records,
            condition,
        }];
        self.ask(|| {
            let mut turn = self.shared.turn(Patience::Wait)?;
            let appended = turn.append(&wanted, self.shared.now());
            std::mem::swap(outcomes, &mut turn.writer.scratch.outcomes);
            let group = turn.unfinished();
            self.end_turn(turn);
            if let Some(group) = group
                && let Err(fault) = self.shared.finish(&group)
            {
                return Err(fault.error(&self.shared.place).into());
            }
            appended
        })
    }
}
