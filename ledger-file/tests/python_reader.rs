//! A reader in another language, written from docs/FORMAT.md alone, reads the same out of a log's files as the log does.

#![expect(clippy::unwrap_used, reason = "what helps tests is a test")]

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use ledger_core::{
    Batch, Clock, ContentType, Durability, Entry, ManualClock, NewEntry, Payload, ReadOptions,
    Revision, StreamName, Timestamp,
};
use ledger_file::{Compression, FileOptions, Housekeeping, Log};
use serde_json::{Value, json};
use tempfile::TempDir;

/// All streams that the log of [`fill`] ever has, in byte order.
const STREAMS: [&str; 7] = [
    "checkpoints only",
    "empty \u{0} ünï",
    "goes",
    "orders",
    "other",
    "purged",
    "renamed",
];

const START: Timestamp = Timestamp::from_micros(1_357_041_600_000_000);

#[test]
fn python_reads_what_the_log_reads() {
    if !has_python() {
        return;
    }
    for durability in [Durability::Sync, Durability::Process] {
        for compression in [Compression::Off, Compression::Lz4] {
            for sealed_compression in [Compression::Off, Compression::Lz4] {
                check(durability, compression, sealed_compression);
            }
        }
    }
}

/// Compares while the log is open and something is staged; after it went without a farewell; and when it was closed.
fn check(durability: Durability, compression: Compression, sealed_compression: Compression) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("log");
    let clock = Arc::new(ManualClock::new(START));
    let options = FileOptions::default()
        .with_clock(Arc::clone(&clock) as Arc<dyn Clock>)
        .with_durability(durability)
        .with_compression(compression)
        .with_sealed_compression(sealed_compression)
        .with_housekeeping(Housekeeping::Inline)
        .with_segment_bytes_max(2 << 10);
    let log = Log::open(&path, options.clone()).unwrap();
    fill(&log, &clock);
    let expected = lines(&log);
    assert!(expected.len() > 100);
    assert!(has_dropped_segments(&path));
    let packed = log.stats().unwrap().packed_segments;
    assert_eq!(packed > 0, sealed_compression != Compression::Off);
    assert_same(&python(&path, clock.now()), &expected);
    drop(log);
    assert_same(&python(&path, clock.now()), &expected);
    let log = Log::open(&path, options).unwrap();
    assert_same(&lines(&log), &expected);
    log.close().unwrap();
    assert_same(&python(&path, clock.now()), &expected);
    // As a loss of power may have left it.
    std::fs::remove_file(path.join("STAGE")).unwrap();
    assert_same(&python(&path, clock.now()), &expected);
}

/// Whether numbers of segments are missing, before the last.
fn has_dropped_segments(log: &Path) -> bool {
    let files = std::fs::read_dir(log).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let segments = names.filter(|name| name.ends_with(".segment") || name.ends_with(".packed"));
    let numbers: Vec<usize> = segments
        .map(|name| usize::from_str_radix(&name[..8], 16).unwrap())
        .collect();
    numbers.iter().max() > Some(&numbers.len())
}

/// Does everything that leaves something in the files, several segments long.
fn fill(log: &Log, clock: &ManualClock) {
    append_every_field(log, clock);
    append_what_goes(log, clock);
    append_much(log, clock);
    change(log, clock);
    log.tidy().unwrap();
    log.compact().unwrap();
    append(log, "orders", vec![plain("behind everything"), plain("")]);
}

/// Fills some segments with a stream that is trimmed later, and changes things meanwhile.
fn append_what_goes(log: &Log, clock: &ManualClock) {
    for round in 0..200 {
        clock.advance(Duration::from_millis(7));
        append(log, "goes", vec![plain(&"y".repeat(100))]);
        if round == 30 {
            save_checkpoint(log, "checkpoints only", "early", "kept", None);
            set_tags(log, "orders", 2, "early");
            log.rename(&"goes".into(), &"went".into()).unwrap();
            log.rename(&"went".into(), &"goes".into()).unwrap();
        }
    }
}

fn append_every_field(log: &Log, clock: &ManualClock) {
    let whole = NewEntry::new(Payload::json(r#"{"n":1}"#))
        .kind("Placed")
        .order_key("o-1")
        .dedup_key("evt-1")
        .schema_version(7)
        .metadata("user", "ann")
        .metadata("", "ü")
        .tag("urgent")
        .tag("b")
        .expires_at(START.saturating_add(Duration::from_secs(3_600)));
    let empty = NewEntry::new(Payload::new(Vec::new(), ContentType::from(String::new())))
        .kind("")
        .order_key("");
    let long = NewEntry::new(Payload::new(
        "repeated ".repeat(300),
        "text/plain".to_owned().into(),
    ))
    .metadata("k".repeat(200), "v".repeat(500));
    append(log, "orders", vec![whole, empty, long]);
    clock.set(START.saturating_sub(Duration::from_secs(5)));
    append(log, "orders", vec![plain("while the clock is behind")]);
    clock.set(START.saturating_add(Duration::from_secs(60)));
}

fn append_much(log: &Log, clock: &ManualClock) {
    // Longer than a segment, and than a block of one that is packed.
    append(log, "orders", vec![plain(&"long ".repeat(20_000))]);
    for round in 0..30 {
        let entries = (0..4).map(|n| plain(&format!("{round}.{n}")).order_key(format!("k-{n}")));
        append(log, "other", entries.collect());
        clock.advance(Duration::from_millis(1));
        let one = plain(&"x".repeat(round * 7)).dedup_key(format!("d-{}", round % 20));
        append(log, "orders", vec![one]);
    }
    let both =
        ["first name", "empty \u{0} ünï"].map(|stream| Batch::new(stream, vec![plain("together")]));
    log.append_many(both.to_vec()).unwrap();
    let expiring = |seconds| {
        plain("for a while").expires_at(START.saturating_add(Duration::from_secs(seconds)))
    };
    append(
        log,
        "purged",
        vec![
            plain("stays"),
            expiring(10),
            expiring(70),
            plain("stays too"),
        ],
    );
}

fn change(log: &Log, clock: &ManualClock) {
    log.purge_expired(&"purged".into()).unwrap();
    clock.advance(Duration::from_secs(20));
    log.rename(&"first name".into(), &"renamed".into()).unwrap();
    log.trim(&"other".into(), 37).unwrap();
    log.trim(&"empty \u{0} ünï".into(), 1).unwrap();
    log.trim(&"goes".into(), 200).unwrap();
    set_tags(log, "orders", 1, "newer");
    for (key, value) in [
        ("note", Some("kept")),
        ("gone", Some("soon")),
        ("gone", None),
    ] {
        let changes = BTreeMap::from([(key.to_owned(), value.map(str::to_owned))]);
        log.annotate(&"orders".into(), 5, &changes).unwrap();
    }
    let first = save_checkpoint(log, "orders", "billing", "1", None);
    save_checkpoint(log, "orders", "billing", "2", Some(first));
    save_checkpoint(log, "checkpoints only", "a", "", None);
    let doomed = save_checkpoint(log, "checkpoints only", "b", "x", None);
    log.delete_checkpoint(&"checkpoints only".into(), "b", doomed)
        .unwrap();
}

fn set_tags(log: &Log, stream: &str, id: u64, tag: &str) {
    let tags = ["all", tag].map(String::from);
    log.set_tags(&stream.into(), id, tags.into()).unwrap();
}

fn save_checkpoint(
    log: &Log,
    stream: &str,
    name: &str,
    value: &str,
    expected: Option<Revision>,
) -> Revision {
    log.save_checkpoint(&stream.into(), name, value.as_bytes(), expected)
        .unwrap()
}

fn append(log: &Log, stream: &str, entries: Vec<NewEntry>) {
    log.append(Batch::new(stream, entries)).unwrap();
}

fn plain(text: &str) -> NewEntry {
    NewEntry::new(Payload::octets(text.as_bytes().to_vec()))
}

/// What the log itself tells, in the order and form of the reader.
fn lines(log: &Log) -> Vec<Value> {
    STREAMS
        .iter()
        .flat_map(|stream| stream_lines(log, &StreamName::from(*stream)))
        .collect()
}

fn stream_lines(log: &Log, stream: &StreamName) -> Vec<Value> {
    let page = log
        .read(stream, &ReadOptions::new().limit(10_000).with_tombstones())
        .unwrap();
    let tombstones = page.tombstones.iter().map(|id| {
        (
            *id,
            json!({"stream": stream.as_str(), "id": id, "tombstone": true}),
        )
    });
    let entries = page
        .entries
        .iter()
        .map(|entry| (entry.id, entry_line(entry)));
    let by_id: BTreeMap<u64, Value> = tombstones.chain(entries).collect();
    let names = log.list_checkpoints(stream, None, 10_000).unwrap();
    by_id
        .into_values()
        .chain(names.iter().map(|name| checkpoint_line(log, stream, name)))
        .collect()
}

fn entry_line(entry: &Entry<u64>) -> Value {
    json!({
        "stream": entry.stream.as_str(),
        "id": entry.id,
        "payload": hex(&entry.value.bytes),
        "content_type": entry.value.content_type.as_str(),
        "kind": entry.kind,
        "order_key": entry.order_key,
        "dedup_key": entry.dedup_key,
        "schema_version": entry.schema_version,
        "metadata": entry.metadata,
        "tags": entry.tags,
        "annotations": entry.annotations,
        "recorded_at": entry.recorded_at.as_micros(),
        "updated_at": entry.updated_at.map(Timestamp::as_micros),
        "expires_at": entry.expires_at.map(Timestamp::as_micros),
    })
}

fn checkpoint_line(log: &Log, stream: &StreamName, name: &str) -> Value {
    let checkpoint = log.load_checkpoint(stream, name).unwrap().unwrap();
    json!({
        "stream": stream.as_str(),
        "checkpoint": name,
        "revision": checkpoint.revision.0,
        "value": hex(&checkpoint.value),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the reader prints.
fn python(log: &Path, now: Timestamp) -> Vec<Value> {
    let reader = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reader/ledger_reader.py");
    let mut command = Command::new("python3");
    command
        .arg(reader)
        .arg(log)
        .arg(format!("--now={}", now.as_micros()));
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn assert_same(found: &[Value], expected: &[Value]) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

/// Whether the reader can be run. Without Python the test says so and passes, unless everything must be there.
fn has_python() -> bool {
    let has_python = Command::new("python3").arg("--version").output().is_ok();
    let is_required = std::env::var_os("LEDGER_TEST_REQUIRE").is_some_and(|value| value == "all");
    assert!(
        has_python || !is_required,
        "no python3, and LEDGER_TEST_REQUIRE=all"
    );
    if !has_python {
        let _ = writeln!(
            io::stderr(),
            "skipped: python_reads_what_the_log_reads: no python3"
        );
    }
    has_python
}
