//! One segment file, as it is read.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::checked::Checked;
use crate::disk::{DiskFile, FileMap, Patience, read_exact_at};
use crate::error::{Failure, Result};
use crate::format::{FileName, Form, Position, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::sync::plain::OnceLock;

/// A segment's open file, with what is known of it.
///
/// The same segment after a compaction is another one: it has another generation, and another file.
#[derive(Debug)]
pub(super) struct Segment {
    name: SegmentName,
    form: Form,
    file: Arc<dyn DiskFile>,
    header: OnceLock<SegmentHeader>,
    /// None: it cannot be mapped.
    map: OnceLock<Option<FileMap>>,
    checked: Checked,
}

/// From how many bytes on the system is told what will be looked at.
const ANNOUNCED_BYTES_MIN: usize = 32 << 10;

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

    /// The name of its file, if it is plain.
    pub(super) fn file_name(&self) -> String {
        self.file_name_as(Form::Plain)
    }

    pub(super) fn file_name_as(&self, form: Form) -> String {
        FileName::segment(self.number, self.generation, form).to_string()
    }
}

impl Segment {
    /// Takes an open file of which nothing has been read yet: as it is, or, if it is packed, as what it unpacks to.
    pub(super) fn unread(name: SegmentName, form: Form, file: Arc<dyn DiskFile>) -> Self {
        Self {
            name,
            form,
            file,
            header: OnceLock::new(),
            map: OnceLock::new(),
            checked: Checked::default(),
        }
    }

    /// Takes a file that was just made.
    pub(super) fn made(header: SegmentHeader, file: Arc<dyn DiskFile>) -> Self {
        Self {
            name: SegmentName::of(&header),
            form: Form::Plain,
            file,
            header: OnceLock::from(header),
            map: OnceLock::new(),
            checked: Checked::default(),
        }
    }

    pub(super) fn number(&self) -> u32 {
        self.name.number
    }

    pub(super) fn generation(&self) -> u64 {
        self.name.generation
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    pub(super) fn checked(&self) -> &Checked {
        &self.checked
    }

    pub(super) fn file(&self) -> &Arc<dyn DiskFile> {
        &self.file
    }

    pub(super) fn file_name(&self) -> String {
        self.name.file_name_as(self.form)
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

    /// Its bytes from `offset` on, where they lie in memory: up to `wanted`, and fewer only at the end of the file. None:
    /// they have to be read. `bytes_max` is how long the file may become.
    ///
    /// Only for what never changes.
    pub(super) fn mapped(
        &self,
        offset: u32,
        wanted: usize,
        bytes_max: u64,
    ) -> Result<Option<&[u8]>> {
        let Some(map) = self.map(bytes_max) else {
            return Ok(None);
        };
        let len = self.file.len();
        let len = len.map_err(|error| Failure::io(&self.file_name(), error))?;
        let end = (u64::from(offset) + wanted as u64).min(len);
        let start = offset as usize;
        let range = start..usize::try_from(end).unwrap_or(usize::MAX).max(start);
        if range.len() >= ANNOUNCED_BYTES_MIN && !self.is_cached(&range) {
            map.will_need(range.clone());
        }
        Ok(map.bytes(range))
    }

    /// Whether the system has bytes in memory, by the look of one in their middle: those at their ends may lie in a page with
    /// others. Then they are mapped sixteen pages at a time when they are touched, sooner than by asking for each of them.
    fn is_cached(&self, range: &Range<usize>) -> bool {
        let middle = range.start + range.len() / 2;
        let read = self.file.read_at(&mut [0], middle as u64, Patience::Now);
        read.is_ok_and(|read| read == 1)
    }

    /// As [`mapped`](Self::mapped), of bytes that are known to be in the file.
    pub(super) fn mapped_range(&self, range: Range<u32>, bytes_max: u64) -> Option<&[u8]> {
        let map = self.map(bytes_max)?;
        map.bytes(range.start as usize..range.end as usize)
    }

    /// Asks the disk for bytes that are known to be in the file, and does not wait for them.
    pub(super) fn announce(&self, range: Range<u32>, bytes_max: u64) {
        let range = range.start as usize..range.end as usize;
        if let Some(map) = self.map(bytes_max)
            && !self.is_cached(&range)
        {
            map.will_soon_need(range);
        }
    }

    fn map(&self, bytes_max: u64) -> Option<&FileMap> {
        // Whoever cannot even open it now tries again the next time.
        if self.map.get().is_none() && self.file.len().is_err() {
            return None;
        }
        let map = self.map.get_or_init(|| {
            let len = self.file.len().map(|len| len.max(bytes_max));
            len.and_then(|len| self.file.map(len)).unwrap_or_else(|error| {
                tracing::debug!(file = self.file_name(), %error, "a segment cannot be mapped, and is read");
                None
            })
        });
        map.as_ref()
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
