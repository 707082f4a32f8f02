//! Full segments that are packed: read, followed, compacted and repaired like others, and refused by who cannot read them.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use ledger_core::{
    Batch, Durability, Error, Filter, ManualClock, NewEntry, Payload, ReadOptions, Timestamp,
};
use ledger_file::{Compression, FileOptions, Housekeeping, Log};
use tempfile::TempDir;

/// Entries of the log of [`filled`]: in segments of many blocks.
const ENTRIES: u64 = 6_000;

fn plain() -> FileOptions {
    FileOptions::default()
        .with_durability(Durability::Process)
        .with_housekeeping(Housekeeping::Inline)
        .with_segment_bytes_max(128 << 10)
}

fn packing() -> FileOptions {
    plain().with_sealed_compression(Compression::Lz4)
}

fn open(directory: &TempDir, options: FileOptions) -> Log {
    Log::open(directory.path().join("log"), options).unwrap()
}

fn entry(id: u64) -> NewEntry {
    let text = format!(
        "{{\"flight\":{},\"from\":\"EWR\",\"to\":\"IAH\",\"delay\":{}}}",
        id,
        id % 17
    );
    NewEntry::new(Payload::json(text.repeat(1 + id as usize % 3)))
        .order_key(format!("N{}", id % 100))
        .dedup_key(format!("evt-{id}"))
}

/// A log in which single entries, batches and one large commit fill several segments.
fn filled(directory: &TempDir, options: FileOptions) -> Log {
    let log = open(directory, options);
    let mut next = 1;
    while next <= ENTRIES {
        let count = [1, 1, 10, 700][next as usize % 4].min(ENTRIES + 1 - next);
        let entries = (next..next + count).map(entry).collect();
        log.append(Batch::new("flights", entries)).unwrap();
        next += count;
    }
    log
}

/// Everything that reads in several ways return.
fn seen(log: &Log) -> Vec<Vec<(u64, Vec<u8>)>> {
    let all = ReadOptions::new().limit(ENTRIES as usize);
    let of_key = |key: &str| all.clone().filter(Filter::new().order_key(key));
    let questions = [
        all.clone(),
        all.clone().descending(),
        all.clone().after(2_999).limit(7),
        all.clone().since(Timestamp::from_micros(0)).limit(3),
        of_key("N17"),
        of_key("N42").descending(),
    ];
    let answer = |options: &ReadOptions<u64>| {
        let page = log.read(&"flights".into(), options).unwrap();
        let entries = page.entries.into_iter();
        entries
            .map(|entry| (entry.id, entry.value.bytes.to_vec()))
            .collect()
    };
    questions.iter().map(answer).collect()
}

fn files(directory: &TempDir, extension: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(directory.path().join("log")).unwrap();
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|it| it == extension));
    paths.sort();
    paths
}

/// How many segments are not packed.
fn unpacked(log: &Log) -> u64 {
    let stats = log.stats().unwrap();
    stats.segments - stats.packed_segments
}

#[test]
fn what_is_packed_is_read_as_before_in_every_way() {
    let directories = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let [as_it_is, packed] = &directories;
    let expected = seen(&filled(as_it_is, plain()));
    let log = filled(packed, packing());
    assert_eq!(seen(&log), expected);
    log.close().unwrap();
    for mapped_reads in [true, false] {
        let log = open(packed, packing().with_mapped_reads(mapped_reads));
        assert_eq!(seen(&log), expected);
        let again = log.append(Batch::new("flights", vec![entry(5)])).unwrap();
        assert_eq!(again.appended(), 0, "its key is still known");
        let mut scanned = 0;
        log.scan(&"flights".into(), 0, |_| {
            scanned += 1;
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(scanned, ENTRIES);
        let verified = log.verify().unwrap();
        assert_eq!(verified.entries, ENTRIES);
        log.close().unwrap();
    }
}

#[test]
fn packed_segments_are_smaller_and_the_stats_say_so() {
    let directory = TempDir::new().unwrap();
    let log = filled(&directory, packing());
    let stats = log.stats().unwrap();
    let packed = files(&directory, "packed");
    assert!(packed.len() >= 3, "{packed:?}");
    assert_eq!(stats.packed_segments, packed.len() as u64);
    assert_eq!(unpacked(&log), 1, "the newest grows");
    assert!(2 * stats.file_bytes < stats.segment_bytes, "{stats:?}");
}

#[test]
fn a_log_that_was_not_packed_is_packed_by_a_compaction_when_that_is_wanted() {
    let directory = TempDir::new().unwrap();
    let log = filled(&directory, plain());
    let expected = seen(&log);
    log.compact().unwrap();
    assert_eq!(files(&directory, "packed"), [] as [PathBuf; 0]);
    log.close().unwrap();
    let log = open(&directory, packing());
    log.compact().unwrap();
    assert_eq!(unpacked(&log), 1, "the newest grows");
    assert_eq!(seen(&log), expected);
    log.close().unwrap();
    let log = open(&directory, plain());
    assert_eq!(seen(&log), expected);
    log.compact().unwrap();
    assert_eq!(unpacked(&log), 1, "what is packed stays so");
}

#[test]
fn a_reader_goes_on_while_what_it_reads_is_packed() {
    let directory = TempDir::new().unwrap();
    let log = filled(&directory, plain());
    let expected = seen(&log);
    let reader =
        || Log::open_read_only(directory.path().join("log"), FileOptions::default()).unwrap();
    let early = reader();
    assert_eq!(seen(&early), expected);
    log.close().unwrap();
    let log = open(&directory, packing());
    log.tidy().unwrap();
    assert_eq!(unpacked(&log), 1);
    for reader in [early, reader()] {
        assert_eq!(seen(&reader), expected);
        assert!(reader.stats().unwrap().segments > 3);
    }
}

#[test]
fn what_was_purged_or_trimmed_is_gone_from_a_packed_segment_after_a_compaction() {
    let directory = TempDir::new().unwrap();
    let clock = std::sync::Arc::new(ManualClock::new(Timestamp::from_micros(0)));
    let log = open(&directory, packing().with_clock(clock.clone()));
    let secret = b"the secret that must go";
    let expiring = NewEntry::new(Payload::octets(&secret[..]));
    let expiring = expiring.expires_at(Timestamp::from_micros(1));
    log.append(Batch::new("s", vec![expiring])).unwrap();
    for id in 0..ENTRIES {
        log.append(Batch::new("s", vec![entry(id)])).unwrap();
    }
    let holds_secret = || {
        let paths = [files(&directory, "packed"), files(&directory, "segment")].concat();
        let mut bytes = paths.iter().map(|path| fs::read(path).unwrap());
        bytes.any(|bytes| bytes.windows(secret.len()).any(|part| part == secret))
    };
    let packed = files(&directory, "packed");
    assert!(holds_secret() && packed.len() > 2);
    clock.advance(Duration::from_secs(1));
    assert_eq!(log.purge_expired(&"s".into()).unwrap(), 1);
    log.compact().unwrap();
    assert!(!holds_secret());
    let left = files(&directory, "packed");
    assert_eq!(
        left.len(),
        packed.len(),
        "what was rewritten is packed again"
    );
    assert_ne!(left[0], packed[0]);
    assert_eq!(left[1..], packed[1..], "and nothing else was");
    log.trim(&"s".into(), ENTRIES / 2).unwrap();
    assert!(files(&directory, "packed").len() < packed.len());
    let all = ReadOptions::new().limit(ENTRIES as usize);
    let page = log.read(&"s".into(), &all).unwrap();
    let ids: Vec<u64> = page.entries.iter().map(|entry| entry.id).collect();
    assert!(ids.into_iter().eq(ENTRIES / 2 + 1..=ENTRIES + 1));
}

#[test]
fn a_flipped_byte_is_told_with_its_file_and_costs_what_is_in_its_block() {
    let directory = TempDir::new().unwrap();
    filled(&directory, packing()).close().unwrap();
    let path = files(&directory, "packed").remove(1);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    fs::write(&path, bytes).unwrap();
    let log = open(&directory, packing());
    match log.verify() {
        Err(Error::Corrupt { place, .. }) => assert!(path.ends_with(place)),
        other => panic!("{other:?}"),
    }
    log.close().unwrap();
    let repair = Log::repair(directory.path().join("log"), packing()).unwrap();
    let lost: u64 = repair
        .lost
        .iter()
        .map(|lost| lost.ids.end() - lost.ids.start() + 1)
        .sum();
    assert!((1..1_500).contains(&lost), "{repair:?}");
    let log = open(&directory, packing());
    let all = ReadOptions::new().limit(ENTRIES as usize).with_tombstones();
    let page = log.read(&"flights".into(), &all).unwrap();
    assert_eq!(page.tombstones.len() as u64, lost);
    for found in &page.entries {
        assert_eq!(found.value, entry(found.id).value);
    }
    log.verify().unwrap();
}

#[test]
fn a_packed_segment_that_is_gone_or_cut_is_refused() {
    for len in [None, Some(0), Some(10_000)] {
        let directory = TempDir::new().unwrap();
        filled(&directory, packing()).close().unwrap();
        let path = files(&directory, "packed").remove(1);
        match len {
            None => fs::remove_file(&path).unwrap(),
            Some(len) => fs::File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_len(len)
                .unwrap(),
        }
        match Log::open(directory.path().join("log"), packing()) {
            Err(Error::Corrupt { place, .. }) => assert!(path.ends_with(place)),
            other => panic!("{other:?}"),
        }
    }
}

/// A version that knows no packed segments finds a format that it does not know; this one would, in a newer log.
#[test]
fn a_log_with_packed_segments_is_of_a_newer_format_and_any_other_is_not() {
    let directories = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let formats = directories
        .each_ref()
        .map(|directory| directory.path().join("log/MANIFEST"));
    filled(&directories[0], plain()).close().unwrap();
    filled(&directories[1], packing()).close().unwrap();
    let [as_it_is, packed] = formats.each_ref().map(|path| fs::read(path).unwrap()[8]);
    assert_eq!((as_it_is, packed), (1, 2));
    let mut newer = fs::read(&formats[1]).unwrap();
    newer[8] = 3;
    fs::write(&formats[1], newer).unwrap();
    let refused = Log::open(directories[1].path().join("log"), packing());
    let is_right = matches!(
        refused,
        Err(Error::FormatTooNew {
            found: 3,
            supported: 2,
            ..
        })
    );
    assert!(is_right, "{refused:?}");
}
