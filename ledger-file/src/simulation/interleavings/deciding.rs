//! Appends that depend on what is there: of those who decide on the same, one is the first.

use ledger_core::{Condition, ReadOptions};

use super::*;

/// How many entries each thread appends.
const APPENDS: usize = 2;

/// The last entry that somebody sees who reads.
fn last(log: &Log) -> Option<u64> {
    let last = ReadOptions::new().descending().limit(1);
    let page = log.read(&STREAM.into(), &last).expect("it can be read");
    page.entries.first().map(|entry| entry.id)
}

/// Appends on the condition that nothing came behind what was seen; who is told that something did finds it.
fn decide(world: &World, name: &str) {
    loop {
        let seen = last(&world.log);
        let batch = Batch::new(STREAM, vec![entry(name, 300)]);
        let batch = batch.when(Condition::last_of(ORDER_KEY, seen));
        match world.try_append_batch(batch) {
            Ok(receipt) => {
                let id = receipt.outcomes[0].id();
                assert_eq!(id, seen.unwrap_or(0) + 1);
                return world.check_answer(id, name);
            }
            Err(Error::Conflict { found, .. }) => check_found(world, found, seen),
            Err(error) => panic!("{error}"),
        }
    }
}

/// What is in the way is there for everybody, for good, and was not before.
fn check_found(world: &World, found: Option<String>, seen: Option<u64>) {
    let found = found.expect("something is in the way");
    let found = found.parse().expect("it is an id");
    assert!(Some(found) > seen);
    assert!(last(&world.log) >= Some(found));
    let left = world.left();
    assert!(
        left.iter().any(|(id, _)| *id == found),
        "{found} of {left:?}"
    );
}

fn decider(names: [&'static str; APPENDS]) -> Box<dyn FnOnce(&World) + Send> {
    part(move |world| names.iter().for_each(|name| decide(world, name)))
}

fn three_who_decide(world: World) {
    world.run(vec![
        decider(["a1", "a2"]),
        decider(["b1", "b2"]),
        decider(["c1", "c2"]),
        part(|world| world.read_on(2)),
        other_process::other_reader(2),
    ]);
}

fn three_who_decide_and_wait() {
    three_who_decide(World::new());
}

#[test]
fn of_those_who_decide_on_the_same_one_is_first() {
    play(three_who_decide_and_wait);
    play(|| three_who_decide(staged::staged()));
    play(|| three_who_decide(World::new().hurried()));
}

#[test]
fn a_conflict_that_is_not_waited_for_is_found() {
    assert_found(Mistake::DuplicateNotWaitedFor, three_who_decide_and_wait);
}
