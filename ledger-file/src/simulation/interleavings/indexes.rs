//! Indexes that are merged, and that do not hold any more: as segments go or are rewritten, or as they are damaged. They are
//! made anew, whoever meets that first, and whatever else goes on.

use shuttle::rand::{Rng, thread_rng};

use super::*;
use crate::format::FileName;

const ENTRIES: u64 = 14;

impl World {
    /// The same with so many segments that the indexes of some are merged. The first of two entries in each is most of it.
    fn with_many_segments(self, scale: usize) -> Self {
        let sizes = [500, 300].into_iter().cycle();
        for (id, bytes) in (1..=ENTRIES).zip(sizes) {
            self.append(&id.to_string(), scale * bytes);
        }
        self
    }

    /// The same with a bit flipped in each index file, as somebody finds it who opens the log.
    fn with_damaged_indexes(self) -> Self {
        self.log.close().expect("it can be closed");
        let mut state = self.disk.state();
        let names: Vec<String> = state
            .names()
            .filter(|name| is_index(name))
            .cloned()
            .collect();
        let merged = names.iter().filter(|name| is_merged(name)).count();
        assert!(merged > 0 && merged < names.len(), "{names:?}");
        for name in names {
            let number = state.find(&name).expect("it is one of its files");
            let file = state.file_mut(number);
            file.flip(thread_rng().gen_range(0..8 * file.len()));
        }
        self.disk.set_state(state);
        let damaged = Self {
            has_damaged_indexes: true,
            ..self
        };
        damaged.of_writer().expect("it can be opened again")
    }
}

fn is_index(name: &str) -> bool {
    matches!(FileName::parse(name), Some(FileName::Index { .. })) || is_merged(name)
}

fn is_merged(name: &str) -> bool {
    matches!(FileName::parse(name), Some(FileName::Merged { .. }))
}

/// Appends what is there already, which only indexes know.
fn repeater() -> Box<dyn FnOnce(&World) + Send> {
    part(|world| {
        for id in ENTRIES - 3..=ENTRIES {
            let outcome = world.try_append(&id.to_string(), 10);
            let outcome = outcome.expect("nothing fails");
            assert_eq!(outcome, Outcome::Duplicate(id));
        }
    })
}

/// Segments go, of others most is trimmed, and those are rewritten, so that their merged index is no more.
fn trimmer() -> Box<dyn FnOnce(&World) + Send> {
    part(|world| {
        world.trim(5);
        world.log.compact().expect("compaction works");
        world.trim(7);
    })
}

fn merged_indexes_and_all_who_need_them(world: World, scale: usize) {
    world.run(vec![
        trimmer(),
        repeater(),
        appender(&["15", "16", "17"], 500 * scale),
        part(|world| world.read_on(4)),
        other_process::other_reader(3),
        verifier(),
    ]);
}

fn whole(world: World, scale: usize) -> World {
    world.with_many_segments(scale).opened_again()
}

fn damaged(world: World, scale: usize) -> World {
    world.with_many_segments(scale).with_damaged_indexes()
}

#[test]
fn indexes_that_are_merged_or_damaged_are_made_anew_for_everybody() {
    play(|| merged_indexes_and_all_who_need_them(whole(World::new(), 1), 1));
    play(|| merged_indexes_and_all_who_need_them(damaged(World::new().hurried(), 1), 1));
    let scale = staged::SEGMENT_KIB;
    play(move || merged_indexes_and_all_who_need_them(damaged(staged::staged(), scale), scale));
}
