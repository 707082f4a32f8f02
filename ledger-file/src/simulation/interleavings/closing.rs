//! A log is closed while others still use it, and the next process writes to it at once.

use super::super::Faults;
use super::*;

/// What a call answers, unless the log was closed before.
fn unless_closed<T>(answer: Result<T>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(Error::Closed) => None,
        Err(error) => panic!("{error:?}"),
    }
}

/// Does what changes the log until it is closed.
fn user(act: fn(&World) -> Result<()>) -> Box<dyn FnOnce(&World) + Send> {
    part(move |world| {
        let _all = (0..2).try_for_each(|_| unless_closed(act(world)));
    })
}

/// What was answered is there when the log is opened again, and all of it is whole.
fn check_what_is_left(world: &World) {
    let log = open(SimDisk::new(world.disk.state())).expect("it can be opened again");
    log.verify().expect("it is whole");
    let seen = Way::Page.entries(&log).expect("it can be read");
    let (answered, removed) = (held(&world.answered), *held(&world.removed));
    let mut kept = answered.iter().filter(|entry| entry.0 > removed);
    assert!(kept.all(|it| seen.contains(it)), "{answered:?}, {seen:?}");
}

/// Somebody changes the log while it is closed, and the next process goes on in it.
fn a_closing_beside(act: fn(&World) -> Result<()>) {
    let world = World::new().with_much_to_rewrite(1).opened_again();
    world.run_together(vec![
        part(|world| {
            world.log.close().expect("it can be closed");
            let next = world.of_writer().expect("nobody writes");
            ["7", "8"].iter().for_each(|name| next.append(name, 250));
            next.trim(3);
            next.log.close().expect("it can be closed");
        }),
        user(act),
        part(|world| {
            let mut before = Vec::new();
            let reads = (0..2).map_while(|_| unless_closed(world.try_read()));
            reads.for_each(|seen| world.read_after(&mut before, seen));
        }),
    ]);
    check_what_is_left(&world);
}

/// A full segment that is not settled yet, because its file could not be cut, and one of which less than half is full, so
/// that no append tries it again.
fn unsettled() -> World {
    let world = World::new();
    let append = |name, bytes| world.try_append_only(name, bytes).expect("nothing fails");
    append("1", 900);
    let plan = |faults: &mut Faults| faults.once(DiskCall::Truncate, 0, Trouble::Io);
    world.disk.faults(plan);
    append("2", 100);
    assert!(world.disk.faults(|faults| faults.was_met()));
    world
}

/// The same of a log that becomes poisoned while somebody appends: what is being written comes before the next process.
fn a_closing_of_a_poisoned_log() {
    let world = unsettled();
    let plan = |faults: &mut Faults| faults.once(DiskCall::Sync, 0, Trouble::Io);
    world.disk.faults(plan);
    world.run_together(vec![
        part(|world| {
            let _failed = world.log.tidy();
            let _poisoned = world.try_append_only("b", 10);
            let _poisoned = world.log.close();
            let next = world.of_writer().or_else(|_| world.of_writer());
            let next = next.expect("it can be opened again");
            if let Ok(outcome) = next.try_append_only("3", 10) {
                held(&next.answered).push((outcome.id(), "3".into()));
            }
        }),
        part(|world| drop(world.try_append_only("a", 10))),
    ]);
    check_what_is_left(&world);
}

fn a_closing_beside_who_tidies_up() {
    a_closing_beside(|world| world.log.tidy());
}

#[test]
fn who_appends_changes_no_log_that_was_closed() {
    play(|| a_closing_beside(|world| world.try_append("a", 250).map(drop)));
}

#[test]
fn who_tidies_up_changes_no_log_that_was_closed() {
    play(a_closing_beside_who_tidies_up);
}

#[test]
fn who_compacts_changes_no_log_that_was_closed() {
    play(|| a_closing_beside(|world| world.log.compact()));
}

#[test]
fn nobody_writes_to_a_poisoned_log_any_more_that_was_closed() {
    play(a_closing_of_a_poisoned_log);
}

#[test]
fn who_tidies_up_a_log_that_was_closed_is_found() {
    assert_found(Mistake::TidiedWhenClosed, a_closing_beside_who_tidies_up);
}

#[test]
fn a_flush_into_a_log_that_was_closed_is_found() {
    let mut found =
        (0..5).map(|_| is_found(Mistake::FlushNotWaitedFor, a_closing_of_a_poisoned_log));
    assert!(found.any(|is_found| is_found));
}
