//! What a careful programmer would write by hand for one of the rows alone: the most that there is to reach.
//!
//! Frames with a checksum in one file, and nothing else: no streams, no ids, no index, no segments, one writer who is trusted.

mod file;
mod frame;
mod group;
mod indexed;
mod map;
mod mapped;
mod staged;

use ledger_lap::Contestant;

/// All baselines.
pub(crate) fn contestants() -> Vec<Contestant> {
    vec![
        Contestant::new::<file::Plain>("bare: write(2)"),
        Contestant::new::<mapped::Mapped>("bare: mapped file"),
        Contestant::new::<staged::Staged>("bare: reused mapped stage"),
        Contestant::new::<group::Growing>("bare: chain of leaders"),
        Contestant::new::<group::Written>("bare: chain, blocks written before"),
        Contestant::new::<group::Gathering>("bare: chain, written before, short wait"),
        Contestant::new::<indexed::Indexed>("bare: mapped, 8-byte offsets"),
    ]
}
