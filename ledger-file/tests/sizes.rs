//! Records as long as a limit, and one byte less and more (rule 17); and as long as anything that bytes are gathered in.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use ledger_core::{
    Batch, Durability, Error, Limits, NewEntry, Payload, ReadOptions, Result, StreamName,
};
use ledger_file::{Compression, FileOptions, Housekeeping, Log};
use tempfile::TempDir;

/// Bytes that do not compress, and tell where they are from.
fn noise(len: usize) -> Vec<u8> {
    let mut state = len as u64 + 1;
    let next = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn entry(len: usize) -> NewEntry {
    NewEntry::new(Payload::octets(noise(len)))
}

fn options() -> impl Iterator<Item = FileOptions> {
    let of = |durability| {
        [Compression::Off, Compression::Lz4].map(|compression| {
            FileOptions::default()
                .with_durability(durability)
                .with_housekeeping(Housekeeping::Inline)
                .with_sealed_compression(compression)
        })
    };
    [of(Durability::Sync), of(Durability::Process)]
        .into_iter()
        .flatten()
}

/// Appends to `s`, and compares what is there, now and after the next opening, with the payloads of `lens`.
fn check(directory: &TempDir, options: &FileOptions, lens: &[usize]) {
    for is_closed in [false, true] {
        let log = Log::open(directory.path().join("log"), options.clone()).unwrap();
        let mut after = 0;
        for len in lens {
            let one = ReadOptions::new().after(after).limit(1);
            let page = log.read(&"s".into(), &one).unwrap();
            assert!(page.entries[0].value.bytes == noise(*len), "{len} bytes");
            after = page.entries[0].id;
        }
        assert_eq!(log.stat(&"s".into()).unwrap().head, Some(after));
        log.verify().unwrap();
        if is_closed {
            log.close().unwrap();
        }
    }
}

#[track_caller]
fn assert_refused(refused: Result<impl std::fmt::Debug>, bytes: usize) {
    match refused {
        Err(Error::LimitExceeded { size, max, .. }) => {
            assert_eq!((size, max), (bytes as u64 + 1, bytes as u64));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_payload_at_its_limit_is_taken_and_one_byte_more_is_refused() {
    let bytes = Limits::default().payload_bytes_max;
    for options in options() {
        let directory = TempDir::new().unwrap();
        let log = Log::open(directory.path().join("log"), options.clone()).unwrap();
        let lens = [bytes - 1, bytes];
        for len in lens {
            log.append(Batch::new("s", vec![entry(len)])).unwrap();
        }
        assert_refused(log.append(Batch::new("s", vec![entry(bytes + 1)])), bytes);
        log.close().unwrap();
        check(&directory, &options, &lens);
    }
}

#[test]
fn a_batch_at_its_limit_is_taken_and_one_byte_more_is_refused() {
    let mut limits = Limits::default();
    (limits.batch_bytes_max, limits.payload_bytes_max) = (3 << 20, 3 << 20);
    let bytes = limits.batch_bytes_max;
    for options in options() {
        let options = options
            .with_limits(limits.clone())
            .with_segment_bytes_max(1 << 20);
        let directory = TempDir::new().unwrap();
        let log = Log::open(directory.path().join("log"), options.clone()).unwrap();
        let key = "application/octet-stream".len();
        let batch = |len: usize| {
            let entries = [1_000, len - 1_000 - 2 * key].map(entry).to_vec();
            Batch::new("s", entries)
        };
        for len in [bytes - 1, bytes] {
            log.append(batch(len)).unwrap();
        }
        assert_refused(log.append(batch(bytes + 1)), bytes);
        log.close().unwrap();
        let long = |len: usize| len - 1_000 - 2 * key;
        let lens = [1_000, long(bytes - 1), 1_000, long(bytes)];
        check(&directory, &options, &lens);
    }
}

#[test]
fn a_name_a_checkpoint_and_a_number_of_entries_at_their_limits_are_taken() {
    let limits = Limits::default();
    let directory = TempDir::new().unwrap();
    let log = Log::open(directory.path().join("log"), FileOptions::default()).unwrap();
    let named = |len: usize| StreamName::from("n".repeat(len).as_str());
    let name_max = limits.name_bytes_max;
    let append = |len| log.append(Batch::new(named(len), vec![entry(1)]));
    append(name_max).unwrap();
    assert_refused(append(name_max + 1), name_max);
    let value_max = limits.checkpoint_bytes_max;
    let save = |name: &str, len| log.save_checkpoint(&named(1), name, &noise(len), None);
    save("at", value_max).unwrap();
    assert_refused(save("beyond", value_max + 1), value_max);
    let entries_max = limits.batch_entries_max;
    let many = |count| log.append(Batch::new("many", vec![entry(0); count]));
    many(entries_max).unwrap();
    assert_refused(many(entries_max + 1), entries_max);
    log.close().unwrap();
    let log = Log::open(directory.path().join("log"), FileOptions::default()).unwrap();
    assert_eq!(log.stat(&named(name_max)).unwrap().count, 1);
    assert_eq!(log.stat(&"many".into()).unwrap().count, entries_max as u64);
    let found = log.load_checkpoint(&named(1), "at").unwrap().unwrap();
    assert_eq!(found.value, noise(value_max));
}

/// Segments, stage, blocks, and what is read at once.
#[test]
fn a_record_as_long_as_what_bytes_are_gathered_in_is_read_back() {
    let sizes = [
        512,
        1 << 10,
        4 << 10,
        8 << 10,
        16 << 10,
        32 << 10,
        64 << 10,
        256 << 10,
    ];
    let around = [
        -200, -65, -64, -41, -40, -33, -32, -25, -24, -17, -16, -9, -8, -1, 0, 1, 8,
    ];
    let lens: Vec<usize> = sizes
        .iter()
        .flat_map(|size| around.iter().map(move |by| (size + by) as usize))
        .collect();
    for options in options() {
        let options = options
            .with_segment_bytes_max(64 << 10)
            .with_stage_bytes(4 << 10);
        let directory = TempDir::new().unwrap();
        let log = Log::open(directory.path().join("log"), options.clone()).unwrap();
        for len in &lens {
            log.append(Batch::new("s", vec![entry(*len)])).unwrap();
        }
        log.close().unwrap();
        check(&directory, &options, &lens);
    }
}
