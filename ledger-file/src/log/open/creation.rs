//! Making a log where there is none, and removing the files that are no part of one.

use ledger_core::Error;

use super::recovery::FIRST_FRAME;
use crate::disk::{Access, Disk, Patience};
use crate::error::{Failure, Result};
use crate::format::{FileName, LogId, Manifest, SegmentHeader, SegmentMeta};
use crate::log::keeper::{make_segment, write_manifest};
use crate::log::random::random;
use crate::log::upkeep::merging;
use crate::options::FileOptions;

/// The number of the first segment of a log.
const FIRST_SEGMENT: u32 = 1;

/// Makes a log with one empty segment.
pub(super) fn create(disk: &dyn Disk, place: &str, options: &FileOptions) -> Result<Manifest> {
    create_from(disk, place, options, FIRST_SEGMENT)
}

/// Makes a log whose segments are numbered from `segment` on.
fn create_from(
    disk: &dyn Disk,
    place: &str,
    options: &FileOptions,
    segment: u32,
) -> Result<Manifest> {
    check_vacant(disk, place)?;
    let mut log_id = LogId::default();
    log_id[..8].copy_from_slice(&random().to_le_bytes());
    log_id[8..].copy_from_slice(&random().to_le_bytes());
    let header = SegmentHeader {
        log_id,
        segment,
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
            packed_bytes: None,
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

/// Removes files that the manifest does not name: made and not listed yet, or dropped and not removed yet. A manifest that
/// was left half-way goes when the next one is written.
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
            Some(FileName::Segment {
                segment,
                generation,
            }) => is_listed(segment, generation).is_none_or(|meta| meta.packed_bytes.is_some()),
            Some(FileName::Packed {
                segment,
                generation,
            }) => is_listed(segment, generation).is_none_or(|meta| meta.packed_bytes.is_none()),
            Some(FileName::Index {
                segment,
                generation,
                from,
            }) => is_listed(segment, generation)
                .is_none_or(|meta| meta.layers.iter().all(|layer| layer.from != from)),
            Some(FileName::Merged { .. }) => {
                merging::spans(manifest).all(|span| merging::file_name(&span) != name)
            }
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

#[cfg(test)]
mod tests {
    use ledger_core::{Batch, NewEntry, Payload, ReadOptions};

    use super::*;
    use crate::disk::Directory;
    use crate::log::Log;
    use crate::options::Housekeeping;

    /// Fills half of a segment, and what a new one begins with.
    fn append(log: &Log) -> ledger_core::Result<u64> {
        let entry = NewEntry::new(Payload::octets(vec![7; 600]));
        let receipt = log.append(Batch::new("s", vec![entry]))?;
        Ok(receipt.outcomes[0].id())
    }

    #[test]
    fn a_log_goes_on_to_the_last_number_of_a_segment_and_is_then_full() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("log");
        let options = FileOptions::default().with_segment_bytes_max(1 << 10);
        let directory = Directory::create(&path).unwrap();
        create_from(&directory, "log", &options, u32::MAX - 2).unwrap();
        for id in 1..=3 {
            let log = Log::open(&path, options.clone()).unwrap();
            assert_eq!(append(&log).unwrap(), id);
            log.close().unwrap();
        }
        for _ in 0..2 {
            let log = Log::open(&path, options.clone()).unwrap();
            let refused = append(&log).unwrap_err();
            assert!(matches!(refused, Error::LimitExceeded { .. }), "{refused}");
            let page = log.read(&"s".into(), &ReadOptions::new()).unwrap();
            let ids: Vec<_> = page.entries.iter().map(|entry| entry.id).collect();
            assert_eq!(ids, [1, 2, 3]);
            log.verify().unwrap();
            log.close().unwrap();
        }
    }

    #[test]
    fn in_the_last_segment_there_is_none_to_prepare_and_space_comes_back_all_the_same() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("log");
        let options = FileOptions::default()
            .with_segment_bytes_max(1 << 10)
            .with_housekeeping(Housekeeping::Inline);
        let directory = Directory::create(&path).unwrap();
        create_from(&directory, "log", &options, u32::MAX - 2).unwrap();
        let log = Log::open(&path, options.clone()).unwrap();
        for id in 1..=3 {
            assert_eq!(append(&log).unwrap(), id);
        }
        assert_eq!(log.stats().unwrap().segments, 3);
        assert_eq!(log.trim(&"s".into(), 2).unwrap(), 2);
        assert_eq!(log.stats().unwrap().segments, 1);
        let refused = log.tidy().unwrap_err();
        assert!(matches!(refused, Error::LimitExceeded { .. }), "{refused}");
        log.close().unwrap();
        let log = Log::open(&path, options).unwrap();
        let page = log.read(&"s".into(), &ReadOptions::new()).unwrap();
        let ids: Vec<_> = page.entries.iter().map(|entry| entry.id).collect();
        assert_eq!(ids, [3]);
        log.verify().unwrap();
    }
}
