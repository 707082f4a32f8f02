//! Crashes, trouble and damage, in numbers.
//!
//! `LEDGER_CRASH=long` looks at many more states; a number is how many times more.

mod trouble;

use std::sync::Arc;
use std::time::Duration;

use ledger_core::{Durability, ManualClock, Timestamp};

use super::crash::explore;
use super::damage::{AtRest, Class};
use super::followed::{Looks, follow};
use super::history::Theme;
use super::inode::Survival;
use super::played::{Played, SYNC, Setup};
use super::repaired::Extent;
use super::{LogSubject, Random, SimDisk, State, Step};
use crate::format::{FileName, SEGMENT_HEADER_BYTES};
use crate::options::Compression;

/// How many crash states each kind of history is looked at in; there are six kinds.
const STATES: usize = 42_000;

const TINY: Setup = Setup {
    segment_bytes: 1 << 10,
    ..SYNC
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

/// Looks at histories from `seed` on until there were enough states. Every other one packs its full segments.
fn crash_everywhere(setup: Setup, seed: u64) {
    let mut states = 0;
    for seed in seed.. {
        let played = Played::new(setup.of_seed(seed), seed)
            .unwrap_or_else(|finding| panic!("seed {seed}: {finding}"));
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
    crash_everywhere(TINY, 2_000_000);
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
fn a_log_of_many_dedup_keys_survives_every_crash() {
    let setup = Setup {
        theme: Theme::DedupKeys,
        ..PROCESS
    };
    crash_everywhere(setup, 6_000_000);
}

/// Long enough for sets of recent keys to come to their end again and again.
#[test]
fn a_log_of_many_dedup_keys_answers_like_the_model() {
    let setup = Setup {
        theme: Theme::DedupKeys,
        calls: 160,
        ..PROCESS
    };
    for seed in 0..100 * times() as u64 {
        let played = Played::new(setup.of_seed(seed), seed);
        played.unwrap_or_else(|finding| panic!("seed {seed}: {finding}"));
    }
}

#[test]
fn a_log_that_is_synced_now_and_then_survives_every_crash() {
    crash_everywhere(INTERVAL, 5_000_000);
}

#[test]
fn readers_in_other_processes_see_the_log_as_it_was_at_some_moment_and_never_go_back() {
    let mut looks = Looks::default();
    for setup in [SYNC, TINY, PROCESS, INTERVAL] {
        for seed in 0..20 * times() as u64 {
            let played = Played::new(setup.of_seed(seed), seed);
            let followed = played.and_then(|played| follow(&played, seed));
            let followed = followed.unwrap_or_else(|finding| panic!("{setup:?}: {finding}"));
            looks.all += followed.all;
            looks.in_vain += followed.in_vain;
        }
    }
    println!("{looks:?}");
    assert!(looks.in_vain * 5 < looks.all, "{looks:?}");
}

/// How many ways the world ends before each step of an opening.
const ENDS: usize = 6;

/// Opens a log on `state`, and tells what that did to the disk.
fn opened(state: &State) -> Vec<Step> {
    let disk = SimDisk::new(state.clone());
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(0)));
    let log = LogSubject::open(&disk, &SYNC, clock);
    assert!(log.is_ok(), "{log:?}");
    disk.journal()
}

/// What is left of `state` if the power is cut while a log is opened on it.
fn cut_openings(state: &State, random: &mut Random) -> Vec<State> {
    let (mut state, mut left) = (state.clone(), Vec::new());
    for step in opened(&state) {
        left.extend((0..ENDS).map(|_| state.after_power_cut(Survival::Any, random)));
        state.apply(&step);
    }
    left
}

/// Nor is anybody told anything: what readers know of it is right.
#[test]
fn a_log_that_was_closed_is_opened_without_a_change_to_the_disk() {
    for seed in 0..8 {
        let played = Played::new(SYNC.of_seed(seed), seed).unwrap();
        let closed = AtRest::new(played, true).unwrap();
        assert!(opened(&closed.state).is_empty(), "seed {seed}");
    }
}

/// A manifest that was left half-way must not come back in place of the one that was made after it.
#[test]
fn a_log_whose_making_was_cut_short_twice_is_made() {
    let random = &mut Random::new(1);
    for left in cut_openings(&State::default(), random) {
        for left in cut_openings(&left, random) {
            opened(&left);
        }
    }
}

/// A small log with a few segments; its last frame is one that can be seen.
fn at_rest(is_closed: bool) -> AtRest {
    at_rest_with(SYNC, is_closed)
}

fn at_rest_with(setup: Setup, is_closed: bool) -> AtRest {
    let setup = Setup {
        segment_bytes: 1 << 10,
        calls: 24,
        ..setup
    };
    let played = Played::new(setup, 77).unwrap();
    AtRest::new(played, is_closed).unwrap()
}

fn is_segment(name: &FileName) -> bool {
    matches!(name, FileName::Segment { .. } | FileName::Packed { .. })
}

#[test]
fn every_flipped_bit_of_a_segment_is_found() {
    check_flips(SYNC);
}

#[test]
fn every_flipped_bit_of_a_packed_segment_is_found() {
    check_flips(SYNC.packing());
}

fn check_flips(setup: Setup) {
    for is_closed in [false, true] {
        let log = at_rest_with(setup, is_closed);
        let segments = log.files(is_segment);
        assert!(segments.len() >= 2, "{segments:?}");
        let has_packed = segments.iter().any(|name| name.ends_with(".packed"));
        assert_eq!(has_packed, setup.sealed_compression != Compression::Off);
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
    let setups = [SYNC, SYNC.packing()].map(|setup| [(setup, false), (setup, true)]);
    for (setup, is_closed) in setups.concat() {
        let log = at_rest_with(setup, is_closed);
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
    check_index_flips(&at_rest(true), 9, |name| {
        matches!(name, FileName::Index { .. })
    });
}

#[test]
fn a_flipped_bit_of_a_merged_index_changes_no_answer() {
    let longer = Setup {
        segment_bytes: 1 << 10,
        calls: 48,
        ..SYNC
    };
    let log = AtRest::new(Played::new(longer, 77).unwrap(), true).unwrap();
    check_index_flips(&log, 99, |name| matches!(name, FileName::Merged { .. }));
}

/// Flips every so many bits: that of each byte in turn; all of them in the long form, which takes a while.
fn check_index_flips(log: &AtRest, stride: usize, is_index: impl Fn(&FileName) -> bool) {
    let stride = if times() > 1 { 1 } else { stride };
    let indexes = log.files(is_index);
    assert!(!indexes.is_empty());
    for name in indexes {
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

/// A small log whose streams keep their names.
fn to_repair(durability: Durability, seed: u64, is_closed: bool) -> AtRest {
    let setup = Setup { durability, ..SYNC };
    to_repair_with(setup, seed, is_closed)
}

fn to_repair_with(setup: Setup, seed: u64, is_closed: bool) -> AtRest {
    let setup = Setup {
        segment_bytes: 1 << 10,
        calls: 30,
        ..setup
    };
    AtRest::unrenamed(setup, seed, is_closed).unwrap()
}

/// One bit in every third byte or so, and all of them in the long form.
fn bits(bytes: u64) -> impl Iterator<Item = u64> {
    (0..bytes * 8).step_by(if times() > 1 { 1 } else { 27 })
}

#[test]
fn every_flipped_bit_of_a_segment_is_repaired() {
    check_flips_are_repaired(SYNC);
}

#[test]
fn every_flipped_bit_of_a_packed_segment_is_repaired() {
    check_flips_are_repaired(SYNC.packing());
}

fn check_flips_are_repaired(setup: Setup) {
    let mut repaired = 0;
    for (seed, is_closed) in [(77, false), (77, true), (5, true)] {
        let log = to_repair_with(setup, seed, is_closed);
        for name in log.files(is_segment) {
            for bit in bits(log.used(&name)) {
                let damaged = log.with_flipped(&name, bit);
                let repair = log.check_repair(&damaged, Extent::Frame);
                let repair = repair
                    .unwrap_or_else(|finding| panic!("seed {seed}, {name}, bit {bit}: {finding}"));
                assert_eq!(
                    repair.is_sound(),
                    !log.is_refused(damaged).unwrap()
                        && log.class(log.with_flipped(&name, bit)) != Ok(Class::Found),
                    "seed {seed}, {name}, bit {bit}: {repair:?}"
                );
                repaired += u64::from(!repair.is_sound());
            }
        }
    }
    assert!(repaired > 300, "{repaired}");
}

#[test]
fn a_segment_that_is_gone_or_cut_is_repaired() {
    for durability in [Durability::Sync, Durability::Process] {
        for seed in 0..12 {
            let setup = Setup { durability, ..SYNC };
            let log = to_repair_with(setup.of_seed(seed / 2), seed * 100, seed % 2 == 0);
            for name in log.files(is_segment) {
                let gone = log.check_repair(&log.without(&name), Extent::Anything);
                let gone = gone.unwrap_or_else(|finding| panic!("{seed}: {name}: {finding}"));
                assert!(!gone.is_sound());
                for len in (0..log.used(&name)).step_by(61) {
                    let repair = log.check_repair(&log.with_cut(&name, len), Extent::Anything);
                    repair.unwrap_or_else(|finding| panic!("{seed}: {name} at {len}: {finding}"));
                }
            }
        }
    }
}

#[test]
fn a_manifest_that_is_damaged_or_gone_is_made_anew() {
    for (setup, is_closed) in [
        (SYNC, false),
        (SYNC, true),
        (SYNC.packing(), false),
        (SYNC.packing(), true),
    ] {
        let log = to_repair_with(setup, 77, is_closed);
        let expected = log.check_repair(&log.state, Extent::Frame).unwrap();
        assert!(expected.is_sound(), "{expected:?}");
        for bit in bits(log.len("MANIFEST")) {
            let repair = log.check_repair(&log.with_flipped("MANIFEST", bit), Extent::Frame);
            let repair = repair.unwrap_or_else(|finding| panic!("bit {bit}: {finding}"));
            assert!(!repair.is_sound() && repair.lost.is_empty(), "{repair:?}");
        }
        let repair = log.check_repair(&log.without("MANIFEST"), Extent::Frame);
        assert_eq!(repair.unwrap().lost, []);
    }
}

#[test]
fn an_index_that_is_damaged_is_made_again() {
    let log = to_repair(Durability::Sync, 77, true);
    for name in log.files(|name| matches!(name, FileName::Index { .. })) {
        let repair = log.check_repair(&log.with_flipped(&name, 9 * 8), Extent::Frame);
        let repair = repair.unwrap();
        assert_eq!(repair.damage[0].file, name);
        assert_eq!(repair.lost, []);
    }
}

#[test]
fn a_repair_that_is_cut_short_has_happened_or_is_made_again() {
    for (setup, is_closed) in [
        (SYNC, false),
        (SYNC, true),
        (PROCESS, true),
        (SYNC.packing(), true),
    ] {
        let log = to_repair_with(setup, 77, is_closed);
        let mut crashes = 0;
        for name in log.files(is_segment) {
            for bit in [40 * 8 + 3, 90 * 8, log.used(&name) * 4] {
                let damaged = log.with_flipped(&name, bit);
                if log.is_refused(damaged.clone()).unwrap() {
                    crashes += log.crash_repair(&damaged, bit).unwrap();
                }
            }
            let gone = log.crash_repair(&log.without(&name), 1);
            crashes += gone.unwrap_or_else(|finding| panic!("{name}: {finding}"));
        }
        let manifest = log.with_flipped("MANIFEST", 60 * 8);
        crashes += log.crash_repair(&manifest, 1).unwrap();
        assert!(crashes > 100, "{crashes}");
    }
}

#[test]
fn a_repair_that_fails_has_happened_or_is_made_again() {
    for setup in [SYNC, SYNC.packing()] {
        let log = to_repair_with(setup, 77, true);
        let segments = log.files(is_segment);
        let damaged = log.with_flipped(&segments[0], 90 * 8);
        for state in [
            damaged,
            log.without(&segments[1]),
            log.with_flipped("MANIFEST", 60 * 8),
        ] {
            let met = trouble::DISK_CALLS.map(|call| {
                let met = log.fail_repair(&state, call);
                met.unwrap_or_else(|finding| panic!("{finding}"))
            });
            assert!(met.iter().sum::<usize>() > 20, "{met:?}");
        }
    }
}
