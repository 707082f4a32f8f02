//! The lock that one writer holds.
//!
//! It is `flock`'s, which belongs to an open file: a process that opens the log twice is refused like any other. (A
//! lock of `fcntl`'s belongs to the process, and closing any descriptor of the file lets it go.) The system frees it
//! when the process ends, in whatever way. The holder's number is written in the file for messages only.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::thread;

use rustix::fs::{FlockOperation, flock, fstat};
use rustix::io::{Errno, retry_on_intr};

use super::{Changed, Lock, LockGuard, LockView};

/// How often a taken lock is asked for: a reader that looks whether it is taken holds it for a moment itself.
const ATTEMPTS: usize = 100;

/// The room a process number takes in the file.
const NUMBER_BYTES: usize = 10;

/// A file that is locked.
#[derive(Debug)]
struct Guard {
    file: File,
}

impl LockGuard for Guard {}

impl Drop for Guard {
    fn drop(&mut self) {
        // Whoever comes next should not read of a process that has let go. If that fails, the message is old.
        if let Err(error) = write_number(&self.file, "") {
            tracing::debug!(%error, "the holder's number stays in the lock file");
        }
        // Closing the file would not do: a process that this one has just begun holds a copy of it for a moment.
        if let Err(error) = flock(&self.file, FlockOperation::Unlock) {
            tracing::debug!(%error, "the lock is held until the file is closed");
        }
    }
}

/// Takes the lock of `file`, or tells who has it.
pub(super) fn take(file: File) -> io::Result<Lock> {
    for _ in 0..ATTEMPTS {
        if try_flock(&file, FlockOperation::NonBlockingLockExclusive)? {
            write_holder(&file)?;
            return Ok(Lock::Held(Box::new(Guard { file })));
        }
        thread::yield_now();
    }
    Ok(Lock::Taken {
        holder: read_holder(&file)?,
    })
}

/// The lock of `file`, opened for nothing but this, to be looked at.
pub(super) fn view(file: File) -> Box<dyn LockView> {
    Box::new(View(file))
}

/// A file that others lock.
#[derive(Debug)]
struct View(File);

impl LockView for View {
    fn is_held(&self) -> io::Result<bool> {
        let is_free = try_flock(&self.0, FlockOperation::NonBlockingLockShared)?;
        if is_free {
            flock(&self.0, FlockOperation::Unlock)?;
        }
        Ok(!is_free)
    }

    fn changed(&self) -> Option<Changed> {
        let stat = fstat(&self.0).ok()?;
        let nanoseconds = i64::try_from(stat.st_ctime_nsec).ok()?;
        Some(Changed::at(stat.st_ctime, nanoseconds))
    }
}

fn try_flock(file: &File, operation: FlockOperation) -> io::Result<bool> {
    match retry_on_intr(|| flock(file, operation)) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn write_holder(file: &File) -> io::Result<()> {
    write_number(file, &std::process::id().to_string())
}

/// Writes over what the file holds, which costs a quarter of cutting it and giving it a block again.
fn write_number(file: &File, number: &str) -> io::Result<()> {
    file.write_all_at(format!("{number:NUMBER_BYTES$}").as_bytes(), 0)
}

fn read_holder(file: &File) -> io::Result<Option<u32>> {
    let mut bytes = [0; NUMBER_BYTES];
    let count = file.read_at(&mut bytes, 0)?;
    let text = std::str::from_utf8(&bytes[..count]).ok();
    Ok(text.and_then(|text| text.trim_end().parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_told_as_long_as_it_holds_the_lock_whatever_was_written_before() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for before in ["", "4294967295", "7"] {
            std::fs::write(file.path(), before).unwrap();
            let held = take(file.reopen().unwrap()).unwrap();
            let holder = read_holder(&file.reopen().unwrap()).unwrap();
            assert_eq!(holder, Some(std::process::id()));
            drop(held);
            assert_eq!(read_holder(&file.reopen().unwrap()).unwrap(), None);
        }
    }

    #[test]
    fn a_copy_of_the_file_does_not_keep_the_lock() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let held = file.reopen().unwrap();
        let inherited = held.try_clone().unwrap();
        drop(take(held).unwrap());
        assert!(!view(file.reopen().unwrap()).is_held().unwrap());
        drop(inherited);
    }
}
