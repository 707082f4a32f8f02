//! Threads that append, read, trim and tidy one log at the same time, in a real directory.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ledger_core::{
    Batch, Condition, Durability, Entry, Error, NewEntry, Outcome, Payload, ReadOptions,
};
use ledger_file::{FileOptions, Housekeeping, Log};
use tempfile::TempDir;

const WRITERS: usize = 4;
const ROUNDS: usize = 150;
const STREAMS: [&str; 2] = ["even", "odd"];
const SCRAP: &str = "scrap";

/// An entry whose dedup key another writer of the same stream uses, too.
fn entry(writer: usize, round: usize) -> NewEntry {
    let text = format!("{writer} {round} {:.<80}", "");
    let mut entry = NewEntry::new(Payload::octets(text.into_bytes()));
    entry.dedup_key = Some(format!("{round}"));
    entry.order_key = Some(format!("{}", round % 7));
    entry
}

/// What the writers were told, by stream and dedup key.
type Told = BTreeMap<(usize, String), Vec<Outcome<u64>>>;

fn write(log: &Log, writer: usize) -> Told {
    let stream = writer % STREAMS.len();
    let mut told = Told::new();
    for round in 0..ROUNDS {
        let entries: Vec<_> = (round..round + 1 + round % 3)
            .map(|round| entry(writer, round))
            .collect();
        let keys: Vec<_> = entries.iter().map(|it| it.dedup_key.clone()).collect();
        let receipt = log.append(Batch::new(STREAMS[stream], entries)).unwrap();
        for (key, outcome) in keys.into_iter().zip(receipt.outcomes) {
            told.entry((stream, key.unwrap()))
                .or_default()
                .push(outcome);
        }
    }
    told
}

/// Follows a stream until all writers are done and everything was read.
fn follow(log: &Log, stream: &str, writing: &AtomicUsize) -> Vec<Entry<u64>> {
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        // Looked at first: what they wrote before that is in the page.
        let is_over = writing.load(Ordering::SeqCst) == 0;
        let options = ReadOptions::new().after(after).limit(50);
        let page = log.read(&stream.into(), &options).unwrap();
        if page.entries.is_empty() && is_over {
            return seen;
        }
        after = page.entries.last().map(|entry| entry.id).or(after);
        seen.extend(page.entries);
    }
}

/// Appends what is thrown away again, and has the space given back.
fn tidy(log: &Log, writing: &AtomicUsize) {
    for round in 0.. {
        if writing.load(Ordering::SeqCst) == 0 {
            return;
        }
        let scrap = NewEntry::new(Payload::octets(vec![0; 600]));
        log.append(Batch::new(SCRAP, vec![scrap])).unwrap();
        log.trim(&SCRAP.into(), round + 1).unwrap();
        match round % 4 {
            0 => log.compact().unwrap(),
            1 => drop(log.verify().unwrap()),
            2 => drop(log.stats().unwrap()),
            _ => log.tidy().unwrap(),
        }
    }
}

fn check(stream: usize, seen: &[Entry<u64>], told: &Told) {
    let ids: Vec<_> = seen.iter().map(|entry| entry.id).collect();
    let dense: Vec<_> = (1..=seen.len() as u64).collect();
    assert_eq!(ids, dense, "what a reader saw has no gap and nothing twice");
    for entry in seen {
        let key = (stream, entry.dedup_key.clone().unwrap());
        let outcomes = &told[&key];
        let first = |outcome: &&Outcome<u64>| matches!(outcome, Outcome::Appended(_));
        assert_eq!(
            outcomes.iter().filter(first).count(),
            1,
            "one was the first"
        );
        assert!(outcomes.iter().all(|outcome| outcome.id() == entry.id));
    }
    let keys = told.keys().filter(|(of, _)| *of == stream).count();
    assert_eq!(keys, seen.len());
}

fn play(durability: Durability) {
    let directory = TempDir::new().unwrap();
    let options = FileOptions::default()
        .with_durability(durability)
        .with_segment_bytes_max(8 << 10)
        .with_housekeeping(Housekeeping::Thread);
    let path = directory.path().join("log");
    let log = Log::open(&path, options.clone()).unwrap();
    let (writing, start) = (AtomicUsize::new(WRITERS), Barrier::new(WRITERS));
    let (told, seen) = thread::scope(|scope| {
        let (log, writing, start) = (&log, &writing, &start);
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    start.wait();
                    let told = write(log, writer);
                    writing.fetch_sub(1, Ordering::SeqCst);
                    told
                })
            })
            .collect();
        let readers = STREAMS.map(|stream| scope.spawn(move || follow(log, stream, writing)));
        let tidier = scope.spawn(move || tidy(log, writing));
        let mut told = Told::new();
        for (key, outcomes) in writers.into_iter().flat_map(|it| it.join().unwrap()) {
            told.entry(key).or_default().extend(outcomes);
        }
        tidier.join().unwrap();
        (told, readers.map(|reader| reader.join().unwrap()))
    });
    for (stream, seen) in seen.iter().enumerate() {
        check(stream, seen, &told);
    }
    log.close().unwrap();
    let log = Log::open(&path, options).unwrap();
    for (stream, seen) in STREAMS.iter().zip(&seen) {
        let again = follow(&log, stream, &AtomicUsize::new(0));
        assert_eq!(&again, seen, "all of it is there after reopening");
    }
}

#[test]
fn threads_miss_nothing_and_see_nothing_twice_while_segments_come_and_go() {
    for durability in [Durability::Sync, Durability::Process] {
        play(durability);
    }
}

#[test]
fn of_threads_that_append_on_the_same_condition_one_wins_each_round() {
    let directory = TempDir::new().unwrap();
    let options = FileOptions::default().with_durability(Durability::Process);
    let log = Log::open(directory.path().join("log"), options).unwrap();
    log.append(Batch::new(
        "race",
        vec![NewEntry::new(Payload::octets(vec![0]))],
    ))
    .unwrap();
    let start = Barrier::new(WRITERS);
    for round in 1..50 {
        let wins: usize = thread::scope(|scope| {
            let racers: Vec<_> = (0..WRITERS)
                .map(|_| scope.spawn(|| race(&log, &start, round)))
                .collect();
            racers
                .into_iter()
                .map(|racer| usize::from(racer.join().unwrap()))
                .sum()
        });
        assert_eq!(wins, 1);
    }
}

fn race(log: &Log, start: &Barrier, round: u64) -> bool {
    let entry = NewEntry::new(Payload::octets(vec![1]));
    let batch = Batch::new("race", vec![entry]).when(Condition::head_is(round));
    start.wait();
    match log.append(batch) {
        Ok(_) => true,
        Err(Error::Conflict { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}
