//! Walking through entries in the order of their ids: in whole frames at first, and in frames that were found to be right
//! before past everything else.

use std::ops::{ControlFlow, Range};

use ledger_core::{Direction, Timestamp};

use super::checked::{LARGE_BYTES, Section};
use super::frames::{CHUNK_BYTES_MIN, with_buffer};
use super::segment::Segment;
use super::view::{View, append_at};
use super::visit::Visit;
use crate::disk::Patience;
use crate::error::Result;
use crate::format::{Append, EntryRef, Frame, Position, Record, StreamNumber, is_padding};
use crate::index::{Start, Stretch};

/// How large an entry is taken to be before it is seen.
const ENTRY_BYTES_GUESSED: usize = 160;

/// How much is read for entries of which nobody knows whether they are wanted, to begin with.
const GUESS_BYTES_MAX: usize = 16 << 10;

impl View<'_> {
    /// Reads the entries of `stream` with `ids`, all of which are there, until `each` says to stop.
    pub(super) fn ascending(
        &self,
        stream: StreamNumber,
        ids: Range<u64>,
        each: &mut impl Visit,
    ) -> Result<()> {
        let mut stretches: Vec<Stretch> = Vec::new();
        let limit = usize::try_from(ids.end - ids.start).unwrap_or(usize::MAX);
        self.look()
            .entries(stream, ids, Direction::Ascending, limit, &mut stretches)?;
        for stretch in stretches {
            if self.entries(stream, stretch, None, each)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Reads the entries of a stretch in the order of their ids, until `each` says to stop. `frame` is the one that they
    /// begin in, if that is known.
    pub(super) fn entries(
        &self,
        stream: StreamNumber,
        stretch: Stretch,
        frame: Option<Position>,
        each: &mut impl Visit,
    ) -> Result<ControlFlow<()>> {
        let frame = match frame {
            Some(frame) => frame,
            None => self.frame_of(stretch.start.place())?,
        };
        let (at, mut record) = match stretch.start {
            Start::Record(record) => (None, Some(record)),
            Start::Entry(entry) => (Some(entry.offset()), None),
        };
        let segment = self.picture.segment_of(frame)?;
        let mut walk = Walk {
            stream,
            next: stretch.id,
            end: stretch.id + u64::from(stretch.count),
            frame: frame.offset(),
            at,
        };
        while walk.next < walk.end {
            let checked = segment.checked().section(walk.frame, stream, walk.next);
            let flow = match checked.filter(|section| walk.can_begin_in(section)) {
                Some(section) => self.entries_of_section(segment, &section, &mut walk, each)?,
                None => {
                    let record = record.take();
                    match self.section_at(segment, &walk, record)? {
                        Some((frame, append)) => {
                            walk.at = None;
                            self.entries_of_append(&frame, &append, &mut walk, each)?
                        }
                        None => self.entries_of_frames(segment, &mut walk, record, each)?,
                    }
                }
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The section that begins at `record` with the next entry, if its frame was found to be right before: then nothing
    /// of the frame is read but that.
    fn section_at<'s>(
        &self,
        segment: &'s Segment,
        walk: &Walk,
        record: Option<Position>,
    ) -> Result<Option<(Frame<'s>, Append<'s>)>> {
        let Some(record) = record else {
            return Ok(None);
        };
        let Some(frame) = self.frame_again(segment, walk.frame)? else {
            return Ok(None);
        };
        let append = append_at(&frame, record, walk.stream, walk.next);
        if let Some(append) = &append {
            segment.checked().note(&frame, append);
        }
        Ok(append.map(|append| (frame, append)))
    }

    /// Reads whole frames until all entries were shown. The next one is the first of `first`, if that is known.
    fn entries_of_frames(
        &self,
        segment: &Segment,
        walk: &mut Walk,
        mut first: Option<Position>,
        each: &mut impl Visit,
    ) -> Result<ControlFlow<()>> {
        let mut flow = ControlFlow::Continue(());
        walk.at = None;
        self.frames(segment.at(walk.frame), walk.bytes_guessed(), |frame| {
            let first = first.take();
            if first.is_none() && u64::from(frame.bytes_len()) < LARGE_BYTES {
                let is_all;
                (flow, is_all) = walk.show_single(frame, each)?;
                if flow.is_break() || walk.next >= walk.end {
                    return Ok(ControlFlow::Break(()));
                }
                if is_all {
                    return Ok(ControlFlow::Continue(()));
                }
            }
            let known = first.and_then(|record| append_at(frame, record, walk.stream, walk.next));
            let records = frame.records().filter_map(|record| match record {
                Ok((_, Record::Append(append))) => Some(Ok(append)),
                Ok(_) => None,
                Err(malformed) => Some(Err(self.malformed(frame.position(), malformed))),
            });
            // What is known need not be looked for; nothing of it is shown twice.
            for append in known.map(Ok).into_iter().chain(records) {
                let append = append?;
                if append.head.stream == walk.stream && append.last_id() >= walk.next {
                    segment.checked().note(frame, &append);
                    flow = self.entries_of_append(frame, &append, walk, each)?;
                    if flow.is_break() || walk.next >= walk.end {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(flow)
    }

    fn entries_of_append(
        &self,
        frame: &Frame<'_>,
        append: &Append<'_>,
        walk: &mut Walk,
        each: &mut impl Visit,
    ) -> Result<ControlFlow<()>> {
        let malformed = |malformed| self.malformed(frame.position(), malformed);
        let mut bytes = append.bytes();
        for _ in append.head.first_id..walk.next {
            let (_passed_over, rest) = EntryRef::split(bytes).map_err(malformed)?;
            bytes = rest;
        }
        walk.next = walk.next.max(append.head.first_id);
        let end = walk.end.min(append.last_id() + 1);
        let (flow, rest) = walk.show(end, append.head.recorded_at, bytes, each)?;
        if flow.is_continue() && walk.next < end {
            EntryRef::parse(rest).map_err(malformed)?;
        }
        Ok(flow)
    }

    /// Reads the entries in a section that was checked before: nothing but them.
    fn entries_of_section(
        &self,
        segment: &Segment,
        section: &Section,
        walk: &mut Walk,
        each: &mut impl Visit,
    ) -> Result<ControlFlow<()>> {
        let mut offset = walk.at.take().unwrap_or(section.start);
        let end = walk.end.min(section.last_id + 1);
        let mut chunk = CHUNK_BYTES_MIN + walk.bytes_guessed();
        with_buffer(|buf| {
            while walk.next < end {
                let left = section.frame_end.saturating_sub(offset) as usize;
                let wanted = chunk.min(left);
                let looked_at = match self.patience {
                    Patience::Now => wanted,
                    Patience::Wait => left,
                };
                let (found, is_all) =
                    match self.settled_range(segment, offset..offset + looked_at as u32) {
                        Some(bytes) => (bytes, looked_at == left),
                        None => (self.read_to(segment, offset, wanted, buf)?, wanted == left),
                    };
                let (flow, rest) = walk.show(end, section.recorded_at, found, each)?;
                if flow.is_break() {
                    return Ok(flow);
                }
                offset += (found.len() - rest.len()) as u32;
                if walk.next < end && is_all {
                    return Err(segment.damage(offset, "an entry that was there is gone"));
                }
                chunk = chunk.saturating_mul(4);
            }
            walk.frame = section.frame_end;
            Ok(ControlFlow::Continue(()))
        })
    }
}

/// Where a walk through the entries of a stretch has got to.
#[derive(Debug)]
struct Walk {
    stream: StreamNumber,
    /// The ids that are still to be shown.
    next: u64,
    end: u64,
    /// The offset of the frame that holds the next one, or of one before that.
    frame: u32,
    /// Where the next one begins, if that is known.
    at: Option<u32>,
}

impl Walk {
    /// Whether it is known where in a section the next entry begins.
    fn can_begin_in(&self, section: &Section) -> bool {
        self.at.is_some() || self.next == section.first_id
    }

    /// Shows `each` the next entry if `frame` begins with it. Tells whether there is nothing else in the frame.
    #[inline]
    fn show_single(
        &mut self,
        frame: &Frame<'_>,
        each: &mut impl Visit,
    ) -> Result<(ControlFlow<()>, bool)> {
        match frame.single() {
            Some(it) if it.stream == self.stream && it.id == self.next => {
                let (flow, rest) = self.show(it.id + 1, frame.recorded_at(), it.bytes, each)?;
                Ok((flow, self.next > it.id && is_padding(rest)))
            }
            _ => Ok((ControlFlow::Continue(()), false)),
        }
    }

    /// Shows `each` the entries before `end` that are whole in `bytes`, until it says to stop. Answers what is left.
    ///
    /// Reading much is this loop: one for each kind of visitor, so that both become one piece of code.
    #[inline(never)]
    fn show<'b>(
        &mut self,
        end: u64,
        recorded_at: Timestamp,
        mut bytes: &'b [u8],
        each: &mut impl Visit,
    ) -> Result<(ControlFlow<()>, &'b [u8])> {
        let mut next = self.next;
        let mut flow = ControlFlow::Continue(());
        let wants_plain = each.wants_plain();
        while next < end && flow.is_continue() {
            (flow, bytes) = if wants_plain && let Some((plain, rest)) = EntryRef::split_plain(bytes)
            {
                (each.visit_plain(next, recorded_at, plain)?, rest)
            } else if let Ok((entry, rest)) = EntryRef::split(bytes) {
                (each.visit(next, recorded_at, entry)?, rest)
            } else {
                break;
            };
            next += 1;
        }
        self.next = next;
        Ok((flow, bytes))
    }

    /// How many bytes the rest may be.
    fn bytes_guessed(&self) -> usize {
        let entries = usize::try_from(self.end - self.next).unwrap_or(usize::MAX);
        ENTRY_BYTES_GUESSED
            .saturating_mul(entries)
            .min(GUESS_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use ledger_core::{Batch, NewEntry, Payload, ReadOptions, StreamName};

    use crate::log::Log;
    use crate::options::FileOptions;

    /// Which streams a commit appends to, an entry each, in this order.
    const COMMITS: [&[&str]; 7] = [
        &["s"],
        &["t"],
        &["s", "t"],
        &["s"],
        &["t", "s"],
        &["s", "t", "u"],
        &["u", "t", "s"],
    ];

    fn payload(number: usize) -> Vec<u8> {
        vec![number as u8; [100, 0, 5_000, 1][number % 4]]
    }

    /// Appends, and answers the payloads of the stream `s`.
    fn fill(log: &Log) -> Vec<Vec<u8>> {
        let (mut number, mut of_s) = (0, Vec::new());
        for (index, commit) in COMMITS.iter().cycle().take(40).enumerate() {
            let batch = |stream: &&str| {
                number += 1;
                if *stream == "s" {
                    of_s.push(payload(number));
                }
                Batch::new(
                    *stream,
                    vec![NewEntry::new(Payload::octets(payload(number)))],
                )
            };
            let batches = commit.iter().map(batch).collect();
            log.append_many(batches).unwrap();
            if index % 5 == 4 {
                let tags = [index.to_string()].into();
                log.set_tags(&"s".into(), 1, tags).unwrap();
            }
        }
        of_s
    }

    #[test]
    fn entries_are_shown_once_and_in_order_whatever_else_is_in_their_frames() {
        let place = tempfile::tempdir().unwrap();
        let log = Log::open(place.path().join("log"), FileOptions::default()).unwrap();
        let expected = fill(&log);
        let stream = StreamName::from("s");
        for after in 0..expected.len() {
            for limit in [1, 3, expected.len()] {
                let options = ReadOptions::new().after(after as u64).limit(limit);
                let page = log.read(&stream, &options).unwrap();
                let end = expected.len().min(after + limit);
                assert!(
                    page.entries
                        .iter()
                        .map(|entry| entry.id)
                        .eq(after as u64 + 1..=end as u64)
                );
                let payloads = page.entries.iter().map(|entry| &entry.value.bytes[..]);
                assert!(payloads.eq(expected[after..end].iter().map(|bytes| &bytes[..])));
            }
            let mut scanned = Vec::new();
            log.scan(&stream, after as u64, |record| {
                scanned.push(record.payload().unwrap().into_owned());
                ControlFlow::Continue(())
            })
            .unwrap();
            assert_eq!(scanned, expected[after..]);
        }
    }
}
