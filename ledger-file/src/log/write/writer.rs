//! Whose turn it is to write, and what is known to whoever has it. Everything that changes the log goes through a [`Turn`].

use std::sync::atomic::Ordering;
use std::sync::{Arc, TryLockError};

use ledger_core::{Error, StreamName};
use smallvec::SmallVec;

use super::commit::Group;
use super::plan::Scratch;
use crate::disk::{DiskFile, Patience};
use crate::error::{Failure, Result};
use crate::format::{Position, SegmentHeader, StreamNumber};
use crate::index::{ActiveIndex, Recent};
use crate::log::open::recovery::FIRST_FRAME;
use crate::log::read::view::View;
use crate::log::recall::Recall;
use crate::log::shared::Shared;
use crate::log::streams::{SlotIndex, StreamState, Streams};
use crate::sync::{MutexGuard, RwLock};

/// What the one who writes needs, and nobody else.
#[derive(Debug)]
pub(in crate::log) struct Writer {
    /// Of the active segment.
    pub(in crate::log) header: SegmentHeader,
    pub(in crate::log) file: Arc<dyn DiskFile>,
    /// Where the next frame goes in it.
    pub(in crate::log) end: u32,
    pub(in crate::log) active: Arc<RwLock<ActiveIndex>>,
    /// Whether that index should not grow any more: the active segment ends then.
    pub(in crate::log) is_index_full: bool,
    /// From where on in the active segment that index knows what is there.
    pub(in crate::log) indexed_from: u32,
    /// The frame that is being written.
    pub(in crate::log) frame: Vec<u8>,
    /// Those whose commits have been gathered for the next flush.
    pub(in crate::log) group: Arc<Group>,
    /// Those whose commits are being flushed, or were last.
    pub(in crate::log) flushing: Option<Arc<Group>>,
    /// Whether what the first turn needs was made ready.
    pub(in crate::log) has_begun: bool,
    /// The highest number of a stream.
    pub(in crate::log) streams: u64,
    /// The stream that was appended to last.
    pub(in crate::log) last: Option<Subject>,
    /// What was known of streams when the log was closed, if nobody has recalled it yet, and it can be.
    pub(in crate::log) recall: Option<Recall>,
    /// Whether the active segment ends with a seal, and the next could not be begun yet.
    pub(in crate::log) is_sealed: bool,
    /// Whether there is something that can be done later, and nobody was told.
    pub(in crate::log) wants_tidying: bool,
    /// Whether somebody was told to make the next segment.
    pub(in crate::log) has_asked_for_next: bool,
    /// Which dedup keys were appended lately.
    pub(in crate::log) recent: Recent,
    pub(in crate::log) scratch: Scratch,
}

/// A stream that is to be written to.
#[derive(Debug)]
pub(in crate::log) struct Subject {
    pub(in crate::log) name: StreamName,
    /// What it is before that.
    pub(in crate::log) state: StreamState,
    /// Whether its name is bound to its number already.
    pub(in crate::log) is_named: bool,
    /// Where it is remembered, and as of which epoch.
    slot: Option<(SlotIndex, u64)>,
}

/// The streams of a frame, each with what it is from now on.
pub(in crate::log) type Changed = SmallVec<[(Subject, StreamState); 1]>;

/// The right to write. Only one holds it.
#[derive(Debug)]
pub(in crate::log) struct Turn<'a> {
    pub(in crate::log) shared: &'a Shared,
    pub(in crate::log) writer: MutexGuard<'a, Writer>,
    pub(in crate::log) patience: Patience,
}

/// How often an impatient caller asks for a turn before it gives up.
const ATTEMPTS: usize = 64;

impl Writer {
    /// Goes on at `end` of the segment of `header`.
    pub(in crate::log) fn new(
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
            is_index_full: false,
            indexed_from: FIRST_FRAME,
            frame: Vec::new(),
            group: Group::after(None),
            flushing: None,
            has_begun: false,
            streams,
            last: None,
            recall: None,
            is_sealed: false,
            wants_tidying: false,
            has_asked_for_next: false,
            recent: Recent::default(),
            scratch: Scratch::default(),
        }
    }
}

impl Shared {
    /// Waits for a turn. What a failed flush left behind is set right first.
    ///
    /// # Errors
    /// `Closed`, `Poisoned`; with [`Patience::Now`] the wish to be asked again.
    pub(in crate::log) fn turn(&self, patience: Patience) -> Result<Turn<'_>> {
        self.check_writes()?;
        let mut turn = self.turn_at_any_price(patience)?;
        self.check_open()?;
        if self.is_broken.load(Ordering::Acquire) {
            turn.mend()?;
        }
        self.check_sound()?;
        if !turn.writer.has_begun {
            turn.begin()?;
        }
        Ok(turn)
    }

    /// Waits for a turn, whatever state the log is in.
    pub(in crate::log) fn turn_at_any_price(&self, patience: Patience) -> Result<Turn<'_>> {
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

    /// # Errors
    /// `ReadOnly`: this process only reads the log.
    pub(in crate::log) fn check_writes(&self) -> Result<()> {
        match self.follower {
            None => Ok(()),
            Some(_) => Err(Failure::Error(Error::ReadOnly {
                place: self.place.clone(),
                source: "it was opened for reading".into(),
            })),
        }
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
    pub(in crate::log) fn view(&self) -> View<'a> {
        let picture = Arc::clone(&self.shared.scene().picture);
        let everything = Position::new(u32::MAX, u32::MAX);
        View::new(self.shared, picture, everything, self.patience)
    }

    /// The stream that was appended to last, if that is its name: it needs no search.
    pub(super) fn last(&self, name: &StreamName) -> Option<&Subject> {
        self.writer.last.as_ref().filter(|last| last.name == *name)
    }

    /// Finds the stream of that name.
    pub(in crate::log) fn find(&mut self, name: &StreamName) -> Result<Option<Subject>> {
        if let Some(last) = self.writer.last.take_if(|last| last.name == *name) {
            return Ok(Some(last));
        }
        if let Some(subject) = self.remembered(name) {
            return Ok(Some(subject));
        }
        if self.writer.recall.is_some() {
            self.note_unknown()?;
            if let Some(subject) = self.remembered(name) {
                return Ok(Some(subject));
            }
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
        if let Some(slot) = scene.streams.find(name) {
            return Some(Subject::in_slot(name, slot, &scene.streams));
        }
        drop(scene);
        let mut scene = self.shared.scene_mut();
        let slot = scene.streams.wake(name)?;
        Some(Subject::in_slot(name, slot, &scene.streams))
    }

    /// Finds the stream of that name, or makes ready a new one: the `nth` of its frame, from 1.
    pub(in crate::log) fn find_or_new(&mut self, name: &StreamName, nth: u64) -> Result<Subject> {
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

    /// Whether nothing was put into the active segment yet.
    pub(super) fn is_at_start(&self) -> bool {
        self.writer.end == FIRST_FRAME
    }

    pub(in crate::log) fn file_name(&self) -> String {
        crate::log::read::segment::SegmentName::of(&self.writer.header).file_name()
    }
}

impl Subject {
    /// A stream that is remembered.
    fn in_slot(name: &StreamName, slot: SlotIndex, streams: &Streams) -> Self {
        Self {
            name: name.clone(),
            state: *streams.latest(slot),
            is_named: true,
            slot: Some((slot, streams.epoch())),
        }
    }

    /// Makes it what it is for the next turn, and finds out where it is remembered from now on.
    pub(super) fn settle(&mut self, streams: &mut Streams, state: StreamState) -> SlotIndex {
        let slot = match self.slot {
            Some((slot, epoch)) if epoch == streams.epoch() => slot,
            _ => match streams.wake(&self.name) {
                Some(slot) => slot,
                None => streams.insert(self.name.clone(), self.state),
            },
        };
        self.state = state;
        self.is_named = true;
        self.slot = Some((slot, streams.epoch()));
        slot
    }
}
