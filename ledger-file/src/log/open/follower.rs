//! Reading a log that another process writes: no lock, and nothing is ever written.
//!
//! Before each question the reader looks whether the writer shows more, or lists other files, and reads the frames in
//! between: from the segment files, and the last ones from the stage. Every frame is checked, so what the writer moves
//! meanwhile is found out, and looked for again. If nobody writes, the log ends with its last valid frame.
//!
//! Whoever must not wait is answered if there is nothing new: if the writer's page says so, or nobody has written since
//! everything was looked at last (`idle`).

use std::io;
use std::sync::{Arc, PoisonError, TryLockError};
use std::time::Instant;

use super::idle::Idle;
use super::recovery::Source;
use crate::disk::{
    Access, DiskFile, LockView, Patience, STAGE_PAGE_BYTES, STAGE_PAGE_WORDS, StagePage,
    read_at_most,
};
use crate::error::{Failure, Result};
use crate::format::{
    FileName, Found, Frame, LogId, MANIFEST_WORD, Manifest, Position, Record, SLOT_WORDS,
    SegmentHeader, SegmentMeta, Slot, StageHeader, VISIBLE_WORD, read_frame, told,
};
use crate::index::{ActiveIndex, Layer, Origin};
use crate::log::keeper::read_manifest;
use crate::log::read::packed::open_segment;
use crate::log::read::picture::{Part, Picture};
use crate::log::read::segment::SegmentName;
use crate::log::shared::Shared;
use crate::log::upkeep::index_files::open_layers;
use crate::log::write::notes::Notes;
use crate::sync::{Mutex, MutexGuard, RwLock};

/// How often the reader looks again for what the writer moved while it was read.
const ATTEMPTS: usize = 10_000;

/// What a reader knows of the log it follows.
#[derive(Debug)]
pub(in crate::log) struct Follower {
    stage: Arc<dyn DiskFile>,
    manifest: Option<Manifest>,
    parts: Vec<Followed>,
    /// That of the writer, since everything was looked at last.
    lock: Option<Box<dyn LockView>>,
    idle: Option<Idle>,
}

/// A segment, as far as it was read.
#[derive(Debug)]
struct Followed {
    meta: SegmentMeta,
    part: Part,
    /// Of what no index file knows.
    index: Option<Arc<RwLock<ActiveIndex>>>,
    /// Up to where it was read.
    noted: u32,
    /// Up to where that was read from the file.
    in_file: u32,
    is_sealed: bool,
}

/// What the writer says on the first page of the stage.
#[derive(Debug)]
struct Said {
    manifest: Option<u64>,
    visible: Option<Position>,
    slot: Option<Slot>,
}

/// The end of what was read, with the bytes that are not in a segment file yet.
#[derive(Debug)]
struct End {
    at: Position,
    staged: Vec<u8>,
}

impl Follower {
    /// Reads what the writer of the log `log_id` shows in `stage`.
    pub(super) fn new(stage: Arc<dyn DiskFile>, log_id: LogId) -> Result<Self> {
        let follower = Self {
            stage,
            manifest: None,
            parts: Vec::new(),
            lock: None,
            idle: None,
        };
        let name = FileName::Stage.to_string();
        let words = follower.words(Patience::Wait)?;
        let header = std::array::from_fn(|index| words[index]);
        let header = StageHeader::decode(header).map_err(|error| Failure::header(&name, error))?;
        match header.log_id == log_id {
            true => Ok(follower),
            false => Err(Failure::damage(name, "it is that of another log")),
        }
    }

    pub(super) fn stage(&self) -> &Arc<dyn DiskFile> {
        &self.stage
    }

    /// Goes on with `healed` in the place of the index file of `origin`, which turned out to be damaged.
    pub(in crate::log) fn replace(&mut self, origin: Origin, healed: &Layer) {
        let parts = self.parts.iter_mut();
        for layer in parts.flat_map(|followed| &mut followed.part.layers) {
            if matches!(layer, Layer::Sealed(index) if index.origin() == origin) {
                *layer = healed.clone();
            }
        }
    }

    /// The first page.
    fn words(&self, patience: Patience) -> Result<[u64; STAGE_PAGE_WORDS]> {
        let mut bytes = [0; STAGE_PAGE_BYTES];
        read_at_most(&*self.stage, &mut bytes, 0, patience)
            .map_err(|error| Failure::io(&FileName::Stage.to_string(), error))?;
        let (words, _) = bytes.as_chunks::<8>();
        Ok(std::array::from_fn(|index| {
            u64::from_le_bytes(words[index])
        }))
    }
}

impl Shared {
    /// What the writer says on its page by now, of which version the manifest is and where the log ends: for who only wants to know
    /// whether that is still the same. None: it cannot be read, or this process writes.
    pub(in crate::log) fn glance(&self) -> Option<[u64; 4]> {
        let words = lock(self.follower.as_ref()?).words(Patience::Wait).ok()?;
        let places = [
            MANIFEST_WORD,
            MANIFEST_WORD + 1,
            VISIBLE_WORD,
            VISIBLE_WORD + 1,
        ];
        Some(places.map(|at| words[at]))
    }

    /// Sees what the writer shows by now. Does nothing in the process that writes.
    ///
    /// # Errors
    /// With [`Patience::Now`] the wish to be asked again, unless it is seen at a glance that there is nothing new.
    pub(in crate::log) fn refresh(&self, patience: Patience) -> Result<()> {
        let Some(follower) = &self.follower else {
            return Ok(());
        };
        let mut follower = match patience {
            Patience::Wait => lock(follower),
            Patience::Now => lock_now(follower)?,
        };
        if follower.is_up_to_date(self)? {
            return Ok(());
        }
        if patience == Patience::Now {
            return Err(Failure::WouldBlock);
        }
        for _ in 0..ATTEMPTS {
            if follower.advance(self)? {
                return Ok(());
            }
            std::thread::yield_now();
        }
        Err(Failure::damage(
            &self.place,
            "what the writer shows cannot be read",
        ))
    }
}

impl Follower {
    /// As if the log had been as it is for long.
    #[cfg(test)]
    pub(in crate::log) fn settle(&mut self) {
        self.idle.iter_mut().for_each(Idle::settle);
    }

    /// Whether there is nothing new, by what can be seen without waiting.
    fn is_up_to_date(&self, shared: &Shared) -> Result<bool> {
        let Some(lock) = &self.lock else {
            return Ok(false);
        };
        let changed = lock.changed();
        if let (Some(idle), Some(changed)) = (&self.idle, changed)
            && idle.holds(changed, Instant::now())
        {
            return Ok(true);
        }
        if !is_held(&**lock)? {
            return Ok(false);
        }
        match self.said(shared, Patience::Now) {
            Ok(said) => Ok(self.shows(shared, &said)),
            Err(Failure::WouldBlock) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Whether the writer, which there is, said no more than what is shown.
    fn shows(&self, shared: &Shared, said: &Said) -> bool {
        self.lists(said) && said.visible == Some(shared.scene().visible)
    }

    /// Whether the manifest is the one that the writer speaks of.
    fn lists(&self, said: &Said) -> bool {
        let known = self.manifest.as_ref().map(|manifest| manifest.version);
        known.is_some() && said.manifest == known
    }

    /// Reads what is new. Tells whether it got to the end, or was overtaken.
    fn advance(&mut self, shared: &Shared) -> Result<bool> {
        let looked = Instant::now();
        let idle = self.idle.take();
        self.look_at_lock(shared)?;
        let changed = self.lock.as_ref().and_then(|lock| lock.changed());
        let is_written = match &self.lock {
            Some(lock) => is_held(&**lock)?,
            None => false,
        };
        let is_read = self.advance_beside(shared, is_written)?;
        if is_read && !is_written {
            self.idle = changed.map(|changed| Idle::after(idle, changed, looked));
        }
        Ok(is_read)
    }

    /// Opens the lock's file, which may be another one by now.
    fn look_at_lock(&mut self, shared: &Shared) -> Result<()> {
        let name = FileName::Lock.to_string();
        let lock = shared.disk.look_at_lock(&name);
        self.lock = lock.map_err(|error| Failure::io(&name, error))?;
        Ok(())
    }

    /// Reads what is new, beside a writer or after the last one.
    fn advance_beside(&mut self, shared: &Shared, is_written: bool) -> Result<bool> {
        let said = self.said(shared, Patience::Wait)?;
        if is_written && self.shows(shared, &said) {
            return Ok(true);
        }
        let is_known = is_written && self.lists(&said);
        if !is_known && !self.load(shared)? {
            return Ok(false);
        }
        // Whatever the manifest lists as full was visible before it did.
        let said = self.said(shared, Patience::Wait)?;
        let target = match is_written {
            true => match said.visible {
                Some(visible) => Some(visible),
                None => return Ok(false),
            },
            false => None,
        };
        match self.read_frames(shared, target, said.slot)? {
            Some(end) => {
                self.show(shared, end);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn said(&self, shared: &Shared, patience: Patience) -> Result<Said> {
        let words = self.words(patience)?;
        let word = |index: usize| words[index];
        let pair = |at: usize| told([word(at), word(at + 1)]);
        let slots = SLOT_WORDS.map(|at| {
            let words = [word(at), word(at + 1), word(at + 2)];
            Slot::decode(words, &shared.log_id)
        });
        Ok(Said {
            manifest: pair(MANIFEST_WORD),
            visible: pair(VISIBLE_WORD).map(Position::from_u64),
            slot: slots.into_iter().flatten().max_by_key(|slot| slot.sequence),
        })
    }

    /// Opens what the manifest lists by now. Tells whether all of it was there.
    fn load(&mut self, shared: &Shared) -> Result<bool> {
        let Some(manifest) = read_manifest(&*shared.disk)? else {
            return Ok(false);
        };
        if self.manifest.as_ref() == Some(&manifest) {
            return Ok(true);
        }
        let mut parts = Vec::new();
        let mut old = std::mem::take(&mut self.parts);
        for meta in &manifest.segments {
            let same = old.iter().position(|old| old.meta == *meta);
            match same {
                Some(index) => parts.push(old.swap_remove(index)),
                None => match open(shared, meta)? {
                    Some(part) => parts.push(part),
                    None => {
                        self.manifest = None;
                        return Ok(false);
                    }
                },
            }
        }
        (self.parts, self.manifest) = (parts, Some(manifest));
        Ok(true)
    }

    /// Reads frames up to `target`, or to the last one that is valid. None: they are being moved.
    fn read_frames(
        &mut self,
        shared: &Shared,
        target: Option<Position>,
        slot: Option<Slot>,
    ) -> Result<Option<End>> {
        let mut end = End {
            at: Position::ZERO,
            staged: Vec::new(),
        };
        for followed in &mut self.parts {
            let segment = Arc::clone(&followed.part.segment);
            let is_beyond = target.is_some_and(|target| target < segment.at(0));
            if is_beyond {
                break;
            }
            followed.scan(shared, target)?;
            end.at = segment.at(followed.in_file);
            if followed.is_in_file() || Some(end.at) == target {
                continue;
            }
            if let Some(slot) = slot.filter(|slot| slot.base.segment() == segment.number()) {
                end.staged = stage_from(&*self.stage, slot, end.at)?;
                let len = followed.take_staged(shared, &end.staged, target)?;
                end.staged.truncate(len);
            }
            let reached = Position::from_u64(end.at.as_u64() + end.staged.len() as u64);
            return Ok(match target {
                Some(target) if reached != target => None,
                _ => Some(end),
            });
        }
        Ok(Some(end))
    }

    /// Lets everybody see what was read.
    fn show(&self, shared: &Shared, end: End) {
        let parts = self.parts.iter().map(|followed| followed.part.clone());
        let picture = Arc::new(Picture::new(parts.collect()));
        let visible = Position::from_u64(end.at.as_u64() + end.staged.len() as u64);
        let mut scene = shared.scene_mut();
        scene.picture = picture;
        scene.tail.reset(end.at);
        scene.tail.push(&end.staged);
        scene.end = visible;
        if scene.visible != visible {
            scene.streams.clear();
        }
        scene.visible = visible;
        shared
            .flushed
            .store(end.at.as_u64(), std::sync::atomic::Ordering::Release);
    }
}

fn is_held(lock: &dyn LockView) -> Result<bool> {
    let is_held = lock.is_held();
    is_held.map_err(|error| Failure::io(&FileName::Lock.to_string(), error))
}

/// What the stage holds from `at` on.
fn stage_from(stage: &dyn DiskFile, slot: Slot, at: Position) -> Result<Vec<u8>> {
    let failed = |error| Failure::io(&FileName::Stage.to_string(), error);
    let Some(skipped) = at.offset().checked_sub(slot.base.offset()) else {
        return Ok(Vec::new());
    };
    let from = STAGE_PAGE_BYTES as u64 + u64::from(skipped);
    let len = stage.len().map_err(failed)?.saturating_sub(from);
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    let read = read_at_most(stage, &mut bytes, from, Patience::Wait).map_err(failed)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Opens a segment with its indexes; none if it is not there any more.
fn open(shared: &Shared, meta: &SegmentMeta) -> Result<Option<Followed>> {
    let name = SegmentName {
        log_id: shared.log_id,
        number: meta.segment,
        generation: meta.generation,
    };
    let (log_id, kept) = (shared.log_id, &shared.kept_blocks);
    let segment = match open_segment(&*shared.disk, log_id, meta, Access::Read, kept) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|error| Failure::io(&name.file_name_as(meta.form()), error))?,
    };
    if let Some(bytes) = meta.sealed_bytes
        && segment.file_end()? >= bytes
    {
        segment.note_full(bytes);
    }
    let (mut layers, from) = open_layers(&*shared.disk, name, meta)?;
    let is_indexed = meta.sealed_bytes == Some(from);
    let index = (!is_indexed).then(|| {
        let origin = Origin {
            log_id: name.log_id,
            segment: name.number,
            generation: name.generation,
            from,
        };
        Arc::new(RwLock::new(ActiveIndex::new(origin)))
    });
    layers.extend(index.iter().map(|index| Layer::Memory(Arc::clone(index))));
    Ok(Some(Followed {
        meta: meta.clone(),
        part: Part {
            segment: Arc::new(segment),
            layers,
        },
        index,
        noted: from,
        in_file: from,
        is_sealed: is_indexed,
    }))
}

impl Followed {
    /// Whether all that there will ever be is in the file.
    fn is_in_file(&self) -> bool {
        self.is_sealed && self.in_file == self.noted
    }

    /// Reads the frames that are in the file, up to `target`.
    fn scan(&mut self, shared: &Shared, target: Option<Position>) -> Result<()> {
        let segment = Arc::clone(&self.part.segment);
        if self.is_in_file() || target == Some(segment.at(self.in_file)) {
            return Ok(());
        }
        let source = Source::of(&segment)?;
        let from = self.in_file;
        source.frames(from, |frame| {
            let end = segment.at(frame.end());
            if target.is_some_and(|target| end > target) {
                return Ok(false);
            }
            self.note(shared, frame)?;
            self.in_file = frame.end();
            Ok(!self.is_in_file() && Some(end) != target)
        })?;
        Ok(())
    }

    /// Notes the frames in `staged`, which lie behind the file's, up to `target`; tells how many bytes they are.
    fn take_staged(
        &mut self,
        shared: &Shared,
        staged: &[u8],
        target: Option<Position>,
    ) -> Result<usize> {
        let header: SegmentHeader = *self.part.segment.header(Patience::Wait)?;
        let (mut len, mut offset) = (0, self.in_file);
        while let Found::Frame(frame) = read_frame(&staged[len..], &header, offset) {
            let end = header.at(frame.end());
            if target.is_some_and(|target| end > target) {
                break;
            }
            len += frame.bytes_len() as usize;
            offset = frame.end();
            self.note(shared, &frame)?;
        }
        Ok(len)
    }

    /// Notes a frame, unless it was already.
    fn note(&mut self, shared: &Shared, frame: &Frame<'_>) -> Result<()> {
        if frame.end() <= self.noted {
            return Ok(());
        }
        if let Some(index) = &self.index {
            let mut index = index.write().unwrap_or_else(PoisonError::into_inner);
            let at = frame.position().offset();
            Notes::frame(&mut index, shared.hasher, frame)
                .map_err(|malformed| self.part.segment.damage(at, malformed))?;
        }
        self.noted = frame.end();
        self.is_sealed = frame
            .records()
            .any(|record| matches!(record, Ok((_, Record::Seal))));
        Ok(())
    }
}

/// A page that nobody reads: a reader shows nothing to others.
#[derive(Debug)]
pub(super) struct NoPage;

impl StagePage for NoPage {
    fn load(&self, _: usize) -> u64 {
        0
    }

    fn store(&self, _: usize, _: u64) {}
}

/// A panic may have left it behind what was shown; then it only reads again.
pub(in crate::log) fn lock(follower: &Mutex<Follower>) -> MutexGuard<'_, Follower> {
    follower.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As [`lock`], for those who must not wait for whoever reads what is new.
fn lock_now(follower: &Mutex<Follower>) -> Result<MutexGuard<'_, Follower>> {
    match follower.try_lock() {
        Ok(follower) => Ok(follower),
        Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => Err(Failure::WouldBlock),
    }
}
