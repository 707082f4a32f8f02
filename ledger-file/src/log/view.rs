//! The log as it is at one moment: what lookups and reads go through, whoever asks.
//!
//! What an index says of keys is compared with the log here (rule 12), and every frame's checksum is looked at before
//! anything of it is believed.

use std::cell::Cell;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ledger_core::{Direction, Timestamp};

use super::checked::Section;
use super::picture::Picture;
use super::segment::Segment;
use super::shared::Shared;
use super::streams::StreamState;
use crate::disk::{Patience, read_at_most};
use crate::error::{Failure, Result};
use crate::format::{
    Append, EntryRef, Found, Frame, Malformed, Position, Record, SEGMENT_HEADER_BYTES,
    StreamNumber, read_frame_again,
};
use crate::index::{Change, Look, Spot, Stretch};

/// How much is read at once, at least and at most: little for one entry, and for many no more than stays in a cache.
const CHUNK_BYTES_MIN: usize = 512;
const CHUNK_BYTES_MAX: usize = 256 << 10;

/// How large an entry is taken to be before it is seen.
const ENTRY_BYTES_GUESSED: usize = 160;

/// How much is read for entries of which nobody knows whether they are wanted, to begin with.
const GUESS_BYTES_MAX: usize = 16 << 10;

/// The log at one moment.
#[derive(Debug)]
pub(super) struct View<'a> {
    shared: &'a Shared,
    picture: Arc<Picture>,
    below: Position,
    patience: Patience,
}

/// What a name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binding {
    Bound(StreamNumber),
    Free,
}

impl<'a> View<'a> {
    /// The log as it was when it ended at `below`.
    pub(super) fn new(
        shared: &'a Shared,
        picture: Arc<Picture>,
        below: Position,
        patience: Patience,
    ) -> Self {
        Self {
            shared,
            picture,
            below,
            patience,
        }
    }

    pub(super) fn shared(&self) -> &'a Shared {
        self.shared
    }

    /// Where it ends.
    pub(super) fn end(&self) -> Position {
        self.below
    }

    /// What the indexes know of it.
    pub(super) fn look(&self) -> Look<'_> {
        self.picture.layers().at(self.below, self.patience)
    }

    /// Says that what lies at `position` cannot be.
    pub(super) fn malformed(&self, position: Position, malformed: Malformed) -> Failure {
        match self.picture.segment_of(position) {
            Ok(segment) => segment.damage(position.offset(), malformed),
            Err(failure) => failure,
        }
    }
}

// Streams.
impl View<'_> {
    /// Looks a stream up by name.
    pub(super) fn stream(&self, name: &str) -> Result<Option<StreamState>> {
        match self.number(name)? {
            Some(number) => Ok(Some(self.state(number)?)),
            None => Ok(None),
        }
    }

    /// The number that `name` is bound to.
    pub(super) fn number(&self, name: &str) -> Result<Option<StreamNumber>> {
        let hash = self.shared.hasher.name(name);
        let binding = self.look().name(hash, |position| {
            self.record(position, |_, record| Ok(binding(&record, name)))
        })?;
        match binding {
            Some(Binding::Bound(number)) => Ok(Some(number)),
            Some(Binding::Free) | None => Ok(None),
        }
    }

    /// What the stream of that number is.
    pub(super) fn state(&self, number: StreamNumber) -> Result<StreamState> {
        let mut state = StreamState::new(number);
        let newest = self.look().newest_entry(number)?;
        let carried = self.look().newest_change(number, Change::State)?;
        match (newest, carried) {
            (Some(spot), carried) if Some(spot.position) > carried => {
                self.state_from_append(spot, &mut state)?;
            }
            (_, Some(position)) => self.state_from_record(position, &mut state)?,
            (_, None) => {}
        }
        self.add_removals(&mut state)?;
        Ok(state)
    }

    fn state_from_append(&self, newest: Spot, state: &mut StreamState) -> Result<()> {
        let number = state.number;
        self.append_of(number, newest, |frame, append| {
            state.head = append.last_id();
            state.recorded_at = append.head.recorded_at;
            state.bytes_appended = append
                .bytes_after()
                .map_err(|malformed| self.malformed(frame.position(), malformed))?;
            Ok(())
        })
    }

    fn state_from_record(&self, position: Position, state: &mut StreamState) -> Result<()> {
        self.record(position, |_, record| match record {
            Record::State {
                stream,
                head,
                bytes,
                recorded_at,
            } if stream == state.number => {
                state.head = head;
                state.bytes_appended = bytes;
                state.recorded_at = recorded_at;
                Ok(())
            }
            _ => Err(self.misled(position)),
        })
    }

    fn add_removals(&self, state: &mut StreamState) -> Result<()> {
        let Some(position) = self.look().newest_change(state.number, Change::Removals)? else {
            return Ok(());
        };
        self.record(position, |_, record| match record {
            Record::Removals {
                stream,
                first,
                bytes,
            } if stream == state.number => {
                state.first = first;
                state.bytes_removed = bytes;
                state.has_removals = true;
                Ok(())
            }
            _ => Err(self.misled(position)),
        })
    }

    /// An index spoke of something that is not there.
    fn misled(&self, position: Position) -> Failure {
        self.malformed(
            position,
            Malformed("an index says that another record is here"),
        )
    }
}

/// What `record` says of the name `wanted`; none if it does not speak of it.
pub(super) fn binding(record: &Record<'_>, wanted: &str) -> Option<Binding> {
    match *record {
        Record::Name { stream, name } if name == wanted => Some(Binding::Bound(stream)),
        Record::Rename { stream, to, .. } if to == wanted => Some(Binding::Bound(stream)),
        Record::Rename { from, .. } if from == wanted => Some(Binding::Free),
        _ => None,
    }
}

// Records and entries.
impl View<'_> {
    /// Reads the record at `position`.
    pub(super) fn record<T>(
        &self,
        position: Position,
        take: impl FnOnce(&Frame<'_>, Record<'_>) -> Result<T>,
    ) -> Result<T> {
        self.frame_around(position, |frame| {
            let offset = position.offset() - frame.position().offset();
            let record = frame
                .record_at(offset)
                .map_err(|malformed| self.malformed(position, malformed))?;
            take(frame, record)
        })
    }

    /// Reads the section of `stream` that holds the entry at `spot`.
    fn append_of<T>(
        &self,
        stream: StreamNumber,
        spot: Spot,
        take: impl FnOnce(&Frame<'_>, &Append<'_>) -> Result<T>,
    ) -> Result<T> {
        self.frame_around(spot.position, |frame| {
            for record in frame.records() {
                let (_, record) =
                    record.map_err(|malformed| self.malformed(frame.position(), malformed))?;
                if let Record::Append(append) = record
                    && append.head.stream == stream
                    && append.last_id() >= spot.id
                {
                    return take(frame, &append);
                }
            }
            Err(self.misled(spot.position))
        })
    }

    /// Reads the entry at `spot`, with the time at which it was recorded.
    pub(super) fn entry<T>(
        &self,
        stream: StreamNumber,
        spot: Spot,
        take: impl FnOnce(Timestamp, EntryRef<'_>) -> Result<T>,
    ) -> Result<T> {
        let stretch = Stretch {
            id: spot.id,
            count: 1,
            position: spot.position,
        };
        let (mut take, mut taken) = (Some(take), None);
        let _broken_off = self.entries(stream, stretch, |_, recorded_at, entry| {
            if let Some(take) = take.take() {
                taken = Some(take(recorded_at, entry)?);
            }
            Ok(ControlFlow::Break(()))
        })?;
        taken.ok_or_else(|| self.misled(spot.position))
    }

    /// Where the entry `id` of `stream` is.
    pub(super) fn spot(&self, stream: StreamNumber, id: u64) -> Result<Spot> {
        let mut found: Vec<Stretch> = Vec::new();
        let ids = id..id + 1;
        self.look()
            .entries(stream, ids, Direction::Ascending, 1, &mut found)?;
        let found = found.first().ok_or_else(|| {
            Failure::damage(
                self.shared.place.clone(),
                format!("entry {id} of stream number {} is in no index", stream.0),
            )
        })?;
        Ok(Spot {
            id,
            position: found.position,
        })
    }

    /// How many bytes the payload of an entry has, or had before it was purged.
    pub(super) fn payload_bytes(&self, stream: StreamNumber, id: u64) -> Result<u64> {
        let spot = self.spot(stream, id)?;
        self.entry(stream, spot, |_, entry| {
            let bytes = entry.payload_bytes();
            bytes.map_err(|malformed| self.malformed(spot.position, malformed))
        })
    }

    /// How many payload bytes were ever appended to `stream` before the entry `id`, which is still in the log, or is
    /// just one behind the last.
    pub(super) fn bytes_appended_before(&self, stream: StreamNumber, id: u64) -> Result<u64> {
        let newest = self.look().newest_entry(stream)?;
        let is_behind = newest.is_some_and(|newest| newest.id + 1 == id);
        let spot = self.spot(stream, if is_behind { id - 1 } else { id })?;
        self.append_of(stream, spot, |frame, append| {
            let mut bytes = append.head.bytes_before;
            for (at, entry) in (append.head.first_id..id).zip(append.entries()) {
                debug_assert!(at < id);
                let size = entry.and_then(|(_, entry)| entry.payload_bytes());
                bytes += size.map_err(|malformed| self.malformed(frame.position(), malformed))?;
            }
            Ok(bytes)
        })
    }

    /// Reads the entries of `stream` with `ids`, all of which are there, until `each` says to stop.
    pub(super) fn ascending(
        &self,
        stream: StreamNumber,
        ids: Range<u64>,
        mut each: impl FnMut(u64, Timestamp, EntryRef<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut stretches: Vec<Stretch> = Vec::new();
        let limit = usize::try_from(ids.end - ids.start).unwrap_or(usize::MAX);
        self.look()
            .entries(stream, ids, Direction::Ascending, limit, &mut stretches)?;
        for stretch in stretches {
            if self.entries(stream, stretch, &mut each)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Reads the entries of a stretch in the order of their ids, until `each` says to stop.
    pub(super) fn entries(
        &self,
        stream: StreamNumber,
        stretch: Stretch,
        mut each: impl FnMut(u64, Timestamp, EntryRef<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        let frame = self.frame_of(stretch.position)?;
        let segment = self.picture.segment_of(frame)?;
        let mut walk = Walk {
            stream,
            next: stretch.id,
            end: stretch.id + u64::from(stretch.count),
            frame: frame.offset(),
            at: Some(stretch.position.offset()),
        };
        while walk.next < walk.end {
            let checked = segment.checked().section(walk.frame, stream, walk.next);
            let flow = match checked.filter(|section| walk.can_begin_in(section)) {
                Some(section) => {
                    self.entries_of_section(segment, &section, &mut walk, &mut each)?
                }
                None => self.entries_of_frames(segment, &mut walk, &mut each)?,
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Reads whole frames until all entries were shown.
    fn entries_of_frames(
        &self,
        segment: &Segment,
        walk: &mut Walk,
        each: &mut impl FnMut(u64, Timestamp, EntryRef<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        let mut flow = ControlFlow::Continue(());
        walk.at = None;
        self.frames(segment.at(walk.frame), walk.bytes_guessed(), |frame| {
            for record in frame.records() {
                let (_, record) =
                    record.map_err(|malformed| self.malformed(frame.position(), malformed))?;
                if let Record::Append(append) = record
                    && append.head.stream == walk.stream
                    && append.last_id() >= walk.next
                {
                    segment.checked().note(frame, &append);
                    flow = self.entries_of_append(frame, &append, walk, each)?;
                    if flow.is_break() || walk.next >= walk.end {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(flow)
    }

    fn entries_of_append(
        &self,
        frame: &Frame<'_>,
        append: &Append<'_>,
        walk: &mut Walk,
        each: &mut impl FnMut(u64, Timestamp, EntryRef<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        let malformed = |malformed| self.malformed(frame.position(), malformed);
        let mut bytes = append.bytes();
        for _ in append.head.first_id..walk.next {
            let passed_over = EntryRef::parse(bytes).map_err(malformed)?;
            bytes = &bytes[passed_over.raw().len()..];
        }
        walk.next = walk.next.max(append.head.first_id);
        let end = walk.end.min(append.last_id() + 1);
        let (flow, rest) = walk.show(end, append.head.recorded_at, bytes, each)?;
        if flow.is_continue() && walk.next < end {
            EntryRef::parse(rest).map_err(malformed)?;
        }
        Ok(flow)
    }

    /// Reads the entries in a section that was checked before: nothing but them.
    fn entries_of_section(
        &self,
        segment: &Segment,
        section: &Section,
        walk: &mut Walk,
        each: &mut impl FnMut(u64, Timestamp, EntryRef<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        let mut offset = walk.at.take().unwrap_or(section.start);
        let end = walk.end.min(section.last_id + 1);
        let mut chunk = CHUNK_BYTES_MIN + walk.bytes_guessed();
        with_buffer(|buf| {
            while walk.next < end {
                let left = section.frame_end.saturating_sub(offset) as usize;
                let wanted = chunk.min(left);
                let (found, is_all) = match self.settled_range(segment, offset..section.frame_end) {
                    Some(bytes) => (bytes, true),
                    None => (self.read_to(segment, offset, wanted, buf)?, wanted == left),
                };
                let (flow, rest) = walk.show(end, section.recorded_at, found, each)?;
                if flow.is_break() {
                    return Ok(flow);
                }
                offset += (found.len() - rest.len()) as u32;
                if walk.next < end && is_all {
                    return Err(segment.damage(offset, "an entry that was there is gone"));
                }
                chunk = chunk.saturating_mul(4);
            }
            walk.frame = section.frame_end;
            Ok(ControlFlow::Continue(()))
        })
    }
}

/// Where a walk through the entries of a stretch has got to.
#[derive(Debug)]
struct Walk {
    stream: StreamNumber,
    /// The ids that are still to be shown.
    next: u64,
    end: u64,
    /// The offset of the frame that holds the next one, or of one before that.
    frame: u32,
    /// Where the next one begins, if that is known.
    at: Option<u32>,
}

impl Walk {
    /// Whether it is known where in a section the next entry begins.
    fn can_begin_in(&self, section: &Section) -> bool {
        self.at.is_some() || self.next == section.first_id
    }

    /// Shows `each` the entries before `end` that are whole in `bytes`, until it says to stop. Answers what is left.
    #[inline]
    fn show<'b>(
        &mut self,
        end: u64,
        recorded_at: Timestamp,
        mut bytes: &'b [u8],
        each: &mut impl FnMut(u64, Timestamp, EntryRef<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<(ControlFlow<()>, &'b [u8])> {
        while self.next < end
            && let Ok(entry) = EntryRef::parse(bytes)
        {
            let id = self.next;
            self.next += 1;
            bytes = &bytes[entry.raw().len()..];
            if each(id, recorded_at, entry)?.is_break() {
                return Ok((ControlFlow::Break(()), bytes));
            }
        }
        Ok((ControlFlow::Continue(()), bytes))
    }

    /// How many bytes the rest may be.
    fn bytes_guessed(&self) -> usize {
        let entries = usize::try_from(self.end - self.next).unwrap_or(usize::MAX);
        ENTRY_BYTES_GUESSED
            .saturating_mul(entries)
            .min(GUESS_BYTES_MAX)
    }
}

// Frames.
impl View<'_> {
    /// Reads the frame that holds what is at `position`.
    fn frame_around<T>(
        &self,
        position: Position,
        take: impl FnOnce(&Frame<'_>) -> Result<T>,
    ) -> Result<T> {
        let first = self.frame_of(position)?;
        let (mut take, mut taken) = (Some(take), None);
        self.frames(first, 0, |frame| {
            if let Some(take) = take.take() {
                taken = Some(take(frame)?);
            }
            Ok(ControlFlow::Break(()))
        })?;
        taken.ok_or_else(|| self.misled(position))
    }

    /// Where the frame begins that holds what is at `position`.
    fn frame_of(&self, position: Position) -> Result<Position> {
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
        match self.settled_end(segment).checked_sub(offset) {
            None | Some(0) => Ok(None),
            Some(left) => {
                let wanted = wanted.min(left as usize);
                segment.mapped(offset, wanted, self.shared.options.segment_bytes_max)
            }
        }
    }

    /// What lies in a frame that was found to be right, if it lies in memory.
    fn settled_range<'s>(&self, segment: &'s Segment, range: Range<u32>) -> Option<&'s [u8]> {
        match range.end <= self.settled_end(segment) {
            true => segment.mapped_range(range, self.shared.options.segment_bytes_max),
            false => None,
        }
    }

    /// Up to where a segment is as it always will be, and may be waited for. What another process writes can still be
    /// cut off until it is sealed.
    fn settled_end(&self, segment: &Segment) -> u32 {
        let flushed = Position::from_u64(self.shared.flushed.load(Ordering::Acquire));
        let is_own = self.shared.follower.is_none();
        let is_wanted = self.shared.options.mapped_reads && self.patience == Patience::Wait;
        match segment.number().cmp(&flushed.segment()) {
            _ if !is_wanted => 0,
            std::cmp::Ordering::Less => u32::MAX,
            std::cmp::Ordering::Equal if is_own => flushed.offset(),
            _ => 0,
        }
    }

    /// As [`read`](Self::read), into `buf`, which becomes as long as that takes.
    fn read_to<'b>(
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
pub(super) fn with_buffer<T>(use_it: impl FnOnce(&mut Vec<u8>) -> T) -> T {
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
