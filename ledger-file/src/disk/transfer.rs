//! Whole transfers over calls that may transfer less.

use std::io;

use super::{DiskFile, Patience};
use crate::fault::{Mistake, is_planted};

/// How many zeroes are written with one call.
static ZEROES: [u8; 64 * 1024] = [0; 64 * 1024];

/// Fills `buf` from `offset`.
///
/// # Errors
/// `UnexpectedEof` if the file ends before. Those of the file otherwise: a read error is never taken for the end.
pub(crate) fn read_exact_at(
    file: &dyn DiskFile,
    buf: &mut [u8],
    offset: u64,
    patience: Patience,
) -> io::Result<()> {
    if read_at_most(file, buf, offset, patience)? < buf.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// Fills `buf` from `offset` as far as the file goes, and answers how far that is.
///
/// # Errors
/// Those of the file.
pub(crate) fn read_at_most(
    file: &dyn DiskFile,
    buf: &mut [u8],
    offset: u64,
    patience: Patience,
) -> io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match file.read_at(&mut buf[done..], at(offset, done)?, patience) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Writes all of `bytes` at `offset`.
///
/// # Errors
/// Those of the file, when any part of the bytes may be written; `WriteZero` if it takes no more.
pub(crate) fn write_all_at(file: &dyn DiskFile, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match file.write_at(&bytes[done..], at(offset, done)?) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(_) if is_planted(Mistake::ShortWriteIgnored) => return Ok(()),
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes zeroes from `from` up to `to`: afterwards a sync of bytes written there is cheaper than one that must also
/// note that the blocks are in use now.
///
/// # Errors
/// As [`write_all_at`].
pub(crate) fn write_zeroes(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<()> {
    let mut offset = from;
    while offset < to {
        let count = (to - offset).min(ZEROES.len() as u64);
        write_all_at(file, &ZEROES[..count as usize], offset)?;
        offset += count;
    }
    Ok(())
}

/// The place `done` bytes behind `offset`.
fn at(offset: u64, done: usize) -> io::Result<u64> {
    offset
        .checked_add(done as u64)
        .ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::disk::FileMap;

    /// A file that transfers three bytes at a time, and is interrupted at every second call.
    #[derive(Debug, Default)]
    struct Reluctant {
        bytes: Mutex<Vec<u8>>,
        calls: Mutex<u64>,
    }

    impl Reluctant {
        fn interrupt(&self) -> io::Result<()> {
            let mut calls = self.calls.lock().unwrap();
            *calls += 1;
            if *calls % 2 == 1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            Ok(())
        }
    }

    impl DiskFile for Reluctant {
        fn len(&self) -> io::Result<u64> {
            Ok(self.bytes.lock().unwrap().len() as u64)
        }
        fn read_at(&self, buf: &mut [u8], offset: u64, _: Patience) -> io::Result<usize> {
            self.interrupt()?;
            let bytes = self.bytes.lock().unwrap();
            let rest = &bytes[bytes.len().min(offset as usize)..];
            let count = rest.len().min(buf.len()).min(3);
            buf[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        }
        fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
            self.interrupt()?;
            let count = bytes.len().min(3);
            let end = offset as usize + count;
            let mut held = self.bytes.lock().unwrap();
            let len = held.len().max(end);
            held.resize(len, 0);
            held[offset as usize..end].copy_from_slice(&bytes[..count]);
            Ok(count)
        }
        fn sync_data(&self) -> io::Result<()> {
            Ok(())
        }
        fn sync_all(&self) -> io::Result<()> {
            Ok(())
        }
        fn reserve(&self, _: u64) -> io::Result<()> {
            Ok(())
        }
        fn truncate(&self, _: u64) -> io::Result<()> {
            Ok(())
        }
        fn announce(&self, _: u64, _: u64) {}
        fn evict(&self, _: u64, _: u64) {}

        fn map(&self, _: u64) -> io::Result<Option<FileMap>> {
            Ok(None)
        }
    }

    #[test]
    fn short_transfers_and_interruptions_are_gone_on_from() {
        let file = Reluctant::default();
        write_all_at(&file, b"hello, reader", 2).unwrap();
        let mut buf = [0; 13];
        read_exact_at(&file, &mut buf, 2, Patience::Wait).unwrap();
        assert_eq!(&buf, b"hello, reader");
    }

    #[test]
    fn a_file_that_ends_early_is_told_from_one_that_does_not() {
        let file = Reluctant::default();
        write_all_at(&file, b"12345", 0).unwrap();
        let mut buf = [0; 8];
        let error = read_exact_at(&file, &mut buf, 0, Patience::Wait).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(read_at_most(&file, &mut buf, 0, Patience::Wait).unwrap(), 5);
        assert_eq!(read_at_most(&file, &mut buf, 9, Patience::Wait).unwrap(), 0);
    }

    #[test]
    fn zeroes_reach_exactly_as_far_as_asked() {
        let file = Reluctant::default();
        write_all_at(&file, &[7; 10], 0).unwrap();
        write_zeroes(&file, 4, 9).unwrap();
        assert_eq!(*file.bytes.lock().unwrap(), [7, 7, 7, 7, 0, 0, 0, 0, 0, 7]);
    }

    #[test]
    fn an_offset_beyond_u64_is_refused() {
        let file = Reluctant::default();
        let error = at(u64::MAX, 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(at(u64::MAX - 1, 1).unwrap(), u64::MAX);
        assert!(write_all_at(&file, b"", u64::MAX).is_ok());
    }
}
