//! Repairing a log that cannot be opened because it is damaged: the only code that takes anything out of it.
//!
//! What is damaged is left out, and everything else stays. Each frame stands by itself: it says which ids it holds and
//! how many bytes its stream had before, and of all that can change, the newest record counts. So what follows a damage
//! is not cut off with it; it could not be, because what was carried forward out of segments that are gone lies there.
//! The entries that are lost leave tombstones, so that ids stay dense and none is used twice.
//!
//! Nothing is altered in its place. A segment that is damaged is written anew, the file that was found is set aside whole,
//! and then a manifest names the new one: before that moment the log is as damaged as it was, and can be repaired again.
//!
//! Rooms: the `catalogue` says which files there should be; `contents` is what is left of one; a `survey` finds the gaps,
//! and a `census` of all that can be read tells what must have been in them; `rewrite` fills them; the `report` is for
//! whoever asked.

mod catalogue;
mod census;
mod contents;
mod report;
mod rewrite;
mod survey;

pub use self::report::{Damage, LostEntries, Repair};

use self::catalogue::Catalogue;
use self::census::Filling;
use self::contents::{Contents, read_file};
use self::survey::{Survey, Surveyed};
use super::keeper::{make_segment, number_after, write_manifest};
use super::open::opening::take_lock;
use super::random::random;
use super::resting;
use crate::disk::{Disk, write_all_at};
use crate::error::{Failure, Result};
use crate::format::{FileName, SegmentHeader, SegmentMeta};
use crate::options::FileOptions;

/// Tells what is damaged in a log that nobody has open, and what a repair would make of it.
pub(super) fn examine(disk: &dyn Disk, place: &str) -> Result<Repair> {
    let _lock = take_lock(disk, place)?;
    Ok(Repairing::begin(disk, place)?.report)
}

/// Repairs a log that nobody has open, if it is damaged.
pub(super) fn repair(disk: &dyn Disk, place: &str, options: &FileOptions) -> Result<Repair> {
    let _lock = take_lock(disk, place)?;
    let repairing = Repairing::begin(disk, place)?;
    match repairing.report.is_sound() {
        true => Ok(repairing.report),
        false => repairing.finish(options),
    }
}

/// A log that is being repaired.
#[derive(Debug)]
struct Repairing<'a> {
    disk: &'a dyn Disk,
    place: &'a str,
    catalogue: Catalogue,
    survey: Survey,
    fillings: Vec<Filling>,
    report: Repair,
}

impl<'a> Repairing<'a> {
    fn begin(disk: &'a dyn Disk, place: &'a str) -> Result<Self> {
        let catalogue = Catalogue::read(disk, place)?;
        let mut survey = Survey::of(disk, &catalogue)?;
        let fillings = survey.census.fillings()?;
        survey.forget_holes(&fillings);
        let report = Repair::of(&catalogue, &survey, &fillings);
        Ok(Self {
            disk,
            place,
            catalogue,
            survey,
            fillings,
            report,
        })
    }

    /// First the new files, then what was found is set aside, then the manifest names the new ones.
    fn finish(mut self, options: &FileOptions) -> Result<Repair> {
        self.catalogue.forget_indexes();
        resting::forget(self.disk).map_err(|error| Failure::io(self.place, error))?;
        let segments = self.segments(options)?;
        self.set_aside()?;
        let manifest = &mut self.catalogue.manifest;
        manifest.version += 1;
        manifest.streams = manifest.streams.max(self.survey.census.highest_stream());
        manifest.segments = segments;
        write_manifest(self.disk, manifest)?;
        Ok(self.report)
    }

    /// How many segments, from the first, end as full ones: up to the last that is written anew.
    fn full(&self) -> usize {
        let damaged = self.survey.segments.iter().rposition(Surveyed::is_damaged);
        damaged.map_or(0, |last| last + 1)
    }

    /// The segments that are written anew: those that are damaged, and those before them that were not full yet.
    fn rewritten(&self) -> impl Iterator<Item = &Surveyed> {
        let full = self.survey.segments[..self.full()].iter();
        full.filter(|segment| segment.is_damaged() || segment.meta.sealed_bytes.is_none())
    }

    /// Writes what must be written anew, and tells what the manifest must list.
    fn segments(&self, options: &FileOptions) -> Result<Vec<SegmentMeta>> {
        let known = |meta: &SegmentMeta| {
            let mut listed = self.catalogue.manifest.segments.iter();
            listed
                .find(|listed| listed.segment == meta.segment)
                .cloned()
        };
        let metas = self.survey.segments.iter().map(|segment| &segment.meta);
        let mut segments: Vec<_> = metas.filter_map(known).collect();
        for segment in self.rewritten() {
            let rewritten = self.rewrite(segment, options)?;
            let mut segments = segments.iter_mut();
            let meta = segments.find(|meta| meta.segment == rewritten.segment);
            *meta.expect("every segment that was looked at is listed") = rewritten;
        }
        if segments.iter().all(|meta| meta.sealed_bytes.is_some()) {
            segments.push(self.next_segment(options)?);
        }
        Ok(segments)
    }

    fn rewrite(&self, segment: &Surveyed, options: &FileOptions) -> Result<SegmentMeta> {
        let log_id = self.catalogue.manifest.log_id;
        let staged = self.survey.staged.as_ref();
        let contents = Contents::read(self.disk, log_id, &segment.meta, staged)?;
        let old = contents.header.as_ref();
        let header = SegmentHeader {
            log_id,
            segment: segment.meta.segment,
            generation: random(),
            created_at: old.map_or_else(|| options.clock.now(), |old| old.created_at),
        };
        rewrite::rewrite(self.disk, segment, &contents, &header, &self.fillings)
    }

    /// Makes a segment to go on in.
    fn next_segment(&self, options: &FileOptions) -> Result<SegmentMeta> {
        let newest = self.survey.segments.last();
        let header = SegmentHeader {
            log_id: self.catalogue.manifest.log_id,
            segment: number_after(newest.map_or(0, |segment| segment.meta.segment))?,
            generation: random(),
            created_at: options.clock.now(),
        };
        make_segment(self.disk, &header, options.segment_bytes_max)?;
        Ok(SegmentMeta {
            segment: header.segment,
            generation: header.generation,
            sealed_bytes: None,
            packed_bytes: None,
            synced: false,
            layers: Vec::new(),
        })
    }

    /// Keeps what the log will not consist of any more, as it was found.
    fn set_aside(&mut self) -> Result<()> {
        let mut names = Vec::new();
        for segment in self.rewritten() {
            let Some(found) = &segment.file_name else {
                continue;
            };
            let name = cut_name(segment);
            // One that did not get to its end may have done it.
            if !matches!(FileName::parse(found), Some(FileName::Cut { .. })) {
                let renamed = self.disk.rename(found, &name);
                renamed.map_err(|error| Failure::io(found, error))?;
            }
            names.push(name);
        }
        if self.catalogue.is_damaged {
            names.extend(self.copy_manifest()?);
        }
        self.disk
            .sync_directory()
            .map_err(|error| Failure::io(self.place, error))?;
        self.report.set_aside = names;
        Ok(())
    }

    /// Keeps a manifest that is damaged: a copy, because a log without any may be taken for one that was never made.
    fn copy_manifest(&self) -> Result<Option<String>> {
        let Some(bytes) = read_file(self.disk, &FileName::Manifest.to_string())? else {
            return Ok(None);
        };
        let name = FileName::ManifestCut.to_string();
        let failed = |error| Failure::io(&name, error);
        match self.disk.remove(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(error));
            }
            _ => {}
        }
        let file = self.disk.create(&name).map_err(failed)?;
        write_all_at(&*file, &bytes, 0).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        Ok(Some(name))
    }
}

/// What the file of a segment is called once it is set aside.
fn cut_name(segment: &Surveyed) -> String {
    let first_gap = segment.gaps().next();
    let from = match (segment.is_header_sound, first_gap) {
        (false, _) => 0,
        (true, Some((range, _))) => range.start,
        (true, None) => segment.end,
    };
    FileName::Cut {
        segment: segment.meta.segment,
        generation: segment.meta.generation,
        from,
    }
    .to_string()
}
