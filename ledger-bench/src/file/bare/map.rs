//! The one room of the benchmarks that is `unsafe`: files as memory.
//!
//! The files are in a directory that was made for one lap and that no other program knows of, and nothing shortens them
//! while they are mapped.
#![expect(
    unsafe_code,
    reason = "a file that is mapped could be changed by others"
)]

use std::fs::File;
use std::io;

use memmap2::{Mmap, MmapMut, MmapOptions};

/// Maps the first `bytes` of `file`, to write.
///
/// # Errors
/// Those of the system.
pub(super) fn shared(file: &File, bytes: usize) -> io::Result<MmapMut> {
    // SAFETY: nobody else has the file, and it is `bytes` long as long as it is mapped.
    unsafe { MmapOptions::new().len(bytes).map_mut(file) }
}

/// Maps `file`, to read.
///
/// # Errors
/// Those of the system.
pub(super) fn read_only(file: &File) -> io::Result<Mmap> {
    // SAFETY: nobody writes the file while a reader has it.
    unsafe { Mmap::map(file) }
}
