//! Crashes, trouble and damage, in numbers.
//!
//! `LEDGER_CRASH=long` looks at many more states; a number is how many times more.

use std::time::Duration;

use ledger_core::Durability;

use super::crash::explore;
use super::damage::{AtRest, Class};
use super::played::{Finding, Played, Setup};
use super::trouble::{self, Plan};
use super::{DiskCall, Trouble};
use crate::format::{FileName, SEGMENT_HEADER_BYTES};

/// How many crash states each kind of history is looked at in; there are five kinds.
const STATES: usize = 42_000;

const SYNC: Setup = Setup {
    durability: Durability::Sync,
    segment_bytes: 4 << 10,
    stage_bytes: 4 << 10,
    calls: 60,
};

const PROCESS: Setup = Setup {
    durability: Durability::Process,
    ..SYNC
};

const INTERVAL: Setup = Setup {
    durability: Durability::Interval(Duration::from_secs(1)),
    ..SYNC
};

fn times() -> usize {
    match std::env::var("LEDGER_CRASH").as_deref() {
        Err(_) => 1,
        Ok("long") => 25,
        Ok(times) => times.parse().expect("LEDGER_CRASH is `long` or a number"),
    }
}

/// Looks at histories from `seed` on until there were enough states.
fn crash_everywhere(setup: Setup, seed: u64) {
    let mut states = 0;
    for seed in seed.. {
        let played =
            Played::new(setup, seed).unwrap_or_else(|finding| panic!("seed {seed}: {finding}"));
        states += explore(&played, seed).unwrap_or_else(|finding| panic!("{finding}"));
        if states >= STATES * times() {
            println!("{states} states after crashes, up to seed {seed}");
            return;
        }
    }
}

#[test]
fn a_synced_log_survives_every_crash() {
    crash_everywhere(SYNC, 1_000_000);
}

#[test]
fn a_synced_log_of_tiny_segments_survives_every_crash() {
    let setup = Setup {
        segment_bytes: 1 << 10,
        ..SYNC
    };
    crash_everywhere(setup, 2_000_000);
}

#[test]
fn a_staged_log_survives_every_crash() {
    crash_everywhere(PROCESS, 3_000_000);
}

#[test]
fn a_staged_log_of_tiny_segments_survives_every_crash() {
    let setup = Setup {
        segment_bytes: 1 << 10,
        ..PROCESS
    };
    crash_everywhere(setup, 4_000_000);
}

#[test]
fn a_log_that_is_synced_now_and_then_survives_every_crash() {
    crash_everywhere(INTERVAL, 5_000_000);
}

/// How many histories are looked through for a call of the kind that is to fail.
const SEEDS_MAX: u64 = 1_000;

/// Plays histories in which the nth call of one kind fails, for every n that is reached.
fn trouble_everywhere(
    setup: Setup,
    call: DiskCall,
    trouble: Trouble,
    stays: bool,
) -> Result<(), Finding> {
    let mut met = 0;
    for seed in 0..SEEDS_MAX {
        // Not every short history makes a call of each kind.
        if seed >= 2 * times() as u64 && met > 0 {
            break;
        }
        for nth in 0.. {
            let plan = Plan {
                call,
                nth,
                trouble,
                stays,
            };
            if !trouble::play(setup, seed, plan)? {
                break;
            }
            met += 1;
        }
    }
    assert!(met > 0, "no {call:?} was ever made");
    Ok(())
}

fn short(setup: Setup) -> Setup {
    Setup { calls: 30, ..setup }
}

#[test]
fn trouble_that_passes_is_not_noticed() {
    for setup in [SYNC, PROCESS] {
        for call in [DiskCall::Read, DiskCall::Write] {
            for trouble in [Trouble::Interrupted, Trouble::Short] {
                trouble_everywhere(short(setup), call, trouble, false).unwrap();
            }
        }
    }
}

#[test]
fn a_failing_disk_loses_nothing_acknowledged() {
    use DiskCall::{
        Create, Open, Read, Remove, Rename, Reserve, Sync, SyncDirectory, Truncate, Write,
    };
    for setup in [SYNC, PROCESS] {
        for call in [
            Read,
            Write,
            Sync,
            Create,
            Open,
            Rename,
            Remove,
            Reserve,
            Truncate,
            SyncDirectory,
        ] {
            trouble_everywhere(short(setup), call, Trouble::Io, false)
                .unwrap_or_else(|finding| panic!("{finding}"));
        }
    }
}

#[test]
fn a_full_disk_is_refused_and_left() {
    for setup in [SYNC, PROCESS] {
        for call in [DiskCall::Write, DiskCall::Reserve, DiskCall::Create] {
            for stays in [false, true] {
                trouble_everywhere(short(setup), call, Trouble::Full, stays)
                    .unwrap_or_else(|finding| panic!("{finding}"));
            }
        }
    }
}

#[test]
fn too_many_open_files_are_refused_and_left() {
    for setup in [SYNC, PROCESS] {
        for call in [DiskCall::Open, DiskCall::Create] {
            trouble_everywhere(short(setup), call, Trouble::TooManyFiles, true)
                .unwrap_or_else(|finding| panic!("{finding}"));
        }
    }
}

/// A small log with a few segments; its last frame is one that can be seen.
fn at_rest(is_closed: bool) -> AtRest {
    let setup = Setup {
        segment_bytes: 1 << 10,
        calls: 24,
        ..SYNC
    };
    let played = Played::new(setup, 77).unwrap();
    AtRest::new(played, is_closed).unwrap()
}

fn is_segment(name: &FileName) -> bool {
    matches!(name, FileName::Segment { .. })
}

#[test]
fn every_flipped_bit_of_a_segment_is_found() {
    for is_closed in [false, true] {
        let log = at_rest(is_closed);
        let segments = log.files(is_segment);
        assert!(segments.len() >= 2, "{segments:?}");
        for name in segments {
            let used = log.used(&name) * 8;
            for bit in 0..log.len(&name) * 8 {
                let class = log.class(log.with_flipped(&name, bit));
                let class = class.unwrap_or_else(|finding| panic!("{name}, bit {bit}: {finding}"));
                let is_right = match class {
                    Class::Found | Class::TornTail => true,
                    Class::Harmless => bit >= used,
                    Class::Shorter => false,
                };
                assert!(is_right, "{name}: bit {bit} of {used} is {class:?}");
            }
        }
    }
}

#[test]
fn a_segment_that_is_cut_anywhere_is_found_or_ends_the_log() {
    for is_closed in [false, true] {
        let log = at_rest(is_closed);
        let segments = log.files(is_segment);
        let in_use = |name: &&String| log.used(name) > SEGMENT_HEADER_BYTES as u64;
        let newest = segments.iter().rfind(in_use).cloned();
        for name in segments {
            for len in 0..log.used(&name) {
                let class = log.class(log.with_cut(&name, len));
                let class =
                    class.unwrap_or_else(|finding| panic!("{name}, cut at {len}: {finding}"));
                let is_right = class == Class::Found || Some(&name) >= newest.as_ref();
                assert!(is_right, "{name}, cut at {len} is {class:?}");
            }
        }
    }
}

#[test]
fn a_flipped_bit_of_an_index_changes_no_answer() {
    let log = at_rest(true);
    let indexes = log.files(|name| matches!(name, FileName::Index { .. }));
    assert!(!indexes.is_empty());
    for name in indexes {
        // Each bit of a byte in turn; all of them in the long form, which takes a while.
        let stride = if times() > 1 { 1 } else { 9 };
        for bit in (0..log.len(&name) * 8).step_by(stride) {
            let class = log.class(log.with_flipped(&name, bit));
            let class = class.unwrap_or_else(|finding| panic!("{name}, bit {bit}: {finding}"));
            let is_right = matches!(class, Class::Found | Class::Harmless);
            assert!(is_right, "{name}: bit {bit} is {class:?}");
        }
    }
}

#[test]
fn every_flipped_bit_of_the_manifest_is_found() {
    let log = at_rest(true);
    for bit in 0..log.len("MANIFEST") * 8 {
        let class = log.class(log.with_flipped("MANIFEST", bit));
        assert_eq!(class, Ok(Class::Found), "bit {bit}");
    }
}
