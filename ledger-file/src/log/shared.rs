//! What the parts of an open log share: one who writes at a time, and a scene that all look at.
//!
//! Locks are taken in this order: the right to tidy up, the writer's, that of the sweep, the keeper's, the scene's, an index's. Nothing is
//! read from or written to a file while the scene is held for a change, or an index at all.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use ledger_core::{Durability, Error, Timestamp};

use super::followers::Followers;
use super::keeper::Keeper;
use super::open::follower::Follower;
use super::read::packed::KeptBlocks;
use super::read::picture::Picture;
use super::read::view::View;
use super::streams::Streams;
use super::upkeep::housekeeping::Signal;
use super::write::ahead::Ahead;
use super::write::commit::Crowd;
use super::write::page::Page;
use super::write::tail::Tail;
use super::write::writer::Writer;
use crate::disk::{Disk, LockGuard, Patience};
use crate::error::{Fault, Result};
use crate::format::{LogId, Position};
use crate::index::KeyHasher;
use crate::options::FileOptions;
use crate::sync::plain::OnceLock;
use crate::sync::{AtomicBool, AtomicU64, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// An open log.
#[derive(Debug)]
pub(super) struct Shared {
    /// The directory, for messages.
    pub(super) place: String,
    pub(super) options: FileOptions,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) log_id: LogId,
    pub(super) hasher: KeyHasher,
    pub(super) page: Page,
    pub(super) writer: Mutex<Writer>,
    pub(super) keeper: Mutex<Keeper>,
    pub(super) scene: RwLock<Scene>,
    /// Everything before this place is in the segment files, if not yet on the disk.
    pub(super) flushed: AtomicU64,
    /// Everything before this place survives the loss of power.
    pub(super) durable: AtomicU64,
    pub(super) crowd: Crowd,
    pub(super) ahead: Ahead,
    /// Shared by all packed segments.
    pub(super) kept_blocks: Arc<KeptBlocks>,
    /// Why the last flush failed, until somebody has set right what rested on it.
    pub(super) broken: Mutex<Option<Fault>>,
    pub(super) is_broken: AtomicBool,
    /// Set once, when it is not known any more what the disk holds: nobody writes to the log before it is opened again.
    pub(super) poisoned: OnceLock<Fault>,
    pub(super) is_closed: AtomicBool,
    /// Whether entries were removed since somebody looked for segments that are dead.
    pub(super) has_trimmed: AtomicBool,
    pub(super) signal: Signal,
    pub(super) followers: Followers,
    /// Whether files that the manifest does not name were removed.
    pub(super) is_swept: Mutex<bool>,
    /// Held by the one who tidies up, and by the one who closes.
    pub(super) tidying: Mutex<()>,
    /// There in a process that only reads.
    pub(super) follower: Option<Mutex<Follower>>,
    /// Held until the log is closed.
    pub(super) lock: Mutex<Option<Box<dyn LockGuard>>>,
}

/// What there is to see, and to read it from.
#[derive(Debug)]
pub(super) struct Scene {
    /// Readers see what lies before this place.
    pub(super) visible: Position,
    /// Where the next frame will lie; the writer sees everything before this place.
    pub(super) end: Position,
    pub(super) picture: Arc<Picture>,
    pub(super) streams: Streams,
    pub(super) tail: Tail,
}

impl Shared {
    /// Puts together what was found.
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        place: String,
        options: FileOptions,
        scene: Scene,
        keeper: Keeper,
        writer: Writer,
        page: Page,
    ) -> Self {
        let end = scene.end.as_u64();
        let ahead = Ahead::new(options.segment_bytes_max);
        Self {
            place,
            options,
            disk,
            log_id: keeper.manifest.log_id,
            hasher: KeyHasher::new(keeper.manifest.seed),
            page,
            writer: Mutex::new(writer),
            keeper: Mutex::new(keeper),
            scene: RwLock::new(scene),
            flushed: AtomicU64::new(end),
            durable: AtomicU64::new(end),
            crowd: Crowd::default(),
            ahead,
            kept_blocks: Arc::default(),
            broken: Mutex::new(None),
            is_broken: AtomicBool::new(false),
            poisoned: OnceLock::new(),
            is_closed: AtomicBool::new(false),
            has_trimmed: AtomicBool::new(false),
            signal: Signal::default(),
            followers: Followers::default(),
            is_swept: Mutex::new(false),
            tidying: Mutex::new(()),
            follower: None,
            lock: Mutex::new(None),
        }
    }

    /// A panic while the scene changed was one of the writer, and poisons that.
    pub(super) fn scene(&self) -> RwLockReadGuard<'_, Scene> {
        self.scene.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn scene_mut(&self) -> RwLockWriteGuard<'_, Scene> {
        self.scene.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log as readers see it now.
    pub(super) fn view(&self, patience: Patience) -> View<'_> {
        let scene = self.scene();
        let (picture, visible) = (Arc::clone(&scene.picture), scene.visible);
        drop(scene);
        View::new(self, picture, visible, patience)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.options.clock.now()
    }

    /// Whether an answer waits for the disk.
    pub(super) fn is_sync(&self) -> bool {
        self.options.durability == Durability::Sync
    }

    pub(super) fn check_open(&self) -> Result<()> {
        match self.is_closed.load(Ordering::Acquire) {
            false => Ok(()),
            true => Err(Error::Closed.into()),
        }
    }

    /// What frames that are written now can claim; none if nobody waits for the disk, so that nobody knows.
    pub(super) fn claim(&self) -> Option<Position> {
        match self.options.durability {
            Durability::Process => None,
            _ => Some(Position::from_u64(self.durable.load(Ordering::Acquire))),
        }
    }
}
