//! Threads on one log, in orders that a scheduler chooses: a machine shows only a few of them.
//!
//! Each test is played in many orders: in half of them each step is anybody's, in the other half some threads run ahead of
//! others as far as they can. `LEDGER_INTERLEAVINGS` says how many that are. In each of them the same must hold, whenever
//! it is looked: an answer was given for what a power cut leaves, a reader sees what does, and everything that was answered
//! before, densely, once, and for good. Nobody sleeps for ever.

mod carried;
mod closing;
mod deciding;
mod expiry;
mod hurried;
mod indexes;
mod late_file;
mod other_process;
mod renaming;
mod staged;
mod ways;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ledger_core::{Batch, Durability, Error, NewEntry, Outcome, Payload, Receipt, Result};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner, thread};

use self::ways::{Way, Ways};
use super::inode::Survival;
use super::{DiskCall, Random, SimDisk, State, Trouble};
use crate::fault::{self, Mistake};
use crate::log::{Log, Pending};
use crate::options::{Compression, FileOptions, Housekeeping};

/// In how many orders each test is played, unless `LEDGER_INTERLEAVINGS` says otherwise.
const ORDERS: usize = 300;

/// How often, in an order, one thread that runs ahead changes places with another, roughly.
const CHANGES: usize = 4;

/// In how many orders a planted mistake must have shown itself.
const ORDERS_WITH_MISTAKE: usize = 3_000;

/// How much each thread has: without optimisation a reader that opens a log takes more than the scheduler would give it.
const STACK_BYTES: usize = 256 << 10;

const STREAM: &str = "s";

/// That of all entries.
const ORDER_KEY: &str = "o";

/// An entry, with its id.
type Seen = (u64, String);

/// A log, and what its users have been told.
#[derive(Clone)]
struct World {
    options: FileOptions,
    disk: SimDisk,
    log: Arc<Log>,
    answered: Arc<Mutex<Vec<Seen>>>,
    /// Entries up to this id may have been removed.
    removed: Arc<Mutex<u64>>,
    ways: Arc<Mutex<Ways>>,
    /// Whether whoever appends must not wait for the disk.
    is_hurried: bool,
    has_damaged_indexes: bool,
}

fn options() -> FileOptions {
    FileOptions::default()
        .with_segment_bytes_max(1 << 10)
        .with_stage_bytes(4 << 10)
        .with_group_wait(Duration::ZERO)
        .with_housekeeping(Housekeeping::Inline)
        .with_sealed_compression(Compression::Lz4)
}

fn open(disk: SimDisk) -> Result<Log> {
    open_with(disk, options())
}

fn open_with(disk: SimDisk, options: FileOptions) -> Result<Log> {
    Log::open_on(Arc::new(disk), "shuttle".into(), options)
}

fn entry(name: &str, bytes: usize) -> NewEntry {
    NewEntry::new(Payload::octets(format!("{name:bytes$}")))
        .dedup_key(name)
        .order_key(ORDER_KEY)
}

impl World {
    fn new() -> Self {
        Self::with(options())
    }

    fn with(options: FileOptions) -> Self {
        let disk = SimDisk::default();
        let log = open_with(disk.clone(), options.clone());
        Self {
            log: Arc::new(log.expect("an empty disk can be opened")),
            options,
            disk,
            answered: Arc::default(),
            removed: Arc::default(),
            ways: Arc::new(Mutex::new(ways::all_in_turn())),
            is_hurried: false,
            has_damaged_indexes: false,
        }
    }

    /// The same for those who must not wait.
    fn hurried(self) -> Self {
        Self {
            is_hurried: true,
            ..self
        }
    }

    /// The same when the log was opened again, so that no file of a full segment is open yet.
    fn opened_again(self) -> Self {
        self.log.close().expect("it can be closed");
        self.of_writer().expect("it can be opened again")
    }

    /// The same world as the next process sees it that writes, if it can open the log.
    fn of_writer(&self) -> Result<Self> {
        let log = open_with(self.disk.clone(), self.options.clone())?;
        Ok(Self {
            log: Arc::new(log),
            ..self.clone()
        })
    }

    /// The same with six entries, of which two were removed, so that a segment is worth rewriting. `scale` tells how many KiB
    /// segments have.
    fn with_much_to_rewrite(self, scale: usize) -> Self {
        let sizes = [300, 300, 10].into_iter().cycle();
        for (name, bytes) in ["1", "2", "3", "4", "5", "6"].into_iter().zip(sizes) {
            self.append(name, scale * bytes);
        }
        self.trim(2);
        self
    }

    /// Appends an entry of so many bytes; `name` is its dedup key, too.
    fn try_append(&self, name: &str, bytes: usize) -> Result<Outcome<u64>> {
        let outcome = self.try_append_only(name, bytes)?;
        self.check_answer(outcome.id(), name);
        Ok(outcome)
    }

    /// The same without looking at what a power cut leaves, which is most of what there is to do.
    fn try_append_only(&self, name: &str, bytes: usize) -> Result<Outcome<u64>> {
        let batch = Batch::new(STREAM, vec![entry(name, bytes)]);
        Ok(self.try_append_batch(batch)?.outcomes[0])
    }

    fn try_append_batch(&self, batch: Batch<u64>) -> Result<Receipt<u64>> {
        match self.is_hurried {
            true => hurried::append(&self.log, batch),
            false => self.log.append(batch),
        }
    }

    fn append(&self, name: &str, bytes: usize) {
        self.try_append(name, bytes).expect("nothing fails");
    }

    /// Appends entries that are under way together, as far as nothing fails.
    fn try_append_together(&self, names: &[&str]) {
        let begin = |name: &&str| {
            self.log
                .begin_append(vec![Batch::new(STREAM, vec![entry(name, 0)])])
        };
        let begun: Vec<_> = names.iter().map(begin).collect();
        for (name, pending) in names.iter().zip(begun) {
            if let Ok(receipts) = pending.and_then(Pending::wait) {
                self.check_answer(receipts[0].outcomes[0].id(), name);
            }
        }
    }

    /// What was answered survives what it was promised to, right then.
    fn check_answer(&self, id: u64, name: &str) {
        let left = self.left();
        let seen = (id, name.to_owned());
        let is_removed = id <= *held(&self.removed);
        assert!(
            is_removed || left.contains(&seen),
            "{seen:?} is not in {left:?}"
        );
        held(&self.answered).push(seen);
    }

    /// The log as somebody opens it if the least was left that was promised.
    fn least_left(&self) -> Log {
        let state = self.disk.state();
        let left = match self.options.durability {
            Durability::Sync => state.after_power_cut(Survival::Oldest, &mut Random::new(0)),
            _ => state,
        };
        open_with(SimDisk::new(left), self.options.clone()).expect("it can be opened again")
    }

    /// What is left if the power is cut now, or, if nothing more was promised, the process is killed.
    fn left(&self) -> Vec<Seen> {
        match self.options.durability {
            Durability::Sync => self.left_by_power_cut(),
            _ => after(self.disk.state()),
        }
    }

    /// The log can be opened whatever survives; this is what does in any case.
    fn left_by_power_cut(&self) -> Vec<Seen> {
        let state = self.disk.state();
        let after_cut = |survival| after(state.after_power_cut(survival, &mut Random::new(0)));
        let (least, most) = (after_cut(Survival::Oldest), after_cut(Survival::Newest));
        let removed = *held(&self.removed);
        let mut kept = least.iter().filter(|entry| entry.0 > removed);
        assert!(
            kept.all(|entry| most.contains(entry)),
            "{least:?} of {most:?}"
        );
        least
    }

    /// Reads, in one way after the other, and finds what was answered before, and nothing that a power cut would take.
    fn try_read(&self) -> Result<Vec<Seen>> {
        let answered = held(&self.answered).clone();
        let way = held(&self.ways).next().expect("there is no end of them");
        let seen = way.entries(&self.log)?;
        let removed = *held(&self.removed);
        let is_missing = |entry: &&Seen| entry.0 > removed && !seen.contains(entry);
        assert_eq!(answered.iter().find(is_missing), None, "of {seen:?}");
        let mut ids: Vec<u64> = seen.iter().map(|entry| entry.0).collect();
        // Others go on with a moment; these pass over what is removed before they go on.
        let passes_over = match way {
            Way::HurriedScan => true,
            Way::Scan => self.has_damaged_indexes,
            _ => false,
        };
        ids.retain(|id| *id > removed || !passes_over);
        let is_dense = ids.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        assert!(is_dense, "{seen:?}");
        let left = self.left();
        let is_new = |entry: &&Seen| entry.0 > *held(&self.removed) && !left.contains(entry);
        assert_eq!(seen.iter().find(is_new), None, "of {left:?}");
        Ok(seen)
    }

    fn read(&self) -> Vec<Seen> {
        self.try_read().expect("reading works")
    }

    /// Reads so many times.
    fn read_on(&self, times: usize) {
        let mut before = Vec::new();
        (0..times).for_each(|_| self.read_after(&mut before, self.read()));
    }

    /// What was seen once stays, unless it was removed.
    fn read_after(&self, before: &mut Vec<Seen>, seen: Vec<Seen>) {
        let removed = *held(&self.removed);
        before.retain(|entry| entry.0 > removed);
        assert!(
            before.iter().all(|entry| seen.contains(entry)),
            "{before:?}, then {seen:?}"
        );
        *before = seen;
    }

    fn trim(&self, through: u64) {
        let mut removed = held(&self.removed);
        *removed = through.max(*removed);
        drop(removed);
        let trimmed = self.log.trim(&STREAM.into(), through);
        trimmed.expect("a trim works");
    }

    /// Does all of this at once, and looks at what there is in the end, also when it is opened again.
    fn run(self, parts: Vec<Box<dyn FnOnce(&Self) + Send>>) {
        self.run_together(parts);
        let seen = self.read();
        self.log.verify().expect("it is whole");
        self.log.close().expect("it can be closed");
        assert_eq!(after(self.disk.state()), seen);
    }

    fn run_together(&self, parts: Vec<Box<dyn FnOnce(&Self) + Send>>) {
        let begin = |part: Box<dyn FnOnce(&Self) + Send>| {
            let world = self.clone();
            thread::spawn(move || part(&world))
        };
        let begun: Vec<_> = parts.into_iter().map(begin).collect();
        for thread in begun {
            thread.join().expect("no thread panics");
        }
    }
}

/// What a log shows that is opened again.
fn after(state: State) -> Vec<Seen> {
    let log = open(SimDisk::new(state)).expect("it can be opened again");
    Way::Page.entries(&log).expect("it can be read")
}

/// Of locks that are never held while another thread can go on.
fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn part(part: impl FnOnce(&World) + Send + 'static) -> Box<dyn FnOnce(&World) + Send> {
    Box::new(part)
}

fn appender(names: &'static [&'static str], bytes: usize) -> Box<dyn FnOnce(&World) + Send> {
    part(move |world| names.iter().for_each(|name| world.append(name, bytes)))
}

fn verifier() -> Box<dyn FnOnce(&World) + Send> {
    part(|world| {
        world.log.verify().expect("it is whole");
    })
}

/// Threads that append share flushes, while another reads.
fn two_appenders_and_a_reader() {
    two_appenders_and_a_reader_of(World::new());
}

fn two_appenders_and_a_reader_of(world: World) {
    world.run(vec![
        appender(&["a1", "a2", "a3"], 10),
        appender(&["b1", "b2"], 10),
        part(|world| world.read_on(4)),
    ]);
}

/// The same entry comes from three threads: all are told the same, and not before it is durable.
fn two_who_append_the_same() {
    two_who_append_the_same_to(World::new());
}

fn two_who_append_the_same_to(world: World) {
    world.run(vec![
        appender(&["a", "b"], 10),
        appender(&["a", "b"], 10),
        appender(&["b", "a"], 10),
    ]);
}

/// Each append but the first of a segment needs another; somebody else tidies up, too.
fn appenders_who_roll_and_a_reader(world: World) {
    world.run(vec![
        appender(&["a1", "a2"], 600),
        appender(&["b1", "b2"], 600),
        part(|world| world.read_on(3)),
        part(|world| world.log.tidy().expect("tidying works")),
    ]);
}

/// Each append goes on in the next segment, so that what is missing of the one before shows.
fn who_rolls_and_verifies() {
    World::new().run(vec![
        part(|world| {
            for name in ["1", "2", "3"] {
                world.try_append_only(name, 600).expect("nothing fails");
            }
        }),
        verifier(),
    ]);
}

/// Entries go, and segments with them, while somebody reads them.
fn a_trim_an_appender_and_a_reader() {
    a_trim_beside_others(|world| world);
}

fn a_trim_beside_others(prepare: fn(World) -> World) {
    let world = World::new();
    for name in ["1", "2", "3", "4"] {
        world.append(name, 600);
    }
    prepare(world).run(vec![
        part(|world| [2, 3].into_iter().for_each(|id| world.trim(id))),
        appender(&["5", "6"], 600),
        part(|world| world.read_on(3)),
        verifier(),
    ]);
}

/// Segments are rewritten while somebody reads them, and somebody fills more.
fn a_compaction_an_appender_and_a_reader() {
    a_compaction_beside_others(|world| world);
}

fn a_compaction_beside_others(prepare: fn(World) -> World) {
    prepare(World::new().with_much_to_rewrite(1)).run(vec![
        part(|world| world.log.compact().expect("compaction works")),
        appender(&["7", "8"], 250),
        part(|world| world.read_on(3)),
        verifier(),
    ]);
}

/// A flush fails while three wait for it, or for the next: each is told the truth, and the log takes nothing more.
fn a_flush_that_fails(world: World, nth: u64) {
    world.append("0", 10);
    let plan = |faults: &mut super::Faults| faults.once(DiskCall::Sync, nth, Trouble::Io);
    world.disk.faults(plan);
    let attempt = |name: &'static str| {
        let world = world.clone();
        thread::spawn(move || world.try_append(name, 10).map(drop))
    };
    let results: Vec<_> = ["a", "b", "c"]
        .map(attempt)
        .map(|thread| thread.join().expect("no thread panics"))
        .into();
    let is_poisoned = |result: &Result<()>| match result {
        Ok(()) => false,
        Err(Error::Poisoned { .. }) => true,
        Err(error) => panic!("{error}"),
    };
    if results.iter().any(is_poisoned) {
        assert!(is_poisoned(&world.try_append("d", 10).map(drop)));
    }
    world.read();
}

/// The disk is full when three append: whoever is refused has left nothing, and the log goes on.
fn a_disk_that_is_full(world: World, nth: u64) {
    world.append("0", 10);
    let plan = |faults: &mut super::Faults| faults.once(DiskCall::Write, nth, Trouble::Full);
    world.disk.faults(plan);
    let attempt = |name: &'static str| {
        let world = world.clone();
        thread::spawn(move || (name, world.try_append(name, 10).is_ok()))
    };
    let results = ["a", "b", "c"]
        .map(attempt)
        .map(|thread| thread.join().expect("no thread panics"));
    world.disk.faults(super::Faults::clear);
    let seen = world.read();
    for (name, is_there) in results {
        assert_eq!(
            seen.iter().any(|(_, seen)| seen == name),
            is_there,
            "{name} in {seen:?}"
        );
    }
    world.run(vec![appender(&["a", "b", "c"], 10)]);
}

fn orders() -> usize {
    match std::env::var("LEDGER_INTERLEAVINGS") {
        Ok(orders) => orders.parse().expect("LEDGER_INTERLEAVINGS is a number"),
        Err(_) => ORDERS,
    }
}

fn play(scenario: impl Fn() + Copy + Send + Sync + 'static) {
    play_in(scenario, orders());
}

fn play_in(scenario: impl Fn() + Copy + Send + Sync + 'static, orders: usize) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    let by_priorities = PctScheduler::new(CHANGES, orders / 2);
    Runner::new(by_priorities, config.clone()).run(scenario);
    Runner::new(RandomScheduler::new(orders / 2), config).run(scenario);
}

/// Plays with the mistake until something is wrong.
fn assert_found(mistake: Mistake, scenario: fn()) {
    assert!(is_found(mistake, scenario), "{mistake:?} was not found");
}

fn is_found(mistake: Mistake, scenario: impl Fn() + Copy + Send + Sync + 'static) -> bool {
    let played = catch_unwind(AssertUnwindSafe(|| {
        fault::with(mistake, || play_in(scenario, ORDERS_WITH_MISTAKE));
    }));
    played.is_err()
}

#[test]
fn appenders_share_flushes_and_readers_see_what_is_durable() {
    play(two_appenders_and_a_reader);
    play(|| two_appenders_and_a_reader_of(World::new().hurried()));
}

#[test]
fn the_same_entry_from_several_threads_is_there_once() {
    play(two_who_append_the_same);
    play(|| two_who_append_the_same_to(World::new().hurried()));
}

#[test]
fn a_log_goes_on_in_new_segments_under_its_readers() {
    play(|| appenders_who_roll_and_a_reader(World::new()));
    play(|| appenders_who_roll_and_a_reader(World::new().hurried()));
    play(|| appenders_who_roll_and_a_reader(World::new().opened_again().hurried()));
}

#[test]
fn a_log_is_whole_while_it_goes_on_in_new_segments() {
    play(who_rolls_and_verifies);
}

#[test]
fn an_end_that_is_looked_at_later_is_found() {
    assert_found(Mistake::EndLookedAtLater, who_rolls_and_verifies);
}

#[test]
fn a_trim_takes_nothing_from_a_reader_that_was_not_trimmed() {
    play(a_trim_an_appender_and_a_reader);
    play(|| a_trim_beside_others(World::opened_again));
    play(|| a_trim_beside_others(|world| world.opened_again().hurried()));
}

#[test]
fn a_compaction_has_something_to_rewrite() {
    fn rewrites(world: World, scale: usize) {
        let world = world.with_much_to_rewrite(scale);
        let entries = || world.log.verify().expect("it is whole").entries;
        let before = entries();
        world.log.compact().expect("compaction works");
        assert!(entries() < before);
    }
    play_in(|| rewrites(World::new(), 1), 2);
    play_in(|| rewrites(staged::staged(), staged::SEGMENT_KIB), 2);
}

#[test]
fn a_compaction_takes_nothing_from_anybody() {
    play(a_compaction_an_appender_and_a_reader);
    play(|| a_compaction_beside_others(World::opened_again));
    play(|| a_compaction_beside_others(|world| world.opened_again().hurried()));
}

#[test]
fn a_failing_flush_is_told_to_all_who_waited_for_it() {
    for nth in 0..2 {
        play(move || a_flush_that_fails(World::new(), nth));
        play(move || a_flush_that_fails(World::new().hurried(), nth));
    }
}

#[test]
fn a_full_disk_is_told_to_all_who_are_not_in_the_log() {
    for nth in 0..2 {
        play(move || a_disk_that_is_full(World::new(), nth));
        play(move || a_disk_that_is_full(World::new().hurried(), nth));
    }
}

#[test]
fn an_answer_before_its_flush_is_found() {
    assert_found(Mistake::AcknowledgedBeforeSync, two_appenders_and_a_reader);
}

#[test]
fn a_duplicate_that_is_not_waited_for_is_found() {
    assert_found(Mistake::DuplicateNotWaitedFor, two_who_append_the_same);
}

#[test]
fn readers_who_see_what_is_not_durable_are_found() {
    assert_found(Mistake::VisibleBeforeDurable, two_appenders_and_a_reader);
}

#[test]
fn a_wake_that_is_forgotten_is_found() {
    assert_found(Mistake::WakeForgotten, two_appenders_and_a_reader);
}

#[test]
fn a_removal_before_its_manifest_is_found() {
    assert_found(
        Mistake::RemovedBeforeManifest,
        a_trim_an_appender_and_a_reader,
    );
}

#[test]
fn a_group_that_does_not_wait_for_the_one_before_is_found() {
    assert_found(Mistake::GroupBeforeNotWaitedFor, two_appenders_and_a_reader);
}
