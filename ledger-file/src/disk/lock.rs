//! The lock that one writer holds.
//!
//! It is `flock`'s, which belongs to an open file: a process that opens the log twice is refused like any other. (A
//! lock of `fcntl`'s belongs to the process, and closing any descriptor of the file lets it go.) The system frees it
//! when the process ends, in whatever way. The holder's number is written in the file for messages only.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::thread;

use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, retry_on_intr};

use super::{Lock, LockGuard};

/// How often a taken lock is asked for: a reader that looks whether it is taken holds it for a moment itself.
const ATTEMPTS: usize = 100;

/// The room a process number takes in the file.
const NUMBER_BYTES: usize = 10;

/// A file that is locked as long as it is open.
#[derive(Debug)]
struct Guard {
    file: File,
}

impl LockGuard for Guard {}

impl Drop for Guard {
    fn drop(&mut self) {
        // Whoever comes next should not read of a process that has let go. If that fails, the message is old.
        if let Err(error) = self.file.set_len(0) {
            tracing::debug!(%error, "the holder's number stays in the lock file");
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

/// Tells whether a writer has the lock of `file`.
pub(super) fn is_taken(file: &File) -> io::Result<bool> {
    Ok(!try_flock(file, FlockOperation::NonBlockingLockShared)?)
}

fn try_flock(file: &File, operation: FlockOperation) -> io::Result<bool> {
    match retry_on_intr(|| flock(file, operation)) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn write_holder(file: &File) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all_at(std::process::id().to_string().as_bytes(), 0)
}

fn read_holder(file: &File) -> io::Result<Option<u32>> {
    let mut bytes = [0; NUMBER_BYTES];
    let count = file.read_at(&mut bytes, 0)?;
    let text = std::str::from_utf8(&bytes[..count]).ok();
    Ok(text.and_then(|text| text.parse().ok()))
}
