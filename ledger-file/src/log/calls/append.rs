//! Appending.

use std::sync::Arc;

use ledger_core::{Batch, Condition, Outcome, Receipt, Result, StreamName};
use smallvec::SmallVec;

use crate::disk::Patience;
use crate::error::{self, Failure};
use crate::fault::{Mistake, is_planted};
use crate::format::NewRecord;
use crate::log::append::Wanted;
use crate::log::commit::Group;
use crate::log::shared::Shared;
use crate::log::writer::Turn;
use crate::log::{Log, limits};

/// Appends that were decided, and are on their way to the disk.
#[derive(Debug)]
pub struct Pending {
    pub(in crate::log) shared: Arc<Shared>,
    pub(in crate::log) answer: Result<Vec<Receipt<u64>>>,
    pub(in crate::log) group: Option<Arc<Group>>,
}

impl Pending {
    /// Waits until they are as durable as was promised.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn wait(self) -> Result<Vec<Receipt<u64>>> {
        if let Some(group) = &self.group
            && let Err(fault) = self.shared.finish(group)
        {
            return Err(fault.error(&self.shared.place));
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
        let mut receipts = self.append_many(vec![batch])?;
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
        self.ask(|| self.begin_append_with(&batches, Patience::Wait))
    }

    pub(crate) fn begin_append_with(
        &self,
        batches: &[Batch<u64>],
        patience: Patience,
    ) -> error::Result<Pending> {
        self.shared.check_open()?;
        self.shared.options.limits.check_batches(batches)?;
        let wanted: SmallVec<[_; 1]> = batches
            .iter()
            .map(|batch| Wanted {
                stream: &batch.stream,
                records: &batch.entries,
                condition: batch.condition.as_ref(),
            })
            .collect();
        let mut turn = self.shared.turn(patience)?;
        let appended = turn.append(&wanted, self.shared.now());
        let group = turn.unfinished().filter(|_| {
            let mut outcomes = turn.writer.scratch.outcomes.iter();
            !is_planted(Mistake::DuplicateNotWaitedFor)
                || appended.is_ok() && outcomes.any(|outcome| !outcome.is_duplicate())
        });
        let answer = match appended {
            Ok(()) => {
                let mut outcomes = turn.writer.scratch.outcomes.iter().copied();
                let receipt = |wanted: &Wanted<'_, _>| Receipt {
                    outcomes: outcomes.by_ref().take(wanted.records.len()).collect(),
                    durability: self.shared.options.durability,
                };
                Ok(wanted.iter().map(receipt).collect())
            }
            Err(Failure::Error(error)) => Err(error),
            Err(failure) => return Err(failure),
        };
        self.end_turn(turn);
        Ok(Pending {
            shared: Arc::clone(&self.shared),
            answer,
            group,
        })
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
