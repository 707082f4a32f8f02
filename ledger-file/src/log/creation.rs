//! Making a log where there is none, and removing the files that are no part of one.

use ledger_core::Error;

use super::keeper::{make_segment, write_manifest};
use super::random::random;
use super::recovery::FIRST_FRAME;
use crate::disk::{Access, Disk, Patience};
use crate::error::{Failure, Result};
use crate::format::{FileName, LogId, Manifest, SegmentHeader, SegmentMeta};
use crate::options::FileOptions;

/// Makes a log with one empty segment.
pub(super) fn create(disk: &dyn Disk, place: &str, options: &FileOptions) -> Result<Manifest> {
    check_vacant(disk, place)?;
    let mut log_id = LogId::default();
    log_id[..8].copy_from_slice(&random().to_le_bytes());
    log_id[8..].copy_from_slice(&random().to_le_bytes());
    let header = SegmentHeader {
        log_id,
        segment: 1,
        generation: random(),
        created_at: options.clock.now(),
    };
    make_segment(disk, &header, options.segment_bytes_max)?;
    let manifest = Manifest {
        log_id,
        seed: random(),
        version: 1,
        streams: 0,
        segments: vec![SegmentMeta {
            segment: header.segment,
            generation: header.generation,
            sealed_bytes: None,
            synced: false,
            layers: Vec::new(),
        }],
    };
    write_manifest(disk, &manifest)?;
    Ok(manifest)
}

/// Refuses a directory that holds anything but what a creation may have left behind that did not get to its end.
fn check_vacant(disk: &dyn Disk, place: &str) -> Result<()> {
    for name in disk.list().map_err(|error| Failure::io(place, error))? {
        match FileName::parse(&name) {
            Some(FileName::Lock | FileName::ManifestNew | FileName::Stage) => {}
            Some(FileName::Segment { .. }) if is_unwritten(disk, &name)? => {
                disk.remove(&name)
                    .map_err(|error| Failure::io(&name, error))?;
            }
            Some(_) => {
                return Err(Failure::damage(
                    place,
                    format!("there is {name}, and no manifest"),
                ));
            }
            None => {
                return Err(Failure::Error(Error::NotAStore {
                    place: place.into(),
                    reason: format!("there is {name:?} in it"),
                }));
            }
        }
    }
    Ok(())
}

/// Whether a segment file has no frame.
fn is_unwritten(disk: &dyn Disk, name: &str) -> Result<bool> {
    let failed = |error| Failure::io(name, error);
    let file = disk.open(name, Access::Read).map_err(failed)?;
    let mut bytes = [0; FIRST_FRAME as usize + 1024];
    let read = crate::disk::read_at_most(&*file, &mut bytes, 0, Patience::Wait).map_err(failed)?;
    let frames = bytes[..read].get(FIRST_FRAME as usize..);
    Ok(frames.is_none_or(|frames| frames.iter().all(|byte| *byte == 0)))
}

/// Removes files that the manifest does not name: made and not listed yet, or dropped and not removed yet.
pub(super) fn remove_strangers(disk: &dyn Disk, manifest: &Manifest) -> Result<()> {
    let names = disk
        .list()
        .map_err(|error| Failure::io("the directory", error))?;
    let is_listed = |segment, generation| {
        manifest
            .segments
            .iter()
            .find(|meta| (meta.segment, meta.generation) == (segment, generation))
    };
    let mut is_first = true;
    for name in names {
        let is_stranger = match FileName::parse(&name) {
            Some(FileName::ManifestNew) => true,
            Some(FileName::Segment {
                segment,
                generation,
            }) => is_listed(segment, generation).is_none(),
            Some(FileName::Index {
                segment,
                generation,
                from,
            }) => is_listed(segment, generation)
                .is_none_or(|meta| meta.layers.iter().all(|layer| layer.from != from)),
            _ => false,
        };
        if is_stranger {
            if std::mem::take(&mut is_first) {
                // The manifest that does not name it may not be durable yet, and the one before may.
                disk.sync_directory()
                    .map_err(|error| Failure::io("the directory", error))?;
            }
            disk.remove(&name)
                .map_err(|error| Failure::io(&name, error))?;
        }
    }
    Ok(())
}
