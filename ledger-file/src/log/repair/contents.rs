//! What is left of one segment: its file, wherever it is by now, its header, and what the stage has to add.

use std::io;

use crate::disk::{Access, Disk, Patience, STAGE_PAGE_BYTES, read_at_most};
use crate::error::{Failure, Result};
use crate::format::{
    FileName, Form, Found, HeaderError, LogId, SEGMENT_HEADER_BYTES, SLOT_WORDS, SegmentHeader,
    SegmentMeta, Slot, read_frame, salvage,
};
use crate::log::read::segment::SegmentName;

/// The bytes of a segment.
#[derive(Debug)]
pub(super) struct Contents {
    /// The name of its file; none if it is gone.
    pub(super) file_name: Option<String>,
    /// None: it is lost, and the frames with it, because their times count from it.
    pub(super) header: Option<SegmentHeader>,
    /// Whether all but its frames is as it was written: of a packed segment all of its file.
    pub(super) is_header_sound: bool,
    /// All of the file as it is unpacked, and what was staged for it.
    pub(super) bytes: Vec<u8>,
}

/// The frames that are on their way to a segment.
#[derive(Debug)]
pub(super) struct Staged {
    slot: Slot,
    area: Vec<u8>,
}

impl Staged {
    /// Reads the stage of the log `log_id`; none if nothing in it belongs anywhere.
    pub(super) fn read(disk: &dyn Disk, log_id: &LogId) -> Result<Option<Self>> {
        let Some(mut page) = read_file(disk, &FileName::Stage.to_string())? else {
            return Ok(None);
        };
        let area = page.split_off(STAGE_PAGE_BYTES.min(page.len()));
        let (words, _) = page.as_chunks::<8>();
        let slots = SLOT_WORDS.map(|at| {
            let words = words.get(at..at + 3)?;
            Slot::decode([0, 1, 2].map(|n| u64::from_le_bytes(words[n])), log_id)
        });
        let newest = slots.into_iter().flatten().max_by_key(|slot| slot.sequence);
        Ok(newest.map(|slot| Self { slot, area }))
    }

    /// Lays the frames of the segment of `header` over its `bytes`.
    fn lay_over(&self, header: &SegmentHeader, bytes: &mut Vec<u8>) {
        let (base, mut len) = (self.slot.base, 0);
        if base.segment() != header.segment {
            return;
        }
        while let Found::Frame(frame) =
            read_frame(&self.area[len..], header, base.offset() + len as u32)
        {
            len += frame.bytes_len() as usize;
        }
        let start = base.offset() as usize;
        if bytes.len() < start + len {
            bytes.resize(start + len, 0);
        }
        bytes[start..start + len].copy_from_slice(&self.area[..len]);
    }
}

impl Contents {
    /// Reads what is left of the segment that the manifest calls `meta`.
    ///
    /// # Errors
    /// Those of the files, and a format that is newer.
    pub(super) fn read(
        disk: &dyn Disk,
        log_id: LogId,
        meta: &SegmentMeta,
        staged: Option<&Staged>,
    ) -> Result<Self> {
        let name = SegmentName {
            log_id,
            number: meta.segment,
            generation: meta.generation,
        };
        let Some((file_name, mut bytes)) = find(disk, &name, meta.form())? else {
            return Ok(Self {
                file_name: None,
                header: None,
                is_header_sound: false,
                bytes: Vec::new(),
            });
        };
        let (header, mut is_header_sound) = read_header(&name, &bytes, meta.form())?;
        if let (Form::Packed, Some(header)) = (meta.form(), &header) {
            let salvaged = salvage(&bytes, header);
            is_header_sound &= salvaged.is_whole;
            bytes = salvaged.bytes;
        }
        if let (Some(staged), Some(header), None) = (staged, &header, meta.sealed_bytes) {
            staged.lay_over(header, &mut bytes);
        }
        Ok(Self {
            file_name: Some(file_name),
            header,
            is_header_sound,
            bytes,
        })
    }
}

/// The name and the bytes of a segment's file, also if a repair that did not get to its end has set it aside.
fn find(disk: &dyn Disk, name: &SegmentName, form: Form) -> Result<Option<(String, Vec<u8>)>> {
    let file_name = name.file_name_as(form);
    if let Some(bytes) = read_file(disk, &file_name)? {
        return Ok(Some((file_name, bytes)));
    }
    let names = disk
        .list()
        .map_err(|error| Failure::io("the directory", error))?;
    let aside = names.into_iter().find(|file| {
        matches!(FileName::parse(file), Some(FileName::Cut { segment, generation, .. })
            if (segment, generation) == (name.number, name.generation))
    });
    let Some(aside) = aside else { return Ok(None) };
    Ok(read_file(disk, &aside)?.map(|bytes| (aside, bytes)))
}

/// All of a file; none if it is not there.
pub(super) fn read_file(disk: &dyn Disk, name: &str) -> Result<Option<Vec<u8>>> {
    let failed = |error| Failure::io(name, error);
    let file = match disk.open(name, Access::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let len = usize::try_from(file.len().map_err(failed)?).unwrap_or(usize::MAX);
    let mut bytes = vec![0; len];
    let read = read_at_most(&*file, &mut bytes, 0, Patience::Wait).map_err(failed)?;
    bytes.truncate(read);
    Ok(Some(bytes))
}

/// The header of the segment `name`, and whether it is as it was written.
fn read_header(
    name: &SegmentName,
    bytes: &[u8],
    form: Form,
) -> Result<(Option<SegmentHeader>, bool)> {
    let decoded = match bytes.get(..SEGMENT_HEADER_BYTES) {
        Some(bytes) => SegmentHeader::decode_as(bytes, form),
        None => return Ok((None, false)),
    };
    match (
        decoded,
        SegmentHeader::mended(bytes, form, name.log_id, name.number, name.generation),
    ) {
        (Ok(header), _) if SegmentName::of(&header) == *name => Ok((Some(header), true)),
        (Err(error @ HeaderError::TooNew { .. }), None) => {
            Err(Failure::header(&name.file_name_as(form), error))
        }
        (_, mended) => Ok((mended, false)),
    }
}
