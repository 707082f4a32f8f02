//! Whose turn it is to write: frames are put at the end of the log, one after the other.
//!
//! A frame is encoded for its place, noted in the index of the active segment, and put into the tail; readers see it when
//! it is as durable as was promised. Everything that changes the log goes through a [`Turn`].

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError, RwLock, TryLockError};

use ledger_core::{Error, Outcome, StreamName, Timestamp};
use smallvec::SmallVec;

use super::commit::Group;
use super::notes::Notes;
use super::recovery::FIRST_FRAME;
use super::shared::{Scene, Shared};
use super::streams::{SlotIndex, StreamState};
use super::view::View;
use crate::disk::{DiskFile, Patience, write_all_at};
use crate::error::{Failure, Fault, Result};
use crate::fault::{Mistake, is_planted};
use crate::format::{
    FRAME_OVERHEAD_BYTES_MAX, FrameWriter, Position, Record, SegmentHeader, StreamNumber,
};
use crate::index::{ActiveIndex, BatchKeys, KeyHash};

/// What the one who writes needs, and nobody else.
#[derive(Debug)]
pub(super) struct Writer {
    /// Of the active segment.
    pub(super) header: SegmentHeader,
    pub(super) file: Arc<dyn DiskFile>,
    /// Where the next frame goes in it.
    pub(super) end: u32,
    pub(super) active: Arc<RwLock<ActiveIndex>>,
    /// From where on in the active segment that index knows what is there.
    pub(super) indexed_from: u32,
    /// The frame that is being written.
    pub(super) frame: Vec<u8>,
    /// Those whose commits have been gathered for the next flush.
    pub(super) group: Arc<Group>,
    /// Those whose commits are being flushed, or were last.
    pub(super) flushing: Option<Arc<Group>>,
    /// The highest number of a stream.
    pub(super) streams: u64,
    /// The stream that was appended to last.
    pub(super) last: Option<Subject>,
    /// Why nothing more can be written.
    pub(super) fault: Option<Fault>,
    /// Whether the active segment ends with a seal, and the next could not be begun yet.
    pub(super) is_sealed: bool,
    /// Whether there is something that can be done later, and nobody was told.
    pub(super) wants_tidying: bool,
    /// Whether somebody was told to make the next segment.
    pub(super) has_asked_for_next: bool,
    pub(super) scratch: Scratch,
}

/// Memory that each append uses again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) outcomes: Vec<Outcome<u64>>,
    pub(super) hashes: Vec<KeyHash>,
    pub(super) hashed: Vec<u32>,
    pub(super) batch_keys: BatchKeys,
}

/// A stream that is to be written to.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) name: StreamName,
    /// What it is before that.
    pub(super) state: StreamState,
    /// Whether its name is bound to its number already.
    pub(super) is_named: bool,
    /// Where it is remembered, and as of which epoch.
    slot: Option<(SlotIndex, u64)>,
}

/// The streams of a frame, each with what it is from now on.
pub(super) type Changed = SmallVec<[(Subject, StreamState); 1]>;

/// The right to write. Only one holds it.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    pub(super) shared: &'a Shared,
    pub(super) writer: MutexGuard<'a, Writer>,
    pub(super) patience: Patience,
}

/// How often an impatient caller asks for a turn before it gives up.
const ATTEMPTS: usize = 64;

impl Writer {
    /// Goes on at `end` of the segment of `header`.
    pub(super) fn new(
        header: SegmentHeader,
        file: Arc<dyn DiskFile>,
        end: u32,
        active: Arc<RwLock<ActiveIndex>>,
        streams: u64,
    ) -> Self {
        Self {
            header,
            file,
            end,
            active,
            indexed_from: FIRST_FRAME,
            frame: Vec::new(),
            group: Group::after(None),
            flushing: None,
            streams,
            last: None,
            fault: None,
            is_sealed: false,
            wants_tidying: false,
            has_asked_for_next: false,
            scratch: Scratch::default(),
        }
    }
}

impl Shared {
    /// Waits for a turn. What a failed flush left behind is set right first.
    ///
    /// # Errors
    /// `Closed`, `Poisoned`; with [`Patience::Now`] the wish to be asked again.
    pub(super) fn turn(&self, patience: Patience) -> Result<Turn<'_>> {
        if self.follower.is_some() {
            return Err(self.read_only());
        }
        let mut turn = self.turn_at_any_price(patience)?;
        self.check_open()?;
        if self.is_broken.load(Ordering::Acquire) {
            turn.mend()?;
        }
        match &turn.writer.fault {
            Some(fault) => Err(fault.error(&self.place).into()),
            None => Ok(turn),
        }
    }

    /// Waits for a turn, whatever state the log is in.
    pub(super) fn turn_at_any_price(&self, patience: Patience) -> Result<Turn<'_>> {
        let writer = match patience {
            Patience::Wait => self.writer.lock().map_err(|_| self.panicked())?,
            Patience::Now => self.lock_now()?,
        };
        Ok(Turn {
            shared: self,
            writer,
            patience,
        })
    }

    fn lock_now(&self) -> Result<MutexGuard<'_, Writer>> {
        for _ in 0..ATTEMPTS {
            match self.writer.try_lock() {
                Ok(writer) => return Ok(writer),
                Err(TryLockError::Poisoned(_)) => return Err(self.panicked()),
                Err(TryLockError::WouldBlock) => std::hint::spin_loop(),
            }
        }
        Err(Failure::WouldBlock)
    }

    fn read_only(&self) -> Failure {
        Failure::Error(Error::ReadOnly {
            place: self.place.clone(),
            source: "it was opened for reading".into(),
        })
    }

    fn panicked(&self) -> Failure {
        Failure::Error(Error::Poisoned {
            place: self.place.clone(),
            source: "a thread panicked while it wrote".into(),
        })
    }
}

impl<'a> Turn<'a> {
    /// The log as the next decision sees it: with everything that is under way.
    pub(super) fn view(&self) -> View<'a> {
        let picture = Arc::clone(&self.shared.scene().picture);
        let everything = Position::new(u32::MAX, u32::MAX);
        View::new(self.shared, picture, everything, self.patience)
    }

    /// Finds the stream of that name.
    pub(super) fn find(&mut self, name: &StreamName) -> Result<Option<Subject>> {
        if let Some(last) = self.writer.last.take_if(|last| last.name == *name) {
            return Ok(Some(last));
        }
        if let Some(subject) = self.remembered(name) {
            return Ok(Some(subject));
        }
        let Some(state) = self.view().stream(name.as_str())? else {
            return Ok(None);
        };
        // Nothing of it is under way: else it would be remembered.
        self.shared.scene_mut().streams.insert(name.clone(), state);
        Ok(self.remembered(name))
    }

    fn remembered(&self, name: &StreamName) -> Option<Subject> {
        let scene = self.shared.scene();
        let slot = scene.streams.find(name)?;
        Some(Subject {
            name: name.clone(),
            state: *scene.streams.latest(slot),
            is_named: true,
            slot: Some((slot, scene.streams.epoch())),
        })
    }

    /// Finds the stream of that name, or makes ready a new one: the `nth` of its frame, from 1.
    pub(super) fn find_or_new(&mut self, name: &StreamName, nth: u64) -> Result<Subject> {
        if let Some(subject) = self.find(name)? {
            return Ok(subject);
        }
        Ok(Subject {
            name: name.clone(),
            state: StreamState::new(StreamNumber(self.writer.streams + nth)),
            is_named: false,
            slot: None,
        })
    }

    /// Sees to it that a frame of up to `bytes` can be put: in this segment, or at the start of the next.
    pub(super) fn make_room(&mut self, bytes: usize) -> Result<()> {
        let end = u64::from(self.writer.end) + bytes as u64 + SEAL_BYTES as u64;
        let is_full = end > self.shared.options.segment_bytes_max && !self.is_at_start();
        if is_full || self.writer.is_sealed || self.is_index_full() {
            self.roll()?;
        } else if 2 * end > self.shared.options.segment_bytes_max && !self.writer.has_asked_for_next
        {
            self.writer.has_asked_for_next = true;
            self.writer.wants_tidying = true;
        }
        let room = self.shared.scene().tail.room();
        if bytes > room {
            self.empty_stage()?;
        }
        Ok(())
    }

    fn is_index_full(&self) -> bool {
        let active = self.writer.active.read();
        active.unwrap_or_else(PoisonError::into_inner).is_full()
    }

    /// Writes a frame: `encode` writes its records, and notes them in the index. There must be [room](Turn::make_room).
    pub(super) fn encode<T>(
        &mut self,
        now: Timestamp,
        encode: impl FnOnce(&mut FrameWriter<'_>, &mut Notes<'_>) -> T,
    ) -> T {
        let claim = self.shared.claim();
        let writer = &mut *self.writer;
        let active = Arc::clone(&writer.active);
        let mut active = active.write().unwrap_or_else(PoisonError::into_inner);
        let mut notes = Notes::begin(&mut active, self.shared.hasher, writer.end);
        writer.frame.clear();
        let mut frame =
            FrameWriter::begin(&mut writer.frame, &writer.header, writer.end, now, claim);
        let result = encode(&mut frame, &mut notes);
        frame.finish();
        result
    }

    /// Puts the frame that was encoded at the end of the log. `changed` is what its streams are from now on.
    pub(super) fn put(&mut self, changed: Changed) -> Result<()> {
        let bytes = self.writer.frame.len();
        let end = self.writer.header.at(self.writer.end + bytes as u32);
        self.writer.end = end.offset();
        if self.shared.is_sync() {
            self.writer.group.join();
            self.gather(changed, end);
            return Ok(());
        }
        if bytes > self.shared.scene().tail.room() {
            self.write_through(end)?;
        }
        self.stage(changed, end);
        Ok(())
    }

    /// Writes records as one commit, and answers when it is as durable as was promised.
    pub(super) fn commit(
        &mut self,
        now: Timestamp,
        records: &[Record<'_>],
        changed: Changed,
    ) -> Result<()> {
        let bytes: usize = records.iter().map(record_bytes_max).sum();
        self.make_room(FRAME_OVERHEAD_BYTES_MAX + bytes)?;
        self.write_records(now, records);
        self.put(changed)?;
        self.drain()
    }

    /// Encodes a frame of records. There must be [room](Turn::make_room).
    pub(super) fn write_records(&mut self, now: Timestamp, records: &[Record<'_>]) {
        self.encode(now, |frame, notes| {
            for record in records {
                let offset = frame.push(record);
                notes
                    .record(offset, record)
                    .expect("a record that was just made is well formed");
            }
        });
    }

    fn gather(&mut self, changed: Changed, end: Position) {
        let writer = &mut *self.writer;
        let mut scene = self.shared.scene_mut();
        scene.tail.push(&writer.frame);
        scene.end = end;
        for (subject, state) in changed {
            let (slot, subject) = settle(&mut scene, subject, state);
            scene.streams.set_under_way(slot, state, end);
            writer.last = Some(subject);
        }
        if is_planted(Mistake::VisibleBeforeDurable) {
            scene.visible = end;
            scene.streams.publish(end, |_| {});
        }
    }

    fn stage(&mut self, changed: Changed, end: Position) {
        let writer = &mut *self.writer;
        let mut scene = self.shared.scene_mut();
        // Whoever comes to wait from here on sees what this changes.
        let followed: SmallVec<[StreamName; 1]> = match self.shared.followers.are_there() {
            true => changed
                .iter()
                .map(|(subject, _)| subject.name.clone())
                .collect(),
            false => SmallVec::new(),
        };
        // What was written through is in the file already.
        if scene.tail.base() < end {
            scene.tail.push(&writer.frame);
        }
        scene.end = end;
        scene.visible = end;
        self.shared.page.show(end);
        for (subject, state) in changed {
            let (slot, subject) = settle(&mut scene, subject, state);
            scene.streams.set(slot, state);
            writer.last = Some(subject);
        }
        drop(scene);
        for name in &followed {
            self.shared.followers.wake(name);
        }
    }

    /// Writes a frame that is larger than the stage, which is empty.
    fn write_through(&mut self, end: Position) -> Result<()> {
        let start = self.shared.scene().tail.base();
        let written = write_all_at(
            &*self.writer.file,
            &self.writer.frame,
            u64::from(start.offset()),
        );
        match written {
            Ok(()) => {
                self.stage_begins_at(end);
                Ok(())
            }
            Err(error) => {
                let failure = Failure::io(&self.file_name(), error);
                Err(self.cut_back(start, failure.into_error(&self.shared.place)))
            }
        }
    }

    /// Whether nothing was put into the active segment yet.
    pub(super) fn is_at_start(&self) -> bool {
        self.writer.end == FIRST_FRAME
    }

    pub(super) fn file_name(&self) -> String {
        super::segment::SegmentName::of(&self.writer.header).file_name()
    }
}

/// The most bytes of the frame that ends a segment.
pub(super) const SEAL_BYTES: usize = crate::format::FRAME_OVERHEAD_BYTES_MAX + 2;

/// The most bytes that a record takes in a frame. Appends have their own reckoning.
pub(super) fn record_bytes_max(record: &Record<'_>) -> usize {
    RECORD_OVERHEAD_BYTES_MAX
        + match record {
            Record::Name { name, .. } => name.len(),
            Record::Rename { from, to, .. } => from.len() + to.len(),
            Record::Purge { ids, .. } => ids.0.len(),
            Record::Mark(mark) => mark.tags.0.len() + mark.annotations.0.len(),
            Record::Checkpoint(saved) => saved.name.len() + saved.value.map_or(0, <[u8]>::len),
            Record::Append(_) | Record::Removals { .. } | Record::State { .. } | Record::Seal => 0,
        }
}

/// Tag, length, and the numbers of any record.
const RECORD_OVERHEAD_BYTES_MAX: usize = 64;

/// Finds out where a stream is remembered from now on, and makes it what it is for the next turn.
fn settle(scene: &mut Scene, subject: Subject, state: StreamState) -> (SlotIndex, Subject) {
    let streams = &mut scene.streams;
    let slot = match subject.slot {
        Some((slot, epoch)) if epoch == streams.epoch() => slot,
        _ => match streams.find(&subject.name) {
            Some(slot) => slot,
            None => streams.insert(subject.name.clone(), subject.state),
        },
    };
    let subject = Subject {
        state,
        is_named: true,
        slot: Some((slot, streams.epoch())),
        ..subject
    };
    (slot, subject)
}
