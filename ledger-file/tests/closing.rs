//! A log that is closed and opened again, over and over, while threads use it.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use ledger_core::{Batch, Durability, Error, NewEntry, Payload, ReadOptions, Result};
use ledger_file::{Compression, FileOptions, Log};
use tempfile::TempDir;

const WRITERS: usize = 3;
const OPENINGS: usize = 30;

/// How many appends there are, at least, while the log is open.
const APPENDS: usize = 20;

const STREAM: &str = "s";
const SCRAP: &str = "scrap";

/// A log that is open, or will soon be again.
struct Site {
    path: PathBuf,
    options: FileOptions,
    log: Mutex<Arc<Log>>,
    answered: AtomicUsize,
    is_over: AtomicBool,
}

impl Site {
    fn new(directory: &TempDir, durability: Durability) -> Self {
        let path = directory.path().join("log");
        let options = FileOptions::default()
            .with_durability(durability)
            .with_segment_bytes_max(8 << 10)
            .with_sealed_compression(Compression::Lz4);
        Self {
            log: Mutex::new(Arc::new(Log::open(&path, options.clone()).unwrap())),
            path,
            options,
            answered: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        }
    }

    /// Asks the log that is open, until it is not closed before it has answered.
    fn ask<T>(&self, question: impl Fn(&Log) -> Result<T>) -> T {
        loop {
            let log = Arc::clone(&self.log.lock().unwrap());
            match question(&log) {
                Err(Error::Closed) => thread::yield_now(),
                answer => return answer.unwrap(),
            }
        }
    }

    /// Does something as long as the log is opened again.
    fn until_over(&self, mut act: impl FnMut(u64)) {
        let go_on = |_: &u64| !self.is_over.load(Ordering::Relaxed);
        (0..).take_while(go_on).for_each(&mut act);
    }

    /// Closes the log, and opens it at once, as the next process does.
    fn reopen(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        while self.answered.load(Ordering::Relaxed) < before + APPENDS {
            thread::yield_now();
        }
        let closed = Arc::clone(&self.log.lock().unwrap());
        closed.close().unwrap();
        let next = Log::open(&self.path, self.options.clone()).unwrap();
        *self.log.lock().unwrap() = Arc::new(next);
    }
}

/// Appends entries, and tells their dedup keys.
fn write(site: &Site, writer: usize) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    site.until_over(|nth| {
        let key = format!("{writer} {nth}");
        let entry = NewEntry::new(Payload::octets(vec![7; 100])).dedup_key(key.clone());
        site.ask(|log| log.append(Batch::new(STREAM, vec![entry.clone()])));
        keys.insert(key);
        site.answered.fetch_add(1, Ordering::Relaxed);
    });
    keys
}

/// Appends what is thrown away again, and has the log put in order.
fn tidy(site: &Site) {
    site.until_over(|nth| {
        let scrap = NewEntry::new(Payload::octets(vec![0; 2_000]));
        let receipt = site.ask(|log| log.append(Batch::new(SCRAP, vec![scrap.clone()])));
        let id = receipt.ids().next().unwrap();
        site.ask(|log| log.trim(&SCRAP.into(), id));
        match nth % 2 {
            0 => site.ask(Log::compact),
            _ => site.ask(Log::tidy),
        }
    });
}

fn entries(site: &Site) -> Vec<(u64, Option<String>)> {
    let all = ReadOptions::new().limit(1_000_000);
    let page = site.ask(|log| log.read(&STREAM.into(), &all));
    let entries = page.entries.into_iter();
    entries.map(|entry| (entry.id, entry.dedup_key)).collect()
}

/// Reads all there is: what was seen once stays.
fn read(site: &Site) {
    let mut before = Vec::new();
    site.until_over(|_| {
        let seen = entries(site);
        assert!(seen.starts_with(&before));
        before = seen;
        site.ask(Log::verify);
    });
}

fn play(durability: Durability) {
    let directory = TempDir::new().unwrap();
    let site = Site::new(&directory, durability);
    let keys: BTreeSet<_> = thread::scope(|scope| {
        let site = &site;
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| scope.spawn(move || write(site, writer)))
            .collect();
        let others = [scope.spawn(|| tidy(site)), scope.spawn(|| read(site))];
        (0..OPENINGS).for_each(|_| site.reopen());
        site.is_over.store(true, Ordering::Relaxed);
        others.into_iter().for_each(|other| other.join().unwrap());
        let keys = writers.into_iter().flat_map(|it| it.join().unwrap());
        keys.collect()
    });
    site.ask(Log::verify);
    let seen = entries(&site);
    let (ids, seen): (Vec<_>, Vec<_>) = seen.into_iter().unzip();
    assert!((1..=keys.len() as u64).eq(ids), "each is there once");
    assert_eq!(seen.into_iter().flatten().collect::<BTreeSet<_>>(), keys);
}

#[test]
fn nothing_is_lost_or_there_twice_that_was_answered_while_a_log_was_closed_and_opened_again() {
    for durability in [Durability::Sync, Durability::Process] {
        play(durability);
    }
}
