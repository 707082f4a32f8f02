//! Reading frames: where they lie in memory and never change, in place; else in chunks, into a buffer of the thread's.

use std::cell::Cell;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::Ordering;

use super::segment::Segment;
use super::view::View;
use crate::disk::{Patience, read_at_most};
use crate::error::{Failure, Result};
use crate::format::{
    FRAME_HEADER_BYTES, Found, Frame, Position, SEGMENT_HEADER_BYTES, read_frame_again,
};

/// How much is read at once, at least and at most: little for one entry, and for many no more than stays in a cache.
pub(super) const CHUNK_BYTES_MIN: usize = if cfg!(test) { 64 } else { 512 };
const CHUNK_BYTES_MAX: usize = if cfg!(test) { 400 } else { 256 << 10 };

/// Up to where a full segment is settled: as far as its file goes.
const ALL: u32 = u32::MAX;

impl View<'_> {
    /// Reads the frame that holds what is at `position`.
    pub(super) fn frame_around<T>(
        &self,
        position: Position,
        take: impl FnOnce(&Frame<'_>) -> Result<T>,
    ) -> Result<T> {
        let first = self.frame_of(position)?;
        let segment = self.picture.segment_of(first)?;
        if let Some(frame) = self.frame_again(segment, first.offset())? {
            return take(&frame);
        }
        let (mut take, mut taken) = (Some(take), None);
        self.frames(first, 0, |frame| {
            if let Some(take) = take.take() {
                taken = Some(take(frame)?);
            }
            Ok(ControlFlow::Break(()))
        })?;
        taken.ok_or_else(|| self.misled(position))
    }

    /// The frame at `offset`, if it lies in memory and was found to be right before: no more of it is looked at than is
    /// asked for.
    pub(super) fn frame_again<'s>(
        &self,
        segment: &'s Segment,
        offset: u32,
    ) -> Result<Option<Frame<'s>>> {
        if !segment.checked().has_large_frame(offset) {
            return Ok(None);
        }
        let header = segment.header(self.patience)?;
        let mut bytes_len = FRAME_HEADER_BYTES as u64;
        loop {
            let end = u32::try_from(u64::from(offset) + bytes_len).unwrap_or(u32::MAX);
            let Some(bytes) = self.settled_range(segment, offset..end) else {
                return Ok(None);
            };
            match read_frame_again(bytes, header, offset, |_| true) {
                Found::Frame(frame) => return Ok(Some(frame)),
                Found::Short { needed } if needed > bytes_len => bytes_len = needed,
                _ => return Err(segment.damage(offset, "a frame that was there is gone")),
            }
        }
    }

    /// Where the frame begins that holds what is at `position`.
    pub(super) fn frame_of(&self, position: Position) -> Result<Position> {
        let frame = self.look().frame(position)?;
        frame.ok_or_else(|| self.misled(position))
    }

    /// Reads frames from the one at `first` on, until `each` says to stop. `guess` is how many bytes that may be.
    pub(super) fn frames(
        &self,
        first: Position,
        guess: usize,
        mut each: impl FnMut(&Frame<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let segment = self.picture.segment_of(first)?;
        let mut cursor = Cursor {
            offset: first.offset(),
            chunk: (CHUNK_BYTES_MIN + guess).min(CHUNK_BYTES_MAX),
        };
        with_buffer(|buf| {
            while self
                .frames_of_chunk(segment, &mut cursor, buf, &mut each)?
                .is_continue()
            {}
            Ok(())
        })
    }

    /// Reads one chunk, and calls `each` with the frames that are whole in it.
    fn frames_of_chunk(
        &self,
        segment: &Segment,
        cursor: &mut Cursor,
        buf: &mut Vec<u8>,
        each: &mut impl FnMut(&Frame<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        let header = segment.header(self.patience)?;
        let found = match self.settled(segment, cursor.offset, cursor.chunk)? {
            Some(bytes) => bytes,
            None => self.read_to(segment, cursor.offset, cursor.chunk, buf)?,
        };
        let (mut bytes, begun) = (found, cursor.offset);
        let needed = loop {
            let was_right = |bytes| segment.checked().has_frame(cursor.offset, bytes);
            match read_frame_again(bytes, header, cursor.offset, was_right) {
                Found::Frame(frame) => {
                    segment.checked().note_frame(&frame);
                    if each(&frame)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                    bytes = &bytes[frame.bytes_len() as usize..];
                    cursor.offset = frame.end();
                }
                Found::Short { needed } => break needed,
                Found::Nothing => {
                    return Err(segment.damage(cursor.offset, "a frame that was there is gone"));
                }
                Found::Bad(malformed) => return Err(segment.damage(cursor.offset, malformed)),
            }
        };
        if cursor.offset == begun && found.len() < cursor.chunk {
            return Err(segment.damage(cursor.offset, "the file ends within a frame"));
        }
        self.check_room(segment, cursor.offset, needed)?;
        cursor.chunk = (4 * cursor.chunk).min(CHUNK_BYTES_MAX).max(needed as usize);
        Ok(ControlFlow::Continue(()))
    }

    /// Refuses a length that the file does not back, before memory is made for it.
    fn check_room(&self, segment: &Segment, offset: u32, needed: u64) -> Result<()> {
        if needed <= CHUNK_BYTES_MAX as u64 {
            return Ok(());
        }
        let file = segment.file().len();
        let file = file.map_err(|error| Failure::io(&segment.file_name(), error))?;
        let end = self.shared.scene().end;
        let in_memory = match end.segment() == segment.number() {
            true => u64::from(end.offset()),
            false => 0,
        };
        if u64::from(offset) + needed > file.max(in_memory) {
            return Err(segment.damage(offset, "a frame is longer than its file"));
        }
        Ok(())
    }

    /// What never changes of the log from `offset` on, if it lies in memory: `wanted` bytes, unless that or the file
    /// ends before.
    fn settled<'s>(
        &self,
        segment: &'s Segment,
        offset: u32,
        wanted: usize,
    ) -> Result<Option<&'s [u8]>> {
        let end = match self.settled_end(segment) {
            ALL => segment.file_end()?,
            end => end,
        };
        match end.checked_sub(offset) {
            None | Some(0) => Ok(None),
            Some(left) => {
                let range = offset..offset + wanted.min(left as usize) as u32;
                let bytes_max = self.shared.options.segment_bytes_max;
                Ok(match self.patience {
                    Patience::Now => segment.mapped_now(range, bytes_max),
                    Patience::Wait => segment.mapped(range, bytes_max),
                })
            }
        }
    }

    /// What lies in a frame that was found to be right, if it lies in memory.
    pub(super) fn settled_range<'s>(
        &self,
        segment: &'s Segment,
        range: Range<u32>,
    ) -> Option<&'s [u8]> {
        if range.end > self.settled_end(segment) {
            return None;
        }
        let bytes_max = self.shared.options.segment_bytes_max;
        match self.patience {
            Patience::Now => segment.mapped_now(range, bytes_max),
            Patience::Wait => segment.mapped_range(range, bytes_max),
        }
    }

    /// Says that a range of a segment will be read soon, if it will be read where it is mapped, and from the disk. Tells whether
    /// there was nothing to say.
    pub(super) fn announce_range(&self, segment: &Segment, range: Range<u32>) -> bool {
        range.end > self.settled_end(segment)
            || segment.announce(range, self.shared.options.segment_bytes_max)
    }

    /// Up to where a segment is as it always will be, and may be mapped. What another process writes can still be
    /// cut off until it is sealed.
    fn settled_end(&self, segment: &Segment) -> u32 {
        let flushed = Position::from_u64(self.shared.flushed.load(Ordering::Acquire));
        let is_own = self.shared.follower.is_none();
        match segment.number().cmp(&flushed.segment()) {
            _ if !self.shared.options.mapped_reads => 0,
            std::cmp::Ordering::Less => ALL,
            std::cmp::Ordering::Equal if is_own => flushed.offset(),
            _ => 0,
        }
    }

    /// As [`read`](Self::read), into `buf`, which becomes as long as that takes.
    pub(super) fn read_to<'b>(
        &self,
        segment: &Segment,
        offset: u32,
        wanted: usize,
        buf: &'b mut Vec<u8>,
    ) -> Result<&'b [u8]> {
        if buf.len() < wanted {
            buf.resize(wanted, 0);
        }
        let read = self.read(segment, offset, &mut buf[..wanted])?;
        Ok(&buf[..read])
    }

    /// Reads what the log has from `offset` on, wherever it lies; answers fewer bytes only at the end of the file.
    pub(super) fn read(&self, segment: &Segment, offset: u32, buf: &mut [u8]) -> Result<usize> {
        debug_assert!(offset as usize >= SEGMENT_HEADER_BYTES);
        let end = segment.at(offset).as_u64() + buf.len() as u64;
        let mut in_file = buf.len();
        if end > self.shared.flushed.load(Ordering::Acquire) {
            in_file = self.shared.scene().tail.copy(segment.at(offset), buf);
        }
        let wanted = &mut buf[..in_file];
        let read = read_at_most(&**segment.file(), wanted, u64::from(offset), self.patience)
            .map_err(|error| Failure::io(&segment.file_name(), error))?;
        if self.patience == Patience::Now && self.shared.options.mapped_reads {
            segment.note_cached(offset, read, self.shared.options.segment_bytes_max);
        }
        match in_file == buf.len() {
            true => Ok(read),
            false if read == in_file => Ok(buf.len()),
            false => Err(segment.damage(offset, "the file ends before what is in memory")),
        }
    }
}

/// Where reading has got to.
#[derive(Debug)]
struct Cursor {
    offset: u32,
    chunk: usize,
}

/// Lends the thread's buffer. Who asks while it is lent gets one that is new.
pub(in crate::log) fn with_buffer<T>(use_it: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    thread_local! {
        static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    let mut buffer = BUFFER.take();
    let result = use_it(&mut buffer);
    // One large frame should not stay in memory for ever.
    if buffer.capacity() <= 4 * CHUNK_BYTES_MAX {
        BUFFER.set(buffer);
    }
    result
}
