//! Every mistake that can be planted is found: the proof that crashes, trouble and damage would find a real one.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ledger_core::Durability;

use super::crash::explore;
use super::damage::{AtRest, Class};
use super::followed::follow;
use super::history::Theme;
use super::played::{self, Finding, Played, Setup};
use super::trouble::{self, Ended, Plan};
use super::{DiskCall, State, Trouble};
use crate::fault::{self, Mistake};
use crate::format::{FileName, NewRecord, SEGMENT_HEADER_BYTES};
use crate::log::Log;
use crate::options::FileOptions;

/// In how many histories a mistake must have shown itself.
const HISTORIES: u64 = 100;

/// With room for zeroes.
const WIDE: Setup = Setup {
    calls: 40,
    ..played::SYNC
};

const SYNC: Setup = Setup {
    segment_bytes: 1 << 10,
    ..WIDE
};

/// With many dedup keys.
const KEYS: Setup = Setup {
    theme: Theme::DedupKeys,
    calls: 160,
    ..SYNC
};

const STAGED: Setup = Setup {
    durability: Durability::Process,
    ..SYNC
};

/// Plays with the mistake until something is wrong, where nothing is wrong without it. A panic is found too: an
/// assertion was faster.
fn assert_found(mistake: Mistake, look: impl Fn(u64) -> Result<(), Finding>) {
    let found = (0..HISTORIES).find_map(|seed| {
        let looked = catch_unwind(AssertUnwindSafe(|| fault::with(mistake, || look(seed))));
        let looked = looked.unwrap_or_else(|_| Err("it panicked".into()));
        looked.err().map(|finding| (seed, finding))
    });
    let (seed, found) = found.unwrap_or_else(|| panic!("{mistake:?} was not found"));
    assert_eq!(look(seed), Ok(()), "without {mistake:?}");
    println!("{mistake:?}: {}", found.lines().next().unwrap_or_default());
}

fn crashes(setup: Setup) -> impl Fn(u64) -> Result<(), Finding> {
    move |seed| explore(&Played::new(setup, seed)?, seed).map(drop)
}

fn plays(setup: Setup) -> impl Fn(u64) -> Result<(), Finding> {
    move |seed| Played::new(setup, seed).map(drop)
}

fn followed(setup: Setup) -> impl Fn(u64) -> Result<(), Finding> {
    move |seed| follow(&Played::new(setup, seed)?, seed).map(drop)
}

fn trouble(setup: Setup, call: DiskCall, trouble: Trouble) -> impl Fn(u64) -> Result<(), Finding> {
    move |seed| {
        let mut plan = Plan::once(call, trouble);
        while trouble::play(setup, seed, plan)? {
            plan.nth += 1;
        }
        Ok(())
    }
}

/// Trouble with a sync in the openings after a history.
fn openings(setup: Setup) -> impl Fn(u64) -> Result<(), Finding> {
    move |seed| {
        let ended = Ended::new(setup, seed)?;
        let mut plan = Plan::once(DiskCall::Sync, Trouble::Io);
        while ended.open(plan)? {
            plan.nth += 1;
        }
        Ok(())
    }
}

fn at_rest(seed: u64, is_closed: bool) -> Result<AtRest, Finding> {
    AtRest::new(Played::new(SYNC, seed)?, is_closed)
}

fn is_segment(name: &FileName) -> bool {
    matches!(name, FileName::Segment { .. })
}

/// One flipped bit in every seventh byte of each segment.
fn flips(seed: u64) -> Result<(), Finding> {
    let log = at_rest(seed, true)?;
    for name in log.files(is_segment) {
        for bit in (0..log.used(&name) * 8).step_by(51) {
            let class = log.class(log.with_flipped(&name, bit))?;
            if !matches!(class, Class::Found | Class::TornTail) {
                return Err(format!("bit {bit} of {name} is {class:?}"));
            }
        }
    }
    Ok(())
}

/// As [`flips`], of a log that was not closed, in its newest segments.
fn flips_behind_a_crash(seed: u64) -> Result<(), Finding> {
    let log = at_rest(seed, false)?;
    for name in log.files(is_segment).into_iter().rev().take(2) {
        for bit in (64 * 8..log.used(&name) * 8).step_by(51) {
            if log.class(log.with_flipped(&name, bit))? == Class::Shorter {
                return Err(format!("bit {bit} of {name} ends the log"));
            }
        }
    }
    Ok(())
}

/// A segment is gone, or has lost its last byte, which is found when the log is opened.
fn losses(seed: u64) -> Result<(), Finding> {
    let log = at_rest(seed, true)?;
    let segments = log.files(is_segment);
    for name in &segments[..segments.len() - 1] {
        let cut = log.with_cut(name, log.used(name) - 1);
        for (loss, damaged) in [("gone", log.without(name)), ("short", cut)] {
            if !log.is_refused(damaged)? {
                return Err(format!("{name} is {loss}, and nobody minds"));
            }
        }
    }
    Ok(())
}

/// Behind the end of the log lie the frames of another that had the same history, and a longer one.
fn recycled(seed: u64) -> Result<(), Finding> {
    let longer = Setup {
        calls: SYNC.calls + 8,
        ..SYNC
    };
    let other = AtRest::new(Played::new(longer, seed)?, false)?;
    let log = at_rest(seed, false)?;
    let Some(name) = newest_segment(&log) else {
        return Ok(());
    };
    let number = |name: &str| name[..8].to_owned();
    let others = other.files(is_segment);
    let Some(theirs) = others.iter().find(|theirs| number(theirs) == number(&name)) else {
        return Ok(());
    };
    let (end, bytes) = (frames_end(&log, &name), other.bytes(theirs));
    let Some(behind) = bytes.get(end..) else {
        return Ok(());
    };
    unharmed(&log, log.with_bytes(&name, end as u64, behind))
}

/// Behind the end of the log lies what it begins with.
fn moved(seed: u64) -> Result<(), Finding> {
    let log = at_rest(seed, false)?;
    let Some(name) = newest_segment(&log) else {
        return Ok(());
    };
    let (end, bytes) = (frames_end(&log, &name), log.bytes(&name));
    unharmed(
        &log,
        log.with_bytes(&name, end as u64, &bytes[SEGMENT_HEADER_BYTES..]),
    )
}

fn unharmed(log: &AtRest, damaged: State) -> Result<(), Finding> {
    match log.class(damaged)? {
        Class::Harmless => Ok(()),
        class => Err(format!("what lies behind the end is {class:?}")),
    }
}

/// The newest segment that has frames.
fn newest_segment(log: &AtRest) -> Option<String> {
    let has_frames = |name: &&String| log.used(name) > SEGMENT_HEADER_BYTES as u64;
    log.files(is_segment)
        .into_iter()
        .rev()
        .find(|name| has_frames(&name))
}

/// Where its frames end: each is a multiple of eight bytes long, and ends in zeroes at the most.
fn frames_end(log: &AtRest, name: &str) -> usize {
    (log.used(name) as usize).next_multiple_of(8)
}

/// Each index file has been put in place of another.
fn swapped_indexes(seed: u64) -> Result<(), Finding> {
    let log = at_rest(seed, true)?;
    let indexes = log.files(|name| matches!(name, FileName::Index { .. }));
    for pair in indexes.windows(2) {
        let mut other = log.bytes(&pair[1]);
        // An index may end with zeroes, and is not one without them.
        other.resize(log.len(&pair[1]) as usize, 0);
        let mut damaged = log.with_cut(&pair[0], 0);
        let number = damaged.find(&pair[0]).expect("it is one of its files");
        damaged.file_mut(number).write(&other, 0);
        damaged.file_mut(number).all_synced();
        let class = log.class(damaged)?;
        if !matches!(class, Class::Found | Class::Harmless) {
            return Err(format!("{} in place of {} is {class:?}", pair[1], pair[0]));
        }
    }
    Ok(())
}

/// One flipped bit in every twelfth byte of each index.
fn index_flips(seed: u64) -> Result<(), Finding> {
    let log = at_rest(seed, true)?;
    for name in log.files(|name| matches!(name, FileName::Index { .. })) {
        for bit in (0..log.len(&name) * 8).step_by(101) {
            let class = log.class(log.with_flipped(&name, bit))?;
            if !matches!(class, Class::Found | Class::Harmless) {
                return Err(format!("bit {bit} of {name} is {class:?}"));
            }
        }
    }
    Ok(())
}

/// Hashes have 32 bits: among so many keys some have the same.
const ALIKE_KEYS: u64 = 300_000;

/// Dedup keys of which none is another, though some look alike to the index.
fn alike_keys(seed: u64) -> Result<(), Finding> {
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    let options = FileOptions::default().with_durability(Durability::Process);
    let log = Log::open(place.path(), options).map_err(|error| error.to_string())?;
    let mut outcomes = Vec::new();
    for first in (0..ALIKE_KEYS).step_by(1_000) {
        let keys: Vec<_> = (first..first + 1_000)
            .map(|nth| format!("{seed}/{nth}"))
            .collect();
        let record = |key| NewRecord::octets(b"").dedup_key(key);
        let records: Vec<_> = keys.iter().map(|key| record(key)).collect();
        log.append_records(&"s".into(), &records, None, &mut outcomes)
            .map_err(|error| error.to_string())?;
        if let Some(other) = outcomes.iter().find(|outcome| outcome.is_duplicate()) {
            return Err(format!("a key of {} is said to be new no more", other.id()));
        }
    }
    Ok(())
}

/// What was kept of streams at an earlier closing is put in place of what the last one kept.
fn stale_streams(_: u64) -> Result<(), Finding> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let place = tempfile::tempdir().map_err(|error| told(&error))?;
    let (kept, aside) = (place.path().join("log/STREAMS"), place.path().join("aside"));
    let append = |log: &Log, stream: u64| {
        let mut outcomes = Vec::new();
        let (name, record) = (format!("s-{stream}"), NewRecord::octets(b""));
        log.append_records(&name.into(), &[record], None, &mut outcomes)?;
        Ok::<_, ledger_core::Error>(outcomes[0].id())
    };
    for id in 1..=3 {
        let log = Log::open(place.path().join("log"), FileOptions::default());
        let log = log.map_err(|error| told(&error))?;
        for stream in 0..10 {
            if append(&log, stream).map_err(|error| told(&error))? != id {
                return Err(format!(
                    "the id {id} of stream {stream} was given out before"
                ));
            }
        }
        log.close().map_err(|error| told(&error))?;
        let (from, to) = if id == 1 {
            (&kept, &aside)
        } else {
            (&aside, &kept)
        };
        std::fs::copy(from, to).map_err(|error| told(&error))?;
    }
    Ok(())
}

/// One test for each mistake.
macro_rules! found {
    ($($test:ident: $mistake:ident, $look:expr;)*) => {
        $(#[test]
        fn $test() {
            assert_found(Mistake::$mistake, $look);
        })*
    };
}

found! {
    an_answer_before_its_sync: AcknowledgedBeforeSync, crashes(SYNC);
    a_segment_whose_name_was_not_synced: SegmentNameNotSynced, crashes(SYNC);
    a_segment_whose_header_was_not_synced: SegmentHeaderNotSynced, crashes(SYNC);
    a_full_segment_that_was_not_synced: SealedNotSynced, crashes(STAGED);
    a_manifest_that_was_not_synced: ManifestNotSynced, crashes(SYNC);
    a_manifest_whose_name_was_not_synced: ManifestNameNotSynced, crashes(SYNC);
    a_removal_before_its_manifest: RemovedBeforeManifest, crashes(SYNC);
    a_plain_file_that_goes_before_its_manifest: PlainRemovedBeforeManifest, crashes(SYNC.packing());
    a_packed_segment_that_was_not_synced: PackedNotSynced, crashes(SYNC.packing());
    a_packed_segment_whose_name_was_not_synced: PackedNameNotSynced, crashes(SYNC.packing());
    what_is_not_carried_forward: CarryForgotten, crashes(SYNC);
    what_is_carried_forward_unsynced: CarryNotSynced, crashes(STAGED);
    a_stage_that_moves_on_too_early: StageSwitchedBeforeFlush, crashes(STAGED);
    a_stage_that_keeps_what_was_cut: StageKeptAfterCut, crashes(STAGED);
    a_stage_that_is_not_replayed: StageNotReplayed, crashes(STAGED);
    a_recovery_that_serves_what_is_not_synced: RecoveredNotSynced, crashes(STAGED);
    dedup_keys_that_are_not_read_again: DedupNotRebuilt, crashes(SYNC);
    older_dedup_keys_that_are_forgotten: OlderKeysForgotten, plays(KEYS);
    active_dedup_keys_that_are_forgotten: ActiveKeysForgotten, plays(KEYS);
    room_for_the_dedup_keys_of_one_batch: RoomForOneBatch, plays(KEYS);
    removals_that_are_not_read_again: RemovalsNotRebuilt, crashes(SYNC);
    a_clock_that_is_believed: ClockTrusted, crashes(SYNC);
    a_sync_that_is_tried_again: SyncRetried, trouble(SYNC, DiskCall::Sync, Trouble::Io);
    a_sync_of_a_full_segment_that_is_tried_again: SealedSyncRetried, trouble(STAGED, DiskCall::Sync, Trouble::Io);
    a_sync_of_zeroes_that_failed_and_is_passed_over: ZeroesSyncPassedOver, trouble(WIDE.zeroing(), DiskCall::Sync, Trouble::Io);
    a_recovery_that_believes_a_sync_after_one_that_failed: RecoveredNotWrittenAgain, trouble(SYNC, DiskCall::Sync, Trouble::Io);
    an_opening_that_believes_a_sync_after_one_that_failed: RecoveredNotWrittenAgain, openings(STAGED);
    a_failed_sync_that_readers_are_not_told_of: FailedSyncNotTold, trouble(SYNC, DiskCall::Sync, Trouble::Io);
    readers_who_show_what_is_not_synced: LeftNotSynced, followed(SYNC);
    readers_who_make_a_failed_sync_again: ReadersSyncRetried, followed(SYNC);
    an_opening_that_failed_and_readers_are_not_told_of: FailedOpeningNotTold, crashes(SYNC);
    an_end_that_is_told_while_it_is_not_known: EndNotHidden, followed(SYNC);
    readers_who_see_what_is_not_durable: VisibleBeforeDurable, trouble(SYNC, DiskCall::Sync, Trouble::Io);
    zeroes_that_are_written_over_frames: ZeroesOverFrames, crashes(SYNC.zeroing());
    a_short_write_that_is_not_gone_on_from: ShortWriteIgnored, trouble(SYNC, DiskCall::Write, Trouble::Short);
    a_read_error_that_ends_the_log: ReadErrorIsTheEnd, trouble(SYNC, DiskCall::Read, Trouble::Io);
    a_claim_that_is_ignored: ClaimIgnored, flips_behind_a_crash;
    a_checksum_that_is_ignored: ChecksumIgnored, flips;
    a_duplicate_that_is_not_waited_for: DuplicateNotWaitedFor, crashes(SYNC);
    a_tail_that_is_not_cut: TailNotCut, crashes(STAGED);
    a_partial_write_that_is_not_cut: PartialWriteNotCut, trouble(SYNC, DiskCall::Write, Trouble::Full);
    a_missing_segment: MissingSegmentPassedOver, losses;
    a_short_segment: ShortSegmentAccepted, losses;
    an_old_frame_of_another_generation: ChecksumWithoutGeneration, recycled;
    a_frame_at_another_place: ChecksumWithoutPosition, moved;
    an_index_of_another_segment: IndexOriginIgnored, swapped_indexes;
    an_index_that_is_believed: IndexTrusted, alike_keys;
    an_index_whose_checksum_is_ignored: IndexChecksumIgnored, index_flips;
    a_stream_that_is_forgotten_too_early: UnderWayForgotten, plays(SYNC.forgetting(0));
    streams_as_they_were_at_another_time: StaleStreamsBelieved, stale_streams;
}
