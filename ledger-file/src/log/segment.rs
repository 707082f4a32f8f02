//! One segment file, as it is read.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use ledger_core::Timestamp;

use crate::disk::{DiskFile, Patience, read_exact_at};
use crate::error::{Failure, Result};
use crate::format::{
    Append, FileName, Frame, Position, SEGMENT_HEADER_BYTES, SegmentHeader, StreamNumber,
};

/// A segment's open file, with what is known of it.
///
/// The same segment after a compaction is another one: it has another generation, and another file.
#[derive(Debug)]
pub(super) struct Segment {
    name: SegmentName,
    file: Arc<dyn DiskFile>,
    header: OnceLock<SegmentHeader>,
    checked: Checked,
}

/// Which parts of large frames were found to be right since the log was opened: a point read need not read all of such
/// a frame each time.
#[derive(Debug, Default)]
pub(super) struct Checked(RwLock<HashMap<(u32, StreamNumber), Section>>);

/// The entries of one stream in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) first_id: u64,
    pub(super) last_id: u64,
    pub(super) recorded_at: Timestamp,
    /// Where the frame ends.
    pub(super) frame_end: u32,
}

/// From how many bytes on a frame is large.
const LARGE_BYTES: u32 = 8 << 10;

/// How many sections are remembered in a segment.
const SECTIONS_MAX: usize = 16 << 10;

impl Checked {
    /// Remembers the section of a frame whose checksum was right, if the frame is large.
    pub(super) fn note(&self, frame: &Frame<'_>, append: &Append<'_>) {
        if frame.bytes_len() < LARGE_BYTES {
            return;
        }
        let key = (frame.position().offset(), append.head.stream);
        let section = Section {
            first_id: append.head.first_id,
            last_id: append.last_id(),
            recorded_at: append.head.recorded_at,
            frame_end: frame.end(),
        };
        let mut sections = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if sections.len() >= SECTIONS_MAX {
            sections.clear();
        }
        sections.insert(key, section);
    }

    /// The section of `stream` in the frame at `frame`, if it was found to be right and holds `ids`.
    pub(super) fn section(
        &self,
        frame: u32,
        stream: StreamNumber,
        ids: &Range<u64>,
    ) -> Option<Section> {
        let sections = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let section = sections.get(&(frame, stream))?;
        let holds = section.first_id <= ids.start && ids.end <= section.last_id + 1;
        holds.then_some(*section)
    }
}

/// Which segment file of which log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentName {
    pub(super) log_id: [u8; 16],
    pub(super) number: u32,
    pub(super) generation: u64,
}

impl SegmentName {
    pub(super) fn of(header: &SegmentHeader) -> Self {
        Self {
            log_id: header.log_id,
            number: header.segment,
            generation: header.generation,
        }
    }

    pub(super) fn file_name(&self) -> String {
        FileName::Segment {
            segment: self.number,
            generation: self.generation,
        }
        .to_string()
    }
}

impl Segment {
    /// Takes an open file of which nothing has been read yet.
    pub(super) fn unread(name: SegmentName, file: Arc<dyn DiskFile>) -> Self {
        Self {
            name,
            file,
            header: OnceLock::new(),
            checked: Checked::default(),
        }
    }

    /// Takes a file that was just made.
    pub(super) fn made(header: SegmentHeader, file: Arc<dyn DiskFile>) -> Self {
        Self {
            name: SegmentName::of(&header),
            file,
            header: OnceLock::from(header),
            checked: Checked::default(),
        }
    }

    pub(super) fn number(&self) -> u32 {
        self.name.number
    }

    pub(super) fn generation(&self) -> u64 {
        self.name.generation
    }

    pub(super) fn checked(&self) -> &Checked {
        &self.checked
    }

    pub(super) fn file(&self) -> &Arc<dyn DiskFile> {
        &self.file
    }

    pub(super) fn file_name(&self) -> String {
        self.name.file_name()
    }

    /// Its header: the context of every frame in it.
    pub(super) fn header(&self, patience: Patience) -> Result<&SegmentHeader> {
        if let Some(header) = self.header.get() {
            return Ok(header);
        }
        let header = self.read_header(patience)?;
        Ok(self.header.get_or_init(|| header))
    }

    fn read_header(&self, patience: Patience) -> Result<SegmentHeader> {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        read_exact_at(&*self.file, &mut bytes, 0, patience).map_err(|error| {
            match error.kind() {
                io::ErrorKind::UnexpectedEof => self.damage(0, "its header is cut off"),
                _ => Failure::io(&self.file_name(), error),
            }
        })?;
        let header = SegmentHeader::decode(&bytes)
            .map_err(|error| Failure::header(&self.file_name(), error))?;
        match SegmentName::of(&header) == self.name {
            true => Ok(header),
            false => Err(self.damage(0, "its header is that of another segment")),
        }
    }

    /// Says that what lies at `offset` cannot be.
    pub(super) fn damage(&self, offset: u32, reason: impl std::fmt::Display) -> Failure {
        Failure::damage(self.file_name(), format!("at byte {offset}: {reason}"))
    }

    /// The place of its byte `offset` in the log.
    pub(super) fn at(&self, offset: u32) -> Position {
        Position::new(self.name.number, offset)
    }
}
