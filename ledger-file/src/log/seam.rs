//! The log for those who must not wait: the store's side of it.
//!
//! Every question can be put with [`Patience::Now`], and is then answered from memory and from what the system has cached
//! of the files. Where that is not enough it comes back unanswered, nothing is changed, and somebody who can wait asks
//! once more.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::{Poll, Waker};

use ledger_core::{
    Capabilities, Checkpoint, Durability, Error, Page, ReadOptions, Result, Stat, StreamName,
    check_limit,
};

use super::followers::Followers;
use super::keeper::read_manifest;
use super::read::scan::Progress;
use super::shared::Shared;
use super::write::commit::Group;
use super::{Decided, Log, Receipts, RecordRef};
use crate::disk::Patience;
use crate::error::{self, Failure};
use crate::format::Position;

/// How many ids of a scan are looked at in one go, if nothing else ends it: most may be those of entries that have expired.
const IDS_A_GO: u64 = 1 << 15;

/// A group of commits that its caller has to lead.
#[derive(Debug)]
pub(crate) struct Lead {
    shared: Arc<Shared>,
    group: Arc<Group>,
}

impl Lead {
    /// Makes the group durable, and wakes all who wait for it. Blocks.
    pub(crate) fn lead(self) {
        self.shared.lead(&self.group);
    }
}

impl Decided {
    /// The duty to lead the group that this waits for, if nobody has it yet. Whoever takes it must lead.
    #[inline]
    pub(crate) fn take_lead(&self, log: &Log) -> Option<Lead> {
        let group = self.group.as_ref().filter(|group| group.try_lead())?;
        Some(Lead {
            shared: Arc::clone(&log.shared),
            group: Arc::clone(group),
        })
    }

    /// Answers once what was appended is as durable as was promised; until then, `waker` is woken when it is.
    #[inline]
    pub(crate) fn poll(&mut self, log: &Log, waker: &Waker) -> Poll<Result<Receipts>> {
        if let Some(group) = &self.group {
            match group.poll(waker) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(fault)) => {
                    return Poll::Ready(Err(fault.error(log.place())));
                }
                Poll::Ready(Ok(())) => self.group = None,
            }
        }
        Poll::Ready(std::mem::replace(&mut self.answer, Ok(Receipts::new())))
    }
}

impl Log {
    /// The directory, as messages call it.
    pub(crate) fn place(&self) -> &str {
        &self.shared.place
    }

    pub(crate) fn durability(&self) -> Durability {
        self.shared.options.durability
    }

    pub(crate) fn followers(&self) -> &Followers {
        &self.shared.followers
    }

    pub(crate) fn has_followers(&self) -> bool {
        self.shared.followers.are_there()
    }

    /// What the process that writes says of what it shows: while that is the same, there is hardly anything new.
    pub(crate) fn glance(&self) -> Option<[u64; 4]> {
        self.shared.glance()
    }

    pub(crate) fn wake_followers(&self) {
        self.shared.followers.wake_all();
    }

    /// Up to where readers see the log.
    pub(crate) fn visible(&self) -> Position {
        self.shared.scene().visible
    }

    /// Makes ready for writing what would be made ready by the first turn, which then need not wait.
    pub(crate) fn begin(&self) -> Result<()> {
        self.ask(|| self.shared.turn(Patience::Wait).map(drop))
    }

    /// Puts a question that must not wait. None: it would have to.
    pub(crate) fn ask_now<T>(&self, ask: impl FnOnce() -> error::Result<T>) -> Result<Option<T>> {
        match ask() {
            Ok(answer) => Ok(Some(answer)),
            Err(Failure::Error(error)) => Err(error),
            Err(Failure::WouldBlock | Failure::Index(..)) => Ok(None),
        }
    }

    /// Puts a question that must not wait, and if it would have to, one that may.
    #[cfg(test)]
    pub(crate) fn ask_hurriedly<T>(
        &self,
        mut ask: impl FnMut(Patience) -> error::Result<T>,
    ) -> Result<T> {
        match self.ask_now(|| ask(Patience::Now))? {
            Some(answer) => Ok(answer),
            None => self.ask(|| ask(Patience::Wait)),
        }
    }

    /// Puts a question that may wait, again if an index had to be made anew meanwhile.
    pub(crate) fn ask<T>(&self, ask: impl FnMut() -> error::Result<T>) -> Result<T> {
        self.answer(self.shared.sound(ask))
    }

    pub(crate) fn read_with(
        &self,
        stream: &StreamName,
        options: &ReadOptions<u64>,
        patience: Patience,
    ) -> error::Result<Page<u64>> {
        self.enter(stream)?;
        options.validate()?;
        self.shared.options.limits.check_filter(&options.filter)?;
        self.page(stream, options, patience)
    }

    /// As [`scan`](Log::scan), of what was not shown yet, and no more than comes in one go: some may be left, also if `each`
    /// does not say to stop. Goes on if nothing is.
    pub(crate) fn scan_with(
        &self,
        stream: &StreamName,
        progress: &mut Progress,
        patience: Patience,
        mut each: impl FnMut(RecordRef<'_>) -> ControlFlow<()>,
    ) -> error::Result<ControlFlow<()>> {
        self.enter(stream)?;
        self.shared
            .scan(stream, progress, IDS_A_GO, patience, &mut each)
    }

    pub(crate) fn stat_with(
        &self,
        stream: &StreamName,
        patience: Patience,
    ) -> error::Result<Stat<u64>> {
        self.enter(stream)?;
        let (_, state) = self.shared.seen(stream, patience)?;
        let mut stat = Stat::empty(self.durability());
        if let Some(state) = state {
            stat.first = state.first();
            stat.head = state.head();
            stat.count = state.count();
            stat.bytes = state.bytes();
        }
        Ok(stat)
    }

    pub(crate) fn list_with(
        &self,
        after: Option<&StreamName>,
        limit: usize,
        patience: Patience,
    ) -> error::Result<Vec<StreamName>> {
        self.shared.check_open()?;
        check_limit(limit)?;
        self.shared.list(after, limit, patience)
    }

    pub(crate) fn load_checkpoint_with(
        &self,
        stream: &StreamName,
        name: &str,
        patience: Patience,
    ) -> error::Result<Option<Checkpoint>> {
        self.enter_checkpoint(stream, name)?;
        self.shared.load_checkpoint(stream, name, patience)
    }

    pub(crate) fn list_checkpoints_with(
        &self,
        stream: &StreamName,
        after: Option<&str>,
        limit: usize,
        patience: Patience,
    ) -> error::Result<Vec<String>> {
        self.enter(stream)?;
        check_limit(limit)?;
        self.shared.list_checkpoints(stream, after, limit, patience)
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        let options = &self.shared.options;
        let mut capabilities = Capabilities::full(options.durability);
        capabilities.limits = options.limits.clone();
        capabilities.marks = !options.append_only;
        capabilities.shared = false;
        capabilities
    }

    /// Asks the directory for the log, and the log whether it can still be written to.
    pub(crate) fn check_disk(&self) -> Result<()> {
        self.ask(|| {
            self.shared.check_open()?;
            match self.shared.follower {
                Some(_) => self.shared.refresh(Patience::Wait)?,
                None => drop(self.shared.turn(Patience::Wait)?),
            }
            let manifest = read_manifest(&*self.shared.disk)?;
            match manifest.is_some_and(|manifest| manifest.log_id == self.shared.log_id) {
                true => Ok(()),
                false => Err(Failure::damage(self.place(), "its manifest is gone")),
            }
        })
    }

    /// Whether marks can be changed.
    pub(super) fn check_marks(&self) -> Result<()> {
        match self.shared.options.append_only {
            true => Err(Error::AppendOnly),
            false => Ok(()),
        }
    }
}
