//! A file that is opened when it is first asked for: a log of many segments is opened without a call for each.

use std::io;
use std::sync::Arc;

use super::{Access, Disk, DiskFile, FileMap, FileNumber, Patience};
use crate::sync::plain::OnceLock;

/// A file of a disk that nobody has asked for anything yet, or that is open.
///
/// Until then it has to stay where it is: who wants to remove it asks for its length before.
#[derive(Debug)]
pub(crate) struct LateFile {
    disk: Arc<dyn Disk>,
    name: String,
    access: Access,
    file: OnceLock<Arc<dyn DiskFile>>,
}

impl LateFile {
    /// Takes the file `name` for one that can be opened.
    pub(crate) fn new(disk: &Arc<dyn Disk>, name: String, access: Access) -> Self {
        Self {
            disk: Arc::clone(disk),
            name,
            access,
            file: OnceLock::new(),
        }
    }

    fn file(&self) -> io::Result<&dyn DiskFile> {
        if let Some(file) = self.file.get() {
            return Ok(&**file);
        }
        let opened = self.disk.open(&self.name, self.access);
        // Whoever removed it since the look above has opened it before.
        match (self.file.get(), opened) {
            (Some(file), _) => Ok(&**file),
            (None, opened) => opened.map(|file| &**self.file.get_or_init(|| file)),
        }
    }
}

impl DiskFile for LateFile {
    fn len(&self) -> io::Result<u64> {
        self.file()?.len()
    }

    /// To open a file may take the disk, too.
    fn read_at(&self, buf: &mut [u8], offset: u64, patience: Patience) -> io::Result<usize> {
        match patience {
            Patience::Now if self.file.get().is_none() => Err(io::ErrorKind::WouldBlock.into()),
            _ => self.file()?.read_at(buf, offset, patience),
        }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.file()?.write_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file()?.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file()?.sync_all()
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        self.file()?.reserve(len)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file()?.truncate(len)
    }

    fn announce(&self, offset: u64, len: u64) {
        if let Ok(file) = self.file() {
            file.announce(offset, len);
        }
    }

    fn evict(&self, offset: u64, len: u64) {
        if let Ok(file) = self.file() {
            file.evict(offset, len);
        }
    }

    fn map(&self, len: u64) -> io::Result<Option<FileMap>> {
        self.file()?.map(len)
    }

    fn file_number(&self) -> io::Result<Option<FileNumber>> {
        self.file()?.file_number()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Directory, write_all_at};

    #[test]
    fn a_file_is_opened_by_the_first_who_may_wait_and_stays_open() {
        let place = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(Directory::open(place.path()).unwrap());
        let late = LateFile::new(&disk, "file".into(), Access::Read);
        assert_eq!(late.len().unwrap_err().kind(), io::ErrorKind::NotFound);
        write_all_at(&*disk.create("file").unwrap(), b"late", 0).unwrap();
        let mut buf = [0; 4];
        let too_early = late.read_at(&mut buf, 0, Patience::Now).unwrap_err();
        assert_eq!(too_early.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(late.len().unwrap(), 4);
        disk.remove("file").unwrap();
        assert_eq!(late.read_at(&mut buf, 0, Patience::Wait).unwrap(), 4);
        assert_eq!(&buf, b"late");
    }
}
