//! A log that is opened for reading, beside the process that writes it and after.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;

use ledger_core::{
    Batch, Durability, Error, NewEntry, Payload, ReadOptions, Result, Retention, Revision,
};
use ledger_file::{FileOptions, Housekeeping, Log};
use tempfile::TempDir;

const STREAM: &str = "orders";

fn options(durability: Durability) -> FileOptions {
    FileOptions::default()
        .with_durability(durability)
        .with_housekeeping(Housekeeping::Inline)
        .with_segment_bytes_max(2 << 10)
        .with_stage_bytes(4 << 10)
}

fn append(log: &Log, count: usize) {
    for _ in 0..count {
        let entry = NewEntry::new(Payload::octets("x".repeat(100)));
        log.append(Batch::new(STREAM, vec![entry])).unwrap();
    }
}

fn count(log: &Log) -> usize {
    let all = ReadOptions::new().limit(1_000);
    log.read(&STREAM.into(), &all).unwrap().entries.len()
}

/// The name and the bytes of each file.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    files
        .map(|file| {
            let name = file.file_name().into_string().unwrap();
            (name, std::fs::read(file.path()).unwrap())
        })
        .collect()
}

/// All that changes a log, or puts it in order.
fn changes(log: &Log) -> Vec<Result<()>> {
    let stream = STREAM.into();
    vec![
        log.append(Batch::new(
            STREAM,
            vec![NewEntry::new(Payload::octets("no"))],
        ))
        .map(drop),
        log.trim(&stream, 1).map(drop),
        log.retain(&stream, &Retention::new().entries_max(1))
            .map(drop),
        log.purge_expired(&stream).map(drop),
        log.rename(&stream, &"other".into()).map(drop),
        log.set_tags(&stream, 60, BTreeSet::new()),
        log.annotate(&stream, 60, &BTreeMap::new()),
        log.save_checkpoint(&stream, "reader", b"1", None).map(drop),
        log.delete_checkpoint(&stream, "reader", Revision(1)),
        log.sync(),
        log.tidy(),
        log.compact(),
    ]
}

#[test]
fn who_only_reads_changes_nothing_and_is_told_so() {
    for durability in [Durability::Sync, Durability::Process] {
        let directory = TempDir::new().unwrap();
        let log = Log::open(directory.path(), options(durability)).unwrap();
        append(&log, 10);
        let reader = Log::open_read_only(directory.path(), options(durability)).unwrap();
        // Segments that the reader's manifest does not name.
        append(&log, 100);
        log.trim(&STREAM.into(), 50).unwrap();
        let before = files(directory.path());
        for refused in changes(&reader) {
            assert!(
                matches!(refused, Err(Error::ReadOnly { .. })),
                "{refused:?}"
            );
        }
        assert_eq!(count(&reader), 60);
        reader.verify().unwrap();
        reader.close().unwrap();
        assert!(files(directory.path()) == before, "a file was changed");
        append(&log, 10);
        log.verify().unwrap();
        drop(log);
        let log = Log::open(directory.path(), options(durability)).unwrap();
        assert_eq!(count(&log), 70);
    }
}

#[test]
fn a_reader_of_a_closed_log_is_closed_without_a_change() {
    let directory = TempDir::new().unwrap();
    let log = Log::open(directory.path(), options(Durability::Sync)).unwrap();
    append(&log, 100);
    log.close().unwrap();
    let before = files(directory.path());
    let reader = Log::open_read_only(directory.path(), options(Durability::Sync)).unwrap();
    assert_eq!(count(&reader), 100);
    reader.close().unwrap();
    assert!(matches!(reader.close(), Err(Error::Closed)));
    drop(Log::open_read_only(directory.path(), options(Durability::Sync)).unwrap());
    assert!(files(directory.path()) == before, "a file was changed");
}

/// All that can be asked.
fn questions(log: &Log) -> Vec<Result<()>> {
    let stream = STREAM.into();
    vec![
        log.read(&stream, &ReadOptions::new()).map(drop),
        log.scan(&stream, 0, |_| ControlFlow::Continue(()))
            .map(drop),
        log.stat(&stream).map(drop),
        log.list(None, 10).map(drop),
        log.load_checkpoint(&stream, "reader").map(drop),
        log.list_checkpoints(&stream, None, 10).map(drop),
        log.refresh(),
        log.verify().map(drop),
        log.stats().map(drop),
    ]
}

#[test]
fn whoever_closed_what_it_reads_is_told_so_by_every_call() {
    let directory = TempDir::new().unwrap();
    let log = Log::open(directory.path(), options(Durability::Sync)).unwrap();
    append(&log, 100);
    let reader = Log::open_read_only(directory.path(), options(Durability::Sync)).unwrap();
    for answered in questions(&reader) {
        answered.unwrap();
    }
    reader.close().unwrap();
    for refused in changes(&reader).into_iter().chain(questions(&reader)) {
        assert!(matches!(refused, Err(Error::Closed)), "{refused:?}");
    }
}

/// Puts other files in the place of all that there are.
fn replace(directory: &Path, others: &BTreeMap<String, Vec<u8>>) {
    for name in files(directory).into_keys() {
        std::fs::remove_file(directory.join(name)).unwrap();
    }
    for (name, bytes) in others {
        std::fs::write(directory.join(name), bytes).unwrap();
    }
}

fn assert_replaced(reader: &Log) {
    let refused = reader.read(&STREAM.into(), &ReadOptions::new());
    assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
}

/// Two closed logs: one of 50 entries, and what became of it with 50 more.
fn backup_and_log(directory: &Path, durability: Durability) -> BTreeMap<String, Vec<u8>> {
    let log = Log::open(directory, options(durability)).unwrap();
    append(&log, 50);
    log.close().unwrap();
    let backup = files(directory);
    let log = Log::open(directory, options(durability)).unwrap();
    append(&log, 50);
    log.close().unwrap();
    backup
}

#[test]
fn a_reader_is_told_that_a_backup_or_nothing_was_put_in_the_place_of_its_log() {
    for durability in [Durability::Sync, Durability::Process] {
        let directory = TempDir::new().unwrap();
        let backup = backup_and_log(directory.path(), durability);
        for other in [backup, BTreeMap::new()] {
            let reader = || Log::open_read_only(directory.path(), options(durability)).unwrap();
            let [early, late] = [reader(), reader()];
            assert_eq!(count(&early), count(&late));
            replace(directory.path(), &other);
            // One looks before somebody writes again, and one looks only then.
            assert_replaced(&early);
            let log = Log::open(directory.path(), options(durability)).unwrap();
            append(&log, 200);
            assert_replaced(&early);
            assert_replaced(&late);
            assert_eq!(count(&reader()), count(&log));
            log.close().unwrap();
            assert_replaced(&late);
        }
    }
}
