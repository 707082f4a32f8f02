//! Reading a log that another process writes: no lock, and nothing is ever written.
//!
//! Before each question the reader looks whether the writer shows more, or lists other files, and reads the frames in
//! between: from the segment files, and the last ones from the stage. Every frame is checked, so what the writer moves
//! meanwhile is found out, and looked for again.
//!
//! If nobody writes, or somebody is opening the log and does not know yet, it ends with its last valid frame. What lies behind the place
//! that the last writer told may not be synced: the reader does that before it shows it, or a loss of power could take it back. But
//! nothing is shown behind a place where a sync has failed, a writer's or the reader's own: to sync that again proves nothing. And as
//! long as whoever opens the log syncs, the reader waits for what becomes of it.
//!
//! Whoever must not wait is answered if there is nothing new: if the writer's page says so, or nobody has written since
//! everything was looked at last (`idle`).

use std::sync::{Arc, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use ledger_core::Error;

use super::followed::{Followed, open};
use super::idle::Idle;
use super::kept::{Kept, not_durable};
use super::place::check_same;
use super::said::{Reach, Said, page_words};
use crate::disk::{
    Access, Disk, DiskFile, LateFile, LockView, Patience, STAGE_PAGE_BYTES, StagePage, read_at_most,
};
use crate::error::{Failure, Result};
use crate::fault::{Mistake, is_planted};
use crate::format::{
    FileName, LogId, MANIFEST_WORD, Manifest, Position, Slot, VISIBLE_WORD, Visible,
};
use crate::index::{Layer, Origin};
use crate::log::keeper::{Sealed, read_manifest};
use crate::log::read::picture::Picture;
use crate::log::shared::Shared;
use crate::sync::{Mutex, MutexGuard, nap, yield_now};

/// How often the reader looks again for what the writer moved while it was read.
const ATTEMPTS: usize = if cfg!(all(test, not(ledger_shuttle))) {
    3
} else {
    10_000
};

/// For how long the reader waits for one who opens the log, and syncs what it keeps.
const OPENING: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 10 });

/// What a reader knows of the log it follows.
#[derive(Debug)]
pub(in crate::log) struct Follower {
    stage: Arc<dyn DiskFile>,
    log_id: LogId,
    manifest: Option<Manifest>,
    parts: Vec<Followed>,
    kept: Kept,
    /// That of the writer, since everything was looked at last.
    lock: Option<Box<dyn LockView>>,
    idle: Option<Idle>,
}

/// How a look went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Everything was seen.
    Done,
    /// What was read was moved meanwhile.
    Overtaken,
    /// Whoever opens the log does not know yet.
    Early,
}

/// The end of what was read, with the bytes that are not in a segment file yet.
#[derive(Debug)]
struct End {
    at: Position,
    staged: Vec<u8>,
}

impl Follower {
    /// Reads what the writer of the log `log_id` on `disk` shows.
    pub(super) fn new(disk: &Arc<dyn Disk>, log_id: LogId) -> Self {
        let stage = LateFile::new(disk, FileName::Stage.to_string(), Access::Read);
        Self {
            stage: Arc::new(stage),
            log_id,
            manifest: None,
            parts: Vec::new(),
            kept: Kept::new(),
            lock: None,
            idle: None,
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
}

impl Shared {
    /// What the writer says on its page by now, of which version the manifest is and where the log ends: for who only wants to know
    /// whether that is still the same. None: it cannot be read, or this process writes.
    pub(in crate::log) fn glance(&self) -> Option<[u64; 4]> {
        let follower = lock(self.follower.as_ref()?);
        let words = page_words(&*follower.stage, &follower.log_id, Patience::Wait).ok()?;
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
        let begun = Instant::now();
        // Each has its own: who has waited long for an opening may well be overtaken once by what is written then.
        let (mut overtaken, mut early) = (0, 0);
        while overtaken < ATTEMPTS {
            match follower.advance(self)? {
                Look::Done => return Ok(()),
                Look::Overtaken => {
                    overtaken += 1;
                    yield_now();
                }
                Look::Early if early >= ATTEMPTS && begun.elapsed() >= OPENING => {
                    return Err(opening(self, begun.elapsed()));
                }
                Look::Early => {
                    early += 1;
                    nap();
                }
            }
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
        match self.said(Patience::Now) {
            Ok(said) => Ok(self.shows(shared, &said)),
            Err(Failure::WouldBlock) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Whether the writer, which there is, said no more than what is shown.
    fn shows(&self, shared: &Shared, said: &Said) -> bool {
        self.lists(said) && said.end() == Some(shared.scene().visible)
    }

    /// Whether the manifest is the one that the writer speaks of.
    fn lists(&self, said: &Said) -> bool {
        let known = self.manifest.as_ref().map(|manifest| manifest.version);
        known.is_some() && said.manifest == known
    }

    /// Reads what is new.
    fn advance(&mut self, shared: &Shared) -> Result<Look> {
        let looked = Instant::now();
        let idle = self.idle.take();
        self.look_at_lock(shared)?;
        let changed = self.lock.as_ref().and_then(|lock| lock.changed());
        let is_written = self.is_written()?;
        let look = self.advance_beside(shared, is_written)?;
        if look == Look::Done && !is_written {
            self.idle = changed.map(|changed| Idle::after(idle, changed, looked));
        }
        Ok(look)
    }

    /// Opens the lock's file, which may be another one by now; if it was free, so may be the whole log.
    fn look_at_lock(&mut self, shared: &Shared) -> Result<()> {
        if !self.is_written()? {
            check_same(&*shared.disk, &*self.stage, &shared.place)?;
        }
        let name = FileName::Lock.to_string();
        let lock = shared.disk.look_at_lock(&name);
        self.lock = lock.map_err(|error| Failure::io(&name, error))?;
        Ok(())
    }

    /// Reads what is new, beside a writer or after the last one.
    fn advance_beside(&mut self, shared: &Shared, is_written: bool) -> Result<Look> {
        let said = self.said(Patience::Wait)?;
        if is_written && self.shows(shared, &said) {
            return Ok(Look::Done);
        }
        let is_known = is_written && self.lists(&said);
        if !is_known && !self.load(shared)? {
            return Ok(Look::Overtaken);
        }
        // Whatever the manifest lists as full was visible before it did.
        let said = self.said(Patience::Wait)?;
        let shown = shared.scene().visible;
        if is_known && matches!(said.visible, Some(Visible::UpTo(end)) if end < shown) {
            // Of what another had written more is shown already: whoever has just begun will say that the end is not known.
            return Ok(Look::Early);
        }
        let read = match said.reach(is_written, self.kept.has_failed, shown) {
            Reach::Wait => return Ok(Look::Early),
            Reach::Nowhere => return Err(not_durable(shared)),
            Reach::End => self.read_rest(shared, &said, is_written)?,
            Reach::To(end) => match self.read_frames(shared, Some(end), said.slot)? {
                // Nobody moves anything: no frame ends there since the log was repaired.
                None if !is_written => self.read_rest(shared, &said, is_written)?,
                read => read,
            },
        };
        Ok(match read {
            None => Look::Overtaken,
            Some(end) => {
                self.show(shared, end);
                Look::Done
            }
        })
    }

    /// Reads frames up to the last one that is valid, which are there to stay then. None: somebody has begun to write.
    fn read_rest(&mut self, shared: &Shared, said: &Said, is_written: bool) -> Result<Option<End>> {
        let Some(end) = self.read_frames(shared, None, said.slot)? else {
            return Ok(None);
        };
        let kept = self.kept.keep(shared, &self.parts, end.at, said.end());
        if kept.is_ok() && self.is_same(said, is_written)? {
            return Ok(Some(end));
        }
        // More than there was may have been read, or more than may be shown.
        (self.parts, self.manifest) = (Vec::new(), None);
        kept.map(|()| None)
    }

    /// Whether somebody writes as before, and has said nothing since.
    fn is_same(&self, said: &Said, is_written: bool) -> Result<bool> {
        Ok(is_planted(Mistake::NotLookedAgain)
            || self.is_written()? == is_written && self.said(Patience::Wait)? == *said)
    }

    /// Whether somebody holds the lock that was looked at last.
    fn is_written(&self) -> Result<bool> {
        match &self.lock {
            Some(lock) => is_held(&**lock),
            None => Ok(false),
        }
    }

    fn said(&self, patience: Patience) -> Result<Said> {
        let words = page_words(&*self.stage, &self.log_id, patience)?;
        Ok(Said::of(&words, &self.log_id))
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
        shared.keeper().manifest = manifest.clone();
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

    /// The segments that are full, and that the manifest does not list as such yet.
    fn sealed(&self) -> Vec<Sealed> {
        let parts = self.parts.iter();
        let full = parts.filter(|it| it.meta.sealed_bytes.is_none() && it.is_in_file());
        full.map(|followed| Sealed {
            number: followed.meta.segment,
            bytes: followed.in_file,
        })
        .collect()
    }

    /// Lets everybody see what was read.
    fn show(&self, shared: &Shared, end: End) {
        let parts = self.parts.iter().map(|followed| followed.part.clone());
        let picture = Arc::new(Picture::new(parts.collect()));
        shared.keeper().sealed = self.sealed();
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

/// What who has waited is told if the log is still being opened.
fn opening(shared: &Shared, waited: Duration) -> Failure {
    Failure::Error(Error::Busy {
        place: shared.place.clone(),
        waited,
        source: "a process that opens it syncs what the last one left".into(),
    })
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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::path::Path;

    use ledger_core::{Batch, NewEntry, Payload};

    use super::*;
    use crate::{FileOptions, Log};

    fn append(log: &Log) {
        let entry = NewEntry::new(Payload::octets("x"));
        log.append(Batch::new("s", vec![entry])).unwrap();
    }

    fn stage(path: &Path) -> File {
        let stage = path.join(FileName::Stage.to_string());
        File::options().read(true).write(true).open(stage).unwrap()
    }

    fn words(path: &Path, at: usize) -> [u64; 2] {
        let mut bytes = [0; 16];
        stage(path)
            .read_exact_at(&mut bytes, at as u64 * 8)
            .unwrap();
        let (words, _) = bytes.as_chunks();
        [words[0], words[1]].map(u64::from_le_bytes)
    }

    fn set_words(path: &Path, at: usize, words: [u64; 2]) {
        let bytes = words.map(u64::to_le_bytes).concat();
        stage(path).write_all_at(&bytes, at as u64 * 8).unwrap();
    }

    /// How many entries a reader sees.
    fn seen(path: &Path) -> u64 {
        let log = Log::open_read_only(path, FileOptions::default()).unwrap();
        log.stat(&"s".into()).unwrap().count
    }

    /// A log of three entries whose writer was killed after a sync had failed behind the second.
    fn failed_behind_the_second() -> tempfile::TempDir {
        let [place, left] = [(), ()].map(|()| tempfile::tempdir().unwrap());
        let log = Log::open(place.path(), FileOptions::default()).unwrap();
        append(&log);
        append(&log);
        let told = Visible::decode(words(place.path(), VISIBLE_WORD)).unwrap();
        append(&log);
        for file in std::fs::read_dir(place.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), left.path().join(file.file_name())).unwrap();
        }
        let end = Visible::Final(told.end().unwrap());
        set_words(left.path(), VISIBLE_WORD, end.words());
        left
    }

    #[test]
    fn nothing_is_seen_behind_a_failed_sync_until_the_log_was_opened_again() {
        let place = failed_behind_the_second();
        assert_eq!(seen(place.path()), 2);
        let log = Log::open(place.path(), FileOptions::default()).unwrap();
        assert_eq!(seen(place.path()), 3);
        log.close().unwrap();
        assert_eq!(seen(place.path()), 3);
    }

    #[test]
    fn what_was_said_of_a_failed_sync_means_nothing_if_no_frame_ends_there() {
        let place = failed_behind_the_second();
        let [end, _] = words(place.path(), VISIBLE_WORD);
        let moved = Visible::Final(Position::from_u64(end - 8));
        set_words(place.path(), VISIBLE_WORD, moved.words());
        assert_eq!(seen(place.path()), 3);
    }

    #[test]
    fn what_a_loss_of_power_left_without_a_stage_or_with_less_of_it_is_read() {
        let place = tempfile::tempdir().unwrap();
        let log = Log::open(place.path(), FileOptions::default()).unwrap();
        append(&log);
        log.close().unwrap();
        set_words(place.path(), 4, [0; 2]);
        assert_eq!(seen(place.path()), 1);
        std::fs::remove_file(place.path().join(FileName::Stage.to_string())).unwrap();
        assert_eq!(seen(place.path()), 1);
    }

    #[test]
    fn a_stage_of_another_log_is_refused() {
        let [place, other] = [(), ()].map(|()| tempfile::tempdir().unwrap());
        for place in [&place, &other] {
            let log = Log::open(place.path(), FileOptions::default()).unwrap();
            log.close().unwrap();
        }
        let name = FileName::Stage.to_string();
        std::fs::copy(other.path().join(&name), place.path().join(&name)).unwrap();
        let refused = Log::open_read_only(place.path(), FileOptions::default());
        let error = refused.map(drop).unwrap_err();
        assert!(
            matches!(error, ledger_core::Error::Corrupt { .. }),
            "{error}"
        );
    }
}
