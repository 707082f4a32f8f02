//! Few index files for the active segment, however often the log is opened and closed.
//!
//! A closing leaves an index of what was appended since the opening. Had each of them a file of its own for good, every
//! question to a log that is opened for each few entries would be asked of thousands. So the index of a closing takes over
//! those before it that cover no more of the segment than itself (the logarithmic method of Bentley and Saxe, 1980): an
//! entry is indexed once more for each doubling, and a segment of the default size has some twenty files at most.

use std::sync::Arc;

use super::index_files::{Indexed, file_name, index_from_log};
use crate::error::Result;
use crate::index::Layer;
use crate::log::read::picture::Part;
use crate::log::shared::Shared;
use crate::sync::RwLock;

/// An index of so few bytes of a segment is always taken over: to read them again costs less than a file more.
const SMALL_BYTES: u32 = if cfg!(test) { 300 } else { 256 << 10 };

/// No more bytes are indexed once more, because that takes memory.
const JOINED_BYTES_MAX: u32 = if cfg!(test) { 1_500 } else { 8 << 20 };

impl Shared {
    /// Sees to it that all of the active segment, which ends at `end` and is in its file up to there, is in index files.
    /// Those that should be joined are one then.
    ///
    /// # Errors
    /// Those of the files. What cannot be read of the segment stays indexed as it is.
    pub(in crate::log) fn index_active(&self, part: &Part, end: u32) -> Result<Indexed> {
        let joined = self.with_joined_indexes(part.clone(), end)?;
        self.index_all(&joined, end)
    }

    fn with_joined_indexes(&self, mut part: Part, end: u32) -> Result<Part> {
        let starts = part.layers.iter().map(|layer| layer.origin().from);
        let first = first_to_join(&starts.collect::<Vec<_>>(), end);
        if first + 1 >= part.layers.len() {
            return Ok(part);
        }
        // Who still looks at them must find them when others have taken their names.
        part.hold_open()?;
        let origin = part.layers[first].origin();
        match index_from_log(self.hasher, &part.segment, origin, end) {
            Ok(index) => {
                let joined = Layer::Memory(Arc::new(RwLock::new(index)));
                part.layers.splice(first.., [joined]);
            }
            Err(failure) => {
                let error = failure.into_error(&self.place);
                tracing::warn!(%error, "indexes are not joined");
            }
        }
        Ok(part)
    }

    /// Removes the index files of `before` that are not those of `now`. Readers that look for one take it for lost.
    pub(in crate::log) fn remove_replaced_indexes(&self, before: &Part, now: &Part) -> Result<()> {
        let origins = |part: &Part| part.layers.iter().map(Layer::origin).collect::<Vec<_>>();
        let kept = origins(now);
        let mut gone = origins(before).into_iter().filter(|it| !kept.contains(it));
        gone.try_for_each(|origin| self.remove_file(&file_name(origin)))
    }
}

/// The first of the indexes that begin at `starts` which those behind it should take over; the last one if there is none.
fn first_to_join(starts: &[u32], end: u32) -> usize {
    let mut first = starts.len().saturating_sub(1);
    while let Some(before) = first.checked_sub(1) {
        let (covered, behind) = (starts[first] - starts[before], end - starts[first]);
        if covered > behind.max(SMALL_BYTES) || covered + behind > JOINED_BYTES_MAX {
            break;
        }
        first = before;
    }
    first
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ledger_core::{Batch, Filter, NewEntry, Outcome, Payload, ReadOptions};

    use super::*;
    use crate::log::Log;
    use crate::options::FileOptions;

    #[test]
    fn indexes_that_cover_no_more_than_what_is_behind_them_are_joined() {
        assert_eq!(first_to_join(&[64], 100), 0);
        assert_eq!(first_to_join(&[64, 1_064], 2_064 - 1_000 + 399), 1);
        assert_eq!(first_to_join(&[64, 464], 864), 0);
        assert_eq!(first_to_join(&[64, 464], 863), 1);
        assert_eq!(first_to_join(&[0, 300], 301), 0, "it is small");
        assert_eq!(first_to_join(&[0, 700, 1_100, 1_300], 1_500), 0);
        assert_eq!(first_to_join(&[0, 700, 1_100, 1_300], 1_501), 1, "too many");
    }

    fn indexes(path: &Path) -> usize {
        let names = std::fs::read_dir(path)
            .unwrap()
            .map(|it| it.unwrap().path());
        let index = |path: &std::path::PathBuf| path.extension().is_some_and(|it| it == "index");
        names.filter(index).count()
    }

    fn entry(number: u64) -> NewEntry {
        NewEntry::new(Payload::octets(number.to_le_bytes().to_vec()))
            .dedup_key(format!("key-{number}"))
            .order_key(format!("o-{}", number % 7))
    }

    #[test]
    fn a_log_that_is_opened_for_every_entry_has_few_indexes_and_finds_everything() {
        let place = tempfile::tempdir().unwrap();
        let options = || FileOptions::default().with_segment_bytes_max(4 << 10);
        for number in 1..=150 {
            let log = Log::open(place.path(), options()).unwrap();
            let receipt = log.append(Batch::new("s", vec![entry(number)])).unwrap();
            assert_eq!(receipt.outcomes, [Outcome::Appended(number)]);
            log.close().unwrap();
        }
        let log = Log::open(place.path(), options()).unwrap();
        let segments = log.stats().unwrap().segments as usize;
        let files = indexes(place.path());
        assert!(segments > 1 && files <= 10 * segments, "{files}");
        log.verify().unwrap();
        let page = log
            .read(&"s".into(), &ReadOptions::new().limit(1_000))
            .unwrap();
        assert!((1..=150).eq(page.entries.iter().map(|entry| entry.id)));
        for number in 1..=150 {
            let receipt = log.append(Batch::new("s", vec![entry(number)])).unwrap();
            assert_eq!(receipt.outcomes, [Outcome::Duplicate(number)]);
        }
    }

    /// The reader has opened some of the files that are joined, and has not opened others.
    #[test]
    fn a_reader_goes_on_while_its_indexes_are_joined() {
        let place = tempfile::tempdir().unwrap();
        let options = || FileOptions::default().with_segment_bytes_max(64 << 10);
        let append = |number| {
            let log = Log::open(place.path(), options()).unwrap();
            log.append(Batch::new("s", vec![entry(number)])).unwrap();
            log.close().unwrap();
        };
        append(1);
        let reader = Log::open_read_only(place.path(), options()).unwrap();
        for number in 2..=60 {
            append(number);
            if number % 3 == 0 {
                let options = ReadOptions::new().filter(Filter::new().order_key("o-1"));
                let page = reader.read(&"s".into(), &options).unwrap();
                let expected = (1..=number).filter(|other| other % 7 == 1);
                assert!(expected.eq(page.entries.iter().map(|entry| entry.id)));
            }
        }
    }
}
