//! Which files are the log: the manifest, the segment that is ready to be written next, and what must be tidied up.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use ledger_core::Error;

use super::random::random;
use super::read::segment::SegmentName;
use super::shared::Shared;
use super::upkeep::packing::Packed;
use crate::disk::{Access, Disk, DiskFile, Patience, read_exact_at, write_all_at};
use crate::error::{Failure, Result};
use crate::fault::{Mistake, is_planted};
use crate::format::{FileName, Manifest, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentMeta};
use crate::sync::MutexGuard;

/// Who knows the files.
#[derive(Debug)]
pub(super) struct Keeper {
    /// As it is on the disk.
    pub(super) manifest: Manifest,
    /// Listed in the manifest, and still empty.
    pub(super) next: Option<Prepared>,
    /// Segments that are full, in their order, and not listed as such yet.
    pub(super) sealed: Vec<Sealed>,
    /// What was packed last, if the manifest could not be written then.
    pub(super) packed: Option<Packed>,
    /// The highest number that a segment ever had.
    pub(super) highest_segment: u32,
}

/// A segment file that is ready to be written.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) header: SegmentHeader,
    pub(super) file: Arc<dyn DiskFile>,
}

/// A segment that is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) number: u32,
    pub(super) bytes: u32,
}

impl Shared {
    /// A panic leaves the keeper with a manifest that is, or was, on the disk.
    pub(super) fn keeper(&self) -> MutexGuard<'_, Keeper> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that there is a segment to go on in.
    pub(super) fn prepare_next(&self) -> Result<()> {
        let mut keeper = self.keeper();
        if keeper.next.is_some() {
            return Ok(());
        }
        let header = SegmentHeader {
            log_id: self.log_id,
            segment: number_after(keeper.highest_segment)?,
            generation: random(),
            created_at: self.now(),
        };
        let file = make_segment(&*self.disk, &header, self.options.segment_bytes_max)?;
        keeper.highest_segment = header.segment;
        keeper.save(self, |manifest| {
            manifest.segments.push(SegmentMeta {
                segment: header.segment,
                generation: header.generation,
                sealed_bytes: None,
                packed_bytes: None,
                synced: false,
                layers: Vec::new(),
            });
        })?;
        keeper.next = Some(Prepared { header, file });
        Ok(())
    }
}

/// The number of the segment behind `segment`. Numbers are never used again, and there are so many (rule 17).
///
/// # Errors
/// `LimitExceeded`: that was the last.
pub(super) fn number_after(segment: u32) -> Result<u32> {
    let exhausted = || Error::LimitExceeded {
        limit: "segments of a log",
        size: u64::from(segment) + 1,
        max: u32::MAX.into(),
    };
    segment.checked_add(1).ok_or_else(|| exhausted().into())
}

impl Keeper {
    /// Changes the manifest: on the disk first, as one step.
    pub(super) fn save(
        &mut self,
        shared: &Shared,
        change: impl FnOnce(&mut Manifest),
    ) -> Result<()> {
        let mut manifest = self.manifest.clone();
        change(&mut manifest);
        manifest.version += 1;
        write_manifest(&*shared.disk, &manifest)?;
        shared.page.announce(manifest.version);
        self.manifest = manifest;
        Ok(())
    }

    /// What the manifest says of the segment `number`.
    pub(super) fn meta(&self, number: u32) -> Option<&SegmentMeta> {
        let mut segments = self.manifest.segments.iter();
        segments.find(|segment| segment.segment == number)
    }
}

/// Reads the manifest; none if there is none.
pub(super) fn read_manifest(disk: &dyn Disk) -> Result<Option<Manifest>> {
    let name = FileName::Manifest.to_string();
    let failed = |error| Failure::io(&name, error);
    let file = match disk.open(&name, Access::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let len = usize::try_from(file.len().map_err(failed)?).unwrap_or(usize::MAX);
    let mut bytes = vec![0; len];
    read_exact_at(&*file, &mut bytes, 0, Patience::Wait).map_err(failed)?;
    let manifest = Manifest::decode(&bytes).map_err(|error| Failure::header(&name, error))?;
    Ok(Some(manifest))
}

/// Puts `manifest` into the place of the one before (rules 1 and 13).
pub(super) fn write_manifest(disk: &dyn Disk, manifest: &Manifest) -> Result<()> {
    let (new, name) = (
        FileName::ManifestNew.to_string(),
        FileName::Manifest.to_string(),
    );
    let failed = |error| Failure::io(&new, error);
    match disk.remove(&new) {
        // What was left half-way must be gone for good: else a power cut may keep the renaming below, and find it there.
        Ok(()) => disk.sync_directory().map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let file = disk.create(&new).map_err(failed)?;
    write_all_at(&*file, &manifest.encode(), 0).map_err(failed)?;
    if !is_planted(Mistake::ManifestNotSynced) {
        file.sync_all().map_err(failed)?;
    }
    disk.rename(&new, &name).map_err(failed)?;
    if !is_planted(Mistake::ManifestNameNotSynced) {
        disk.sync_directory().map_err(failed)?;
    }
    Ok(())
}

/// Makes a segment file with room for `bytes`, complete and durable before anybody names it (rule 1).
pub(super) fn make_segment(
    disk: &dyn Disk,
    header: &SegmentHeader,
    bytes: u64,
) -> Result<Arc<dyn DiskFile>> {
    let name = SegmentName::of(header).file_name();
    let failed = |error| Failure::io(&name, error);
    let file = disk.create(&name).map_err(failed)?;
    let made = write_all_at(&*file, &header.encode(), 0)
        .and_then(|()| file.reserve(bytes.max(SEGMENT_HEADER_BYTES as u64)))
        .and_then(|()| match is_planted(Mistake::SegmentHeaderNotSynced) {
            true => Ok(()),
            false => file.sync_all(),
        })
        .and_then(|()| match is_planted(Mistake::SegmentNameNotSynced) {
            true => Ok(()),
            false => disk.sync_directory(),
        });
    if let Err(error) = made {
        // Nothing names it, so what is left of it would go at the next opening.
        let _is_left = disk.remove(&name);
        return Err(failed(error));
    }
    Ok(file)
}

impl Shared {
    /// Notes that everything before `position` survives the loss of power.
    pub(super) fn note_durable(&self, position: crate::format::Position) {
        self.durable.fetch_max(position.as_u64(), Ordering::AcqRel);
    }
}
