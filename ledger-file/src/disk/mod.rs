//! The file calls, and nothing above them: one directory, its files, and a mapped stage, behind three small traits.
//!
//! The log never reaches a file in another way, so that a simulated disk can stand under it in the tests: one that
//! remembers what was written, what was synced and what a power cut leaves of it, and that fails on demand.
//!
//! What always holds here:
//! - Names are plain file names of this crate's own making; no stream name ever gets here.
//! - What is created is 0700 or 0600 under any umask, and symbolic links are not followed.
//! - Calls that a signal interrupts are made again; short transfers are the caller's business, and
//!   [`read_exact_at`] and [`write_all_at`] take care of them.
//! - An error says what the system said. [`failure`] gives it a typed name.

mod cached;
mod directory;
mod failure;
mod file;
mod late;
mod lock;
mod map;
mod read_only;
mod transfer;

use std::fmt;
use std::io;
use std::sync::Arc;

pub(crate) use cached::Cached;
pub(crate) use directory::Directory;
pub(crate) use failure::failure;
pub(crate) use late::LateFile;
pub(crate) use map::FileMap;
pub(crate) use read_only::ReadOnlyDisk;
pub(crate) use transfer::{read_at_most, read_exact_at, write_all_at, write_zeroes};

/// One directory that holds one log.
///
/// Entries of the directory (made, renamed, removed) survive power loss only after [`sync_directory`](Disk::sync_directory).
pub(crate) trait Disk: Send + Sync + fmt::Debug {
    /// The names of the files in it, in no order. Names that are not UTF-8 are left out: they are none of ours.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes an empty file, to be read and written.
    ///
    /// # Errors
    /// `AlreadyExists` if there is anything of that name.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file that is there. A symbolic link, or anything but a file, is refused.
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>>;

    /// How many bytes a file has that need not be opened for that. A symbolic link, or anything but a file, is refused.
    fn len(&self, name: &str) -> io::Result<u64>;

    /// Which file has that name now, which need not be opened for that; none if nobody can tell.
    fn file_number(&self, _name: &str) -> io::Result<Option<FileNumber>> {
        Ok(None)
    }

    /// Renames a file, in place of one that may have the name `to`.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Who has it open can go on.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes every creation, renaming and removal so far survive power loss.
    fn sync_directory(&self) -> io::Result<()>;

    /// Takes the lock `name`, which is free again when the guard is dropped, or the process ends in whatever way.
    ///
    /// One process cannot hold it twice either.
    fn lock(&self, name: &str) -> io::Result<Lock>;

    /// Looks at the lock `name` without taking it, which needs no permission to write; none if nobody ever took it.
    fn look_at_lock(&self, name: &str) -> io::Result<Option<Box<dyn LockView>>>;

    /// Maps the file `name` as a stage, making it or lengthening it with zeroes so that its area has at least
    /// `area_bytes`.
    ///
    /// All its blocks are written before, so that a full disk shows itself here and not as a signal later.
    fn map_stage(&self, name: &str, area_bytes: usize) -> io::Result<Box<dyn Stage>>;
}

/// One open file, shared by all who read and the one who writes.
pub(crate) trait DiskFile: Send + Sync + fmt::Debug {
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Reads into `buf` from `offset` and answers how many bytes: fewer than asked for at any time, 0 only at the end.
    ///
    /// # Errors
    /// `WouldBlock` with [`Patience::Now`] if the disk would have to be asked.
    fn read_at(&self, buf: &mut [u8], offset: u64, patience: Patience) -> io::Result<usize>;

    /// Writes some of `bytes` at `offset` and answers how many.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Makes the bytes written so far survive power loss, and the length that is needed to reach them.
    fn sync_data(&self) -> io::Result<()>;

    /// As [`sync_data`](DiskFile::sync_data), and everything else that the system knows of the file.
    fn sync_all(&self) -> io::Result<()>;

    /// Sees to it that there is space for `len` bytes; the file gets that length, if it is shorter, and reads as zeroes.
    fn reserve(&self, len: u64) -> io::Result<()>;

    /// Sets the length: cuts what is behind it, or adds zeroes.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Asks the disk for `len` bytes from `offset` on, which will be read soon, and does not wait for them. Who is not
    /// heard waits longer then, and no more.
    fn announce(&self, offset: u64, len: u64);

    /// Asks the system to forget what it has in memory of `len` bytes from `offset` on, and need not write, so that the
    /// next write of it finds nothing there to go by. Whoever is not heard has lost nothing.
    fn evict(&self, offset: u64, len: u64);

    /// Maps the first `len` bytes to be read, whether they are there yet or not; none if it can only be read by calls.
    fn map(&self, len: u64) -> io::Result<Option<FileMap>>;

    /// Which file it is, whatever its name is by now; none if nobody can tell.
    fn file_number(&self) -> io::Result<Option<FileNumber>> {
        Ok(None)
    }
}

/// The number of a file, which no other one of its directory has while somebody has it open, whatever their names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileNumber(pub(crate) u64);

/// Memory that is a file: what is written is there at once, for other processes too, and survives the end of this
/// process at any point, but power loss only after [`sync`](Stage::sync). Without that, each sector of it may be as
/// it was at any time since the last one.
///
/// It consists of one [page](StagePage), which may be written while others read it, and behind it the area.
pub(crate) trait Stage: Send + Sync + fmt::Debug {
    /// The bytes of the area.
    fn area(&self) -> &[u8];

    /// Writes `bytes` at `offset` of the area.
    ///
    /// If the process ends meanwhile, any of the bytes may be old or new.
    ///
    /// # Panics
    /// If the area ends before the bytes do.
    fn write(&mut self, offset: usize, bytes: &[u8]);

    /// The page before the area.
    fn page(&self) -> Arc<dyn StagePage>;

    /// Makes page and area survive power loss.
    fn sync(&self) -> io::Result<()>;
}

/// The first [`STAGE_PAGE_BYTES`] of a [`Stage`], as 64-bit words that are read and written whole.
///
/// Words become visible, to other threads, other processes, and after the end of this process, in the order in which
/// one thread wrote them, and not before what it wrote to the area before them. On disk they are little-endian.
pub(crate) trait StagePage: Send + Sync + fmt::Debug {
    /// Reads the word at `index`, below [`STAGE_PAGE_WORDS`].
    fn load(&self, index: usize) -> u64;

    /// Writes the word at `index`, below [`STAGE_PAGE_WORDS`].
    fn store(&self, index: usize, value: u64);
}

/// How many bytes of a stage are its page; the area begins behind them.
pub(crate) const STAGE_PAGE_BYTES: usize = 4096;

/// How many words that is.
pub(crate) const STAGE_PAGE_WORDS: usize = STAGE_PAGE_BYTES / size_of::<u64>();

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Reading only.
    Read,
    /// Reading and writing.
    Write,
}

/// Whether a read may wait for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Only what is in memory already: for threads that must not block.
    Now,
    /// As long as it takes.
    Wait,
}

/// What became of the wish to have a lock.
#[derive(Debug)]
pub(crate) enum Lock {
    /// It is held until the guard is dropped.
    Held(Box<dyn LockGuard>),
    /// Somebody else has it.
    Taken {
        /// The process that took it, if it got to say so.
        holder: Option<u32>,
    },
}

/// A lock, as those see it who do not take it. To look never waits for a disk.
pub(crate) trait LockView: Send + Sync + fmt::Debug {
    /// Whether somebody holds it at this moment.
    fn is_held(&self) -> io::Result<bool>;

    /// When it was taken or let go last; none if that is not known.
    fn changed(&self) -> Option<Changed>;
}

/// The time at which a file was changed, by the clock of its file system. The clock ticks slowly, and may be
/// set back: of two changes that follow each other both may have the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Changed {
    seconds: i64,
    nanoseconds: i64,
}

impl Changed {
    pub(crate) const fn at(seconds: i64, nanoseconds: i64) -> Self {
        Self {
            seconds,
            nanoseconds,
        }
    }
}

/// Holds a lock until it is dropped.
pub(crate) trait LockGuard: Send + Sync + fmt::Debug {}
