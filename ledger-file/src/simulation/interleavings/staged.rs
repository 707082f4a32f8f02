//! Appends that do not wait for the disk: what is answered lies in the stage, and survives the end of the process.

use super::other_process::other_reader;
use super::*;

pub(super) const SEGMENT_KIB: usize = 5;

/// So that a segment is more than the stage holds, and some entries are too long for it.
pub(super) fn staged() -> World {
    staged_as(Durability::Process)
}

/// The same when the log is told to sync now and then. Nobody keeps house here, so that somebody has to.
fn synced_at_intervals() -> World {
    staged_as(Durability::Interval(Duration::from_secs(1)))
}

fn staged_as(durability: Durability) -> World {
    let options = options()
        .with_durability(durability)
        .with_segment_bytes_max((SEGMENT_KIB as u64) << 10);
    World::with(options)
}

/// Shares no flushes, but the stage, which is emptied when it is full, and for what does not fit into it.
fn appenders_and_all_who_read() {
    appenders_and_all_who_read_of(staged());
}

fn appenders_and_all_who_read_of(world: World) {
    world.run(vec![
        appender(&["a1", "a2", "a3"], 900),
        appender(&["b1", "b2"], 1_500),
        part(|world| world.read_on(3)),
        other_reader(3),
    ]);
}

/// What was answered before somebody had all of it synced survives a power cut behind that.
fn appenders_and_who_syncs(world: World) {
    world.run(vec![
        appender(&["a1", "a2"], 900),
        appender(&["b1", "b2", "b3"], 1_500),
        part(|world| {
            for _ in 0..2 {
                let answered = held(&world.answered).clone();
                world.log.sync().expect("nothing fails");
                let left = world.left_by_power_cut();
                let is_left = |entry: &Seen| left.contains(entry);
                assert!(answered.iter().all(is_left), "{answered:?}, {left:?}");
            }
        }),
        other_reader(2),
    ]);
}

fn a_trim_a_compaction_and_all_who_read() {
    staged().with_much_to_rewrite(SEGMENT_KIB).run(vec![
        part(|world| {
            world.log.compact().expect("compaction works");
            world.trim(4);
        }),
        appender(&["7"], 1_500),
        part(|world| world.read_on(3)),
        other_reader(3),
    ]);
}

/// The log is closed, and goes on in the next process, while others read it.
fn the_next_writer_and_who_reads() {
    let world = staged();
    world.append("1", 900);
    let reader = world.of_reader();
    world.run_together(vec![
        part(|world| {
            world.append("2", 900);
            world.log.close().expect("it can be closed");
            let next = world.of_writer().expect("nobody writes");
            next.append("3", 1_500);
            next.append("4", 900);
        }),
        part(move |_| reader.read_on(4)),
        other_reader(2),
    ]);
    assert_eq!(after(world.disk.state()).len(), 4);
}

#[test]
fn who_reads_sees_what_was_staged_and_all_that_was_answered() {
    play(appenders_and_all_who_read);
    play(|| appenders_and_all_who_read_of(staged().hurried()));
}

#[test]
fn a_sync_covers_all_that_was_answered_before() {
    play(|| appenders_and_who_syncs(staged()));
    play(|| appenders_and_who_syncs(synced_at_intervals()));
}

#[test]
fn segments_go_under_who_reads_what_is_staged() {
    play(a_trim_a_compaction_and_all_who_read);
}

#[test]
fn who_reads_does_not_go_back_when_the_next_one_stages() {
    play(the_next_writer_and_who_reads);
}

#[test]
fn a_stage_that_is_emptied_too_early_is_found() {
    assert_found(
        Mistake::StageSwitchedBeforeFlush,
        appenders_and_all_who_read,
    );
}
