//! A real directory.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::fs::{fchmod, fstat, mkdirat, openat, renameat, statat, unlinkat};
use rustix::io::{Errno, retry_on_intr};

use super::file::RealFile;
use super::map::MappedStage;
use super::{
    Access, Disk, DiskFile, FileNumber, Lock, LockView, STAGE_PAGE_BYTES, Stage, lock, write_zeroes,
};

/// What new files may be used for: reading and writing by their owner.
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// What new directories may be used for: anything, by their owner.
const DIRECTORY_MODE: Mode = Mode::RWXU;

/// What the system says of a file that has no bytes to read.
const NOT_A_FILE: Errno = Errno::NXIO;

/// A directory that is there, held open: whatever its path leads to later, its files are reached.
#[derive(Debug)]
pub(crate) struct Directory(OwnedFd);

impl Directory {
    /// Opens a directory that is there.
    ///
    /// # Errors
    /// Those of the system. A path that ends in a symbolic link is refused.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = retry_on_intr(|| openat(CWD, path, flags, Mode::empty()))?;
        Ok(Self(directory))
    }

    /// Opens a directory, and makes it first if it is not there; its parent must be.
    ///
    /// A new one survives power loss when this returns. One that was there keeps its permissions.
    ///
    /// # Errors
    /// As [`open`](Directory::open).
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        match Self::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(path),
            opened => opened,
        }
    }

    fn make(path: &Path) -> io::Result<Self> {
        match mkdirat(CWD, path, DIRECTORY_MODE) {
            Ok(()) => Self::made(path),
            // Somebody else was faster.
            Err(Errno::EXIST) => Self::open(path),
            Err(error) => Err(error.into()),
        }
    }

    fn made(path: &Path) -> io::Result<Self> {
        // A umask may have taken our own permissions away, so the path is made usable before it is opened.
        rustix::fs::chmodat(CWD, path, DIRECTORY_MODE, AtFlags::empty())?;
        let directory = Self::open(path)?;
        directory.sync_directory()?;
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(directory)
    }

    fn open_file(&self, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
        // Without NONBLOCK, opening a pipe of that name would wait for its other end.
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = retry_on_intr(|| openat(&self.0, name, flags, FILE_MODE))?;
        if flags.contains(OFlags::CREATE | OFlags::EXCL) {
            fchmod(&file, FILE_MODE)?;
        }
        match FileType::from_raw_mode(fstat(&file)?.st_mode) {
            FileType::RegularFile => Ok(file),
            _ => Err(NOT_A_FILE.into()),
        }
    }

    fn create_file(&self, name: &str) -> io::Result<OwnedFd> {
        self.open_file(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)
    }

    /// Opens a file of which it does not matter who made it.
    fn open_or_create(&self, name: &str) -> io::Result<OwnedFd> {
        match self.open_file(name, OFlags::RDWR) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match self.create_file(name) {
                // Somebody else was faster.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    self.open_file(name, OFlags::RDWR)
                }
                created => created,
            },
            opened => opened,
        }
    }
}

impl Disk for Directory {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(self.0.as_fd())? {
            match entry?.file_name().to_str() {
                Ok("." | "..") | Err(_) => {}
                Ok(name) => names.push(name.to_owned()),
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile::new(self.create_file(name)?)))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::RDWR,
        };
        Ok(Arc::new(RealFile::new(self.open_file(name, flags)?)))
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        let stat = statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(stat.st_size.cast_unsigned()),
            _ => Err(NOT_A_FILE.into()),
        }
    }

    fn file_number(&self, name: &str) -> io::Result<Option<FileNumber>> {
        let stat = statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(Some(FileNumber(stat.st_ino)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.0, from, &self.0, to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.0, name, AtFlags::empty())?)
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(retry_on_intr(|| rustix::fs::fsync(&self.0))?)
    }

    fn lock(&self, name: &str) -> io::Result<Lock> {
        lock::take(self.open_or_create(name)?.into())
    }

    fn look_at_lock(&self, name: &str) -> io::Result<Option<Box<dyn LockView>>> {
        match self.open_file(name, OFlags::RDONLY) {
            Ok(file) => Ok(Some(lock::view(file.into()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn map_stage(&self, name: &str, area_bytes: usize) -> io::Result<Box<dyn Stage>> {
        let file = RealFile::new(self.open_or_create(name)?);
        let wanted = (STAGE_PAGE_BYTES + area_bytes) as u64;
        let have = file.len()?;
        if have < wanted {
            write_zeroes(&file, have, wanted)?;
            file.sync_all()?;
        }
        // A copy of the directory may have left holes where it found zeroes.
        if file.may_have_holes(wanted) {
            file.allocate(wanted)?;
        }
        let len = usize::try_from(have.max(wanted)).unwrap_or(usize::MAX);
        Ok(Box::new(MappedStage::new(file.into_file(), len)?))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use tempfile::TempDir;

    use super::*;
    use crate::disk::Changed;
    use crate::disk::{Patience, read_exact_at, write_all_at};

    fn directory() -> (TempDir, Directory) {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::create(&place.path().join("log")).unwrap();
        (place, directory)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn what_is_made_is_for_its_owner_alone() {
        let (place, directory) = directory();
        directory.create("file").unwrap();
        directory.map_stage("stage", 4096).unwrap();
        directory.lock("lock").unwrap();
        let log = place.path().join("log");
        assert_eq!(mode(&log), 0o700);
        for name in ["file", "stage", "lock"] {
            assert_eq!(mode(&log.join(name)), 0o600, "{name}");
        }
    }

    #[test]
    fn a_directory_that_was_there_is_taken_as_it_is() {
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o750)).unwrap();
        Directory::create(place.path()).unwrap();
        assert_eq!(mode(place.path()), 0o750);
    }

    #[test]
    fn nothing_is_made_where_the_parent_is_missing() {
        let place = tempfile::tempdir().unwrap();
        let error = Directory::create(&place.path().join("no/log")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(Directory::open(&place.path().join("log")).is_err());
    }

    #[test]
    fn a_file_is_made_once_and_found_by_its_name() {
        let (_place, directory) = directory();
        let file = directory.create("file").unwrap();
        write_all_at(&*file, b"hello", 3).unwrap();
        file.sync_data().unwrap();
        let again = directory.create("file").unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        let mut bytes = [0; 5];
        let found = directory.open("file", Access::Read).unwrap();
        read_exact_at(&*found, &mut bytes, 3, Patience::Wait).unwrap();
        assert_eq!(&bytes, b"hello");
        assert_eq!(found.len().unwrap(), 8);
        assert_eq!(directory.len("file").unwrap(), 8);
        assert!(found.write_at(b"no", 0).is_err(), "opened for reading");
    }

    #[test]
    fn a_long_write_is_made_of_pieces_that_end_where_large_blocks_of_memory_would() {
        let (_place, directory) = directory();
        let file = directory.create("file").unwrap();
        let bytes: Vec<u8> = (0..=255).cycle().take(200_000).collect();
        assert_eq!(file.write_at(&bytes, 100).unwrap(), 65_436);
        assert_eq!(file.write_at(&bytes[65_436..], 65_536).unwrap(), 65_536);
        write_all_at(&*file, &bytes, 100).unwrap();
        let mut written = vec![0; bytes.len()];
        read_exact_at(&*file, &mut written, 100, Patience::Wait).unwrap();
        assert_eq!(written, bytes);
    }

    #[test]
    fn names_come_and_go() {
        let (_place, directory) = directory();
        directory.create("a").unwrap();
        directory.create("b").unwrap();
        directory.rename("a", "b").unwrap();
        directory.create("c").unwrap();
        directory.remove("c").unwrap();
        directory.sync_directory().unwrap();
        assert_eq!(directory.list().unwrap(), ["b"]);
        assert_eq!(
            directory.remove("c").unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn a_file_is_lengthened_with_zeroes_and_cut() {
        let (_place, directory) = directory();
        let file = directory.create("file").unwrap();
        write_all_at(&*file, b"abc", 0).unwrap();
        file.reserve(10_000).unwrap();
        assert_eq!(file.len().unwrap(), 10_000);
        file.reserve(5).unwrap();
        assert_eq!(file.len().unwrap(), 10_000, "nothing is cut by a promise");
        file.truncate(2).unwrap();
        file.truncate(4).unwrap();
        let mut bytes = [9; 4];
        read_exact_at(&*file, &mut bytes, 0, Patience::Wait).unwrap();
        assert_eq!(&bytes, b"ab\0\0");
    }

    #[test]
    fn what_was_just_written_needs_no_patience() {
        let (_place, directory) = directory();
        let file = directory.create("file").unwrap();
        write_all_at(&*file, &[7; 4096], 0).unwrap();
        let mut bytes = [0; 100];
        match file.read_at(&mut bytes, 0, Patience::Now) {
            Ok(count) => assert_eq!(bytes[..count], vec![7; count]),
            // Some file systems cannot tell, and then never do.
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }

    #[test]
    fn symbolic_links_are_not_followed() {
        let (place, directory) = directory();
        let target = place.path().join("elsewhere");
        fs::write(&target, b"precious").unwrap();
        let link = place.path().join("log/file");
        symlink(&target, &link).unwrap();
        for access in [Access::Read, Access::Write] {
            assert!(directory.open("file", access).is_err());
        }
        assert!(directory.len("file").is_err());
        assert!(directory.create("file").is_err());
        assert!(directory.map_stage("file", 4096).is_err());
        assert!(directory.lock("file").is_err());
        assert!(directory.look_at_lock("file").is_err());
        assert_eq!(fs::read(&target).unwrap(), b"precious");
        symlink(place.path().join("log"), place.path().join("link")).unwrap();
        assert!(Directory::create(&place.path().join("link")).is_err());
    }

    #[test]
    fn only_files_are_opened_as_files() {
        let (place, directory) = directory();
        fs::create_dir(place.path().join("log/inner")).unwrap();
        assert!(directory.open("inner", Access::Read).is_err());
        assert!(directory.open("inner", Access::Write).is_err());
        assert!(directory.len("inner").is_err());
        let pipe = place.path().join("log/pipe");
        rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, FILE_MODE, 0).unwrap();
        assert!(directory.open("pipe", Access::Read).is_err());
    }

    #[test]
    fn one_process_cannot_hold_the_lock_twice_and_learns_who_has_it() {
        let (place, directory) = directory();
        assert!(directory.look_at_lock("LOCK").unwrap().is_none());
        let Lock::Held(guard) = directory.lock("LOCK").unwrap() else {
            panic!("nobody else has it");
        };
        let other = Directory::open(&place.path().join("log")).unwrap();
        let view = other.look_at_lock("LOCK").unwrap().unwrap();
        assert!(view.is_held().unwrap());
        match other.lock("LOCK").unwrap() {
            Lock::Taken { holder } => assert_eq!(holder, Some(std::process::id())),
            Lock::Held(_) => panic!("two hold it"),
        }
        drop(guard);
        assert!(!view.is_held().unwrap());
        let Lock::Held(_guard) = directory.lock("LOCK").unwrap() else {
            panic!("who looked does not hold it");
        };
        assert!(view.is_held().unwrap());
    }

    #[test]
    fn it_is_seen_when_a_lock_was_taken_and_when_it_was_let_go() {
        let (_place, directory) = directory();
        drop(directory.lock("LOCK").unwrap());
        let view = directory.look_at_lock("LOCK").unwrap().unwrap();
        let mut last = view.changed().unwrap();
        let mut tick = |what: &str| {
            let changed = view.changed().unwrap();
            assert_ne!(changed, last, "{what}");
            last = changed;
            // The clock of the file system goes on.
            while fs_time(&directory) == last {}
        };
        while fs_time(&directory) == view.changed().unwrap() {}
        let guard = directory.lock("LOCK").unwrap();
        tick("it was taken");
        drop(guard);
        tick("it was let go");
    }

    /// The time that a file gets which is changed now.
    fn fs_time(directory: &Directory) -> Changed {
        let file = directory.open_or_create("clock").unwrap();
        let file = File::from(file);
        io::Write::write_all(&mut &file, b"tick").unwrap();
        lock::view(file).changed().unwrap()
    }

    #[test]
    fn a_stage_is_lengthened_but_never_cut() {
        let (_place, directory) = directory();
        let mut stage = directory.map_stage("stage", 4096).unwrap();
        stage.write(0, b"staged");
        stage.page().store(0, 7);
        drop(stage);
        let longer = directory.map_stage("stage", 8192).unwrap();
        assert_eq!(
            (&longer.area()[..6], longer.area().len()),
            (&b"staged"[..], 8192)
        );
        drop(longer);
        let asked_for_less = directory.map_stage("stage", 100).unwrap();
        assert_eq!(asked_for_less.area().len(), 8192);
        assert_eq!(asked_for_less.page().load(0), 7);
    }
}
