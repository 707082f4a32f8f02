//! A directory of which nothing is ever changed, whatever is asked for.

use std::io;
use std::sync::Arc;

use super::{Access, Disk, DiskFile, FileNumber, Lock, LockView, Stage};

/// A directory for a process that only reads: another one may write there, and must not find that anything was changed.
#[derive(Clone, Debug)]
pub(crate) struct ReadOnlyDisk(pub(crate) Arc<dyn Disk>);

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Disk for ReadOnlyDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn create(&self, _: &str) -> io::Result<Arc<dyn DiskFile>> {
        refused()
    }

    /// Opens a file to be read, and synced.
    fn open(&self, name: &str, _: Access) -> io::Result<Arc<dyn DiskFile>> {
        self.0.open(name, Access::Read)
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        self.0.len(name)
    }

    fn file_number(&self, name: &str) -> io::Result<Option<FileNumber>> {
        self.0.file_number(name)
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        refused()
    }

    fn sync_directory(&self) -> io::Result<()> {
        refused()
    }

    fn lock(&self, _: &str) -> io::Result<Lock> {
        refused()
    }

    fn look_at_lock(&self, name: &str) -> io::Result<Option<Box<dyn LockView>>> {
        self.0.look_at_lock(name)
    }

    fn map_stage(&self, _: &str, _: usize) -> io::Result<Box<dyn Stage>> {
        refused()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Directory, write_all_at};
    use super::*;

    #[test]
    fn nothing_can_be_changed_through_it() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("a"), "as it was").unwrap();
        let disk = ReadOnlyDisk(Arc::new(Directory::open(place.path()).unwrap()));
        let file = disk.open("a", Access::Write).unwrap();
        write_all_at(&*file, b"changed", 0).unwrap_err();
        file.truncate(0).unwrap_err();
        file.reserve(1 << 10).unwrap_err();
        file.sync_data().unwrap();
        disk.create("b").unwrap_err();
        disk.rename("a", "b").unwrap_err();
        disk.remove("a").unwrap_err();
        disk.lock("LOCK").map(drop).unwrap_err();
        disk.map_stage("STAGE", 1).map(drop).unwrap_err();
        assert_eq!(disk.list().unwrap(), ["a"]);
        let left = std::fs::read(place.path().join("a")).unwrap();
        assert_eq!(left, b"as it was");
    }
}
