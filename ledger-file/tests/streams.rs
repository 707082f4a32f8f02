//! Threads that append to more streams than are remembered, and read them at the same time, in a real directory.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use ledger_core::{Batch, Durability, NewEntry, Payload, ReadOptions, StreamName};
use ledger_file::{FileOptions, Housekeeping, Log};
use tempfile::TempDir;

const STREAMS: usize = 500;
const WRITERS: usize = 2;
const APPENDS: usize = 4_000;

/// Far from enough for all streams.
const REMEMBERED_BYTES: usize = 48 << 10;

fn open(path: &Path) -> Log {
    let options = FileOptions::default()
        .with_durability(Durability::Process)
        .with_stream_cache_bytes(REMEMBERED_BYTES)
        .with_segment_bytes_max(64 << 10)
        .with_housekeeping(Housekeeping::Thread);
    Log::open(path, options).unwrap()
}

fn name(stream: usize) -> StreamName {
    format!("stream {stream}").into()
}

/// Which stream is next for a writer: a walk through all of them, with long strides that differ.
fn stream(writer: usize, step: usize) -> usize {
    (step * (37 + 4 * writer) + step / STREAMS) % STREAMS
}

/// What the threads know of each other.
struct Site {
    log: Log,
    /// How many entries each stream has that were answered.
    counts: Vec<AtomicU64>,
    /// What each writer appends to next, which readers look up at the same time.
    next: [AtomicUsize; WRITERS],
    writing: AtomicUsize,
}

impl Site {
    /// Appends to one stream after the other, and counts what each has.
    fn write(&self, writer: usize) {
        for step in 0..APPENDS {
            let stream = stream(writer, step);
            self.next[writer].store(stream, Ordering::SeqCst);
            let entry = NewEntry::new(Payload::octets(vec![0; 20]));
            self.log
                .append(Batch::new(name(stream), vec![entry]))
                .unwrap();
            self.counts[stream].fetch_add(1, Ordering::SeqCst);
        }
        self.writing.fetch_sub(1, Ordering::SeqCst);
    }

    /// Reads what a writer appends to, and misses nothing that was appended before.
    fn read(&self, writer: usize) {
        while self.writing.load(Ordering::SeqCst) > 0 {
            self.check(self.next[writer].load(Ordering::SeqCst));
        }
    }

    fn check(&self, stream: usize) -> u64 {
        let counted = self.counts[stream].load(Ordering::SeqCst);
        let all = ReadOptions::new().limit(10 * APPENDS);
        let page = self.log.read(&name(stream), &all).unwrap();
        let ids = page.entries.iter().map(|entry| entry.id);
        let count = page.entries.len() as u64;
        assert!(ids.eq(1..=count), "stream {stream}: {page:?}");
        assert!(count >= counted, "stream {stream}: {count} of {counted}");
        count - counted
    }

    fn check_all(&self) {
        let more: Vec<u64> = (0..STREAMS).map(|stream| self.check(stream)).collect();
        assert_eq!(more, [0; STREAMS]);
    }
}

#[test]
fn streams_that_are_used_by_many_threads_and_forgotten_lose_nothing_and_double_nothing() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("log");
    let mut counts: Vec<_> = (0..STREAMS).map(|_| AtomicU64::new(0)).collect();
    for _ in 0..2 {
        let site = Site {
            log: open(&path),
            counts,
            next: Default::default(),
            writing: AtomicUsize::new(WRITERS),
        };
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let site = &site;
                scope.spawn(move || site.write(writer));
                scope.spawn(move || site.read(writer));
            }
        });
        site.check_all();
        site.log.close().unwrap();
        let log = open(&path);
        let reopened = Site { log, ..site };
        reopened.check_all();
        counts = reopened.counts;
    }
}
