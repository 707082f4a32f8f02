//! Another process reads the log, in a thread that shares nothing with the others but the disk.

use super::super::Step;
use super::*;

/// How many writes there are that a full disk may refuse: of whoever opens the log, and of what is appended.
const FULL_WRITES: u64 = 4;

/// How many syncs may fail.
const FAILING_SYNCS: u64 = 6;

impl World {
    /// The same world as a process sees it that only reads.
    pub(super) fn of_reader(&self) -> Self {
        let log = open_read_only(&self.disk, &self.options).expect("it can be read");
        Self {
            log: Arc::new(log),
            ..self.clone()
        }
    }

    /// What who read meanwhile has, if the process is killed before a sync: an entry is left that nobody was told of.
    fn killed(self) -> Self {
        let reader = self.of_reader();
        let answered = held(&self.answered).clone();
        self.append("unsynced", 10);
        let journal = self.disk.journal();
        drop(self);
        let is_sync = |step: &Step| matches!(step, Step::DataSynced { .. });
        let synced = journal.iter().rposition(is_sync).expect("each append is");
        let mut left = State::default();
        journal[..synced].iter().for_each(|step| left.apply(step));
        reader.disk.set_state(left);
        *held(&reader.answered) = answered;
        reader
    }
}

fn open_read_only(disk: &SimDisk, options: &FileOptions) -> Result<Log> {
    Log::read_only_on(Arc::new(disk.clone()), "shuttle".into(), options.clone())
}

/// Reads in another process, which opens the log when it gets the turn.
pub(super) fn other_reader(times: usize) -> Box<dyn FnOnce(&World) + Send> {
    part(move |world| {
        let world = world.of_reader();
        world.read_on(times);
        world.log.verify().expect("it is whole");
    })
}

/// Segments are filled and packed while another process reads them.
fn appenders_and_another_process() {
    World::new().run(vec![
        appender(&["a1", "a2", "a3"], 600),
        appender(&["b1", "b2"], 10),
        other_reader(3),
    ]);
}

/// Segments go, and others are rewritten, while another process reads them.
fn a_trim_a_compaction_and_another_process() {
    World::new().with_much_to_rewrite(1).run(vec![
        part(|world| {
            world.log.compact().expect("compaction works");
            world.trim(4);
        }),
        appender(&["7"], 600),
        other_reader(3),
    ]);
}

/// A log is made and written to while another process waits for it to be there, and a third one wants to write to it, too.
fn a_log_that_is_made_and_other_processes() {
    let disk = SimDisk::default();
    let begin = |process: fn(&SimDisk)| {
        let disk = disk.clone();
        thread::spawn(move || process(&disk))
    };
    let processes = [
        begin(|disk| write_when_free(disk, "a")),
        begin(|disk| write_when_free(disk, "b")),
        begin(read_when_it_is_there),
    ];
    for process in processes {
        process.join().expect("no thread panics");
    }
    assert_eq!(after(disk.state()).len(), 2);
}

fn write_when_free(disk: &SimDisk, name: &str) {
    let log = loop {
        match open(disk.clone()) {
            Err(Error::Busy { .. }) => thread::yield_now(),
            opened => break opened.expect("it can be made"),
        }
    };
    let batch = Batch::new(STREAM, vec![entry(name, 10)]);
    log.append(batch).expect("nothing fails");
    log.close().expect("it can be closed");
}

fn read_when_it_is_there(disk: &SimDisk) {
    let log = loop {
        match open_read_only(disk, &options()) {
            Err(Error::NotAStore { .. }) => thread::yield_now(),
            opened => break opened.expect("it can be read"),
        }
    };
    while Way::Page.entries(&log).expect("reading works").len() < 2 {
        thread::yield_now();
    }
}

/// The same process reads in two threads, which learn of what is new one from the other.
fn two_threads_of_another_process() {
    let world = World::new();
    ["1", "2"].iter().for_each(|name| world.append(name, 300));
    let reader = world.of_reader();
    let read = |times| {
        let reader = reader.clone();
        part(move |_| reader.read_on(times))
    };
    world.run(vec![
        part(|world| {
            world.append("3", 600);
            world.trim(1);
            world.append("4", 10);
        }),
        read(3),
        read(2),
    ]);
}

/// Somebody opens a log that was killed, appends, and closes it, while two read it: one from before, and a new one.
fn the_next_writer_and_those_who_read() {
    let world = World::new();
    world.append("1", 10);
    world.killed().run(vec![
        part(|world| {
            let writer = world.of_writer().expect("nobody writes");
            ["2", "unsynced", "3"]
                .iter()
                .for_each(|name| writer.append(name, 10));
            writer.log.close().expect("it can be closed");
        }),
        part(|world| world.read_on(3)),
        other_reader(2),
    ]);
}

/// One whose writer was killed, and a disk on which a call fails behind that.
fn killed_before_trouble(call: DiskCall, nth: u64, trouble: Trouble) -> World {
    let world = World::new();
    world.append("1", 10);
    let world = world.killed();
    world.disk.faults(|faults| faults.once(call, nth, trouble));
    world
}

/// The same on a disk that gets full while three entries are written at once, of which it takes a part.
fn the_next_writer_on_a_full_disk(nth: u64) {
    let world = killed_before_trouble(DiskCall::Write, nth, Trouble::Full);
    world.run(vec![
        part(|world| {
            // If it is full while the log is opened, it is not when that is made again.
            let writer = world.of_writer().or_else(|_| world.of_writer());
            let writer = writer.expect("it can be opened");
            writer.try_append_together(&["2", "3", "4"]);
            // It may be full only now, which the next one who opens the log makes good.
            let _closed = writer.log.close();
        }),
        part(|world| world.read_on(4)),
    ]);
}

/// The same on a disk on which a sync fails: that of whoever opens the log, which is opened again then, of what is appended,
/// or of the reader. That may be told so, and sees nothing that is taken back.
fn the_next_writer_on_a_disk_that_fails(nth: u64) {
    let world = killed_before_trouble(DiskCall::Sync, nth, Trouble::Io);
    world.run_together(vec![
        part(|world| {
            let writer = world.of_writer().or_else(|_| world.of_writer());
            let writer = writer.expect("it can be opened again");
            writer.try_append_together(&["2", "3"]);
            let _closed = writer.log.close();
        }),
        part(|world| {
            let mut before = Vec::new();
            for seen in (0..4).filter_map(|_| world.try_read().ok()) {
                world.read_after(&mut before, seen);
            }
        }),
    ]);
    let (seen, opened) = (world.read(), after(world.disk.state()));
    let is_there = |entry: &Seen| opened.contains(entry);
    assert!(seen.iter().all(is_there), "{seen:?} of {opened:?}");
}

#[test]
fn another_process_sees_what_is_durable_and_all_that_was_answered() {
    play(appenders_and_another_process);
}

#[test]
fn another_process_reads_while_segments_go() {
    play(a_trim_a_compaction_and_another_process);
}

#[test]
fn a_log_can_be_opened_by_anybody_while_it_is_made() {
    play(a_log_that_is_made_and_other_processes);
}

#[test]
fn threads_of_another_process_see_what_is_durable_and_all_that_was_answered() {
    play(two_threads_of_another_process);
}

#[test]
fn another_process_does_not_go_back_when_the_next_one_writes() {
    play(the_next_writer_and_those_who_read);
}

#[test]
fn another_process_does_not_see_what_a_full_disk_takes_back() {
    (0..FULL_WRITES).for_each(|nth| play(move || the_next_writer_on_a_full_disk(nth)));
}

#[test]
fn another_process_does_not_see_what_a_failing_disk_takes_back() {
    (0..FAILING_SYNCS).for_each(|nth| play(move || the_next_writer_on_a_disk_that_fails(nth)));
}

#[test]
fn what_a_killed_writer_left_unsynced_is_found() {
    assert_found(Mistake::LeftNotSynced, the_next_writer_and_those_who_read);
}

#[test]
fn a_reader_that_does_not_look_again_is_found() {
    let found = |nth| {
        let scenario = move || the_next_writer_on_a_disk_that_fails(nth);
        is_found(Mistake::NotLookedAgain, scenario)
    };
    assert!((0..FAILING_SYNCS).any(found));
}
