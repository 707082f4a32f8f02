//! Whether what lies in the place of a log that is read is still that log.
//!
//! Somebody may put a backup there, or another log, while it is read: files of the same names, which may have the same
//! numbers in them. A reader that went on would look at some of the old ones, which it has open, and at some of the new: it
//! would miss what is appended. Only the file of the stage stays the same for as long as a log lives.

use std::io;

use crate::disk::{Disk, DiskFile};
use crate::error::{Failure, Result};
use crate::format::FileName;

/// # Errors
/// `Corrupt`: the file of the stage is another one than `stage`, which was opened, or is gone.
pub(super) fn check_same(disk: &dyn Disk, stage: &dyn DiskFile, place: &str) -> Result<()> {
    let name = FileName::Stage.to_string();
    let opened = stage.file_number();
    let there = disk.file_number(&name);
    match (opened, there) {
        // A loss of power may have left none.
        (Err(error), _) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => Err(replaced(place)),
        (Err(error), _) | (_, Err(error)) => Err(Failure::io(&name, error)),
        (Ok(Some(opened)), Ok(Some(there))) if opened != there => Err(replaced(place)),
        _ => Ok(()),
    }
}

fn replaced(place: &str) -> Failure {
    let reason = "other files were put in the place of those of the log: open it again";
    Failure::damage(place, reason)
}
