//! The synchronous log in a real directory.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use ledger_core::{
    Batch, Condition, Durability, Error, Filter, NewEntry, Outcome, Payload, ReadOptions, Revision,
    StreamName,
};
use ledger_file::{FileOptions, Housekeeping, Log, NewRecord};
use tempfile::TempDir;

fn options(durability: Durability) -> FileOptions {
    FileOptions::default()
        .with_durability(durability)
        .with_housekeeping(Housekeeping::Inline)
}

fn open(directory: &TempDir, options: &FileOptions) -> Log {
    Log::open(directory.path().join("log"), options.clone()).unwrap()
}

fn entry(text: &str) -> NewEntry {
    NewEntry::new(Payload::octets(text.as_bytes().to_vec()))
}

fn texts(log: &Log, stream: &str) -> Vec<String> {
    let page = log
        .read(&stream.into(), &ReadOptions::new().limit(10_000))
        .unwrap();
    let text =
        |entry: ledger_core::Entry<u64>| String::from_utf8(entry.value.bytes.to_vec()).unwrap();
    page.entries.into_iter().map(text).collect()
}

const DURABILITIES: [Durability; 2] = [Durability::Sync, Durability::Process];

#[test]
fn what_is_appended_is_read_back_also_after_reopening() {
    for durability in DURABILITIES {
        let (directory, options) = (TempDir::new().unwrap(), options(durability));
        let log = open(&directory, &options);
        let receipt = log
            .append(Batch::new("s", vec![entry("a"), entry("b")]))
            .unwrap();
        assert_eq!(
            receipt.outcomes,
            [Outcome::Appended(1), Outcome::Appended(2)]
        );
        assert_eq!(texts(&log, "s"), ["a", "b"]);
        log.close().unwrap();
        let log = open(&directory, &options);
        assert_eq!(texts(&log, "s"), ["a", "b"]);
        log.append(Batch::new("s", vec![entry("c")])).unwrap();
        drop(log);
        let log = open(&directory, &options);
        assert_eq!(texts(&log, "s"), ["a", "b", "c"]);
        assert_eq!(log.stat(&"s".into()).unwrap().bytes, 3);
    }
}

#[test]
fn many_segments_are_one_log() {
    for durability in DURABILITIES {
        let directory = TempDir::new().unwrap();
        let options = options(durability).with_segment_bytes_max(1 << 10);
        let log = open(&directory, &options);
        let texts_in: Vec<String> = (0..200).map(|n| format!("entry number {n}")).collect();
        for text in &texts_in {
            log.append(Batch::new("s", vec![entry(text).order_key("k")]))
                .unwrap();
        }
        assert_eq!(texts(&log, "s"), texts_in);
        let descending = ReadOptions::new().descending().limit(3);
        let page = log.read(&"s".into(), &descending).unwrap();
        assert_eq!(
            page.entries.iter().map(|e| e.id).collect::<Vec<_>>(),
            [200, 199, 198]
        );
        let keyed = ReadOptions::new()
            .after(100)
            .filter(Filter::new().order_key("k"));
        let page = log.read(&"s".into(), &keyed).unwrap();
        assert_eq!(page.entries.len(), 100);
        drop(log);
        let log = open(&directory, &options);
        assert_eq!(texts(&log, "s"), texts_in);
    }
}

#[test]
fn a_batch_may_hold_few_or_many_keys_twice() {
    let directory = TempDir::new().unwrap();
    let log = open(&directory, &options(Durability::Process));
    log.append(Batch::new("s", vec![entry("before")])).unwrap();
    let mut head = 1;
    for keys in [1, 5, 500] {
        let twice = (0..keys).chain(0..keys);
        let entries = twice.map(|key| entry("").dedup_key(format!("{key} of {keys}")));
        let receipt = log.append(Batch::new("s", entries.collect())).unwrap();
        let ids = || head + 1..head + 1 + keys;
        let expected = ids().map(Outcome::Appended);
        assert!(
            receipt
                .outcomes
                .into_iter()
                .eq(expected.chain(ids().map(Outcome::Duplicate)))
        );
        head += keys;
    }
    assert_eq!(texts(&log, "s").len() as u64, head);
}

#[test]
fn a_dedup_key_is_stored_once_in_one_batch_and_across_reopening() {
    for durability in DURABILITIES {
        let (directory, options) = (TempDir::new().unwrap(), options(durability));
        let log = open(&directory, &options);
        let batch = || {
            let entries = ["a", "b", "a"].map(|key| entry(key).dedup_key(key));
            Batch::new("s", entries.to_vec())
        };
        let first = log.append(batch()).unwrap().outcomes;
        assert_eq!(
            first,
            [
                Outcome::Appended(1),
                Outcome::Appended(2),
                Outcome::Duplicate(1)
            ]
        );
        drop(log);
        let log = open(&directory, &options);
        let again = log
            .append(batch().when(Condition::stream_is_empty()))
            .unwrap();
        assert_eq!(again.ids().collect::<Vec<_>>(), [1, 2, 1]);
        assert_eq!(again.appended(), 0);
    }
}

#[test]
fn conditions_are_decided_by_what_is_there() {
    let (directory, options) = (TempDir::new().unwrap(), options(Durability::Process));
    let log = open(&directory, &options);
    log.append(Batch::new("s", vec![entry("a").order_key("o")]))
        .unwrap();
    let batch = |after: u64| {
        Batch::new("s", vec![entry("b").order_key("o")]).when(Condition::last_of("o", after))
    };
    log.append(batch(1)).unwrap();
    let lost = log.append(batch(1));
    assert!(matches!(lost, Err(Error::Conflict { .. })), "{lost:?}");
    assert_eq!(log.stat(&"s".into()).unwrap().head, Some(2));
}

#[test]
fn a_trim_keeps_the_head() {
    for durability in DURABILITIES {
        let (directory, options) = (TempDir::new().unwrap(), options(durability));
        let log = open(&directory, &options);
        log.append(Batch::new("s", vec![entry("a"), entry("bc"), entry("def")]))
            .unwrap();
        assert_eq!(log.trim(&"s".into(), 2).unwrap(), 2);
        assert_eq!(log.stat(&"s".into()).unwrap().bytes, 3);
        assert_eq!(log.trim(&"s".into(), 9).unwrap(), 1);
        drop(log);
        let log = open(&directory, &options);
        let stat = log.stat(&"s".into()).unwrap();
        assert_eq!(
            (stat.first, stat.head, stat.count, stat.bytes),
            (None, Some(3), 0, 0)
        );
        assert_eq!(log.list(None, 10).unwrap(), []);
    }
}

#[test]
fn a_second_writer_is_told_who_the_first_is() {
    let (directory, options) = (TempDir::new().unwrap(), options(Durability::Sync));
    let _log = open(&directory, &options);
    let second = Log::open(directory.path().join("log"), options).unwrap_err();
    let source = std::error::Error::source(&second).unwrap().to_string();
    assert!(matches!(second, Error::Busy { .. }));
    assert!(source.contains(&std::process::id().to_string()), "{source}");
}

#[test]
fn names_and_checkpoints_survive() {
    for durability in DURABILITIES {
        let (directory, options) = (TempDir::new().unwrap(), options(durability));
        let log = open(&directory, &options);
        let (old, new) = (StreamName::from("old"), StreamName::from("new"));
        log.append(Batch::new("old", vec![entry("a")])).unwrap();
        let revision = log.save_checkpoint(&old, "c", b"1", None).unwrap();
        log.rename(&old, &new).unwrap();
        let later = log
            .save_checkpoint(&new, "c", b"2", Some(revision))
            .unwrap();
        assert!(later > revision);
        let stale = log.save_checkpoint(&new, "c", b"3", Some(Revision(0)));
        assert!(matches!(stale, Err(Error::CheckpointConflict { .. })));
        drop(log);
        let log = open(&directory, &options);
        let loaded = log.load_checkpoint(&new, "c").unwrap().unwrap();
        assert_eq!((&*loaded.value, loaded.revision), (&b"2"[..], later));
        assert_eq!(log.list(None, 10).unwrap(), [new]);
        assert_eq!(texts(&log, "old"), Vec::<String>::new());
    }
}

#[test]
fn borrowed_records_go_in_without_being_owned() {
    let (directory, options) = (TempDir::new().unwrap(), options(Durability::Process));
    let log = open(&directory, &options);
    let mut outcomes = Vec::new();
    let records = [NewRecord::octets(b"a"), NewRecord::json(b"{}")];
    log.append_records(&"s".into(), &records, None, &mut outcomes)
        .unwrap();
    assert_eq!(outcomes, [Outcome::Appended(1), Outcome::Appended(2)]);
    assert_eq!(texts(&log, "s"), ["a", "{}"]);
}

/// A log of many small segments: two streams in turns, the first trimmed, which has most of the bytes in each of them.
fn trimmed_log(directory: &TempDir, durability: Durability, through: u64) -> Log {
    let log = open(
        directory,
        &options(durability).with_segment_bytes_max(1 << 10),
    );
    log.append(Batch::new("old", vec![entry("renamed")]))
        .unwrap();
    log.rename(&"old".into(), &"first".into()).unwrap();
    log.save_checkpoint(&"first".into(), "c", b"kept", None)
        .unwrap();
    for n in 0..100 {
        log.append(Batch::new("first", vec![entry(&format!("first {n:90}"))]))
            .unwrap();
        if n >= 50 {
            log.append(Batch::new("second", vec![entry(&format!("second {n}"))]))
                .unwrap();
        }
    }
    log.trim(&"first".into(), through).unwrap();
    log
}

fn segments(directory: &TempDir) -> usize {
    let files = std::fs::read_dir(directory.path().join("log")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".segment")).count()
}

#[test]
fn dead_segments_go_and_what_they_said_stays() {
    for durability in DURABILITIES {
        let directory = TempDir::new().unwrap();
        let log = trimmed_log(&directory, durability, 45);
        let before = log.stats().unwrap().segments;
        log.trim(&"first".into(), 101).unwrap();
        log.tidy().unwrap();
        assert!(log.stats().unwrap().segments <= before);
        check_trimmed(&log);
        log.close().unwrap();
        let log = open(
            &directory,
            &options(durability).with_segment_bytes_max(1 << 10),
        );
        check_trimmed(&log);
        log.verify().unwrap();
    }
}

fn check_trimmed(log: &Log) {
    let stat = log.stat(&"first".into()).unwrap();
    assert_eq!(
        (stat.first, stat.head, stat.count, stat.bytes),
        (None, Some(101), 0, 0)
    );
    let checkpoint = log.load_checkpoint(&"first".into(), "c").unwrap().unwrap();
    assert_eq!(&*checkpoint.value, b"kept");
    assert_eq!(log.stat(&"old".into()).unwrap().head, None);
    assert_eq!(texts(log, "second").len(), 50);
    assert_eq!(log.list(None, 10).unwrap(), [StreamName::from("second")]);
}

#[test]
fn compaction_keeps_ids_and_gives_space_back() {
    for durability in DURABILITIES {
        let directory = TempDir::new().unwrap();
        let log = trimmed_log(&directory, durability, 101);
        let before = log.stats().unwrap().segment_bytes;
        log.compact().unwrap();
        log.verify().unwrap();
        let after = log.stats().unwrap().segment_bytes;
        assert!(after < before, "{durability:?}: {before} to {after} bytes");
        check_trimmed(&log);
        let receipt = log
            .append(Batch::new("first", vec![entry("next")]))
            .unwrap();
        assert_eq!(receipt.outcomes, [Outcome::Appended(102)]);
        log.trim(&"first".into(), 102).unwrap();
        drop(log);
        let log = open(&directory, &options(durability));
        assert_eq!(texts(&log, "second").len(), 50);
        log.verify().unwrap();
    }
}

#[test]
fn what_was_purged_is_gone_from_the_disk_after_a_compaction() {
    let directory = TempDir::new().unwrap();
    let options = options(Durability::Sync).with_segment_bytes_max(1 << 10);
    let log = open(&directory, &options);
    let past = ledger_core::Timestamp::from_micros(1);
    let secret = entry("a secret that nobody may read again").expires_at(past);
    log.append(Batch::new("s", vec![entry("kept"), secret]))
        .unwrap();
    for _ in 0..40 {
        log.append(Batch::new(
            "s",
            vec![entry("more of the same, to fill segments")],
        ))
        .unwrap();
    }
    assert_eq!(log.purge_expired(&"s".into()).unwrap(), 1);
    let holds_secret = || {
        let files = std::fs::read_dir(directory.path().join("log")).unwrap();
        files
            .map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .any(|bytes| bytes.windows(8).any(|window| window == b"a secret"))
    };
    assert!(holds_secret());
    let bytes = log.stat(&"s".into()).unwrap().bytes;
    log.compact().unwrap();
    assert!(!holds_secret());
    assert_eq!(log.stat(&"s".into()).unwrap().bytes, bytes);
    let page = log
        .read(&"s".into(), &ReadOptions::new().limit(3).with_tombstones())
        .unwrap();
    assert_eq!(page.tombstones, [2]);
    assert_eq!(
        page.entries.iter().map(|e| e.id).collect::<Vec<_>>(),
        [1, 3]
    );
}

#[test]
fn a_scan_shows_what_a_read_returns() {
    let directory = TempDir::new().unwrap();
    let log = trimmed_log(&directory, Durability::Process, 45);
    let mut shown = Vec::new();
    let last = log
        .scan(&"first".into(), 50, |record| {
            shown.push(String::from_utf8(record.payload().unwrap().to_vec()).unwrap());
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(last, Some(101));
    let read = ReadOptions::new().after(50).limit(1_000);
    let page = log.read(&"first".into(), &read).unwrap();
    assert_eq!(shown.len(), page.entries.len());
    assert_eq!(shown[0].as_bytes(), &*page.entries[0].value.bytes);
}

/// A log of several segments, the last of which is written to.
fn grown_log(directory: &TempDir, options: &FileOptions) -> Log {
    let log = open(directory, options);
    for number in 0..400 {
        let texts = (0..number % 7 + 1).map(|part| entry(&format!("entry {number} {part}")));
        let name = if number % 5 == 4 { "other" } else { "s" };
        log.append(Batch::new(name, texts.collect())).unwrap();
    }
    log
}

#[test]
fn mapped_segments_are_read_as_those_that_are_not() {
    for durability in DURABILITIES {
        let [mapped, read] = [true, false].map(|mapped| {
            let directory = TempDir::new().unwrap();
            let small = options(durability)
                .with_segment_bytes_max(16 << 10)
                .with_stage_bytes(4 << 10)
                .with_mapped_reads(mapped);
            let log = grown_log(&directory, &small);
            let mut shown = texts(&log, "s");
            // Read before they are in a file, and again when they are.
            for number in 0..200 {
                let later = entry(&format!("later {number}"));
                log.append(Batch::new("s", vec![later])).unwrap();
                shown.extend(texts(&log, "s").into_iter().rev().step_by(50));
            }
            log.close().unwrap();
            let log = open(&directory, &small);
            shown.extend(texts(&log, "s"));
            shown
        });
        assert!(read.len() > 1_000 && mapped == read);
    }
}

#[test]
fn a_segment_that_was_shortened_behind_the_logs_back_is_an_error() {
    for mapped in [true, false] {
        let directory = TempDir::new().unwrap();
        let small = options(Durability::Process).with_segment_bytes_max(16 << 10);
        drop(grown_log(&directory, &small));
        let log = open(&directory, &small.with_mapped_reads(mapped));
        let mut names: Vec<_> = std::fs::read_dir(directory.path().join("log"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|it| it == "segment"))
            .collect();
        names.sort();
        let file = std::fs::File::options()
            .write(true)
            .open(&names[0])
            .unwrap();
        file.set_len(5_000).unwrap();
        let read = log.read(&"s".into(), &ReadOptions::new().limit(10_000));
        assert!(matches!(read, Err(Error::Corrupt { .. })), "{read:?}");
    }
}

#[test]
fn a_flipped_byte_is_told_with_its_file() {
    let directory = TempDir::new().unwrap();
    trimmed_log(&directory, Durability::Sync, 0)
        .close()
        .unwrap();
    let files = std::fs::read_dir(directory.path().join("log")).unwrap();
    let mut paths: Vec<_> = files
        .map(|file| file.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "segment")
        })
        .collect();
    paths.sort();
    let mut bytes = std::fs::read(&paths[1]).unwrap();
    bytes[300] ^= 1;
    std::fs::write(&paths[1], &bytes).unwrap();
    let log = open(&directory, &options(Durability::Sync));
    let error = log.verify().unwrap_err();
    let name = paths[1].file_name().unwrap().to_str().unwrap();
    assert!(matches!(error, Error::Corrupt { .. }));
    assert!(error.to_string().contains(name), "{error}");
    assert!(segments(&directory) > 3);
}

#[test]
fn a_lost_or_damaged_index_is_made_anew() {
    let directory = TempDir::new().unwrap();
    trimmed_log(&directory, Durability::Sync, 0)
        .close()
        .unwrap();
    let files = std::fs::read_dir(directory.path().join("log")).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    let indexes: Vec<_> = paths
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "index")
        })
        .collect();
    std::fs::remove_file(&indexes[0]).unwrap();
    for path in &indexes[1..] {
        let mut bytes = std::fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, &bytes).unwrap();
    }
    let log = open(&directory, &options(Durability::Sync));
    assert_eq!(texts(&log, "first").len(), 101);
    assert_eq!(texts(&log, "second").len(), 50);
    log.verify().unwrap();
}

#[test]
fn a_reader_follows_the_writer_through_stage_and_segments() {
    for durability in DURABILITIES {
        let directory = TempDir::new().unwrap();
        let options = options(durability)
            .with_segment_bytes_max(1 << 10)
            .with_stage_bytes(4 << 10);
        let log = open(&directory, &options);
        let reader = Log::open_read_only(directory.path().join("log"), options.clone()).unwrap();
        for n in 0..200_u64 {
            log.append(Batch::new("s", vec![entry(&format!("entry {n}"))]))
                .unwrap();
            assert_eq!(reader.stat(&"s".into()).unwrap().head, Some(n + 1));
            let newest = ReadOptions::new().descending().limit(1);
            let page = reader.read(&"s".into(), &newest).unwrap();
            assert_eq!(page.entries.len(), 1, "{n} {durability:?} {page:?}");
            assert_eq!(
                &*page.entries[0].value.bytes,
                format!("entry {n}").as_bytes()
            );
        }
        assert_eq!(texts(&reader, "s"), texts(&log, "s"));
        log.trim(&"s".into(), 150).unwrap();
        log.compact().unwrap();
        assert_eq!(texts(&reader, "s"), texts(&log, "s"));
        log.close().unwrap();
        assert_eq!(texts(&reader, "s").len(), 50);
        let log = open(&directory, &options);
        log.append(Batch::new("s", vec![entry("after reopening")]))
            .unwrap();
        assert_eq!(texts(&reader, "s").len(), 51);
        let refused = reader.append(Batch::new("s", vec![entry("no")]));
        assert!(matches!(refused, Err(Error::ReadOnly { .. })));
    }
}

#[test]
fn parts_of_a_large_commit_are_read_the_same_again() {
    for durability in DURABILITIES {
        let directory = TempDir::new().unwrap();
        let log = open(&directory, &options(durability));
        let payload = |n: u64| format!("{n} {}", "x".repeat((n * 37 % 900) as usize));
        for batch in 0..3 {
            let entries = (1..=500).map(|n| entry(&payload(batch * 500 + n)));
            log.append(Batch::new("s", entries.collect())).unwrap();
        }
        for _ in 0..2 {
            for after in [0, 1, 250, 498, 499, 500, 777, 1_400, 1_499] {
                for limit in [1, 7, 300] {
                    let read = ReadOptions::new().after(after).limit(limit);
                    let page = log.read(&"s".into(), &read).unwrap();
                    let expected = after + 1..=(after + limit as u64).min(1_500);
                    assert_eq!(page.entries.len() as u64, expected.clone().count() as u64);
                    for (id, entry) in expected.zip(page.entries) {
                        assert_eq!(entry.id, id);
                        assert_eq!(&*entry.value.bytes, payload(id).as_bytes());
                    }
                }
            }
        }
    }
}
