//! A segment of a log that is followed, as far as it was read.

use std::io;
use std::sync::{Arc, PoisonError};

use super::recovery::Source;
use crate::disk::{Access, Patience};
use crate::error::{Failure, Result};
use crate::format::{Found, Frame, Position, Record, SegmentHeader, SegmentMeta, read_frame};
use crate::index::{ActiveIndex, Layer, Origin};
use crate::log::read::packed::open_segment;
use crate::log::read::picture::Part;
use crate::log::read::segment::SegmentName;
use crate::log::shared::Shared;
use crate::log::upkeep::index_files::open_layers;
use crate::log::write::notes::Notes;
use crate::sync::RwLock;

/// A segment, as far as it was read.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) meta: SegmentMeta,
    pub(super) part: Part,
    /// Of what no index file knows.
    index: Option<Arc<RwLock<ActiveIndex>>>,
    /// Up to where it was read.
    noted: u32,
    /// Up to where that was read from the file.
    pub(super) in_file: u32,
    is_sealed: bool,
}

/// Opens a segment with its indexes; none if it is not there any more.
pub(super) fn open(shared: &Shared, meta: &SegmentMeta) -> Result<Option<Followed>> {
    let name = SegmentName {
        log_id: shared.log_id,
        number: meta.segment,
        generation: meta.generation,
    };
    let (log_id, kept) = (shared.log_id, &shared.kept_blocks);
    let segment = match open_segment(&*shared.disk, log_id, meta, Access::Read, kept) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|error| Failure::io(&name.file_name_as(meta.form()), error))?,
    };
    if let Some(bytes) = meta.sealed_bytes
        && segment.file_end()? >= bytes
    {
        segment.note_full(bytes);
    }
    let (mut layers, from) = open_layers(&*shared.disk, name, meta)?;
    let is_indexed = meta.sealed_bytes == Some(from);
    let index = (!is_indexed).then(|| {
        let origin = Origin {
            log_id: name.log_id,
            segment: name.number,
            generation: name.generation,
            from,
        };
        Arc::new(RwLock::new(ActiveIndex::new(origin)))
    });
    layers.extend(index.iter().map(|index| Layer::Memory(Arc::clone(index))));
    Ok(Some(Followed {
        meta: meta.clone(),
        part: Part {
            segment: Arc::new(segment),
            layers,
        },
        index,
        noted: from,
        in_file: from,
        is_sealed: is_indexed,
    }))
}

impl Followed {
    /// Whether all that there will ever be is in the file.
    pub(super) fn is_in_file(&self) -> bool {
        self.is_sealed && self.in_file == self.noted
    }

    /// Reads the frames that are in the file, up to `target`.
    pub(super) fn scan(&mut self, shared: &Shared, target: Option<Position>) -> Result<()> {
        let segment = Arc::clone(&self.part.segment);
        if self.is_in_file() || target == Some(segment.at(self.in_file)) {
            return Ok(());
        }
        let source = Source::of(&segment)?;
        let from = self.in_file;
        source.frames(from, |frame| {
            let end = segment.at(frame.end());
            if target.is_some_and(|target| end > target) {
                return Ok(false);
            }
            self.note(shared, frame)?;
            self.in_file = frame.end();
            Ok(!self.is_in_file() && Some(end) != target)
        })?;
        Ok(())
    }

    /// Notes the frames in `staged`, which lie behind the file's, up to `target`; tells how many bytes they are.
    pub(super) fn take_staged(
        &mut self,
        shared: &Shared,
        staged: &[u8],
        target: Option<Position>,
    ) -> Result<usize> {
        let header: SegmentHeader = *self.part.segment.header(Patience::Wait)?;
        let (mut len, mut offset) = (0, self.in_file);
        while let Found::Frame(frame) = read_frame(&staged[len..], &header, offset) {
            let end = header.at(frame.end());
            if target.is_some_and(|target| end > target) {
                break;
            }
            len += frame.bytes_len() as usize;
            offset = frame.end();
            self.note(shared, &frame)?;
        }
        Ok(len)
    }

    /// Notes a frame, unless it was already.
    fn note(&mut self, shared: &Shared, frame: &Frame<'_>) -> Result<()> {
        if frame.end() <= self.noted {
            return Ok(());
        }
        if let Some(index) = &self.index {
            let mut index = index.write().unwrap_or_else(PoisonError::into_inner);
            let at = frame.position().offset();
            Notes::frame(&mut index, shared.hasher, frame)
                .map_err(|malformed| self.part.segment.damage(at, malformed))?;
        }
        self.noted = frame.end();
        self.is_sealed = frame
            .records()
            .any(|record| matches!(record, Ok((_, Record::Seal))));
        Ok(())
    }
}
