//! Whether what lies in the place of a log that is read is still that log.
//!
//! Somebody may put a backup there, or another log, while it is read: files of the same names, which may have the same
//! numbers in them. A reader that went on would look at some of the old ones, which it has open, and at some of the new: it
//! would miss what is appended. Only the file of the stage stays the same for as long as a log lives.

use std::io;

use crate::disk::{Access, Disk, DiskFile, Identity};
use crate::error::{Failure, Result};
use crate::format::FileName;

/// # Errors
/// `Corrupt`: the file of the stage is another one than `stage`, which was opened, or is gone.
pub(super) fn check_same(disk: &dyn Disk, stage: &dyn DiskFile, place: &str) -> Result<()> {
    let name = FileName::Stage.to_string();
    // A loss of power may have left none.
    let Some(opened) = if_there(&name, stage.identity())? else {
        return Ok(());
    };
    let there = disk.open(&name, Access::Read);
    let there = if_there(&name, there.and_then(|there| there.identity()))?;
    match there == Some(opened) {
        true => Ok(()),
        false => Err(Failure::damage(
            place,
            "other files were put in the place of those of the log: open it again",
        )),
    }
}

/// Which file it is that is called `name`; none if there is no such.
fn if_there(name: &str, identity: io::Result<Option<Identity>>) -> Result<Option<Identity>> {
    match identity {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        identity => identity.map_err(|error| Failure::io(name, error)),
    }
}
