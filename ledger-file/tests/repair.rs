//! Repairing a log on real files.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::fs;
use std::path::{Path, PathBuf};

use ledger_core::{Batch, Error, NewEntry, Payload, ReadOptions, StreamName};
use ledger_file::{FileOptions, Housekeeping, Log};

fn append(log: &Log, stream: &str, text: &str) -> u64 {
    let entry = NewEntry::new(Payload::octets(text.as_bytes().to_vec()));
    let receipt = log.append(Batch::new(stream, vec![entry])).unwrap();
    receipt.ids().next().unwrap()
}

/// A closed log of a hundred entries, and its segment file.
fn closed_log(path: &Path) -> PathBuf {
    let log = Log::open(path, FileOptions::default()).unwrap();
    for nth in 1..=100 {
        assert_eq!(append(&log, "orders", &format!("order {nth}")), nth);
    }
    log.close().unwrap();
    segments(path).remove(0)
}

fn segments(path: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(path).unwrap().map(|file| file.unwrap().path());
    files
        .filter(|file| file.extension().is_some_and(|it| it == "segment"))
        .collect()
}

/// Alters the text of entry 40.
fn damage(segment: &Path) -> Vec<u8> {
    let mut bytes = fs::read(segment).unwrap();
    let text = b"order 40";
    let at = bytes.windows(text.len()).position(|bytes| bytes == text);
    bytes[at.unwrap()] ^= 1;
    fs::write(segment, &bytes).unwrap();
    bytes
}

#[test]
fn a_lost_entry_leaves_a_tombstone_and_everything_else_stays() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("log");
    let segment = closed_log(&path);
    let damaged = damage(&segment);

    let foreseen = Log::examine(&path).unwrap();
    assert_eq!(foreseen.lost.len(), 1);
    assert_eq!(
        fs::read(&segment).unwrap(),
        damaged,
        "it was only looked at"
    );

    let repair = Log::repair(&path, FileOptions::default()).unwrap();
    assert_eq!(repair.damage, foreseen.damage);
    assert_eq!(repair.lost[0].ids, 40..=40);
    assert_eq!(fs::read(path.join(&repair.set_aside[0])).unwrap(), damaged);

    let log = Log::open(&path, FileOptions::default()).unwrap();
    let orders = StreamName::from("orders");
    let options = ReadOptions::new().limit(1_000).with_tombstones();
    let page = log.read(&orders, &options).unwrap();
    let ids: Vec<_> = page.entries.iter().map(|entry| entry.id).collect();
    let expected: Vec<_> = (1..=100).filter(|id| *id != 40).collect();
    assert_eq!((ids, page.tombstones), (expected, vec![40]));
    assert_eq!(append(&log, "orders", "another"), 101);
}

#[test]
fn a_sound_log_is_left_alone() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("log");
    let segment = closed_log(&path);
    let bytes = fs::read(&segment).unwrap();
    let repair = Log::repair(&path, FileOptions::default()).unwrap();
    assert!(repair.is_sound() && repair.set_aside.is_empty());
    assert_eq!(fs::read(&segment).unwrap(), bytes);
}

#[test]
fn what_is_open_or_no_log_is_not_repaired() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("log");
    let log = Log::open(&path, FileOptions::default()).unwrap();
    let refused = Log::repair(&path, FileOptions::default());
    assert!(matches!(refused, Err(Error::Busy { .. })), "{refused:?}");
    drop(log);
    let empty = place.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let refused = Log::repair(&empty, FileOptions::default());
    assert!(
        matches!(refused, Err(Error::NotAStore { .. })),
        "{refused:?}"
    );
    assert!(Log::examine(place.path().join("nowhere")).is_err());
}

/// The ids of the entries that a reader sees, and those of tombstones.
fn seen(log: &Log) -> Result<(Vec<u64>, Vec<u64>), Error> {
    let options = ReadOptions::new().limit(1_000).with_tombstones();
    let page = log.read(&"orders".into(), &options)?;
    let ids = page.entries.iter().map(|entry| entry.id).collect();
    Ok((ids, page.tombstones))
}

/// Alters a byte in the middle of the file.
fn flip(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, &bytes).unwrap();
}

#[test]
fn who_reads_a_log_goes_on_when_it_is_repaired() {
    let options = || {
        FileOptions::default()
            .with_segment_bytes_max(2 << 10)
            .with_housekeeping(Housekeeping::Inline)
    };
    for nth in 0.. {
        let place = tempfile::tempdir().unwrap();
        let log = Log::open(place.path(), options()).unwrap();
        for order in 1..=100 {
            append(&log, "orders", &format!("order {order:100}"));
        }
        log.close().unwrap();
        let mut segments = segments(place.path());
        segments.sort();
        let Some(segment) = segments.get(nth) else {
            assert!(nth > 3, "{nth} segments");
            break;
        };
        let [early, late] = [(); 2].map(|()| Log::open_read_only(place.path(), options()).unwrap());
        assert_eq!(seen(&early).unwrap().0.len(), 100);
        flip(segment);
        let repair = Log::repair(place.path(), options()).unwrap();
        assert!(!repair.is_sound());
        let log = Log::open(place.path(), options()).unwrap();
        append(&log, "orders", "another");
        let expected = seen(&log).unwrap();
        assert_eq!(expected.0.len() + expected.1.len(), 101);
        for reader in [&early, &late] {
            assert_eq!(seen(reader).unwrap(), expected);
            reader.verify().unwrap();
        }
    }
}
