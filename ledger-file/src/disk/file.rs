//! A real file.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::{Errno, retry_on_intr};

use super::{DiskFile, FileMap, FileNumber, Patience};

/// No call writes beyond the next multiple of this.
///
/// For a longer write the page cache takes longer blocks of memory: those that a virtual machine has given back to its host
/// as long as they were free. To get one of them again can cost twenty times as much as the write.
const PIECE_BYTES: u64 = 64 << 10;

/// A file of a [`Directory`](super::Directory).
#[derive(Debug)]
pub(super) struct RealFile(File);

impl RealFile {
    pub(super) fn new(descriptor: OwnedFd) -> Self {
        Self(descriptor.into())
    }

    pub(super) fn into_file(self) -> File {
        self.0
    }

    /// Whether there may be no blocks for some of the first `len` bytes.
    #[cfg(target_os = "linux")]
    pub(super) fn may_have_holes(&self, len: u64) -> bool {
        let hole = rustix::fs::seek(&self.0, rustix::fs::SeekFrom::Hole(0));
        hole.is_ok_and(|hole| hole < len) || hole.is_err()
    }

    /// Nobody else tells.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn may_have_holes(&self, _: u64) -> bool {
        true
    }

    /// Sees to it that there are blocks for the first `len` bytes, and that the file is at least as long.
    pub(super) fn allocate(&self, len: u64) -> io::Result<()> {
        match retry_on_intr(|| fallocate(&self.0, FallocateFlags::empty(), 0, len)) {
            // Some file systems cannot promise space: then a full disk shows itself when it is written to.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.0.set_len(len.max(self.len()?)),
            allocated => Ok(allocated?),
        }
    }
}

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, patience: Patience) -> io::Result<usize> {
        match patience {
            Patience::Now => read_cached(&self.0, buf, offset),
            Patience::Wait => self.0.read_at(buf, offset),
        }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let piece = PIECE_BYTES - offset % PIECE_BYTES;
        let len = bytes.len().min(piece as usize);
        self.0.write_at(&bytes[..len], offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        if len <= self.len()? {
            return Ok(());
        }
        self.allocate(len)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn announce(&self, offset: u64, len: u64) {
        advise(&self.0, offset, len, Wish::Announce);
    }

    fn evict(&self, offset: u64, len: u64) {
        advise(&self.0, offset, len, Wish::Evict);
    }

    fn file_number(&self) -> io::Result<Option<FileNumber>> {
        Ok(Some(FileNumber(self.0.metadata()?.ino())))
    }

    /// Only where there are more addresses than a log has bytes.
    fn map(&self, len: u64) -> io::Result<Option<FileMap>> {
        match usize::try_from(len) {
            Ok(len) if len > 0 && usize::BITS >= u64::BITS => FileMap::new(&self.0, len).map(Some),
            _ => Ok(None),
        }
    }
}

/// What the system is asked to do about its cache.
enum Wish {
    Announce,
    Evict,
}

#[cfg(target_os = "linux")]
fn advise(file: &File, offset: u64, len: u64, wish: Wish) {
    use rustix::fs::{Advice, fadvise};
    let advice = match wish {
        Wish::Announce => Advice::WillNeed,
        Wish::Evict => Advice::DontNeed,
    };
    if let Some(len) = std::num::NonZeroU64::new(len) {
        let _heard = fadvise(file, offset, Some(len), advice);
    }
}

/// Nobody else can be asked.
#[cfg(not(target_os = "linux"))]
fn advise(_: &File, _: u64, _: u64, _: Wish) {}

/// Reads what the page cache holds.
#[cfg(target_os = "linux")]
fn read_cached(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    use rustix::io::{ReadWriteFlags, preadv2};
    let mut buffers = [io::IoSliceMut::new(buf)];
    match preadv2(file, &mut buffers, offset, ReadWriteFlags::NOWAIT) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Err(io::ErrorKind::WouldBlock.into()),
        read => Ok(read?),
    }
}

/// Nobody else tells what is cached.
#[cfg(not(target_os = "linux"))]
fn read_cached(_: &File, _: &mut [u8], _: u64) -> io::Result<usize> {
    Err(io::ErrorKind::WouldBlock.into())
}
