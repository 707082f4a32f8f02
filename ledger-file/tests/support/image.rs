//! Small file systems that are mounted as long as they are there, and whose power can be cut.
//!
//! A power cut is the file system's own shutdown (`XFS_IOC_GOINGDOWN`, which ext4 knows too): what it has not written,
//! journal included, is gone. It needs root, loop devices and python3, which makes the call.

use std::path::{Path, PathBuf};

use super::{Unmount, can_mount, leave_out, run};

/// Shuts the file system of its argument down; nothing is flushed before.
const SHUTDOWN: &str = "
import fcntl, os, struct, sys
descriptor = os.open(sys.argv[1], os.O_RDONLY)
fcntl.ioctl(descriptor, 0x8004587D, struct.pack('I', 2))
";

/// A file system in a file.
pub(crate) struct Image {
    file: PathBuf,
    pub(crate) mount: PathBuf,
    _unmount: Unmount,
}

/// Whether images can be mounted; if not, says that the running test is left out.
pub(crate) fn can_mount_images() -> bool {
    if !can_mount() {
        return false;
    }
    let has_loops = Path::new("/dev/loop-control").exists();
    if !has_loops {
        leave_out("this machine has no loop devices");
    }
    has_loops
}

impl Image {
    /// Makes a file system in `file` by the command `make`, and mounts it at a new directory `mount`.
    pub(crate) fn new(file: PathBuf, mount: PathBuf, make: &[&str]) -> Self {
        std::fs::create_dir(&mount).unwrap();
        run(make[0], &[&make[1..], &[file.to_str().unwrap()]].concat());
        let image = Self {
            file,
            _unmount: Unmount(mount.clone()),
            mount,
        };
        image.mount();
        image
    }

    pub(crate) fn mount(&self) {
        let (file, mount) = (self.file.to_str().unwrap(), self.mount.to_str().unwrap());
        run("mount", &["-o", "loop", file, mount]);
    }

    pub(crate) fn unmount(&self) {
        run("umount", &[self.mount.to_str().unwrap()]);
    }

    pub(crate) fn cut_power(&self) {
        run("python3", &["-c", SHUTDOWN, self.mount.to_str().unwrap()]);
    }
}
