//! Merging the indexes of full segments, so that a question is asked of one file where it was asked of many.
//!
//! The segments of a log fall into groups by their numbers. As soon as those of a group are full and have their indexes,
//! these are merged into one file, which answers for all of them. The indexes that it was made of stay: they answer again
//! when it is lost or damaged, or does not hold any more because one of the segments was rewritten or dropped. Nothing
//! lists a merged index; its name is made of the segments that it is of, so that it is never taken for that of others.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::index_files::{origin, unread_layers};
use crate::disk::{Access, Disk, LateFile};
use crate::error::{Failure, Result};
use crate::format::{FileName, Manifest, SegmentMeta};
use crate::index::{Merge, MergeError, SealedIndex, Span};
use crate::log::open::recovery::FIRST_FRAME;
use crate::log::read::picture::{Part, Picture};
use crate::log::read::segment::SegmentName;
use crate::log::shared::Shared;

/// How many segment numbers a group has. In unit tests fewer, so that short histories have full groups.
const GROUP_SEGMENTS: u32 = if cfg!(test) { 3 } else { 8 };

fn group_of(segment: u32) -> u32 {
    segment / GROUP_SEGMENTS
}

/// What merged indexes of the segments in `manifest` there can be.
pub(in crate::log) fn spans(manifest: &Manifest) -> impl Iterator<Item = Span> + '_ {
    let newest = manifest.segments.last();
    let newest = newest.map_or(0, |newest| group_of(newest.segment));
    let is_same =
        |one: &SegmentMeta, other: &SegmentMeta| group_of(one.segment) == group_of(other.segment);
    let groups = manifest.segments.chunk_by(is_same);
    // No more segments come into a group before the newest.
    let full = groups.filter(move |group| group_of(group[0].segment) < newest && group.len() > 1);
    full.filter_map(|group| span(manifest, group))
}

/// The span of what a group holds, if all of it is in index files.
fn span(manifest: &Manifest, group: &[SegmentMeta]) -> Option<Span> {
    let mut pieces = Vec::new();
    for meta in group {
        let name = SegmentName {
            log_id: manifest.log_id,
            number: meta.segment,
            generation: meta.generation,
        };
        let mut end = FIRST_FRAME;
        for layer in meta.layers.iter().filter(|layer| layer.from < layer.to) {
            if layer.from != end {
                return None;
            }
            pieces.push((origin(name, layer.from), layer.to));
            end = layer.to;
        }
        if meta.sealed_bytes != Some(end) {
            return None;
        }
    }
    Span::of(manifest.seed, pieces)
}

/// The name of a merged index.
pub(in crate::log) fn file_name(span: &Span) -> String {
    let origin = span.origin();
    FileName::Merged {
        segment: origin.segment,
        digest: origin.generation,
    }
    .to_string()
}

/// The merged indexes that are there, as files that nobody has opened yet.
pub(in crate::log) fn late_merged(
    disk: &Arc<dyn Disk>,
    manifest: &Manifest,
) -> Result<Vec<Arc<SealedIndex>>> {
    let mut merged = Vec::new();
    for span in spans(manifest) {
        let name = file_name(&span);
        match disk.len(&name) {
            Ok(_) => {
                let file = Arc::new(LateFile::new(disk, name, Access::Read));
                merged.push(Arc::new(SealedIndex::of(file, span)));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::io(&name, error)),
        }
    }
    Ok(merged)
}

impl Shared {
    /// Merges the indexes of the oldest group that can be and is not yet. Tells whether there was one. Whoever calls this
    /// holds the right to tidy up.
    ///
    /// # Errors
    /// What was not done is done the next time.
    pub(super) fn merge_next(&self) -> Result<bool> {
        let picture = Arc::clone(&self.scene().picture);
        let spans: Vec<Span> = spans(&self.keeper().manifest).collect();
        let unmerged = spans.into_iter().filter(|span| !picture.has_merged(span));
        let next = { unmerged }.find_map(|span| Some((picture.indexes_of(&span)?, span)));
        let Some((members, span)) = next else {
            return Ok(false);
        };
        match self.merge(&members, span) {
            Err(Failure::Index(origin, reason)) => {
                tracing::warn!(segment = origin.segment, reason, "an index is made anew");
                self.heal_alone(origin).map(|()| true)
            }
            merged => merged,
        }
    }

    /// Merges `members`, the indexes of `span`. Tells whether that came to its end.
    fn merge(&self, members: &[&SealedIndex], span: Span) -> Result<bool> {
        let name = file_name(&span);
        let failed = |error| Failure::io(&name, error);
        self.remove_file(&name)?;
        let file = self.disk.create(&name).map_err(failed)?;
        let urgent = Urgent::new(self);
        let merge = Merge {
            members,
            span: &span,
            go_on: &|| urgent.see_to(),
        };
        let written = merge.write(&*file);
        if written.is_err() {
            // What is left of it would go at the next opening.
            let _is_left = self.remove_file(&name);
        }
        match written {
            Ok(_) => {}
            Err(MergeError::BrokenOff) => return Ok(false),
            Err(MergeError::Member(error)) => return Err(error.into()),
            Err(MergeError::File(error)) => return Err(failed(error)),
        }
        file.sync_all().map_err(failed)?;
        self.disk.sync_directory().map_err(failed)?;
        let merged = Arc::new(SealedIndex::of(file, span));
        let mut scene = self.scene_mut();
        let unread = |part: &Part| unread_layers(&self.disk, part);
        scene.picture = Arc::new(scene.picture.with_merged(merged, unread));
        Ok(true)
    }

    /// Puts another picture in the place of the one that there is, and removes the merged indexes that it has no more.
    pub(super) fn redraw(&self, draw: impl FnOnce(&Picture) -> Picture) -> Result<()> {
        let mut scene = self.scene_mut();
        let next = Arc::new(draw(&scene.picture));
        let last = std::mem::replace(&mut scene.picture, Arc::clone(&next));
        drop(scene);
        let gone = last.merged().iter();
        let mut gone = gone.filter(|merged| !next.has_merged(merged.span()));
        gone.try_for_each(|merged| {
            crate::log::read::picture::open(merged.file(), || file_name(merged.span()))?;
            self.remove_file(&file_name(merged.span()))
        })
    }
}

/// What does not wait until indexes are merged.
struct Urgent<'a> {
    shared: &'a Shared,
    synced: Cell<Instant>,
}

impl<'a> Urgent<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            synced: Cell::new(Instant::now()),
        }
    }

    /// Does it. Tells whether merging can go on.
    fn see_to(&self) -> bool {
        !self.shared.signal.must_end() && self.settle().and_then(|()| self.sync()).is_ok()
    }

    fn settle(&self) -> Result<()> {
        if self.shared.keeper().sealed.is_empty() {
            return Ok(());
        }
        self.shared.prepare_next()?;
        self.shared.settle_sealed()
    }

    fn sync(&self) -> Result<()> {
        match self.shared.interval() {
            Some(interval) if self.synced.get().elapsed() >= interval => {
                self.synced.set(Instant::now());
                self.shared.sync()
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use ledger_core::{Batch, Filter, NewEntry, Outcome, Payload, ReadOptions};

    use crate::log::Log;
    use crate::options::{FileOptions, Housekeeping};

    const ENTRIES: u64 = 60;

    fn options() -> FileOptions {
        FileOptions::default()
            .with_segment_bytes_max(1 << 10)
            .with_housekeeping(Housekeeping::Inline)
    }

    fn entry(number: u64) -> NewEntry {
        NewEntry::new(Payload::octets(vec![7; 300]))
            .dedup_key(format!("d-{number}"))
            .order_key(format!("o-{}", number % 3))
    }

    /// A log of some thirty segments, two entries each.
    fn filled(path: &Path) -> Log {
        let log = Log::open(path, options()).unwrap();
        for number in 1..=ENTRIES {
            log.append(Batch::new("s", vec![entry(number)])).unwrap();
        }
        log
    }

    fn merged_files(path: &Path) -> Vec<std::path::PathBuf> {
        let files = fs::read_dir(path).unwrap().map(|it| it.unwrap().path());
        let mut files: Vec<_> = files
            .filter(|path| path.extension().is_some_and(|it| it == "merged"))
            .collect();
        files.sort();
        files
    }

    fn merged(log: &Log) -> usize {
        log.shared.scene().picture.merged().len()
    }

    fn mergeable(log: &Log) -> usize {
        super::spans(&log.shared.keeper().manifest).count()
    }

    /// Asks by id, by order key and by dedup key.
    fn check(log: &Log, first: u64) {
        let all = ReadOptions::new().limit(1_000);
        let page = log.read(&"s".into(), &all).unwrap();
        let ids: Vec<u64> = page.entries.iter().map(|entry| entry.id).collect();
        assert_eq!(ids, (first..=ENTRIES).collect::<Vec<_>>());
        let by_key = all.filter(Filter::new().order_key("o-1"));
        let page = log.read(&"s".into(), &by_key).unwrap();
        let ids: Vec<u64> = page.entries.iter().map(|entry| entry.id).collect();
        let expected = (first..=ENTRIES).filter(|id| id % 3 == 1);
        assert_eq!(ids, expected.collect::<Vec<_>>());
        for number in [first, 50, ENTRIES] {
            let again = log.append(Batch::new("s", vec![entry(number)])).unwrap();
            assert_eq!(again.outcomes, [Outcome::Duplicate(number)]);
        }
    }

    #[test]
    fn indexes_of_full_groups_are_merged_and_there_again_at_the_next_opening() {
        let place = tempfile::tempdir().unwrap();
        let log = filled(place.path());
        assert!(merged(&log) > 5);
        check(&log, 1);
        log.verify().unwrap();
        log.close().unwrap();
        let log = Log::open(place.path(), options()).unwrap();
        assert_eq!(merged_files(place.path()).len(), merged(&log));
        assert_eq!(merged(&log), mergeable(&log));
        check(&log, 1);
        log.verify().unwrap();
    }

    #[test]
    fn a_log_whose_indexes_were_never_merged_gets_them_merged() {
        let place = tempfile::tempdir().unwrap();
        filled(place.path()).close().unwrap();
        for file in merged_files(place.path()) {
            fs::remove_file(file).unwrap();
        }
        let log = Log::open(place.path(), options()).unwrap();
        assert_eq!(merged(&log), 0);
        check(&log, 1);
        log.shared.tidy().unwrap();
        assert_eq!(merged(&log), mergeable(&log));
        check(&log, 1);
    }

    #[test]
    fn a_damaged_merged_index_is_left_for_those_it_was_made_of_and_made_anew() {
        let place = tempfile::tempdir().unwrap();
        filled(place.path()).close().unwrap();
        for (file, cut) in merged_files(place.path()).iter().zip([0, 4_096, 9_000]) {
            let bytes = fs::read(file).unwrap();
            fs::write(file, &bytes[..cut]).unwrap();
        }
        let log = Log::open(place.path(), options()).unwrap();
        check(&log, 1);
        assert!(merged(&log) < mergeable(&log));
        log.verify().unwrap();
        log.shared.tidy().unwrap();
        assert_eq!(merged(&log), mergeable(&log));
        log.verify().unwrap();
        check(&log, 1);
    }

    #[test]
    fn a_merged_index_goes_with_the_first_of_its_segments_and_the_rest_is_merged_again() {
        let place = tempfile::tempdir().unwrap();
        let log = filled(place.path());
        let before = merged_files(place.path());
        // The second group, because the first has one number less.
        log.trim(&"s".into(), 6).unwrap();
        log.shared.tidy().unwrap();
        let after = merged_files(place.path());
        assert_eq!(after.len() + 1, before.len());
        assert_ne!(after[0], before[1]);
        assert_eq!(after[1..], before[2..]);
        check(&log, 7);
        log.trim(&"s".into(), 40).unwrap();
        log.compact().unwrap();
        log.shared.tidy().unwrap();
        check(&log, 41);
        log.close().unwrap();
        let log = Log::open(place.path(), options()).unwrap();
        let files = merged_files(place.path());
        assert_eq!(files.len(), merged(&log), "no file is left over");
        check(&log, 41);
    }

    /// Then its keys have other hashes, and the segments are the same.
    #[test]
    fn merged_indexes_do_not_outlive_the_manifest_that_they_were_made_under() {
        let place = tempfile::tempdir().unwrap();
        filled(place.path()).close().unwrap();
        fs::remove_file(place.path().join("MANIFEST")).unwrap();
        Log::repair(place.path(), options()).unwrap();
        Log::open(place.path(), options()).unwrap().close().unwrap();
        let log = Log::open(place.path(), options()).unwrap();
        assert_eq!(merged(&log), 0);
        check(&log, 1);
        log.shared.tidy().unwrap();
        assert_eq!(merged(&log), mergeable(&log));
        check(&log, 1);
    }

    #[test]
    fn merged_indexes_of_other_segments_are_strangers() {
        let place = tempfile::tempdir().unwrap();
        filled(place.path()).close().unwrap();
        let stranger = place.path().join("00000001-0123456789abcdef.merged");
        fs::write(&stranger, "anything").unwrap();
        let log = Log::open(place.path(), options()).unwrap();
        check(&log, 1);
        log.append(Batch::new("s", vec![entry(ENTRIES + 1)]))
            .unwrap();
        assert!(!stranger.exists());
        assert_eq!(merged_files(place.path()).len(), merged(&log));
    }
}
