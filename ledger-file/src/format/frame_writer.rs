//! Writing a frame at the end of a buffer, in one pass.

use ledger_core::Timestamp;

use super::append::{AppendHead, tag};
use super::checksum::crc;
use super::entry::EntryRef;
use super::frame::{BODY_TAG, FRAME_ALIGNMENT, FRAME_HEADER_BYTES, Header};
use super::new_record::{NewRecord, put_tombstone};
use super::payload::Compressed;
use super::position::Position;
use super::record::Record;
use super::segment::SegmentHeader;
use super::varint::{self, VARINT_BYTES_MAX};

/// The most bytes that a frame takes beside its records.
pub(crate) const FRAME_OVERHEAD_BYTES_MAX: usize =
    FRAME_HEADER_BYTES + 1 + 2 * VARINT_BYTES_MAX + FRAME_ALIGNMENT;

/// The most bytes that an append takes in a frame beside its entries.
pub(crate) const APPEND_OVERHEAD_BYTES_MAX: usize = 1 + COUNTS_BYTES + 4 * VARINT_BYTES_MAX;

/// Length and count of an append of many.
const COUNTS_BYTES: usize = 8;

/// A frame that is being written at the end of a buffer.
///
/// Nothing of it is valid before [`finish`](Self::finish). If it turns out not to fit into the segment, it is
/// [discarded](Self::discard) and written again for the next one, because its checksum, time and claim depend on where
/// it lies. All offsets told are offsets in the frame.
#[derive(Debug)]
pub(crate) struct FrameWriter<'a> {
    buf: &'a mut Vec<u8>,
    segment: &'a SegmentHeader,
    offset: u32,
    recorded_at: Timestamp,
    start: usize,
}

impl<'a> FrameWriter<'a> {
    /// Begins a frame at the end of `buf` that is to lie at `offset` of `segment`.
    ///
    /// Everything before `durable` is known to survive the loss of power; if that is not even the start of this segment,
    /// or not known, it is none.
    #[inline]
    pub(crate) fn begin(
        buf: &'a mut Vec<u8>,
        segment: &'a SegmentHeader,
        offset: u32,
        recorded_at: Timestamp,
        durable: Option<Position>,
    ) -> Self {
        let start = buf.len();
        buf.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
        buf.push(BODY_TAG);
        let claim =
            durable.and_then(|durable| segment.at(offset).as_u64().checked_sub(durable.as_u64()));
        varint::put(
            buf,
            claim
                .filter(|claim| *claim <= u64::from(offset))
                .map_or(0, |claim| claim + 1),
        );
        let time = recorded_at
            .as_micros()
            .wrapping_sub(segment.created_at.as_micros());
        varint::put_signed(buf, time);
        Self {
            buf,
            segment,
            offset,
            recorded_at,
            start,
        }
    }

    /// Where in the frame the next record will lie.
    #[inline]
    pub(crate) fn offset(&self) -> u32 {
        (self.buf.len() - self.start) as u32
    }

    /// Writes an append of one entry, and tells the entry's offset.
    #[inline]
    pub(crate) fn append_one(&mut self, head: &AppendHead, record: &NewRecord<'_>) -> u32 {
        self.put_head(head, tag::APPEND, &[]);
        let offset = self.offset();
        record.put(self.buf);
        offset
    }

    /// Begins an append of any number of entries.
    #[inline]
    pub(crate) fn append_many(&mut self, head: &AppendHead) -> AppendWriter<'_, 'a> {
        let start = self.buf.len();
        self.put_head(head, tag::APPEND | tag::MANY, &[0; COUNTS_BYTES]);
        AppendWriter {
            frame: self,
            start,
            count: 0,
        }
    }

    #[inline]
    fn put_head(&mut self, head: &AppendHead, mut tag: u8, counts: &[u8]) {
        let delay = head
            .recorded_at
            .as_micros()
            .wrapping_sub(self.recorded_at.as_micros());
        if delay != 0 {
            tag |= tag::TIME;
        }
        if head.has_removals {
            tag |= tag::HAS_REMOVALS;
        }
        self.buf.push(tag);
        self.buf.extend_from_slice(counts);
        varint::put(self.buf, head.stream.0);
        varint::put(self.buf, head.first_id);
        varint::put(self.buf, head.bytes_before);
        if delay != 0 {
            varint::put_signed(self.buf, delay);
        }
    }

    /// Writes any record but an append, and tells its offset.
    pub(crate) fn push(&mut self, record: &Record<'_>) -> u32 {
        let offset = self.offset();
        record.put(self.buf);
        offset
    }

    /// Completes the frame, and tells how long it is.
    ///
    /// # Panics
    /// If it is longer than 4 GiB, which no limit allows.
    #[inline]
    pub(crate) fn finish(self) -> u32 {
        let bytes = (self.buf.len() - self.start).next_multiple_of(FRAME_ALIGNMENT);
        let bytes_len = u32::try_from(bytes).expect("limits keep frames far below 4 GiB");
        self.buf.extend_from_slice(&[0; FRAME_ALIGNMENT]);
        self.buf.truncate(self.start + bytes);
        let (header, body) = self.buf[self.start..].split_at_mut(FRAME_HEADER_BYTES);
        let mut written = Header {
            crc: 0,
            len: bytes_len - FRAME_HEADER_BYTES as u32,
        };
        written.crc = crc(0, body) ^ written.place_crc(self.segment, self.offset);
        header.copy_from_slice(&written.encode());
        bytes_len
    }

    /// Takes the frame out of the buffer.
    pub(crate) fn discard(self) {
        self.buf.truncate(self.start);
    }
}

/// An append of any number of entries that is being written.
#[derive(Debug)]
pub(crate) struct AppendWriter<'f, 'a> {
    frame: &'f mut FrameWriter<'a>,
    start: usize,
    count: u32,
}

impl AppendWriter<'_, '_> {
    /// Writes an entry, and tells its offset.
    #[inline]
    pub(crate) fn push(&mut self, record: &NewRecord<'_>) -> u32 {
        self.put(|buf| record.put(buf))
    }

    /// Writes an entry with its payload compressed, and tells its offset.
    pub(crate) fn push_compressed(
        &mut self,
        record: &NewRecord<'_>,
        compressed: &Compressed,
    ) -> u32 {
        self.put(|buf| record.put_compressed(buf, compressed))
    }

    /// Writes an entry as it lies in another frame, and tells its offset.
    pub(crate) fn copy(&mut self, entry: &EntryRef<'_>) -> u32 {
        self.put(|buf| buf.extend_from_slice(entry.raw()))
    }

    /// Writes what is left of a purged entry whose payload had `payload_bytes`, and tells its offset.
    pub(crate) fn tombstone(&mut self, payload_bytes: u64) -> u32 {
        self.put(|buf| put_tombstone(buf, payload_bytes))
    }

    #[inline]
    fn put(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> u32 {
        let offset = self.frame.offset();
        write(self.frame.buf);
        self.count += 1;
        offset
    }

    /// Completes the append, and tells how many entries it has; without any it leaves nothing behind.
    #[inline]
    pub(crate) fn finish(self) -> u32 {
        let buf = &mut *self.frame.buf;
        if self.count == 0 {
            buf.truncate(self.start);
            return 0;
        }
        let counts = self.start + 1;
        let len = (buf.len() - counts - 4) as u32;
        buf[counts..counts + 4].copy_from_slice(&len.to_le_bytes());
        buf[counts + 4..counts + 8].copy_from_slice(&self.count.to_le_bytes());
        self.count
    }
}
