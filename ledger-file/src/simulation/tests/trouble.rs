//! Trouble in histories, in openings, and twice.

use super::{INTERVAL, PROCESS, SYNC, times};
use crate::simulation::played::{Finding, Setup};
use crate::simulation::trouble::{self, Ended, Plan};
use crate::simulation::{DiskCall, Trouble};

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
        // One of each kind of setup; and not every short history makes a call of each kind.
        if seed >= 4 * times() as u64 && met > 0 {
            break;
        }
        let plan = Plan {
            stays,
            ..Plan::once(call, trouble)
        };
        met += play_all(setup, seed, plan)?;
    }
    assert!(met > 0, "no {call:?} was ever made");
    Ok(())
}

/// Plays the history of `seed` with trouble in the first call of the kind, in the second, and so on; tells how many there
/// were.
fn play_all(setup: Setup, seed: u64, plan: Plan) -> Result<u64, Finding> {
    let mut nth = 0;
    while trouble::play(setup.of_seed(seed), seed, Plan { nth, ..plan })? {
        nth += 1;
    }
    Ok(nth)
}

/// All kinds of calls.
pub(super) const DISK_CALLS: [DiskCall; 10] = [
    DiskCall::Read,
    DiskCall::Write,
    DiskCall::Sync,
    DiskCall::Create,
    DiskCall::Open,
    DiskCall::Rename,
    DiskCall::Remove,
    DiskCall::Reserve,
    DiskCall::Truncate,
    DiskCall::SyncDirectory,
];

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
    for setup in [SYNC, PROCESS, INTERVAL] {
        for call in DISK_CALLS {
            for stays in [false, true] {
                trouble_everywhere(short(setup), call, Trouble::Io, stays)
                    .unwrap_or_else(|finding| panic!("{finding}"));
            }
        }
    }
}

/// In a part of all histories for each pair of calls.
#[test]
fn a_disk_that_fails_twice_loses_nothing_acknowledged() {
    let pairs = DISK_CALLS.map(|call| DISK_CALLS.map(|then| (call, then)));
    let pairs = pairs.as_flattened().iter().copied();
    let setups = [SYNC, PROCESS, INTERVAL].into_iter();
    let mut seeds = 0..;
    for (setup, (call, then)) in setups.flat_map(|setup| pairs.clone().map(move |it| (setup, it))) {
        let plan = Plan {
            then: Some(then),
            ..Plan::once(call, Trouble::Io)
        };
        for seed in seeds.by_ref().take(times()) {
            play_all(short(setup), seed, plan).unwrap_or_else(|finding| panic!("{finding}"));
        }
    }
}

/// Opens the logs of histories, and those that are not made yet, while the nth call of one kind fails, for every n that is
/// reached. Answers how often that was met.
fn trouble_in_every_opening(setup: Setup, call: DiskCall, trouble: Trouble) -> usize {
    let new = Setup { calls: 0, ..setup };
    let mut met = 0;
    for seed in 0..4 * times() as u64 {
        for setup in [new, setup] {
            let ended = Ended::new(setup.of_seed(seed), seed);
            let ended = ended.unwrap_or_else(|finding| panic!("{finding}"));
            let plan = Plan::once(call, trouble);
            let is_met = |nth: &u64| {
                let opened = ended.open(Plan { nth: *nth, ..plan });
                opened.unwrap_or_else(|finding| panic!("{finding}"))
            };
            met += (0..).take_while(is_met).count();
        }
    }
    met
}

#[test]
fn an_opening_that_fails_can_be_made_again() {
    for call in DISK_CALLS {
        let setups = [SYNC, PROCESS, INTERVAL].map(short);
        let met = setups.map(|setup| trouble_in_every_opening(setup, call, Trouble::Io));
        assert!(met.iter().sum::<usize>() > 0, "no {call:?} was ever made");
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
