//! Frames as a whole: written, read, damaged, moved, and searched for.

mod commits;

use ledger_core::{NewEntry, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;

use self::commits::{Commit, commits};
use super::frame::FRAME_HEADER_BYTES;
use super::segment::tests::segments;
use super::*;

fn frame_in<'a>(bytes: &'a [u8], segment: &SegmentHeader, offset: u32) -> Frame<'a> {
    match read_frame(bytes, segment, offset) {
        Found::Frame(frame) => frame,
        other => panic!("{other:?} is no frame"),
    }
}

fn is_frame(bytes: &[u8], segment: &SegmentHeader, offset: u32) -> bool {
    matches!(read_frame(bytes, segment, offset), Found::Frame(_))
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn segment() -> SegmentHeader {
    SegmentHeader {
        log_id: [1; 16],
        segment: 3,
        generation: 0x0123_4567_89AB_CDEF,
        created_at: at(1_000),
    }
}

fn head() -> AppendHead {
    AppendHead {
        stream: StreamNumber(1),
        first_id: 1,
        bytes_before: 0,
        recorded_at: at(2_000),
        has_removals: false,
    }
}

/// A frame of one small entry at `offset`.
fn small(offset: u32, durable: Option<Position>) -> Vec<u8> {
    let mut buf = Vec::new();
    let segment = segment();
    let mut frame = FrameWriter::begin(&mut buf, &segment, offset, at(2_000), durable);
    frame.append_one(&head(), &NewRecord::octets(b"hello"));
    frame.finish();
    buf
}

proptest! {
    #[test]
    fn a_commit_comes_back(commit in commits(), segment in segments(), offset in 64..1u32 << 30, behind: Vec<u8>) {
        let mut bytes = Vec::new();
        let offsets = commit.write(&mut bytes, &segment, offset, None);
        let len = bytes.len();
        bytes.extend(behind);
        let frame = frame_in(&bytes, &segment, offset);
        prop_assert_eq!(frame.bytes_len() as usize, len);
        prop_assert_eq!(frame.recorded_at(), commit.recorded_at);
        prop_assert_eq!(frame.position(), segment.at(offset));
        let records: Vec<_> = frame.records().map(Result::unwrap).collect();
        prop_assert_eq!(records.len(), commit.parts.len());
        for ((part, offset), (found, record)) in commit.parts.iter().zip(offsets).zip(&records) {
            part.check(offset, *found, record);
            part.check(offset, *found, &frame.record_at(*found).unwrap());
        }
        exhaust(&frame, &bytes);
    }

    #[test]
    fn a_flipped_bit_is_found(commit in commits(), segment in segments(), offset in 64..1u32 << 30, bit: usize) {
        let mut bytes = commit.frame(&segment, offset);
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!is_frame(&bytes, &segment, offset));
    }

    #[test]
    fn a_frame_is_valid_in_its_own_place_only(
        commit in commits(), segment in segments(), offset in 64..1u32 << 30, elsewhere in 64..1u32 << 30, other: u64,
    ) {
        let bytes = commit.frame(&segment, offset);
        prop_assert_eq!(is_frame(&bytes, &segment, elsewhere), elsewhere == offset);
        let another = SegmentHeader { segment: segment.segment ^ 1, ..segment };
        prop_assert!(!is_frame(&bytes, &another, offset));
        let recycled = SegmentHeader { generation: other, ..segment };
        prop_assert_eq!(is_frame(&bytes, &recycled, offset), other == segment.generation);
    }

    #[test]
    fn a_frame_that_is_cut_off_tells_how_much_is_missing(commit in commits(), segment in segments(), len: usize) {
        let bytes = commit.frame(&segment, 64);
        let len = len % bytes.len();
        let Found::Short { needed } = read_frame(&bytes[..len], &segment, 64) else {
            return Err(TestCaseError::fail("it was taken for something"));
        };
        let expected = if len < FRAME_HEADER_BYTES { FRAME_HEADER_BYTES } else { bytes.len() };
        prop_assert_eq!(needed, expected as u64);
    }

    #[test]
    fn any_bytes_are_something(bytes in vec(any::<u8>(), 0..200), segment in segments(), offset: u32) {
        if let Found::Frame(frame) = read_frame(&bytes, &segment, offset) {
            exhaust(&frame, &bytes);
        }
    }

    #[test]
    fn a_body_may_be_anything_even_with_the_right_checksum(
        commit in commits(), segment in segments(), changes in vec(any::<(usize, u8)>(), 1..4),
    ) {
        let mut body = commit.frame(&segment, 64).split_off(FRAME_HEADER_BYTES);
        for (index, byte) in changes {
            let index = index % body.len();
            body[index] = byte;
        }
        let bytes = framed(&body, &segment, 64);
        if let Found::Frame(frame) = read_frame(&bytes, &segment, 64) {
            exhaust(&frame, &bytes);
        }
    }

    #[test]
    fn any_body_may_have_the_right_checksum(body in vec(any::<u8>(), 0..200), segment in segments()) {
        for body in [body.clone(), [&[0xA0, 0, 0], body.as_slice()].concat()] {
            let bytes = framed(&body, &segment, 64);
            if let Found::Frame(frame) = read_frame(&bytes, &segment, 64) {
                exhaust(&frame, &bytes);
            }
        }
    }

    #[test]
    fn a_claim_is_told_by_its_place(segment in segments(), offset in 64..1u32 << 30, distance: u32) {
        let durable = offset.checked_sub(distance).map(|durable| segment.at(durable));
        let mut bytes = Vec::new();
        Commit { recorded_at: at(0), parts: Vec::new() }.write(&mut bytes, &segment, offset, durable);
        prop_assert_eq!(frame_in(&bytes, &segment, offset).durable(), durable);
    }

    #[test]
    fn claims_are_found_wherever_their_frames_begin(
        before in vec(any::<[u8; 8]>(), 0..40), between in vec(any::<[u8; 8]>(), 0..40), first in 0..100u32, second in 0..100u32,
    ) {
        let segment = segment();
        let mut bytes = before.concat();
        let one = segment.at(64 + first);
        bytes.extend(small(1_000 + bytes.len() as u32, Some(one)));
        bytes.extend(between.concat());
        let other = segment.at(64 + second);
        bytes.extend(small(1_000 + bytes.len() as u32, Some(other)));
        prop_assert_eq!(newest_claim(&bytes, &segment, 1_000), Some(one.max(other)));
        prop_assert_eq!(newest_claim(&bytes[1..], &segment, 1_001).is_some(), true);
    }

    #[test]
    fn what_is_no_frame_claims_nothing(bytes: Vec<u8>, repeat in 1..50usize) {
        prop_assert_eq!(newest_claim(&bytes.repeat(repeat), &segment(), 64), None);
    }
}

#[test]
fn every_flipped_bit_of_a_small_frame_is_found() {
    let whole = small(64, Some(segment().at(64)));
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(!is_frame(&bytes, &segment(), 64), "bit {bit}");
    }
}

#[test]
fn zeroes_are_nothing() {
    assert!(matches!(
        read_frame(&[0; 100], &segment(), 64),
        Found::Nothing
    ));
    assert!(matches!(
        read_frame(&[], &segment(), 64),
        Found::Short { needed: 8 }
    ));
}

#[test]
fn a_frame_reaches_no_further_than_a_segment_can() {
    let mut bytes = [0xFF; 64];
    assert!(matches!(read_frame(&bytes, &segment(), 64), Found::Bad(_)));
    bytes[4..8].copy_from_slice(&104u32.to_le_bytes());
    assert!(matches!(
        read_frame(&bytes, &segment(), u32::MAX - 111),
        Found::Bad(_)
    ));
    assert!(matches!(
        read_frame(&bytes, &segment(), u32::MAX - 112),
        Found::Short { needed: 112 }
    ));
}

#[test]
fn a_claim_reaches_back_to_the_start_of_the_segment_at_most() {
    let earlier = Position::new(2, 4_000_000_000);
    let frame = small(64, Some(earlier));
    assert_eq!(
        frame_in(&frame, &segment(), 64).durable(),
        None,
        "it could not be told"
    );
    let frame = small(500, Some(segment().at(0)));
    assert_eq!(
        frame_in(&frame, &segment(), 500).durable(),
        Some(segment().at(0))
    );
}

#[test]
fn a_frame_that_is_discarded_leaves_the_buffer_as_it_was() {
    let mut buf = b"before".to_vec();
    let segment = segment();
    let mut frame = FrameWriter::begin(&mut buf, &segment, 64, at(0), None);
    frame.append_one(&head(), &NewRecord::octets(b"x"));
    frame.discard();
    assert_eq!(buf, b"before");
}

/// Found by fuzzing: an append up to the last id there could be.
#[test]
fn an_append_leaves_room_for_a_next_id() {
    let segment = segment();
    for (first_id, is_possible) in [
        (0, false),
        (1, true),
        (u64::MAX - 1, true),
        (u64::MAX, false),
    ] {
        let mut buf = Vec::new();
        let mut frame = FrameWriter::begin(&mut buf, &segment, 64, at(0), None);
        let head = AppendHead { first_id, ..head() };
        frame.append_one(&head, &NewRecord::octets(b"x"));
        frame.finish();
        let record = frame_in(&buf, &segment, 64).records().next().unwrap();
        assert_eq!(record.is_ok(), is_possible, "{first_id}");
    }
}

#[test]
fn an_append_without_entries_leaves_nothing_behind() {
    let mut buf = Vec::new();
    let segment = segment();
    let mut frame = FrameWriter::begin(&mut buf, &segment, 64, at(0), None);
    assert_eq!(frame.append_many(&head()).finish(), 0);
    frame.finish();
    assert_eq!(frame_in(&buf, &segment, 64).records().count(), 0);
}

#[test]
fn an_entry_is_copied_as_it_is_and_found_where_it_was_said_to_be() {
    let segment = segment();
    let mut entry = NewEntry::new(ledger_core::Payload::json(r#"{"a":1}"#))
        .order_key("o")
        .tag("t");
    entry.schema_version = 7;
    let (mut buf, mut copy) = (Vec::new(), Vec::new());
    let mut frame = FrameWriter::begin(&mut buf, &segment, 64, at(2_000), None);
    frame.push(&Record::Name {
        stream: StreamNumber(1),
        name: "s",
    });
    let offset = frame.append_one(&head(), &NewRecord::from(&entry));
    frame.finish();
    let original = EntryRef::parse(&buf[offset as usize..]).unwrap();
    let mut frame = FrameWriter::begin(&mut copy, &segment, 64, at(2_000), None);
    let mut append = frame.append_many(&head());
    let offset = append.copy(&original);
    append.finish();
    frame.finish();
    let copied = EntryRef::parse(&copy[offset as usize..]).unwrap();
    assert_eq!(copied.raw(), original.raw());
    assert_eq!(copied.fields().unwrap().order_key, Some("o"));
    assert_eq!(copied.payload().unwrap().as_ref(), br#"{"a":1}"#);
}

#[test]
fn a_record_that_was_read_can_be_written_again() {
    let segment = segment();
    let (mut buf, mut carried) = (Vec::new(), Vec::new());
    let mut frame = FrameWriter::begin(&mut buf, &segment, 64, at(2_000), None);
    let checkpoint = CheckpointRecord {
        stream: StreamNumber(4),
        name: "billing",
        revision: Position::new(2, 77),
        value: Some(b"v"),
    };
    frame.push(&Record::Checkpoint(checkpoint));
    frame.finish();
    let (_, record) = frame_in(&buf, &segment, 64)
        .records()
        .next()
        .unwrap()
        .unwrap();
    let mut frame = FrameWriter::begin(&mut carried, &segment, 64, at(2_000), None);
    frame.push(&record);
    frame.finish();
    assert_eq!(carried, buf);
}

#[test]
fn a_batch_costs_little_beside_its_payloads() {
    let segment = segment();
    let mut buf = Vec::new();
    let mut frame = FrameWriter::begin(&mut buf, &segment, 64, at(2_000), Some(segment.at(64)));
    let mut append = frame.append_many(&head());
    for _ in 0..1_000 {
        append.push(&NewRecord::octets(&[7; 100]));
    }
    append.finish();
    frame.finish();
    assert_eq!(buf.len(), 1_000 * 102 + 24);
    assert_eq!(small(64, None).len(), 24);
}

#[test]
fn frames_end_where_the_next_may_begin() {
    let segment = segment();
    for len in 0..20 {
        let mut buf = Vec::new();
        let mut frame = FrameWriter::begin(&mut buf, &segment, 64, at(0), None);
        frame.append_one(&head(), &NewRecord::octets(&[0; 20][..len]));
        assert_eq!(frame.finish() as usize, buf.len());
        assert_eq!(buf.len() % 8, 0);
        assert_eq!(frame_in(&buf, &segment, 64).records().count(), 1);
    }
}
