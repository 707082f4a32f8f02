//! Logs of older formats are opened, read and brought forward.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use ledger_core::{Batch, Filter, NewEntry, Payload, ReadOptions};
use ledger_file::{Compression, FileOptions, Housekeeping, Log};
use tempfile::TempDir;

/// A copy of a fixture, in a directory of its own.
fn copy_of(fixture: &str) -> TempDir {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let directory = TempDir::new().unwrap();
    for file in fs::read_dir(fixtures.join(fixture)).unwrap() {
        let path = file.unwrap().path();
        fs::copy(&path, directory.path().join(path.file_name().unwrap())).unwrap();
    }
    directory
}

fn open(directory: &TempDir) -> Log {
    let options = FileOptions::default().with_housekeeping(Housekeeping::Inline);
    Log::open(directory.path(), options).unwrap()
}

/// The entry that both streams of its commit were given, as it was appended.
fn entry(number: u64) -> NewEntry {
    NewEntry::new(Payload::json(format!("{{\"number\":{number}}}")))
        .order_key(format!("o-{}", number % 3))
        .dedup_key(format!("d-{number}"))
}

/// The ids of the entries of `all` with an order key.
fn ids_of(log: &Log, key: &str) -> Vec<u64> {
    ids_in(log, "all", key)
}

fn ids_in(log: &Log, stream: &str, key: &str) -> Vec<u64> {
    let filter = Filter::new().order_key(key);
    let options = ReadOptions::new().filter(filter).limit(1_000);
    let page = log.read(&stream.into(), &options).unwrap();
    page.entries.iter().map(|entry| entry.id).collect()
}

/// The formats of the index files, in the order of their names.
fn index_formats(directory: &TempDir) -> Vec<u8> {
    formats(directory, "index")
}

/// The formats of the files whose names end so, in the order of their names.
fn formats(directory: &TempDir, extension: &str) -> Vec<u8> {
    let files = fs::read_dir(directory.path()).unwrap();
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|it| it == extension));
    paths.sort();
    let format = |path: &PathBuf| fs::read(path).unwrap()[8];
    paths.iter().map(format).collect()
}

/// Forty commits: an entry to one of two streams, and two to `all`; four segments.
#[test]
fn indexes_of_format_1_are_made_anew() {
    let directory = copy_of("index-1");
    assert_eq!(index_formats(&directory), [1; 4]);
    let log = open(&directory);
    let page = log.read(&"all".into(), &ReadOptions::new().limit(100));
    let page = page.unwrap();
    assert_eq!(page.entries.len(), 80);
    for (number, found) in (0..).zip(&page.entries) {
        assert_eq!((found.id, &found.value), (number + 1, &entry(number).value));
    }
    let expected: Vec<u64> = (1..=80).filter(|id| (id - 1) % 3 == 1).collect();
    assert_eq!(ids_of(&log, "o-1"), expected);
    let again = (0..80).map(entry).collect();
    let receipt = log.append(Batch::new("all", again)).unwrap();
    assert_eq!(receipt.appended(), 0, "all of them are there");
    assert_eq!(log.stat(&"s-1".into()).unwrap().count, 20);
    log.close().unwrap();
    assert_eq!(index_formats(&directory)[..3], [NOW; 3]);
    assert_eq!(ids_of(&open(&directory), "o-1"), expected);
}

/// Logs of one entry a commit, trimmed, in whose indexes nothing but their format differs. The first two segments that are
/// left have a merged index; the index of the last one ends where the log was closed.
struct Fixture {
    name: &'static str,
    format: u8,
    indexes: usize,
    /// The ids that are left.
    ids: RangeInclusive<u64>,
}

const READ_AS_THEY_ARE: [Fixture; 2] = [
    Fixture {
        name: "index-2",
        format: 2,
        indexes: 3,
        ids: 86..=120,
    },
    Fixture {
        name: "index-3",
        format: 3,
        indexes: 4,
        ids: 431..=700,
    },
];

/// The format of the indexes that are written now.
const NOW: u8 = 4;

/// Those of some ids whose entries have the order key `o-1`.
fn with_key(ids: RangeInclusive<u64>) -> Vec<u64> {
    ids.filter(|id| (id - 1) % 3 == 1).collect()
}

#[test]
fn indexes_of_formats_before_are_read_and_new_ones_are_written_beside_them() {
    for fixture in READ_AS_THEY_ARE {
        let directory = copy_of(fixture.name);
        let old = vec![fixture.format; fixture.indexes];
        assert_eq!(index_formats(&directory), old);
        assert_eq!(formats(&directory, "merged"), [fixture.format]);
        let log = open(&directory);
        let (first, last) = fixture.ids.clone().into_inner();
        assert_eq!(ids_of(&log, "o-1"), with_key(first..=last));
        let page = log.read(&"all".into(), &ReadOptions::new().limit(1_000));
        let ids = page.unwrap().entries.into_iter().map(|entry| entry.id);
        assert!(ids.eq(first..=last));
        let again = (first - 1..last).map(entry).collect();
        let receipt = log.append(Batch::new("all", again)).unwrap();
        assert_eq!(receipt.appended(), 0, "all of them are there");
        log.verify().unwrap();
        for number in last..last + 30 {
            let new = Batch::new("all", vec![entry(number)]);
            assert_eq!(log.append(new).unwrap().appended(), 1);
        }
        log.close().unwrap();
        let formats_now = index_formats(&directory);
        assert_eq!(formats_now[..2], old[..2]);
        assert_eq!(formats_now.last(), Some(&NOW));
        assert_eq!(formats(&directory, "merged"), [fixture.format]);
        assert_eq!(
            ids_of(&open(&directory), "o-1"),
            with_key(first..=last + 30)
        );
    }
}

#[test]
fn indexes_of_formats_before_are_merged_into_one_of_the_format_of_now() {
    for fixture in READ_AS_THEY_ARE {
        let directory = copy_of(fixture.name);
        remove_merged(&directory);
        let log = open(&directory);
        let expected = with_key(fixture.ids);
        assert_eq!(ids_of(&log, "o-1"), expected);
        log.tidy().unwrap();
        assert_eq!(formats(&directory, "merged"), [NOW]);
        assert_eq!(ids_of(&log, "o-1"), expected);
        log.close().unwrap();
        assert_eq!(index_formats(&directory)[..2], [fixture.format; 2]);
    }
}

/// Every fiftieth commit there is one more, to a stream and with a key of its own, which stands in the index without a list.
#[test]
fn keys_of_one_entry_are_found_in_indexes_of_format_3_and_when_they_were_merged_now() {
    let directory = copy_of("index-3");
    let check = |log: &Log| {
        for (id, number) in (1..=5).zip((450..).step_by(50)) {
            assert_eq!(ids_in(log, "alone", &format!("u-{number}")), [id]);
        }
    };
    let log = open(&directory);
    check(&log);
    log.close().unwrap();
    remove_merged(&directory);
    let log = open(&directory);
    check(&log);
    log.tidy().unwrap();
    assert_eq!(formats(&directory, "merged"), [NOW]);
    check(&log);
}

fn remove_merged(directory: &TempDir) {
    for file in fs::read_dir(directory.path()).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|it| it == "merged") {
            fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn a_log_without_packed_segments_is_packed_when_that_is_wanted() {
    let directory = copy_of("index-1");
    let format = || fs::read(directory.path().join("MANIFEST")).unwrap()[8];
    let options = FileOptions::default().with_housekeeping(Housekeeping::Inline);
    let options = options.with_sealed_compression(Compression::Lz4);
    assert_eq!(format(), 1);
    let log = Log::open(directory.path(), options).unwrap();
    log.compact().unwrap();
    assert_eq!(log.stats().unwrap().packed_segments, 3);
    assert_eq!(format(), 2);
    let expected: Vec<u64> = (1..=80).filter(|id| (id - 1) % 3 == 1).collect();
    assert_eq!(ids_of(&log, "o-1"), expected);
    log.verify().unwrap();
}

/// A thousand entries, ten a commit: a packed segment of several blocks, and one that is not full.
#[test]
fn packed_segments_of_format_1_are_read() {
    let directory = copy_of("packed-1");
    let log = open(&directory);
    let stats = log.stats().unwrap();
    assert_eq!((stats.segments, stats.packed_segments), (2, 1));
    let page = log.read(&"s".into(), &ReadOptions::new().limit(2_000));
    let page = page.unwrap();
    assert_eq!(page.entries.len(), 1_000);
    for (number, found) in (0..).zip(&page.entries) {
        assert_eq!((found.id, &found.value), (number + 1, &entry(number).value));
    }
    let again = (0..1_000).map(entry).collect();
    let receipt = log.append(Batch::new("s", again)).unwrap();
    assert_eq!(receipt.appended(), 0, "all of them are there");
    log.verify().unwrap();
}

#[test]
fn a_process_that_only_reads_leaves_older_indexes_alone() {
    let directory = copy_of("index-1");
    let log = Log::open_read_only(directory.path(), FileOptions::default()).unwrap();
    let expected: Vec<u64> = (1..=80).filter(|id| (id - 1) % 3 == 1).collect();
    assert_eq!(ids_of(&log, "o-1"), expected);
    assert_eq!(index_formats(&directory), [1; 4]);
}
