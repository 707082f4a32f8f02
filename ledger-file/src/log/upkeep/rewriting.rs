//! Writing a segment anew, in a file of another generation: for compaction, and for repair.

use std::sync::Arc;

use ledger_core::Timestamp;

use crate::disk::{Disk, DiskFile, write_all_at};
use crate::error::{Failure, Result};
use crate::format::{FrameWriter, SegmentHeader};
use crate::log::keeper::make_segment;
use crate::log::open::recovery::FIRST_FRAME;
use crate::log::read::segment::SegmentName;

/// How much is written at once.
const CHUNK_BYTES: usize = if cfg!(test) { 300 } else { 1 << 20 };

/// A segment file that is being written, frame by frame.
#[derive(Debug)]
pub(in crate::log) struct Rewriting<'a> {
    file: Arc<dyn DiskFile>,
    header: &'a SegmentHeader,
    buf: Vec<u8>,
    written: u64,
}

impl<'a> Rewriting<'a> {
    /// Makes the file.
    pub(in crate::log) fn begin(disk: &dyn Disk, header: &'a SegmentHeader) -> Result<Self> {
        let file = make_segment(disk, header, u64::from(FIRST_FRAME))?;
        Ok(Self::behind(file, header, FIRST_FRAME.into()))
    }

    /// Goes on in a file behind the offset `written`.
    pub(in crate::log) fn behind(
        file: Arc<dyn DiskFile>,
        header: &'a SegmentHeader,
        written: u64,
    ) -> Self {
        Self {
            file,
            header,
            buf: Vec::new(),
            written,
        }
    }

    pub(super) fn file(&self) -> &Arc<dyn DiskFile> {
        &self.file
    }

    /// Writes a frame of the time `time`, unless it would be empty.
    ///
    /// # Errors
    /// Those of the file; what is written anew can be longer than it was, and not fit into a segment any more (rule 17).
    pub(in crate::log) fn frame(
        &mut self,
        time: Timestamp,
        write: impl FnOnce(&mut FrameWriter<'_>) -> Result<()>,
    ) -> Result<()> {
        let offset = self.end()?;
        let mut writer = FrameWriter::begin(&mut self.buf, self.header, offset, time, None);
        let empty = writer.offset();
        write(&mut writer)?;
        match writer.offset() == empty {
            true => writer.discard(),
            false => drop(writer.finish()),
        }
        self.end()?;
        match self.buf.len() >= CHUNK_BYTES {
            true => self.flush(),
            false => Ok(()),
        }
    }

    /// Makes it durable, and tells where it ends.
    pub(in crate::log) fn finish(&mut self) -> Result<u32> {
        self.flush()?;
        let synced = self.file.sync_all();
        synced.map_err(|error| Failure::io(&self.name(), error))?;
        self.end()
    }

    /// Where the next frame goes.
    fn end(&self) -> Result<u32> {
        let end = self.written + self.buf.len() as u64;
        u32::try_from(end).map_err(|_| {
            Failure::damage(
                self.name(),
                "what is left of it does not fit into a segment",
            )
        })
    }

    fn flush(&mut self) -> Result<()> {
        write_all_at(&*self.file, &self.buf, self.written)
            .map_err(|error| Failure::io(&self.name(), error))?;
        self.written += self.buf.len() as u64;
        self.buf.clear();
        Ok(())
    }

    fn name(&self) -> String {
        SegmentName::of(self.header).file_name()
    }
}

#[cfg(test)]
mod tests {
    use crate::disk::Directory;
    use crate::format::Record;
    use crate::log::open::recovery::Source;
    use crate::log::read::segment::Segment;

    use super::*;

    /// The last place at which a frame of 24 bytes, the shortest there is with a record, can begin.
    const LAST: u32 = u32::MAX - 7 - 24;

    fn header() -> SegmentHeader {
        SegmentHeader {
            log_id: [7; 16],
            segment: 1,
            generation: 2,
            created_at: Timestamp::from_micros(0),
        }
    }

    fn seal(writer: &mut FrameWriter<'_>) -> Result<()> {
        writer.push(&Record::Seal);
        Ok(())
    }

    /// The file is one hole up to there.
    #[test]
    fn a_segment_is_written_and_read_up_to_its_last_offset_and_not_beyond() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::create(&place.path().join("log")).unwrap();
        let header = header();
        let file = make_segment(&directory, &header, 0).unwrap();
        let first = LAST - 16;
        let mut rewriting = Rewriting::behind(Arc::clone(&file), &header, first.into());
        let time = Timestamp::from_micros(0);
        let mut frames = 0;
        let refused = loop {
            match rewriting.frame(time, seal) {
                Ok(()) => frames += 1,
                Err(failure) => break failure.into_error("log"),
            }
        };
        assert!(matches!(refused, ledger_core::Error::Corrupt { .. }));
        let mut rewriting = Rewriting::behind(Arc::clone(&file), &header, first.into());
        for _ in 0..frames {
            rewriting.frame(time, seal).unwrap();
        }
        let end = rewriting.finish().unwrap();
        assert!(end > u32::MAX - 24, "{end}");
        let segment = Segment::made(header, file);
        let mut found = 0;
        let read = Source::of(&segment).unwrap().frames(first, |_| {
            found += 1;
            Ok(true)
        });
        assert_eq!((read.unwrap(), found), (end, frames));
    }
}
