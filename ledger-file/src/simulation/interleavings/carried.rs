//! Checkpoints and marks change, and are carried out of segments that go, while others read them.

use std::collections::BTreeMap;

use ledger_core::{Checkpoint, ReadOptions, Revision};

use super::*;

/// The stream that is not trimmed, of one entry.
const KEPT: &str = "k";

const CHECKPOINT: &str = "position";

/// How often each thread changes what it changes.
const CHANGES: u64 = 3;

/// What is said of `KEPT` lies in segments of which no entry will be left; `scale` tells how many KiB they have.
fn with_much_to_carry(world: World, scale: usize) -> World {
    let append_kept = Batch::new(KEPT, vec![entry("kept", scale * 900)]);
    world.log.append(append_kept).expect("nothing fails");
    set_tag(&world.log, 0).expect("it is there");
    annotate(&world.log, 0).expect("it is there");
    count_up(&world.log).expect("nobody else does");
    let names = ["1", "2", "3"];
    names
        .iter()
        .for_each(|name| world.append(name, scale * 600));
    world
}

fn set_tag(log: &Log, number: u64) -> Result<()> {
    log.set_tags(&KEPT.into(), 1, [number.to_string()].into())
}

fn annotate(log: &Log, number: u64) -> Result<()> {
    let changes = BTreeMap::from([(CHECKPOINT.to_owned(), Some(number.to_string()))]);
    log.annotate(&KEPT.into(), 1, &changes)
}

/// Saves the number behind the one that is saved, or the first, unless another was faster.
fn count_up(log: &Log) -> Result<u64> {
    let before = checkpoint(log);
    let next = before
        .as_ref()
        .map_or(0, |before| number(&before.value) + 1);
    let expected = before.map(|before| before.revision);
    log.save_checkpoint(
        &KEPT.into(),
        CHECKPOINT,
        next.to_string().as_bytes(),
        expected,
    )?;
    Ok(next)
}

fn checkpoint(log: &Log) -> Option<Checkpoint> {
    let loaded = log.load_checkpoint(&KEPT.into(), CHECKPOINT);
    loaded.expect("it can be loaded")
}

fn number(text: &[u8]) -> u64 {
    let text = std::str::from_utf8(text).expect("it is a number");
    text.parse().expect("it is a number")
}

/// What was said last.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Said {
    tag: u64,
    annotation: u64,
    checkpoint: u64,
    revision: Option<Revision>,
}

impl Said {
    fn by(log: &Log) -> Self {
        let page = log.read(&KEPT.into(), &ReadOptions::new());
        let page = page.expect("it can be read");
        let [kept] = &page.entries[..] else {
            panic!("{page:?}");
        };
        let tag = kept.tags.iter().next().expect("it has one");
        let annotation = &kept.annotations.get(CHECKPOINT).expect("it has one");
        let checkpoint = checkpoint(log).expect("it is there");
        Self {
            tag: number(tag.as_bytes()),
            annotation: number(annotation.as_bytes()),
            checkpoint: number(&checkpoint.value),
            revision: Some(checkpoint.revision),
        }
    }

    /// Nothing goes back.
    fn check_after(self, before: Self) {
        let is_after = self.tag >= before.tag
            && self.annotation >= before.annotation
            && self.checkpoint >= before.checkpoint
            && self.revision >= before.revision;
        assert!(is_after, "{before:?}, then {self:?}");
        let is_saved_again = self.revision > before.revision;
        assert_eq!(is_saved_again, self.checkpoint > before.checkpoint);
    }
}

fn look_on(log: &Log, times: usize) {
    let mut before = Said::default();
    for _ in 0..times {
        let said = Said::by(log);
        if before.revision.is_some() {
            said.check_after(before);
        }
        before = said;
    }
}

/// Says one number after the other; what was answered is there for all, and is what is left of the log at least.
fn say(say: fn(&Log, u64) -> Result<()>, said: fn(&Said) -> u64) -> Box<dyn FnOnce(&World) + Send> {
    part(move |world| {
        for number in 1..=CHANGES {
            say(&world.log, number).expect("it is there");
            assert_eq!(said(&Said::by(&world.log)), number);
            assert_eq!(said(&Said::by(&world.least_left())), number);
        }
    })
}

/// Counts up, against another who does.
fn counter() -> Box<dyn FnOnce(&World) + Send> {
    part(|world| {
        for _ in 0..CHANGES {
            let saved = loop {
                match count_up(&world.log) {
                    Err(Error::CheckpointConflict { .. }) => {}
                    saved => break saved.expect("nothing fails"),
                }
            };
            assert!(Said::by(&world.least_left()).checkpoint >= saved);
        }
    })
}

fn changes_while_segments_go(world: World, scale: usize) {
    let world = with_much_to_carry(world, scale).opened_again();
    world.run_together(vec![
        part(|world| (1..=3).for_each(|id| world.trim(id))),
        say(set_tag, |said| said.tag),
        say(annotate, |said| said.annotation),
        counter(),
        counter(),
        part(|world| look_on(&world.log, 3)),
        part(|world| look_on(&world.of_reader().log, 3)),
    ]);
    let check = |log: &Log| {
        let said = Said::by(log);
        assert_eq!((said.tag, said.annotation), (CHANGES, CHANGES));
        assert_eq!(said.checkpoint, 2 * CHANGES);
    };
    check(&world.log);
    world.log.verify().expect("it is whole");
    world.log.close().expect("it can be closed");
    check(&open(world.disk.clone()).expect("it can be opened again"));
}

#[test]
fn there_is_something_to_carry() {
    fn carries(world: World, scale: usize) {
        let world = with_much_to_carry(world, scale).opened_again();
        let (segments, said) = (
            || world.log.stats().expect("nothing fails").segments,
            Said::by(&world.log),
        );
        let before = segments();
        (1..=3).for_each(|id| world.trim(id));
        assert!(segments() + 2 <= before);
        assert_eq!(Said::by(&world.log), said);
    }
    play_in(|| carries(World::new(), 1), 2);
    play_in(|| carries(staged::staged(), staged::SEGMENT_KIB), 2);
}

#[test]
fn what_is_said_of_a_stream_is_carried_or_said_anew() {
    play(|| changes_while_segments_go(World::new(), 1));
    play(|| changes_while_segments_go(staged::staged(), staged::SEGMENT_KIB));
}

#[test]
fn what_is_not_carried_is_found() {
    assert_found(Mistake::CarryForgotten, || {
        changes_while_segments_go(World::new(), 1);
    });
}
