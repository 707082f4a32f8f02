//! One segment file, as it is read.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::checked::Checked;
use crate::disk::{Cached, DiskFile, FileMap, Patience, read_exact_at};
use crate::error::{Failure, Result};
use crate::format::{FileName, Form, Position, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::sync::plain::OnceLock;

/// A segment's open file, with what is known of it.
///
/// The same segment after a compaction is another one: it has another generation, and another file.
#[derive(Debug)]
pub(in crate::log) struct Segment {
    name: SegmentName,
    form: Form,
    file: Arc<dyn DiskFile>,
    header: OnceLock<SegmentHeader>,
    /// How long its file is, if that will never change.
    full_bytes: OnceLock<u32>,
    /// None: it cannot be mapped.
    map: OnceLock<Option<FileMap>>,
    cached: Cached,
    checked: Checked,
}

/// From how many bytes on the system is told what will be looked at.
const ANNOUNCED_BYTES_MIN: usize = 32 << 10;

/// Which segment file of which log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) struct SegmentName {
    pub(in crate::log) log_id: [u8; 16],
    pub(in crate::log) number: u32,
    pub(in crate::log) generation: u64,
}

impl SegmentName {
    pub(in crate::log) fn of(header: &SegmentHeader) -> Self {
        Self {
            log_id: header.log_id,
            number: header.segment,
            generation: header.generation,
        }
    }

    /// The name of its file, if it is plain.
    pub(in crate::log) fn file_name(&self) -> String {
        self.file_name_as(Form::Plain)
    }

    pub(in crate::log) fn file_name_as(&self, form: Form) -> String {
        FileName::segment(self.number, self.generation, form).to_string()
    }
}

impl Segment {
    /// Takes an open file of which nothing has been read yet: as it is, or, if it is packed, as what it unpacks to.
    pub(in crate::log) fn unread(name: SegmentName, form: Form, file: Arc<dyn DiskFile>) -> Self {
        Self {
            name,
            form,
            file,
            header: OnceLock::new(),
            full_bytes: OnceLock::new(),
            map: OnceLock::new(),
            cached: Cached::default(),
            checked: Checked::default(),
        }
    }

    /// Takes a file that was just made.
    pub(in crate::log) fn made(header: SegmentHeader, file: Arc<dyn DiskFile>) -> Self {
        Self {
            name: SegmentName::of(&header),
            form: Form::Plain,
            file,
            header: OnceLock::from(header),
            full_bytes: OnceLock::new(),
            map: OnceLock::new(),
            cached: Cached::default(),
            checked: Checked::default(),
        }
    }

    pub(in crate::log) fn number(&self) -> u32 {
        self.name.number
    }

    pub(in crate::log) fn generation(&self) -> u64 {
        self.name.generation
    }

    pub(in crate::log) fn form(&self) -> Form {
        self.form
    }

    pub(super) fn checked(&self) -> &Checked {
        &self.checked
    }

    pub(in crate::log) fn file(&self) -> &Arc<dyn DiskFile> {
        &self.file
    }

    pub(in crate::log) fn file_name(&self) -> String {
        self.name.file_name_as(self.form)
    }

    /// Its header: the context of every frame in it.
    pub(in crate::log) fn header(&self, patience: Patience) -> Result<&SegmentHeader> {
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

    /// How long its frames are, if it was noted to be full.
    pub(in crate::log) fn full_bytes(&self) -> Option<u32> {
        self.full_bytes.get().copied()
    }

    /// Notes that it is full, and that its file was seen to be so long: from now on nobody asks again.
    pub(in crate::log) fn note_full(&self, bytes: u32) {
        let _noted_before = self.full_bytes.set(bytes);
    }

    /// Where its file ends.
    pub(in crate::log) fn file_end(&self) -> Result<u32> {
        if let Some(bytes) = self.full_bytes.get() {
            return Ok(*bytes);
        }
        let len = self.file.len();
        let len = len.map_err(|error| Failure::io(&self.file_name(), error))?;
        Ok(u32::try_from(len).unwrap_or(u32::MAX))
    }

    /// Bytes that are in the file and never change, where they lie in memory, all of which will be looked at. None: they have to be
    /// read. `bytes_max` is how long the file may become.
    pub(super) fn mapped(&self, range: Range<u32>, bytes_max: u64) -> Option<&[u8]> {
        let map = self.map(bytes_max)?;
        let range = range.start as usize..range.end as usize;
        if range.len() >= ANNOUNCED_BYTES_MIN && !self.is_cached(&range) {
            map.will_need(range.clone());
        }
        map.bytes(range)
    }

    /// Whether the system has bytes in memory, by the look of one in their middle: those at their ends may lie in a page with
    /// others. Then they are mapped sixteen pages at a time when they are touched, sooner than by asking for each of them.
    fn is_cached(&self, range: &Range<usize>) -> bool {
        let middle = range.start + range.len() / 2;
        let read = self.file.read_at(&mut [0], middle as u64, Patience::Now);
        read.is_ok_and(|read| read == 1)
    }

    /// As [`mapped`](Self::mapped), of bytes of which only some may be looked at.
    pub(super) fn mapped_range(&self, range: Range<u32>, bytes_max: u64) -> Option<&[u8]> {
        let map = self.map(bytes_max)?;
        map.bytes(range.start as usize..range.end as usize)
    }

    /// What was just read without waiting need not be read again in a moment, but can be looked at in the map.
    pub(super) fn note_cached(&self, offset: u32, bytes: usize, bytes_max: u64) {
        let offset = u64::from(offset);
        self.cached.note(offset..offset + bytes as u64, bytes_max);
    }

    /// As [`mapped_range`](Self::mapped_range), for those who must not wait: none, too, if it is not known to be in memory.
    pub(super) fn mapped_now(&self, range: Range<u32>, bytes_max: u64) -> Option<&[u8]> {
        let bytes = u64::from(range.start)..u64::from(range.end);
        match self.cached.has(bytes) {
            true => self.mapped_range(range, bytes_max),
            false => None,
        }
    }

    /// Whether bytes that are known to be in the file are in memory, or cannot be mapped. If not, the disk is asked for them, and
    /// nobody waits for it.
    pub(super) fn announce(&self, range: Range<u32>, bytes_max: u64) -> bool {
        let range = range.start as usize..range.end as usize;
        let Some(map) = self.map(bytes_max) else {
            return true;
        };
        let is_cached = self.is_cached(&range);
        if !is_cached {
            map.will_soon_need(range);
        }
        is_cached
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
    pub(in crate::log) fn damage(&self, offset: u32, reason: impl std::fmt::Display) -> Failure {
        Failure::damage(self.file_name(), format!("at byte {offset}: {reason}"))
    }

    /// The place of its byte `offset` in the log.
    pub(in crate::log) fn at(&self, offset: u32) -> Position {
        Position::new(self.name.number, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Directory, Disk};

    #[test]
    fn a_full_segment_ends_where_it_was_seen_to_and_another_one_where_its_file_ends_by_then() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::create(&place.path().join("log")).unwrap();
        let file = directory.create("segment").unwrap();
        let name = SegmentName {
            log_id: [1; 16],
            number: 2,
            generation: 3,
        };
        let segment = Segment::unread(name, Form::Plain, Arc::clone(&file));
        for bytes in [100, 70] {
            file.truncate(bytes).unwrap();
            assert_eq!(u64::from(segment.file_end().unwrap()), bytes);
        }
        segment.note_full(70);
        file.truncate(200).unwrap();
        assert_eq!(segment.file_end().unwrap(), 70);
    }
}
