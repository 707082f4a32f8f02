//! Whether ids are dense: in each stream every entry follows the one before it, and what is not there was trimmed.

use std::collections::HashMap;

use super::read::picture::Picture;
use super::shared::Shared;
use crate::disk::Patience;
use crate::error::Result;
use crate::format::{Malformed, Position, Record, StreamNumber};

/// What was read of the ids of all streams, in the order of the log.
#[derive(Debug, Default)]
pub(super) struct Continuity {
    /// The id that comes next in each stream.
    next: HashMap<StreamNumber, u64>,
    gaps: HashMap<StreamNumber, Gap>,
}

/// Entries that are not there: that is as it should be if they were trimmed.
#[derive(Clone, Copy, Debug)]
struct Gap {
    /// The id behind the last of them.
    end: u64,
    /// Where that is.
    at: Position,
}

impl Continuity {
    /// Notes what the record at `at` says.
    ///
    /// # Errors
    /// It has an entry with an id that was given before.
    pub(super) fn note(&mut self, at: Position, record: &Record<'_>) -> Result<(), Malformed> {
        match record {
            Record::Append(append) => {
                let (stream, first) = (append.head.stream, append.head.first_id);
                let next = append.last_id().saturating_add(1);
                match self.reach(stream, first, next, at) {
                    expected if expected > first => {
                        Err(Malformed("it gives an id that was given before"))
                    }
                    _ => Ok(()),
                }
            }
            Record::State { stream, head, .. } => {
                let next = head.saturating_add(1);
                self.reach(*stream, next, next, at);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Notes that everything in `stream` before the id `first` was given, and everything before `next` is now. Tells what was
    /// expected to come.
    fn reach(&mut self, stream: StreamNumber, first: u64, next: u64, at: Position) -> u64 {
        let known = self.next.entry(stream).or_insert(1);
        let expected = *known;
        *known = expected.max(next);
        if first > expected {
            self.gaps.insert(stream, Gap { end: first, at });
        }
        expected
    }

    /// Checks that what is not there was trimmed. It was before anything was rewritten: after that was read, the log shows it.
    ///
    /// # Errors
    /// It was not.
    pub(super) fn check(&self, shared: &Shared, picture: &Picture) -> Result<()> {
        if self.gaps.is_empty() {
            return Ok(());
        }
        shared.refresh(Patience::Wait)?;
        let view = shared.view(Patience::Wait);
        for (stream, gap) in &self.gaps {
            if view.state(*stream)?.first < gap.end {
                let segment = picture.segment_of(gap.at)?;
                let missing = format!(
                    "what comes before entry {} of stream number {} is missing",
                    gap.end, stream.0
                );
                return Err(segment.damage(gap.at.offset(), missing));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ledger_core::{Batch, Error, NewEntry, Payload};
    use tempfile::TempDir;

    use crate::disk::Patience;
    use crate::format::AppendHead;
    use crate::log::Log;
    use crate::log::write::writer::Changed;
    use crate::options::FileOptions;

    const IDS: u64 = 3;

    /// A log whose only stream has the ids from 1 on, and its place.
    fn log() -> (Log, TempDir) {
        let place = tempfile::tempdir().unwrap();
        let log = Log::open(place.path(), FileOptions::default()).unwrap();
        for id in 1..=IDS {
            let entry = NewEntry::new(Payload::octets(id.to_string()));
            log.append(Batch::new("s", vec![entry])).unwrap();
        }
        (log, place)
    }

    /// Puts an entry at the end of the log, whatever id it has.
    fn put(log: &Log, id: u64) {
        let mut turn = log.shared.turn(Patience::Wait).unwrap();
        let state = turn.find(&"s".into()).unwrap().unwrap().state;
        let head = AppendHead {
            stream: state.number,
            first_id: id,
            bytes_before: state.bytes_appended,
            recorded_at: state.recorded_at,
            has_removals: false,
        };
        turn.encode(state.recorded_at, |frame, _, _| {
            let mut section = frame.append_many(&head);
            section.tombstone(0);
            section.finish();
        });
        turn.put(Changed::new()).unwrap();
        turn.drain().unwrap();
    }

    fn damage(log: &Log) -> Option<String> {
        match log.verify() {
            Ok(_) => None,
            Err(Error::Corrupt { reason, .. }) => Some(reason),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn the_id_behind_the_last_one_is_as_it_should_be() {
        let (log, _place) = log();
        put(&log, IDS + 1);
        assert_eq!(damage(&log), None);
    }

    #[test]
    fn an_id_that_is_given_twice_is_found() {
        for id in 1..=IDS {
            let (log, _place) = log();
            put(&log, id);
            let reason = damage(&log).unwrap();
            assert!(reason.ends_with("it gives an id that was given before"));
        }
    }

    #[test]
    fn ids_that_are_missing_are_found_unless_they_were_trimmed() {
        let (log, _place) = log();
        put(&log, IDS + 3);
        log.trim(&"s".into(), IDS).unwrap();
        let reason = damage(&log).unwrap();
        assert!(reason.ends_with("what comes before entry 6 of stream number 1 is missing"));
    }
}
