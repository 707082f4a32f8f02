//! What was known of streams when the log was closed: kept then, and recalled once several had to be looked up.

use super::resting::{self, Identity};
use super::shared::Shared;
use super::write::writer::Turn;
use crate::disk::Patience;
use crate::error::{Failure, Result};
use crate::format::{Manifest, Position};

/// What can be recalled.
#[derive(Debug)]
pub(super) struct Recall {
    /// What the log was when it was opened.
    opened: Identity,
    /// How many streams that were to be written to were not known.
    unknown: u32,
}

/// So many look-ups cost less than recalling a million streams.
const UNKNOWN_MAX: u32 = if cfg!(test) { 2 } else { 64 };

impl Recall {
    /// Of a log that is as its last closing may have left it.
    pub(super) fn new(manifest: &Manifest, end: Position) -> Self {
        Self {
            opened: identity(manifest, end),
            unknown: 0,
        }
    }
}

fn identity(manifest: &Manifest, end: Position) -> Identity {
    Identity {
        log_id: manifest.log_id,
        seed: manifest.seed,
        version: manifest.version,
        end,
    }
}

impl Turn<'_> {
    /// Notes that a stream is not known. If that was so a few times, all that was known when the log was closed is known
    /// again.
    ///
    /// # Errors
    /// With [`Patience::Now`] the wish to be asked again.
    pub(super) fn note_unknown(&mut self) -> Result<()> {
        let Some(recall) = &mut self.writer.recall else {
            return Ok(());
        };
        recall.unknown += 1;
        if recall.unknown <= UNKNOWN_MAX {
            return Ok(());
        }
        if self.patience == Patience::Now {
            return Err(Failure::WouldBlock);
        }
        let opened = recall.opened;
        self.writer.recall = None;
        let bytes_max = self.shared.scene().streams.resting_bytes_max();
        match resting::recall(&*self.shared.disk, &opened, bytes_max) {
            Ok(None) => {}
            Ok(Some(kept)) => self.shared.scene_mut().streams.recall(kept),
            Err(error) => {
                tracing::warn!(place = self.shared.place, %error, "streams are looked up");
            }
        }
        Ok(())
    }
}

impl Shared {
    /// Keeps what is remembered of streams for the next opening, unless what was kept before is still right. The log is
    /// durable up to its end, and nobody writes to it any more.
    pub(super) fn keep_streams(&self) {
        let identity = identity(&self.keeper().manifest, self.scene().end);
        if resting::is_kept(&*self.disk, &identity) {
            return;
        }
        let mut resting = self.scene_mut().streams.end();
        let kept = match resting.is_worth_keeping() {
            true => resting::keep(&mut resting, &*self.disk, &identity),
            false => resting::forget(&*self.disk),
        };
        if let Err(error) = kept {
            tracing::warn!(place = self.place, %error, "streams will be looked up");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use ledger_core::{Batch, NewEntry, Payload, StreamName};

    use super::*;
    use crate::log::Log;
    use crate::log::streams::StreamState;
    use crate::options::{FileOptions, Housekeeping};

    fn options() -> FileOptions {
        FileOptions::default()
            .with_segment_bytes_max(4 << 10)
            .with_housekeeping(Housekeeping::Inline)
    }

    fn open(path: &Path) -> Log {
        Log::open(path, options()).unwrap()
    }

    fn name(number: u64) -> StreamName {
        format!("s-{number}").into()
    }

    const STREAMS: u64 = 60;

    fn append(log: &Log, number: u64) -> u64 {
        let entry = NewEntry::new(Payload::octets(vec![7; number as usize]));
        let receipt = log.append(Batch::new(name(number), vec![entry])).unwrap();
        receipt.outcomes[0].id()
    }

    /// A log of streams with three entries each; some were trimmed, and some were renamed and have one more.
    fn filled(path: &Path) {
        let log = open(path);
        for number in (0..3 * STREAMS).map(|nth| nth % STREAMS) {
            append(&log, number);
        }
        for number in 0..10 {
            log.trim(&name(number), number % 4).unwrap();
            log.rename(&name(number + 10), &name(number + 1_000))
                .unwrap();
            append(&log, number + 1_000);
        }
        log.close().unwrap();
    }

    /// Looks for streams that are not there.
    fn recall(log: &Log) {
        let mut turn = log.shared.turn(Patience::Wait).unwrap();
        for number in 0..=u64::from(UNKNOWN_MAX) {
            assert!(turn.find(&name(5_000 + number)).unwrap().is_none());
        }
    }

    /// What is remembered, without a look at an index.
    fn remembered(log: &Log) -> Vec<Option<StreamState>> {
        let numbers = (0..STREAMS).chain(1_000..1_010);
        let scene = log.shared.scene();
        numbers
            .map(|number| scene.streams.state(&name(number)))
            .collect()
    }

    /// What the indexes say, which are asked about streams that are not remembered.
    fn looked_up(path: &Path) -> Vec<Option<StreamState>> {
        let log = open(path);
        let numbers = (0..STREAMS).chain(1_000..1_010);
        numbers
            .map(|number| log.shared.seen(&name(number), Patience::Wait).unwrap().1)
            .collect()
    }

    #[test]
    fn what_was_known_when_a_log_was_closed_is_known_once_a_few_streams_were_not() {
        let place = tempfile::tempdir().unwrap();
        filled(place.path());
        let log = open(place.path());
        assert!(remembered(&log).iter().all(Option::is_none));
        recall(&log);
        let recalled = remembered(&log);
        drop(log);
        assert_eq!(recalled.iter().flatten().count() as u64, STREAMS);
        fs::remove_file(place.path().join("STREAMS")).unwrap();
        assert_eq!(recalled, looked_up(place.path()));
    }

    /// Those are in slots, or at rest again.
    #[test]
    fn what_was_read_or_written_before_is_not_outdated_by_what_is_recalled() {
        for stream_cache_bytes in [28 << 20, 40 << 10] {
            let place = tempfile::tempdir().unwrap();
            filled(place.path());
            let options = options().with_stream_cache_bytes(stream_cache_bytes);
            let log = Log::open(place.path(), options).unwrap();
            assert_eq!(append(&log, 20), 4);
            for number in 21..STREAMS {
                log.shared.seen(&name(number), Patience::Wait).unwrap();
            }
            (20..50)
                .for_each(|number| assert_eq!(append(&log, number), 4 + u64::from(number == 20)));
            recall(&log);
            for number in 20..STREAMS {
                append(&log, number);
            }
            log.close().unwrap();
            let log = open(place.path());
            recall(&log);
            let heads: Vec<u64> = (20..STREAMS).map(|number| append(&log, number)).collect();
            let expected = |number| 5 + u64::from(number < 50) + u64::from(number == 20);
            assert_eq!(heads, (20..STREAMS).map(expected).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_kept_stays_if_nothing_is_written_and_goes_with_the_next_closing_if_anything_is() {
        let place = tempfile::tempdir().unwrap();
        filled(place.path());
        let kept = || fs::read(place.path().join("STREAMS")).unwrap();
        let before = kept();
        let log = open(place.path());
        recall(&log);
        log.close().unwrap();
        assert_eq!(kept(), before);
        let log = open(place.path());
        recall(&log);
        append(&log, 30);
        log.close().unwrap();
        assert_ne!(kept(), before);
        let log = open(place.path());
        recall(&log);
        let recalled = remembered(&log);
        assert_eq!(recalled[30].unwrap().head, 4);
        assert_eq!(recalled.iter().flatten().count() as u64, STREAMS);
    }

    #[test]
    fn a_log_that_was_not_closed_remembers_nothing_and_knows_all() {
        let place = tempfile::tempdir().unwrap();
        filled(place.path());
        let log = open(place.path());
        append(&log, 30);
        // As after a kill: another process opens what is there.
        let copy = tempfile::tempdir().unwrap();
        for file in fs::read_dir(place.path()).unwrap().map(Result::unwrap) {
            fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
        let log = open(copy.path());
        recall(&log);
        assert!(remembered(&log).iter().all(Option::is_none));
        assert_eq!(append(&log, 30), 5);
        assert_eq!(append(&log, 31), 4);
    }

    #[test]
    fn a_damaged_file_of_streams_only_costs_time() {
        let place = tempfile::tempdir().unwrap();
        filled(place.path());
        let path = place.path().join("STREAMS");
        let bytes = fs::read(&path).unwrap();
        let mut damaged = bytes.clone();
        damaged[80..]
            .iter_mut()
            .step_by(97)
            .for_each(|byte| *byte ^= 1);
        for bytes in [&damaged[..], &bytes[..bytes.len() / 2], &[]] {
            fs::write(&path, bytes).unwrap();
            let log = open(place.path());
            let mut ids = (20..STREAMS).map(|number| append(&log, number));
            let first = ids.next().unwrap();
            assert!(ids.all(|id| id == first));
            log.verify().unwrap();
            log.close().unwrap();
        }
    }

    #[test]
    fn a_repair_leaves_nothing_that_was_kept_of_what_it_repairs() {
        let place = tempfile::tempdir().unwrap();
        filled(place.path());
        let files = fs::read_dir(place.path())
            .unwrap()
            .map(|it| it.unwrap().path());
        let mut segments: Vec<_> = files
            .filter(|path| path.extension().is_some_and(|it| it == "segment"))
            .collect();
        segments.sort();
        let mut bytes = fs::read(&segments[0]).unwrap();
        bytes[200] ^= 1;
        fs::write(&segments[0], bytes).unwrap();
        let options = FileOptions::default();
        assert!(!Log::repair(place.path(), options).unwrap().is_sound());
        assert!(!place.path().join("STREAMS").exists());
        assert_eq!(append(&open(place.path()), 30), 4);
    }
}
