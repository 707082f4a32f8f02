//! Making durable what was gathered: one write and one flush of the disk for a whole group.
//!
//! A failure to write is undone before anybody is told: what was written is cut off again, durably, and then nothing of
//! the group is in the log. What the next group decided rested on it, and fails with it. A failure to flush cannot be
//! undone, because what the disk holds is not known any more: the log is poisoned until it is opened again (rule 7).

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use ledger_core::Error;

use super::commit::Group;
use super::writer::Turn;
use crate::disk::{DiskFile, Patience, failure, write_all_at};
use crate::error::{Failure, Fault, Result};
use crate::fault::{Mistake, is_planted};
use crate::format::Position;
use crate::log::open::recovery;
use crate::log::shared::Shared;

/// A group that takes no more members, with what is to be written for them.
#[derive(Debug)]
struct Flush {
    group: Arc<Group>,
    file: Arc<dyn DiskFile>,
    file_name: String,
    base: Position,
    bytes: Arc<Vec<u8>>,
    end: Position,
}

impl Shared {
    /// Waits until `group` is over, and leads it if nobody does.
    pub(in crate::log) fn finish(&self, group: &Arc<Group>) -> Result<(), Fault> {
        if group.try_lead() {
            self.lead(group);
        }
        group.sleep();
        group
            .result()
            .expect("whoever sleeps until a group is over finds its result")
    }

    /// Waits for the group before, then for those who were there lately, and flushes.
    pub(in crate::log) fn lead(&self, group: &Arc<Group>) {
        if let Some(before) = group.take_before()
            && !is_planted(Mistake::GroupBeforeNotWaitedFor)
        {
            // How it ended is its own members' business: if it failed, this group was failed too.
            let _ended = self.finish(&before);
        }
        self.crowd.gather(group, self.options.group_wait);
        let Ok(mut turn) = self.turn_at_any_price(Patience::Wait) else {
            // Somebody panicked while writing: nothing is known of what was gathered.
            return group.end(Err(Fault::Poisoned(Arc::new(Error::Engine {
                place: self.place.clone(),
                source: "a thread panicked while it wrote".into(),
            }))));
        };
        if self.is_broken.load(Ordering::Acquire) {
            // Ends the group, too.
            let _told_to_its_members = turn.mend();
            return;
        }
        let flush = turn.close(group);
        drop(turn);
        if let Some(flush) = flush {
            self.flush(flush);
            self.mend_if_broken();
        }
    }

    fn mend_if_broken(&self) {
        if self.is_broken.load(Ordering::Acquire)
            && let Ok(mut turn) = self.turn_at_any_price(Patience::Wait)
        {
            let _told_to_its_members = turn.mend();
        }
    }

    /// Writes and flushes, shows what became durable, and ends the group.
    fn flush(&self, flush: Flush) {
        let Flush { group, end, .. } = &flush;
        let (group, end) = (Arc::clone(group), *end);
        self.crowd.note(group.members());
        let result = self.write_and_sync(flush);
        match &result {
            Ok(()) => self.publish(end),
            Err(fault) => self.break_down(fault.clone()),
        }
        group.end(result);
    }

    fn write_and_sync(&self, flush: Flush) -> Result<(), Fault> {
        let (file, base) = (&*flush.file, flush.base.offset());
        if self.options.writes_zeroes() {
            self.ahead.reserve(&flush.file_name, flush.end);
        }
        if let Err(error) = write_all_at(file, &flush.bytes, base.into()) {
            let cause = failure(&*flush.file_name, error);
            return Err(self.cut(file, &flush.file_name, flush.base, cause));
        }
        if is_planted(Mistake::AcknowledgedBeforeSync) {
            return Ok(());
        }
        let synced = match file.sync_data() {
            Err(_) if is_planted(Mistake::SyncRetried) => file.sync_data(),
            synced => synced,
        };
        if let Err(error) = synced {
            return Err(Fault::Poisoned(Arc::new(failure(&*flush.file_name, error))));
        }
        // Another sync may have failed before this one, and have left nothing for it to do.
        self.check_poisoned()
    }

    /// Takes back what was written of the log from `base` on, durably.
    pub(super) fn cut(
        &self,
        file: &dyn DiskFile,
        file_name: &str,
        base: Position,
        cause: Error,
    ) -> Fault {
        if is_planted(Mistake::PartialWriteNotCut) {
            return Fault::Undone(Arc::new(cause));
        }
        let cut = file.truncate(base.offset().into());
        let synced = cut.and_then(|()| file.sync_all());
        match synced.and_then(|()| self.scene_mut().tail.clear_stage(&self.page)) {
            Ok(()) => Fault::Undone(Arc::new(cause)),
            Err(error) => Fault::Poisoned(Arc::new(failure(file_name, error))),
        }
    }

    /// Lets everybody see what lies before `end`, which is durable.
    fn publish(&self, end: Position) {
        self.durable.store(end.as_u64(), Ordering::Release);
        let mut scene = self.scene_mut();
        scene.tail.moved_to(end);
        self.flushed.store(end.as_u64(), Ordering::Release);
        scene.visible = end;
        let mut woken = Vec::new();
        let are_there = self.followers.are_there();
        scene.streams.publish(end, |name| {
            if are_there {
                woken.push(name.clone());
            }
        });
        self.page.show(end);
        drop(scene);
        woken.iter().for_each(|name| self.followers.wake(name));
    }

    /// Sees to it that nobody writes to the log any more: after a failed sync nothing is known of the disk (rule 7).
    pub(in crate::log) fn poison(&self, cause: Error) -> Failure {
        let fault = Fault::Poisoned(Arc::new(cause));
        self.break_down(fault.clone());
        Failure::Error(fault.error(&self.place))
    }

    /// Sees to it that nobody writes before what rested on a failed flush is set right.
    pub(super) fn break_down(&self, fault: Fault) {
        if let Fault::Poisoned(_) = fault {
            let _known_already = self.poisoned.set(fault.clone());
            self.page.freeze();
        }
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        broken.get_or_insert(fault);
        self.is_broken.store(true, Ordering::Release);
    }

    /// # Errors
    /// `Poisoned`, from the first failed sync on.
    pub(in crate::log) fn check_sound(&self) -> Result<()> {
        let checked = self.check_poisoned();
        checked.map_err(|fault| fault.error(&self.place).into())
    }

    fn check_poisoned(&self) -> Result<(), Fault> {
        self.poisoned
            .get()
            .map_or(Ok(()), |fault| Err(fault.clone()))
    }

    /// Takes what is broken, for whoever sets it right.
    fn take_broken(&self) -> Option<Fault> {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_broken.store(false, Ordering::Release);
        let fault = broken.take()?;
        Some(self.check_poisoned().err().unwrap_or(fault))
    }
}

impl Turn<'_> {
    /// Makes everything that was decided so far as durable as was promised; readers then see it.
    ///
    /// # Errors
    /// As for those whose commits they are.
    pub(in crate::log) fn drain(&mut self) -> Result<()> {
        if !self.shared.is_sync() {
            return Ok(());
        }
        self.wait_for_flush();
        self.check_broken()?;
        let group = Arc::clone(&self.writer.group);
        let Some(flush) = self.close(&group) else {
            return Ok(());
        };
        self.shared.flush(flush);
        self.check_broken()
    }

    /// Waits until nobody writes any more what was gathered before.
    pub(in crate::log) fn wait_for_flush(&mut self) {
        if let Some(flushing) = self.writer.flushing.take() {
            // Its leader needs no turn any more.
            flushing.sleep();
        }
    }

    fn check_broken(&mut self) -> Result<()> {
        match self.shared.is_broken.load(Ordering::Acquire) {
            true => self.mend(),
            false => Ok(()),
        }
    }

    /// Ends the time in which `group` takes members. Nothing is answered if somebody else has done so.
    fn close(&mut self, group: &Arc<Group>) -> Option<Flush> {
        let writer = &mut *self.writer;
        if !Arc::ptr_eq(&writer.group, group) {
            return None;
        }
        let mut scene = self.shared.scene_mut();
        let (base, end) = (scene.tail.base(), scene.end);
        if base == end {
            // Without members: nobody leads it, and nobody waits.
            return None;
        }
        let flush = Flush {
            group: Arc::clone(group),
            file: Arc::clone(&writer.file),
            file_name: crate::log::read::segment::SegmentName::of(&writer.header).file_name(),
            base,
            bytes: scene.tail.take_gathered(),
            end,
        };
        drop(scene);
        writer.flushing = Some(Arc::clone(group));
        writer.group = Group::after(writer.flushing.clone());
        Some(flush)
    }

    /// The group whose end must be waited for before an answer that rests on everything decided so far.
    pub(in crate::log) fn unfinished(&self) -> Option<Arc<Group>> {
        let writer = &*self.writer;
        if writer.group.members() > 0 {
            return Some(Arc::clone(&writer.group));
        }
        writer.flushing.clone().filter(|group| !group.is_over())
    }

    /// Sets right what rested on a flush that failed: fails those who were gathered since, and forgets what they wrote.
    ///
    /// # Errors
    /// Why the flush failed.
    pub(in crate::log) fn mend(&mut self) -> Result<()> {
        let Some(mut fault) = self.shared.take_broken() else {
            return Ok(());
        };
        if let Fault::Undone(_) = fault
            && let Err(failure) = self.forget_undone()
        {
            let error = failure.into_error(&self.shared.place);
            fault = Fault::Poisoned(Arc::new(error));
            let _known_already = self.shared.poisoned.set(fault.clone());
        }
        let group = std::mem::replace(&mut self.writer.group, Group::after(None));
        if let Fault::Undone(_) = fault {
            // It was this flush that failed; after any other failure it may still go on, which a closing waits for.
            self.writer.flushing = None;
        }
        group.end(Err(fault.clone()));
        Err(fault.error(&self.shared.place).into())
    }

    /// Makes memory agree with the segment file, which ends where readers see the end.
    fn forget_undone(&mut self) -> Result<()> {
        let end = self.shared.scene().visible;
        let index = recovery::index_again(self.shared, &self.writer, end)?;
        let mut active = self.writer.active.write();
        **active.as_mut().unwrap_or_else(|poison| poison.get_mut()) = index;
        drop(active);
        let mut scene = self.shared.scene_mut();
        scene.tail.reset(end);
        scene.end = end;
        scene.streams.clear();
        drop(scene);
        if !self.shared.is_sync() {
            self.stage_begins_at(end);
        }
        self.writer.end = end.offset();
        self.writer.is_sealed = false;
        self.writer.last = None;
        self.writer.recall = None;
        Ok(())
    }

    /// Takes back a frame that could not be written whole from `start` on, and tells why.
    pub(super) fn cut_back(&mut self, start: Position, cause: Error) -> Failure {
        let name = self.file_name();
        let fault = self.shared.cut(&*self.writer.file, &name, start, cause);
        self.shared.break_down(fault);
        match self.mend() {
            Err(failure) => failure,
            Ok(()) => Failure::damage(name, "a failed write was mended by nobody"),
        }
    }
}

// The stage.
impl Turn<'_> {
    /// Writes what is staged to the segment, so that the stage is empty.
    ///
    /// # Errors
    /// Nothing is lost: what is staged stays there, and is written the next time.
    pub(in crate::log) fn empty_stage(&mut self) -> Result<()> {
        let scene = self.shared.scene();
        let (base, bytes) = (scene.tail.base(), scene.tail.staged_bytes());
        if bytes.is_empty() {
            return Ok(());
        }
        let end = Position::from_u64(base.as_u64() + bytes.len() as u64);
        if is_planted(Mistake::StageSwitchedBeforeFlush) {
            self.shared.page.switch(end);
        }
        write_all_at(&*self.writer.file, bytes, base.offset().into())
            .map_err(|error| Failure::io(&self.file_name(), error))?;
        drop(scene);
        self.stage_begins_at(end);
        Ok(())
    }

    /// Stages what comes from `base` on.
    pub(super) fn stage_begins_at(&mut self, base: Position) {
        let mut scene = self.shared.scene_mut();
        scene.tail.moved_to(base);
        self.shared.page.switch(base);
        self.shared.flushed.store(base.as_u64(), Ordering::Release);
    }
}
