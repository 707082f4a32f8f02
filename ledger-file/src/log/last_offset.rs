//! A segment whose entries lie at the last offsets that there are (rule 17): no log is given one, but it must not come to
//! that by itself that a sum of offsets is too large.

use std::ops::ControlFlow;
use std::sync::Arc;

use ledger_core::{Batch, Filter, NewEntry, Outcome, Payload, ReadOptions, StreamName, Timestamp};

use super::Log;
use super::keeper::{make_segment, read_manifest, write_manifest};
use super::open::recovery::FIRST_FRAME;
use super::upkeep::rewriting::Rewriting;
use crate::disk::{Directory, Disk, DiskFile};
use crate::error::Result;
use crate::format::{
    AppendHead, FileName, FrameWriter, Layer, NewRecord, Record, SegmentHeader, StreamNumber,
};
use crate::index::{ActiveIndex, Origin, sealed};
use crate::options::{FileOptions, Housekeeping};

/// The last place at which a frame can end.
const LAST: u32 = u32::MAX - 7;

const ENTRIES: u64 = 40;

const STREAM: StreamNumber = StreamNumber(1);

fn options() -> FileOptions {
    FileOptions::default()
        .with_segment_bytes_max(64 << 10)
        .with_housekeeping(Housekeeping::Inline)
}

fn payload(id: u64) -> Vec<u8> {
    vec![id as u8; id as usize * 31]
}

fn key(id: u64) -> String {
    format!("o-{}", id % 3)
}

/// Writes a stream with entries behind `from`, and a seal, and tells where that ends.
fn write(file: Arc<dyn DiskFile>, header: &SegmentHeader, from: u32) -> Result<u32> {
    let mut rewriting = Rewriting::behind(file, header, from.into());
    let time = Timestamp::from_micros(0);
    let mut bytes_before = 0;
    rewriting.frame(time, |frame| {
        push(
            frame,
            &Record::Name {
                stream: STREAM,
                name: "s",
            },
        )
    })?;
    for first_id in (1..=ENTRIES).step_by(4) {
        let head = AppendHead {
            stream: STREAM,
            first_id,
            bytes_before,
            recorded_at: time,
            has_removals: false,
        };
        rewriting.frame(time, |frame| {
            let mut section = frame.append_many(&head);
            for id in first_id..first_id + 4 {
                let (payload, key) = (payload(id), key(id));
                section.push(&NewRecord::octets(&payload).order_key(&key));
                bytes_before += payload.len() as u64;
            }
            section.finish();
            Ok(())
        })?;
    }
    rewriting.frame(time, |frame| push(frame, &Record::Seal))?;
    rewriting.finish()
}

fn push(frame: &mut FrameWriter<'_>, record: &Record<'_>) -> Result<()> {
    frame.push(record);
    Ok(())
}

/// Makes a log whose first segment is a hole with frames at its end.
fn make(directory: &Directory) -> Result<()> {
    let mut manifest = read_manifest(directory)?.expect("there is a log");
    let meta = &mut manifest.segments[0];
    let header = SegmentHeader {
        log_id: manifest.log_id,
        segment: meta.segment,
        generation: meta.generation,
        created_at: Timestamp::from_micros(0),
    };
    let trial = SegmentHeader {
        generation: 1,
        ..header
    };
    let bytes = write(make_segment(directory, &trial, 0)?, &trial, FIRST_FRAME)? - FIRST_FRAME;
    directory.remove(&meta.file_name().to_string()).unwrap();
    let from = LAST - bytes;
    let end = write(make_segment(directory, &header, 0)?, &header, from)?;
    assert_eq!(end, LAST);
    index_nothing(directory, &header, from);
    meta.layers = vec![Layer {
        from: FIRST_FRAME,
        to: from,
    }];
    (meta.sealed_bytes, meta.synced) = (Some(end), true);
    let next = SegmentHeader {
        segment: 2,
        generation: 2,
        ..header
    };
    make_segment(directory, &next, 64 << 10)?;
    let mut next = manifest.segments[0].clone();
    (next.segment, next.generation, next.sealed_bytes) = (2, 2, None);
    next.layers.clear();
    manifest.segments.push(next);
    write_manifest(directory, &manifest)
}

/// Says that there is nothing before `to`.
fn index_nothing(directory: &Directory, header: &SegmentHeader, to: u32) {
    let origin = Origin {
        log_id: header.log_id,
        segment: header.segment,
        generation: header.generation,
        from: FIRST_FRAME,
    };
    let name = FileName::Index {
        segment: origin.segment,
        generation: origin.generation,
        from: origin.from,
    };
    let file = directory.create(&name.to_string()).unwrap();
    sealed::write(&ActiveIndex::new(origin), to, &*file).unwrap();
}

fn check(log: &Log) {
    let stream = StreamName::from("s");
    let all = ReadOptions::new().limit(1_000);
    let page = log.read(&stream, &all).unwrap();
    let ids = |page: &ledger_core::Page<u64>| -> Vec<u64> {
        page.entries.iter().map(|entry| entry.id).collect()
    };
    assert!(ids(&page).into_iter().eq(1..=ENTRIES));
    for entry in &page.entries {
        assert_eq!(entry.value.bytes, payload(entry.id));
    }
    let mut backwards = ids(&log.read(&stream, &all.clone().descending()).unwrap());
    backwards.reverse();
    assert_eq!(backwards, ids(&page));
    let of_key = all.clone().filter(Filter::new().order_key("o-0"));
    let of_key = log.read(&stream, &of_key).unwrap();
    assert!(ids(&of_key).into_iter().eq((3..=ENTRIES).step_by(3)));
    let last = log
        .read(&stream, &ReadOptions::new().after(ENTRIES - 1))
        .unwrap();
    assert_eq!(ids(&last), [ENTRIES]);
    let mut scanned = 0;
    log.scan(&stream, 0, |_| {
        scanned += 1;
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(scanned, ENTRIES);
}

#[test]
fn entries_up_to_the_last_offset_are_indexed_and_read() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("log");
    Log::open(&path, options()).unwrap().close().unwrap();
    make(&Directory::open(&path).unwrap()).unwrap();
    for mapped_reads in [true, false] {
        // The first opening makes the index, the second one reads it.
        let log = Log::open(&path, options().with_mapped_reads(mapped_reads)).unwrap();
        check(&log);
        check(&Log::open_read_only(&path, options()).unwrap());
        log.close().unwrap();
    }
    let log = Log::open(&path, options()).unwrap();
    let entry = NewEntry::new(Payload::octets(payload(ENTRIES + 1)));
    let receipt = log.append(Batch::new("s", vec![entry])).unwrap();
    assert_eq!(receipt.outcomes, [Outcome::Appended(ENTRIES + 1)]);
    let sum: usize = (1..=ENTRIES + 1).map(|id| payload(id).len()).sum();
    assert_eq!(log.stat(&"s".into()).unwrap().bytes, sum as u64);
}
