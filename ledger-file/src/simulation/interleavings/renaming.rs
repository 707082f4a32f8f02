//! A stream is renamed while others use both names.

use super::*;

/// What `STREAM` is called from then on.
const NEW_NAME: &str = "a";

/// Streams that are listed behind the new name, and before the old one, and not in one go with either.
const BETWEEN: [&str; 2] = ["b", "c"];

const CHECKPOINT: &str = "position";

/// A stream of two entries with a checkpoint, and others.
fn prepare(world: World) -> World {
    ["1", "2"].iter().for_each(|name| world.append(name, 300));
    let save = |name: &str| {
        world
            .log
            .save_checkpoint(&STREAM.into(), name, b"2", None)
            .expect("nothing fails")
    };
    save(CHECKPOINT);
    for stream in BETWEEN {
        let batch = Batch::new(stream, vec![entry("other", 10)]);
        world.log.append(batch).expect("nothing fails");
    }
    world
}

fn rename(world: &World) {
    let renamed = world.log.rename(&STREAM.into(), &NEW_NAME.into());
    renamed.expect("nobody has that name");
    check_moved(&world.least_left());
}

/// Under the new name is what was under the old one, with its checkpoint.
fn check_moved(log: &Log) {
    assert!(is_moved(&of(log, NEW_NAME)));
    assert!(has_checkpoint(log, NEW_NAME));
    check_gone(log);
}

/// Under the old name is nothing that was there before.
fn check_gone(log: &Log) {
    let left = of(log, STREAM);
    assert!(!is_moved(&left), "{left:?}");
    assert!(!has_checkpoint(log, STREAM));
}

fn of(log: &Log, stream: &str) -> Vec<Seen> {
    let entries = Way::Page.entries_of(stream, log);
    entries.expect("it can be read")
}

fn is_moved(entries: &[Seen]) -> bool {
    entries.starts_with(&[(1, "1".into()), (2, "2".into())])
}

fn has_checkpoint(log: &Log, stream: &str) -> bool {
    let checkpoint = log.load_checkpoint(&stream.into(), CHECKPOINT);
    checkpoint.expect("it can be loaded").is_some()
}

/// Looks at one name and then at the other, in turns: what was moved is never nowhere, and never goes back.
fn look_on(log: &Log, times: usize) {
    for _ in 0..times {
        let is_old = is_moved(&of(log, STREAM)) && has_checkpoint(log, STREAM);
        if !is_old || is_moved(&of(log, NEW_NAME)) || has_checkpoint(log, NEW_NAME) {
            check_moved(log);
        }
    }
}

/// Everything that has entries is listed, and nothing twice.
fn list_on(log: &Log, times: usize) {
    let mut was_moved = false;
    for _ in 0..times {
        let listed = log.list(None, 10).expect("they can be listed");
        let listed: Vec<&str> = listed.iter().map(|stream| stream.as_str()).collect();
        match &listed[..] {
            [NEW_NAME, "b", "c"] => was_moved = true,
            ["b", "c", STREAM] => assert!(!was_moved),
            _ => panic!("{listed:?}"),
        }
    }
}

fn check_end(world: &World) {
    world.log.verify().expect("it is whole");
    check_moved(&world.log);
    world.log.close().expect("it can be closed");
    check_moved(&open(world.disk.clone()).expect("it can be opened again"));
}

fn a_renaming_and_all_who_read(world: World) {
    let world = prepare(world);
    world.run_together(vec![
        part(rename),
        part(|world| look_on(&world.log, 2)),
        part(|world| list_on(&world.log, 2)),
        part(|world| look_on(&world.of_reader().log, 2)),
        part(|world| list_on(&world.of_reader().log, 2)),
    ]);
    check_end(&world);
}

/// Whoever appends under the old name does so before, and what it appended is moved, or begins another stream.
fn a_renaming_and_who_appends(world: World) {
    let world = prepare(world).opened_again();
    world.run_together(vec![
        part(rename),
        part(|world| {
            let ids = ["3", "4"].map(|name| world.try_append_only(name, 300));
            let ids = ids.map(|outcome| outcome.expect("nothing fails").id());
            assert!([[3, 4], [3, 1], [1, 2]].contains(&ids), "{ids:?}");
        }),
        part(|world| world.log.compact().expect("compaction works")),
        part(|world| look_on(&world.log, 2)),
        part(|world| look_on(&world.of_reader().log, 2)),
    ]);
    let all = of(&world.log, NEW_NAME).len() + of(&world.log, STREAM).len();
    assert_eq!(all, 4);
    check_end(&world);
}

fn who_appends_when_opened_again() {
    a_renaming_and_who_appends(World::new());
}

#[test]
fn what_is_renamed_is_under_one_name_at_any_moment() {
    play(|| a_renaming_and_all_who_read(World::new()));
    play(|| a_renaming_and_all_who_read(staged::staged()));
}

#[test]
fn who_appends_to_a_stream_that_is_renamed_appends_to_it_or_to_another() {
    play(who_appends_when_opened_again);
    play(|| a_renaming_and_who_appends(staged::staged()));
}

#[test]
fn a_stream_that_is_remembered_twice_is_found() {
    assert_found(Mistake::TwoSlots, who_appends_when_opened_again);
}

#[test]
fn a_name_that_means_what_it_did_before_a_renaming_is_found() {
    assert_found(Mistake::OldStateRemembered, who_appends_when_opened_again);
}
