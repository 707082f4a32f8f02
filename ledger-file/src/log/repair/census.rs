//! What the readable frames of a damaged log say of its streams, and what of each must be missing.
//!
//! Ids are dense, every append says how many bytes its stream had before, and a mark or a trim names ids. So what was lost
//! in a gap shows in what follows it. What nothing later speaks of cannot be told.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use ledger_core::{StreamName, Timestamp};

use crate::error::{Failure, Result};
use crate::format::{Append, Frame, Malformed, Record, StreamNumber};

/// Counts the entries of all streams, frame by frame in the order of the log.
#[derive(Debug, Default)]
pub(super) struct Census {
    streams: BTreeMap<StreamNumber, Facts>,
    /// The streams that names are bound to.
    names: HashMap<String, StreamNumber>,
    /// How many gaps there were so far.
    gaps: usize,
}

/// What was said of a stream so far.
#[derive(Debug)]
struct Facts {
    /// The id behind all that were spoken of.
    next: u64,
    /// The id behind those that an append or a state record has spoken of.
    next_held: u64,
    /// The bytes of all payloads before that.
    bytes: u64,
    recorded_at: Option<Timestamp>,
    /// The oldest id that was not trimmed.
    first: u64,
    bytes_removed: u64,
    has_removals: bool,
    missing: Vec<Missing>,
}

/// Entries that must have been between two records, and are not.
#[derive(Debug)]
struct Missing {
    ids: Range<u64>,
    /// How many bytes of payload the stream had before them, and behind them.
    bytes: Range<u64>,
    recorded_at: Timestamp,
    has_removals: bool,
    /// The last gap before somebody spoke of them.
    gap: Option<usize>,
}

/// What fills a gap, so that what follows it stands.
#[derive(Debug, Default)]
pub(super) struct Filling {
    pub(super) losses: Vec<Loss>,
    pub(super) heads: Vec<Head>,
    pub(super) trims: Vec<Trim>,
    pub(super) names: Vec<(StreamNumber, StreamName)>,
}

/// Entries of a stream that are lost: tombstones take their place.
#[derive(Debug)]
pub(super) struct Loss {
    pub(super) stream: StreamNumber,
    pub(super) name: StreamName,
    pub(super) ids: Range<u64>,
    pub(super) bytes: Range<u64>,
    pub(super) recorded_at: Timestamp,
    pub(super) has_removals: bool,
}

/// How far a stream was whose last entries are lost, and were trimmed anyway.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) stream: StreamNumber,
    pub(super) head: u64,
    pub(super) bytes: u64,
    pub(super) recorded_at: Timestamp,
}

/// Up to where a stream was trimmed, which nothing that is left says.
#[derive(Debug)]
pub(super) struct Trim {
    pub(super) stream: StreamNumber,
    pub(super) first: u64,
    pub(super) bytes: u64,
}

impl Filling {
    pub(super) fn is_empty(&self) -> bool {
        self.losses.is_empty()
            && self.heads.is_empty()
            && self.trims.is_empty()
            && self.names.is_empty()
    }
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            next: 1,
            next_held: 1,
            bytes: 0,
            recorded_at: None,
            first: 1,
            bytes_removed: 0,
            has_removals: false,
            missing: Vec::new(),
        }
    }
}

impl Census {
    /// Notes that something is missing here, and answers the number of the gap.
    pub(super) fn gap(&mut self) -> usize {
        self.gaps += 1;
        self.gaps - 1
    }

    /// The highest number of a stream that was spoken of.
    pub(super) fn highest_stream(&self) -> u64 {
        let highest = self.streams.last_key_value();
        highest.map_or(0, |(number, _)| number.0)
    }

    /// Notes what a frame says.
    pub(super) fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Malformed> {
        for record in frame.records() {
            self.record(&record?.1, frame.recorded_at())?;
        }
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>, now: Timestamp) -> Result<(), Malformed> {
        match *record {
            Record::Append(ref append) => self.append(append)?,
            Record::Name { stream, name } => self.bind(name, stream),
            Record::Rename { stream, from, to } => {
                self.names.remove(from);
                if !to.is_empty() {
                    self.bind(to, stream);
                }
            }
            Record::Removals {
                stream,
                first,
                bytes,
            } => self.removals(stream, first, bytes, now),
            Record::Purge { stream, ids } => {
                for id in ids.iter() {
                    self.spoken_of(stream, id?, now);
                }
            }
            Record::Mark(mark) => self.spoken_of(mark.stream, mark.id, now),
            Record::Checkpoint(saved) => drop(self.facts(saved.stream)),
            Record::State {
                stream,
                head,
                bytes,
                recorded_at,
            } => {
                self.reach(stream, head + 1, Some(bytes), recorded_at);
                self.facts(stream).hold(head, bytes, recorded_at);
            }
            Record::Seal => {}
        }
        Ok(())
    }

    fn append(&mut self, append: &Append<'_>) -> Result<(), Malformed> {
        let head = &append.head;
        self.reach(
            head.stream,
            head.first_id,
            Some(head.bytes_before),
            head.recorded_at,
        );
        let bytes = append.bytes_after()?;
        self.facts(head.stream)
            .hold(append.last_id(), bytes, head.recorded_at);
        Ok(())
    }

    fn removals(&mut self, stream: StreamNumber, first: u64, bytes: u64, now: Timestamp) {
        self.reach(stream, first, None, now);
        let facts = self.facts(stream);
        facts.first = first;
        facts.bytes_removed = bytes;
        facts.has_removals = true;
    }

    fn spoken_of(&mut self, stream: StreamNumber, id: u64, now: Timestamp) {
        self.reach(stream, id + 1, None, now);
    }

    fn facts(&mut self, stream: StreamNumber) -> &mut Facts {
        self.streams.entry(stream).or_default()
    }

    fn bind(&mut self, name: &str, stream: StreamNumber) {
        self.facts(stream);
        self.names.insert(name.to_owned(), stream);
    }

    /// Notes that everything before the id `end` is known to have been there, with so many bytes.
    fn reach(&mut self, stream: StreamNumber, end: u64, bytes: Option<u64>, now: Timestamp) {
        let gap = self.gaps.checked_sub(1);
        let facts = self.facts(stream);
        if end <= facts.next {
            return;
        }
        let bytes = facts.bytes..bytes.unwrap_or(facts.bytes).max(facts.bytes);
        facts.missing.push(Missing {
            ids: facts.next..end,
            recorded_at: facts.recorded_at.unwrap_or(now),
            has_removals: facts.has_removals,
            bytes: bytes.clone(),
            gap,
        });
        facts.next = end;
        facts.bytes = bytes.end;
    }

    /// Tells what must fill each gap.
    ///
    /// # Errors
    /// Something is missing where nothing is damaged.
    pub(super) fn fillings(&self) -> Result<Vec<Filling>> {
        let mut fillings: Vec<_> = (0..self.gaps).map(|_| Filling::default()).collect();
        let mut names: HashMap<_, _> = self.names.iter().map(|(name, of)| (*of, name)).collect();
        for (stream, facts) in &self.streams {
            let name = match names.remove(stream) {
                Some(name) => StreamName::from(name.as_str()),
                None => self.new_name(*stream, &mut fillings)?,
            };
            facts.fill(*stream, &name, &mut fillings)?;
        }
        Ok(fillings)
    }

    /// Gives a name to a stream whose own is lost.
    fn new_name(&self, stream: StreamNumber, fillings: &mut [Filling]) -> Result<StreamName> {
        let names = (0..).map(|nth| match nth {
            0 => format!("lost-and-found/{}", stream.0),
            nth => format!("lost-and-found/{}-{nth}", stream.0),
        });
        let name = names
            .into_iter()
            .find(|name| !self.names.contains_key(name))
            .map(|name| StreamName::from(name.as_str()))
            .expect("there are more names than streams");
        let last = fillings.last_mut().ok_or_else(|| inexplicable(stream))?;
        last.names.push((stream, name.clone()));
        Ok(name)
    }
}

impl Facts {
    /// Notes that an append, or what stands for it, says that `head` was the last id.
    fn hold(&mut self, head: u64, bytes: u64, recorded_at: Timestamp) {
        self.next = self.next.max(head + 1);
        self.next_held = self.next;
        self.bytes = bytes;
        self.recorded_at = Some(recorded_at);
    }

    fn fill(
        &self,
        stream: StreamNumber,
        name: &StreamName,
        fillings: &mut [Filling],
    ) -> Result<()> {
        let trim = self.lost_trim(stream);
        let first = trim.as_ref().map_or(self.first, |trim| trim.first);
        for missing in &self.missing {
            let filling = missing.gap.and_then(|gap| fillings.get_mut(gap));
            let is_head = missing.ids.end == self.next && self.next > self.next_held;
            match (filling, missing.ids.end <= first) {
                (Some(filling), false) => {
                    filling.losses.push(self.loss(stream, name, missing, first));
                }
                (Some(filling), true) if is_head => filling.heads.push(self.head(stream, missing)),
                _ => {}
            }
        }
        if let Some(trim) = trim {
            let last = fillings.last_mut().ok_or_else(|| inexplicable(stream))?;
            last.trims.push(trim);
        }
        Ok(())
    }

    /// What was missing before anything was damaged had been trimmed, and the record of that is lost.
    fn lost_trim(&self, stream: StreamNumber) -> Option<Trim> {
        let mut newest_first = self.missing.iter().rev();
        let untouched = newest_first.find(|missing| missing.gap.is_none());
        let last = untouched.filter(|last| last.ids.end > self.first)?;
        Some(Trim {
            stream,
            first: last.ids.end,
            bytes: self.bytes_removed.max(last.bytes.end),
        })
    }

    fn loss(&self, stream: StreamNumber, name: &StreamName, missing: &Missing, first: u64) -> Loss {
        let start = missing.ids.start.max(first);
        let before = match start == missing.ids.start {
            true => missing.bytes.start,
            // What was trimmed of them is counted with all that was removed.
            false => self
                .bytes_removed
                .clamp(missing.bytes.start, missing.bytes.end),
        };
        Loss {
            stream,
            name: name.clone(),
            ids: start..missing.ids.end,
            bytes: before..missing.bytes.end,
            recorded_at: missing.recorded_at,
            has_removals: missing.has_removals,
        }
    }

    fn head(&self, stream: StreamNumber, missing: &Missing) -> Head {
        Head {
            stream,
            head: missing.ids.end - 1,
            bytes: missing.bytes.end.max(self.bytes_removed),
            recorded_at: missing.recorded_at,
        }
    }
}

fn inexplicable(stream: StreamNumber) -> Failure {
    Failure::damage(
        format!("stream number {}", stream.0),
        "what is missing of it was in no place that is damaged",
    )
}
