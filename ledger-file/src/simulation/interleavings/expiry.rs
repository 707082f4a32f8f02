//! Entries expire, are purged and rewritten, while others read and append.

use ledger_core::{Entry, ManualClock, ReadOptions, Timestamp};

use super::*;

const ENTRIES: u64 = 6;

/// When every other entry expires of those that are there at first.
const END: Timestamp = Timestamp::from_micros(10);

/// That of all processes.
fn clocked(world: World) -> (World, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1)));
    world.log.close().expect("it can be closed");
    let options = world.options.clone().with_clock(clock.clone());
    let world = World { options, ..world };
    (world.of_writer().expect("it can be opened again"), clock)
}

/// Entries in several segments, of which every other one has expired.
fn with_much_to_purge(world: World, scale: usize) -> World {
    let (world, clock) = clocked(world);
    for id in 1..=ENTRIES {
        let mut entry = entry(&id.to_string(), scale * 300);
        entry.expires_at = expires(id).then_some(END);
        let batch = Batch::new(STREAM, vec![entry]);
        world.log.append(batch).expect("nothing fails");
    }
    clock.set(END);
    world
}

fn expires(id: u64) -> bool {
    id <= ENTRIES && id % 2 == 1
}

/// What has expired is a tombstone, everything else is as it was, and ids are dense.
fn look(log: &Log) {
    let all = ReadOptions::new().limit(1_000).with_tombstones();
    let page = log.read(&STREAM.into(), &all).expect("it can be read");
    let mut ids: Vec<u64> = page.entries.iter().map(|entry| entry.id).collect();
    assert!(page.entries.iter().all(is_as_appended), "{page:?}");
    let expired = (1..=ENTRIES).filter(|id| expires(*id));
    assert!(expired.eq(page.tombstones.iter().copied()), "{page:?}");
    ids.extend(&page.tombstones);
    ids.sort_unstable();
    assert!(
        ids.iter().copied().eq(1..=page.head.unwrap_or(0)),
        "{page:?}"
    );
    assert!(ids.len() as u64 >= ENTRIES);
}

fn is_as_appended(entry: &Entry<u64>) -> bool {
    entry.value.bytes.trim_ascii_end() == entry.id.to_string().as_bytes()
}

/// What has expired takes its key with it.
fn check_end(world: &World) {
    look(&world.log);
    world.log.compact().expect("compaction works");
    world.log.verify().expect("it is whole");
    look(&world.log);
    let again = world.try_append_only("1", 10).expect("nothing fails");
    assert!(!again.is_duplicate());
    world.log.close().expect("it can be closed");
}

fn a_purge_beside_others(world: World, scale: usize) {
    let world = with_much_to_purge(world, scale).opened_again();
    world.run_together(vec![
        part(|world| {
            let purged = world.log.purge_expired(&STREAM.into());
            assert_eq!(purged.expect("nothing fails"), ENTRIES / 2);
            look(&world.least_left());
            world.log.compact().expect("compaction works");
            look(&world.least_left());
        }),
        part(|world| {
            for id in ENTRIES + 1..=ENTRIES + 2 {
                world
                    .try_append_only(&id.to_string(), 250)
                    .expect("nothing fails");
                look(&world.log);
            }
        }),
        part(|world| (0..3).for_each(|_| look(&world.log))),
        part(|world| {
            let reader = world.of_reader();
            (0..3).for_each(|_| look(&reader.log));
        }),
        verifier(),
    ]);
    check_end(&world);
}

#[test]
fn a_purge_leaves_something_to_rewrite() {
    fn rewrites(world: World, scale: usize) {
        let world = with_much_to_purge(world, scale);
        world
            .log
            .purge_expired(&STREAM.into())
            .expect("nothing fails");
        let bytes = || world.log.verify().expect("it is whole").bytes;
        let before = bytes();
        world.log.compact().expect("compaction works");
        assert!(bytes() < before);
    }
    play_in(|| rewrites(World::new(), 1), 2);
    play_in(|| rewrites(staged::staged(), staged::SEGMENT_KIB), 2);
}

#[test]
fn what_expires_is_a_tombstone_whoever_purges_and_rewrites_it() {
    play(|| a_purge_beside_others(World::new(), 1));
    play(|| a_purge_beside_others(staged::staged(), staged::SEGMENT_KIB));
}
