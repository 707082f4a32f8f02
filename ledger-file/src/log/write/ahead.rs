//! Zeroes ahead of the writer: a flush into blocks that were written before is cheaper than one that must also note that
//! they are in use now.
//!
//! The housekeeping thread writes them, in small steps, each synced by itself, so that no flush waits for much of it.
//! The writer says how far it has come before it writes: nothing below that is ever made zeroes. Without a thread
//! nothing is done.
//!
//! Zeroes go through an opening of the file of their own. The system tells each opening once that something could not be
//! written: a sync through the writer's would take an error away from the flush whose bytes were lost (rule 7). A sync of
//! zeroes that fails poisons the log as any other does: the file may not be as long any more as it seems, and what is written
//! into them would be lost with them.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use ledger_core::Error;

use crate::disk::{Access, Disk, DiskFile, failure, write_zeroes};
use crate::fault::{Mistake, is_planted};
use crate::format::Position;
use crate::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard};

/// How much is written, and synced, at once.
const STEP_BYTES: u64 = 128 << 10;

/// How far ahead of the writer zeroes are written, at most; when less than half of that is left, there is work.
const AHEAD_BYTES: u64 = 2 << 20;

/// How far there are zeroes, and who must see to it that there are more.
#[derive(Debug)]
pub(in crate::log) struct Ahead {
    segment_bytes_max: u64,
    is_wanted: AtomicBool,
    /// A place in the log: before it, behind what is written, there are zeroes.
    zeroed: AtomicU64,
    frontier: Mutex<Frontier>,
}

/// Held by whoever writes zeroes, and by the writer while it moves it.
#[derive(Debug, Default)]
struct Frontier {
    /// What the file is called that is written to.
    file_name: String,
    /// That file, once zeroes were written to it.
    file: Option<Arc<dyn DiskFile>>,
    /// The place behind the last frame that was written, or is being written.
    written: Position,
}

impl Ahead {
    /// `segment_bytes_max`: nothing is written behind that.
    pub(in crate::log) fn new(segment_bytes_max: u64) -> Self {
        Self {
            segment_bytes_max,
            is_wanted: AtomicBool::new(false),
            zeroed: AtomicU64::new(0),
            frontier: Mutex::default(),
        }
    }

    /// Keeps zeroes away from what is written before `end`, from now on. `file_name` is that of its segment.
    pub(super) fn reserve(&self, file_name: &str, end: Position) {
        let zeroed = self.zeroed.load(Ordering::Acquire);
        let is_full = u64::from(Position::from_u64(zeroed).offset()) >= self.segment_bytes_max;
        let is_enough = is_full || zeroed.saturating_sub(end.as_u64()) >= AHEAD_BYTES / 2;
        if zeroed >= end.as_u64() && is_enough {
            return;
        }
        let mut frontier = self.lock();
        if frontier.file_name != file_name {
            frontier.file_name = file_name.into();
            frontier.file = None;
        }
        frontier.written = end;
        if !is_planted(Mistake::ZeroesOverFrames) {
            self.zeroed.fetch_max(end.as_u64(), Ordering::AcqRel);
        }
        self.is_wanted.store(true, Ordering::Release);
    }

    /// Whether there is work that nobody was told of.
    pub(in crate::log) fn take_wish(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed) && self.is_wanted.swap(false, Ordering::AcqRel)
    }

    /// Writes zeroes until there are enough, or no more can be written: those that are missing are not needed.
    ///
    /// # Errors
    /// A sync has failed.
    pub(in crate::log) fn write(&self, disk: &dyn Disk) -> Result<(), Error> {
        loop {
            match self.step(disk) {
                Ok(Some((name, file))) => {
                    file.sync_data().map_err(|error| failure(&*name, error))?;
                }
                Ok(None) => return Ok(()),
                Err(error) => {
                    tracing::debug!(%error, "no zeroes ahead of the writer");
                    return Ok(());
                }
            }
        }
    }

    /// Writes one step of zeroes, if they are missing, and tells to which file.
    fn step(&self, disk: &dyn Disk) -> io::Result<Option<(String, Arc<dyn DiskFile>)>> {
        let mut frontier = self.lock();
        let (zeroed, written) = (self.zeroed.load(Ordering::Acquire), frontier.written);
        let from = u64::from(Position::from_u64(zeroed).offset());
        let wanted = u64::from(written.offset()) + AHEAD_BYTES;
        let to = (from + STEP_BYTES).min(self.segment_bytes_max);
        if frontier.file_name.is_empty() || from >= wanted || from >= to {
            return Ok(None);
        }
        let file = frontier.open(disk)?;
        write_zeroes(&*file, from, to)?;
        let end = Position::new(written.segment(), to as u32);
        self.zeroed.store(end.as_u64(), Ordering::Release);
        Ok(Some((frontier.file_name.clone(), file)))
    }

    fn lock(&self) -> MutexGuard<'_, Frontier> {
        self.frontier.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Frontier {
    fn open(&mut self, disk: &dyn Disk) -> io::Result<Arc<dyn DiskFile>> {
        let file = match self.file.take() {
            Some(file) => file,
            None => disk.open(&self.file_name, Access::Write)?,
        };
        self.file = Some(Arc::clone(&file));
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tempfile::TempDir;

    use super::*;
    use crate::disk::{Directory, Patience, read_exact_at, write_all_at};

    fn directory() -> (TempDir, Directory) {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::create(&place.path().join("log")).unwrap();
        (place, directory)
    }

    fn at(offset: u32) -> Position {
        Position::new(1, offset)
    }

    #[test]
    fn zeroes_are_written_ahead_of_what_is_reserved_and_no_further_than_the_segment() {
        let (_place, directory) = directory();
        let file = directory.create("file").unwrap();
        let ahead = Ahead::new(3 << 20);
        ahead.write(&directory).unwrap();
        assert_eq!(file.len().unwrap(), 0, "nobody has written yet");
        write_all_at(&*file, &[7; 100], 0).unwrap();
        ahead.reserve("file", at(100));
        assert!(ahead.take_wish() && !ahead.take_wish());
        ahead.write(&directory).unwrap();
        let len = file.len().unwrap();
        assert!(
            (100 + AHEAD_BYTES..100 + AHEAD_BYTES + STEP_BYTES).contains(&len),
            "{len}"
        );
        let mut bytes = [0; 101];
        read_exact_at(&*file, &mut bytes, 0, Patience::Wait).unwrap();
        assert_eq!((&bytes[..100], bytes[100]), (&[7; 100][..], 0));
        ahead.reserve("file", at(2 << 20));
        ahead.write(&directory).unwrap();
        assert_eq!(file.len().unwrap(), 3 << 20);
        assert!(ahead.take_wish());
        ahead.reserve("file", at((3 << 20) - 8));
        assert!(!ahead.take_wish(), "there is nothing left to be made ready");
    }

    #[test]
    fn the_next_segment_begins_without_zeroes() {
        let (_place, directory) = directory();
        directory.create("first").unwrap();
        let next = directory.create("next").unwrap();
        let ahead = Ahead::new(64 << 20);
        ahead.reserve("first", at(100));
        ahead.write(&directory).unwrap();
        ahead.reserve("next", Position::new(2, 200));
        ahead.write(&directory).unwrap();
        assert!(next.len().unwrap() >= 200 + AHEAD_BYTES);
    }

    #[test]
    fn what_is_written_beside_it_stays() {
        const FRAME: usize = 10_000;
        let (_place, directory) = directory();
        let file = directory.create("file").unwrap();
        let ahead = Ahead::new(64 << 20);
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for nth in 0..1_000 {
                    let start = nth * FRAME;
                    ahead.reserve("file", at((start + FRAME) as u32));
                    write_all_at(&*file, &[7; FRAME], start as u64).unwrap();
                }
            });
            while !writer.is_finished() {
                ahead.write(&directory).unwrap();
            }
        });
        let mut bytes = vec![0; 1_000 * FRAME];
        read_exact_at(&*file, &mut bytes, 0, Patience::Wait).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 7));
    }
}
