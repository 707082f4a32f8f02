//! What the fuzz targets feed their bytes to. Panics where a decoder breaks a promise.

mod index;

use ledger_core::Timestamp;

use crate::format::{
    BLOCK_BYTES, Block, BlockTable, Form, Found, MANIFEST_WORD, Manifest, Position, SLOT_WORDS,
    SegmentHeader, Slot, StageHeader, VISIBLE_WORD, Visible, exhaust, framed, newest_claim,
    read_frame, salvage, stored_block, told,
};

pub use index::index;

const FIRST_FRAME: u32 = 64;

fn segment_header() -> SegmentHeader {
    SegmentHeader {
        log_id: [7; 16],
        segment: 1,
        generation: 42,
        created_at: Timestamp::from_micros(0),
    }
}

/// Bytes as a frame; and as the body of a frame whose checksum is right.
pub fn frame(bytes: &[u8]) {
    let header = segment_header();
    for bytes in [bytes, &framed(bytes, &header, FIRST_FRAME)] {
        if let Found::Frame(frame) = read_frame(bytes, &header, FIRST_FRAME) {
            exhaust(&frame, bytes);
        }
    }
}

/// Bytes as what lies in a segment: in turn, bodies of frames whose checksums are right, and other things.
///
/// The first byte of each part tells its length in words, and whether it is put into a frame.
pub fn segment(bytes: &[u8]) {
    let _either = SegmentHeader::decode(bytes);
    let header = segment_header();
    let content = content(bytes, &header);
    let claim = newest_claim(&content, &header, FIRST_FRAME);
    assert_eq!(
        claim,
        claims(&content, &header).max(),
        "every place is looked at"
    );
}

fn content(mut bytes: &[u8], header: &SegmentHeader) -> Vec<u8> {
    let mut content = Vec::new();
    while let [first, rest @ ..] = bytes {
        let (part, behind) = rest.split_at(rest.len().min(usize::from(first & 0x7F) * 8));
        if first & 0x80 == 0 {
            content.extend(part);
            content.resize(content.len().next_multiple_of(8), 0);
        } else {
            let offset = FIRST_FRAME + content.len() as u32;
            content.extend(framed(part, header, offset));
        }
        bytes = behind;
    }
    content
}

/// What each frame of `content` claims, found the long way.
fn claims(content: &[u8], header: &SegmentHeader) -> impl Iterator<Item = Position> {
    (0..content.len()).step_by(8).filter_map(move |start| {
        let bytes = &content[start..];
        let Found::Frame(frame) = read_frame(bytes, header, FIRST_FRAME + start as u32) else {
            return None;
        };
        exhaust(&frame, bytes);
        frame.durable()
    })
}

/// Bytes as what lies in a packed segment: in turn, blocks whose checksums are right, and other things.
///
/// The first byte of each part tells its length in words, and whether it is put into a block; the next one how many bytes
/// the block says it holds, in words too.
pub fn packed(mut bytes: &[u8]) {
    let header = segment_header();
    let mut file = header.encode_as(Form::Packed).to_vec();
    let mut offset = FIRST_FRAME;
    while let [first, len, rest @ ..] = bytes {
        let (part, behind) = rest.split_at(rest.len().min(usize::from(first & 0x7F) * 8));
        if first & 0x80 == 0 {
            file.extend(part);
        } else {
            let len = u32::from(*len) * 160;
            let block = stored_block(&header, offset, len, part);
            if let Ok(block) = Block::read(&block, &header) {
                let _either = block.unpack(&mut vec![0; len as usize]);
            }
            file.extend(block);
            offset = (offset / BLOCK_BYTES + 1) * BLOCK_BYTES;
        }
        bytes = behind;
    }
    let unpacked = salvage(&file, &header).bytes;
    assert!(unpacked.len() <= 255 * file.len(), "no bomb goes off");
    let _either = BlockTable::decode(&file, &header, u32::MAX, unpacked.len() as u32);
}

/// Bytes as a manifest, with the checksum that is there and with the right one.
pub fn manifest(bytes: &[u8]) {
    let mut corrected = bytes.to_vec();
    corrected.extend(crc_fast::crc32_iscsi(bytes).to_le_bytes());
    for bytes in [bytes, &corrected] {
        if let Ok(manifest) = Manifest::decode(bytes) {
            assert_eq!(manifest.encode(), bytes);
        }
    }
}

/// Bytes as the page of a stage, and what lies behind it.
pub fn stage(bytes: &[u8]) {
    let (words, rest) = bytes.as_chunks::<8>();
    let word = |index: usize| words.get(index).map_or(0, |word| u64::from_le_bytes(*word));
    let log_id = segment_header().log_id;
    if let Ok(header) = StageHeader::decode(std::array::from_fn(word)) {
        assert_eq!(header.words(), std::array::from_fn(word));
    }
    for at in SLOT_WORDS {
        let words = std::array::from_fn(|index| word(at + index));
        if let Some(slot) = Slot::decode(words, &log_id) {
            assert_eq!(slot.words(&log_id), words);
        }
    }
    let _either = told([word(MANIFEST_WORD), word(MANIFEST_WORD + 1)]);
    let words = [word(VISIBLE_WORD), word(VISIBLE_WORD + 1)];
    if let Some(visible) = Visible::decode(words) {
        assert_eq!(visible.words(), words);
    }
    frame(rest);
}
