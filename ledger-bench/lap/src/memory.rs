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

/// The most memory that this process ever held at a time, in KiB.
///
/// # Errors
/// If the system does not tell.
pub fn peak_kib() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"))
        .ok_or("this system does not tell the peak memory of a process")?;
    Ok(peak.trim().parse()?)
}
