//! Reading all there is in a frame, whether or not it makes sense: for tests and fuzzing.
//!
//! Panics where a decoder breaks a promise: what was read and is written again must be the same.

use ledger_core::{Entry, NewEntry, StreamName};

use super::append::Append;
use super::checksum::crc;
use super::entry::EntryRef;
use super::frame::{FRAME_ALIGNMENT, Frame, Header};
use super::new_record::NewRecord;
use super::record::Record;
use super::segment::SegmentHeader;

/// A frame at `offset` of `segment` whose body is `body`, whatever that is, and whose checksum is right.
pub(crate) fn framed(body: &[u8], segment: &SegmentHeader, offset: u32) -> Vec<u8> {
    let mut body = body.to_vec();
    body.resize(body.len().max(1).next_multiple_of(FRAME_ALIGNMENT), 0);
    let mut header = Header {
        crc: 0,
        len: body.len() as u32,
    };
    header.crc = crc(0, &body) ^ header.place_crc(segment, offset);
    [header.encode().as_slice(), &body].concat()
}

/// Reads all records of a frame and all entries in them.
pub(crate) fn exhaust(frame: &Frame<'_>, bytes: &[u8]) {
    exhaust_single(frame);
    for record in frame.records() {
        let Ok((offset, record)) = record else { return };
        let again = frame
            .record_at(offset)
            .expect("a record is found at its offset");
        assert_eq!(again.stream(), record.stream());
        match record {
            Record::Append(append) => exhaust_append(&append, bytes),
            rare => exhaust_rare(&rare, &bytes[offset as usize..]),
        }
    }
}

/// What a frame is taken to begin with at a glance is what it begins with.
fn exhaust_single(frame: &Frame<'_>) {
    let (single, first) = (frame.single(), frame.records().next());
    match (single, first) {
        (Some(single), Some(Ok((_, Record::Append(append))))) => {
            let found = (single.stream, single.id, frame.recorded_at(), 1);
            let head = append.head;
            assert_eq!(
                found,
                (head.stream, head.first_id, head.recorded_at, append.count)
            );
            assert!(single.bytes.starts_with(append.bytes()));
        }
        (Some(_), Some(Ok(_)) | None) => panic!("a frame seems to begin with an entry"),
        _ => {}
    }
}

fn exhaust_append(append: &Append<'_>, bytes: &[u8]) {
    assert!(append.last_id() >= append.head.first_id);
    let mut count = 0;
    for entry in append.entries() {
        let Ok((offset, entry)) = entry else { return };
        assert!(
            bytes[offset as usize..].starts_with(entry.raw()),
            "an entry lies at its offset"
        );
        exhaust_entry(&entry, append);
        count += 1;
    }
    assert_eq!(count, append.count);
    let _sum_or_error = append.bytes_after();
}

fn exhaust_entry(entry: &EntryRef<'_>, append: &Append<'_>) {
    let stream = StreamName::from("s");
    let read = |entry: &EntryRef<'_>| entry.to_entry(&stream, 1, append.head.recorded_at);
    let Ok(owned) = read(entry) else { return };
    if entry.fields().is_ok_and(|fields| fields.is_tombstone) {
        return;
    }
    let mut buf = Vec::new();
    NewRecord::from(&new_entry(&owned)).put(&mut buf);
    let again = EntryRef::parse(&buf).expect("what was written can be read");
    assert_eq!(read(&again), Ok(owned));
}

fn exhaust_rare(record: &Record<'_>, bytes: &[u8]) {
    let mut buf = Vec::new();
    record.put(&mut buf);
    assert!(
        bytes.starts_with(&buf),
        "a record that was read is written as it was"
    );
    match record {
        Record::Purge { ids, .. } => assert!(ids.iter().count() <= ids.0.len()),
        Record::Mark(mark) => drop((mark.tags.to_set(), mark.annotations.to_map())),
        _ => {}
    }
}

fn new_entry(entry: &Entry<u64>) -> NewEntry {
    let mut new = NewEntry::new(entry.value.clone());
    new.kind.clone_from(&entry.kind);
    new.order_key.clone_from(&entry.order_key);
    new.dedup_key.clone_from(&entry.dedup_key);
    new.schema_version = entry.schema_version;
    new.metadata.clone_from(&entry.metadata);
    new.tags.clone_from(&entry.tags);
    new.expires_at = entry.expires_at;
    new
}
