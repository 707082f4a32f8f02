//! The memory of the process: touched before the clock starts, and asked for its peak behind it.
//!
//! On a virtual machine the first touch of a page that nobody has used for a while costs many times what it costs
//! later, whoever is unlucky enough to touch it.

use std::fs;
use std::hint::black_box;

use crate::Result;

/// The least and the most that is touched.
const TOUCHED_BYTES_MIN: usize = 64 << 20;
const TOUCHED_BYTES_MAX: usize = 2 << 30;

/// Touches three times as much memory as `bytes`, and gives it back.
pub(crate) fn touch(bytes: usize) {
    let bytes = (3 * bytes).clamp(TOUCHED_BYTES_MIN, TOUCHED_BYTES_MAX);
    black_box(vec![1_u8; bytes]);
}

/// Forgets the peak so far, where the system can.
pub(crate) fn forget_peak() {
    // Without it the peak is only too high, and it is read where nothing else was touched before.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// The most memory that this process ever held at a time, in KiB: with the pages of files that it has mapped, which the
/// system can take back at any time.
///
/// # Errors
/// If the system does not tell.
pub fn peak_kib() -> Result<u64> {
    told_kib("VmHWM:")
}

/// The memory of its own that this process holds now, in KiB: without the pages of files.
///
/// # Errors
/// If the system does not tell.
pub fn own_kib() -> Result<u64> {
    told_kib("RssAnon:")
}

fn told_kib(what: &str) -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix(what)?.strip_suffix("kB"))
        .ok_or("this system does not tell the memory of a process")?;
    Ok(kib.trim().parse()?)
}
