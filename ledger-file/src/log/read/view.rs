//! The log as it is at one moment: what lookups and reads go through, whoever asks.
//!
//! What an index says of keys is compared with the log here (rule 12), and every frame's checksum is looked at before
//! anything of it is believed.

use std::ops::ControlFlow;
use std::sync::Arc;

use ledger_core::{Direction, Timestamp};

use super::picture::Picture;
use super::visit::Each;
use crate::disk::Patience;
use crate::error::{Failure, Result};
use crate::format::{Append, EntryRef, Frame, Malformed, Position, Record, StreamNumber};
use crate::index::{Change, Look, Spot, Start, Stretch};
use crate::log::shared::Shared;
use crate::log::streams::StreamState;

/// The log at one moment.
#[derive(Debug)]
pub(in crate::log) struct View<'a> {
    pub(super) shared: &'a Shared,
    pub(super) picture: Arc<Picture>,
    below: Position,
    pub(super) patience: Patience,
}

/// What a name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) enum Binding {
    Bound(StreamNumber),
    Free,
}

impl<'a> View<'a> {
    /// The log as it was when it ended at `below`.
    pub(in crate::log) fn new(
        shared: &'a Shared,
        picture: Arc<Picture>,
        below: Position,
        patience: Patience,
    ) -> Self {
        Self {
            shared,
            picture,
            below,
            patience,
        }
    }

    pub(in crate::log) fn shared(&self) -> &'a Shared {
        self.shared
    }

    /// Where it ends.
    pub(in crate::log) fn end(&self) -> Position {
        self.below
    }

    /// What the indexes know of it.
    pub(in crate::log) fn look(&self) -> Look<'_> {
        let look = self.picture.layers().at(self.below, self.patience);
        look.mapped(self.shared.options.mapped_reads)
    }

    /// Says that what lies at `position` cannot be.
    pub(in crate::log) fn malformed(&self, position: Position, malformed: Malformed) -> Failure {
        match self.picture.segment_of(position) {
            Ok(segment) => segment.damage(position.offset(), malformed),
            Err(failure) => failure,
        }
    }
}

// Streams.
impl View<'_> {
    /// Looks a stream up by name.
    pub(in crate::log) fn stream(&self, name: &str) -> Result<Option<StreamState>> {
        match self.number(name)? {
            Some(number) => Ok(Some(self.state(number)?)),
            None => Ok(None),
        }
    }

    /// The number that `name` is bound to.
    pub(super) fn number(&self, name: &str) -> Result<Option<StreamNumber>> {
        let hash = self.shared.hasher.name(name);
        let binding = self.look().name(hash, |position| {
            self.record(position, |_, record| Ok(binding(&record, name)))
        })?;
        match binding {
            Some(Binding::Bound(number)) => Ok(Some(number)),
            Some(Binding::Free) | None => Ok(None),
        }
    }

    /// What the stream of that number is.
    pub(in crate::log) fn state(&self, number: StreamNumber) -> Result<StreamState> {
        let mut state = StreamState::new(number);
        let newest = self.look().newest_entry(number)?;
        // What was said before that does not count any more.
        let since = newest.map_or(Position::ZERO, |newest| newest.position);
        let carried = self
            .look()
            .newest_change_since(number, Change::State, since)?;
        let mut removals_since = Position::ZERO;
        match (newest, carried) {
            (Some(spot), carried) if Some(spot.position) > carried => {
                if !self.state_from_append(spot, &mut state)? {
                    removals_since = since;
                }
            }
            (_, Some(position)) => self.state_from_record(position, &mut state)?,
            (_, None) => {}
        }
        self.add_removals(removals_since, &mut state)?;
        Ok(state)
    }

    /// Tells whether anything was removed before the append.
    fn state_from_append(&self, newest: Spot, state: &mut StreamState) -> Result<bool> {
        let number = state.number;
        self.append_of(number, newest.into(), |frame, append| {
            state.head = append.last_id();
            state.recorded_at = append.head.recorded_at;
            state.bytes_appended = append
                .bytes_after()
                .map_err(|malformed| self.malformed(frame.position(), malformed))?;
            Ok(append.head.has_removals)
        })
    }

    fn state_from_record(&self, position: Position, state: &mut StreamState) -> Result<()> {
        self.record(position, |_, record| match record {
            Record::State {
                stream,
                head,
                bytes,
                recorded_at,
            } if stream == state.number => {
                state.head = head;
                state.bytes_appended = bytes;
                state.recorded_at = recorded_at;
                Ok(())
            }
            _ => Err(self.misled(position)),
        })
    }

    fn add_removals(&self, since: Position, state: &mut StreamState) -> Result<()> {
        let look = self.look();
        let newest = look.newest_change_since(state.number, Change::Removals, since)?;
        let Some(position) = newest else {
            return Ok(());
        };
        self.record(position, |_, record| match record {
            Record::Removals {
                stream,
                first,
                bytes,
            } if stream == state.number => {
                state.first = first;
                state.bytes_removed = bytes;
                state.has_removals = true;
                Ok(())
            }
            _ => Err(self.misled(position)),
        })
    }

    /// An index spoke of something that is not there.
    pub(super) fn misled(&self, position: Position) -> Failure {
        self.malformed(
            position,
            Malformed("an index says that another record is here"),
        )
    }
}

/// What `record` says of the name `wanted`; none if it does not speak of it.
pub(in crate::log) fn binding(record: &Record<'_>, wanted: &str) -> Option<Binding> {
    match *record {
        Record::Name { stream, name } if name == wanted => Some(Binding::Bound(stream)),
        Record::Rename { stream, to, .. } if to == wanted => Some(Binding::Bound(stream)),
        Record::Rename { from, .. } if from == wanted => Some(Binding::Free),
        _ => None,
    }
}

/// The section of `stream` that begins at `record` with the entry `id`, if an index said so, and was right.
pub(super) fn append_at<'f>(
    frame: &Frame<'f>,
    record: Position,
    stream: StreamNumber,
    id: u64,
) -> Option<Append<'f>> {
    let frame_start = frame.position().offset();
    let offset = record.offset().checked_sub(frame_start)?;
    match frame.record_at(offset) {
        Ok(Record::Append(append)) => {
            let is_it = append.head.stream == stream && append.head.first_id == id;
            is_it.then_some(append)
        }
        _ => None,
    }
}

// Records and entries.
impl View<'_> {
    /// Reads the record at `position`.
    pub(in crate::log) fn record<T>(
        &self,
        position: Position,
        take: impl FnOnce(&Frame<'_>, Record<'_>) -> Result<T>,
    ) -> Result<T> {
        self.frame_around(position, |frame| {
            let offset = position.offset() - frame.position().offset();
            let record = frame
                .record_at(offset)
                .map_err(|malformed| self.malformed(position, malformed))?;
            take(frame, record)
        })
    }

    /// Reads the section of `stream` that holds the first entry of `stretch`.
    fn append_of<T>(
        &self,
        stream: StreamNumber,
        stretch: Stretch,
        take: impl FnOnce(&Frame<'_>, &Append<'_>) -> Result<T>,
    ) -> Result<T> {
        let place = stretch.start.place();
        self.frame_around(place, |frame| {
            if let Start::Record(record) = stretch.start
                && let Some(append) = append_at(frame, record, stream, stretch.id)
            {
                return take(frame, &append);
            }
            for record in frame.records() {
                let (_, record) =
                    record.map_err(|malformed| self.malformed(frame.position(), malformed))?;
                if let Record::Append(append) = record
                    && append.head.stream == stream
                    && append.last_id() >= stretch.id
                {
                    return take(frame, &append);
                }
            }
            Err(self.misled(place))
        })
    }

    /// Reads the first entry of `stretch`, with the time at which it was recorded.
    pub(in crate::log) fn entry<T>(
        &self,
        stream: StreamNumber,
        stretch: impl Into<Stretch>,
        take: impl FnOnce(Timestamp, EntryRef<'_>) -> Result<T>,
    ) -> Result<T> {
        self.entry_in(stream, stretch, None, take)
    }

    /// As [`entry`](Self::entry), of which the frame may be known.
    pub(super) fn entry_in<T>(
        &self,
        stream: StreamNumber,
        stretch: impl Into<Stretch>,
        frame: Option<Position>,
        take: impl FnOnce(Timestamp, EntryRef<'_>) -> Result<T>,
    ) -> Result<T> {
        let stretch = stretch.into();
        let (mut take, mut taken) = (Some(take), None);
        let mut first = Each::new(|_, recorded_at, entry| {
            if let Some(take) = take.take() {
                taken = Some(take(recorded_at, entry)?);
            }
            Ok(ControlFlow::Break(()))
        });
        let _broken_off = self.entries(stream, stretch, frame, &mut first)?;
        taken.ok_or_else(|| self.misled(stretch.start.place()))
    }

    /// Where the entry `id` of `stream` is.
    fn stretch(&self, stream: StreamNumber, id: u64) -> Result<Stretch> {
        let mut found: Vec<Stretch> = Vec::new();
        let ids = id..id + 1;
        self.look()
            .entries(stream, ids, Direction::Ascending, 1, &mut found)?;
        found.first().copied().ok_or_else(|| {
            Failure::damage(
                self.shared.place.clone(),
                format!("entry {id} of stream number {} is in no index", stream.0),
            )
        })
    }

    /// How many bytes the payload of an entry has, or had before it was purged.
    pub(in crate::log) fn payload_bytes(&self, stream: StreamNumber, id: u64) -> Result<u64> {
        let stretch = self.stretch(stream, id)?;
        self.entry(stream, stretch, |_, entry| {
            let bytes = entry.payload_bytes();
            bytes.map_err(|malformed| self.malformed(stretch.start.place(), malformed))
        })
    }

    /// How many payload bytes were ever appended to `stream` before the entry `id`, which is still in the log, or is
    /// just one behind the last.
    pub(in crate::log) fn bytes_appended_before(
        &self,
        stream: StreamNumber,
        id: u64,
    ) -> Result<u64> {
        let newest = self.look().newest_entry(stream)?;
        let is_behind = newest.is_some_and(|newest| newest.id + 1 == id);
        let stretch = self.stretch(stream, if is_behind { id - 1 } else { id })?;
        self.append_of(stream, stretch, |frame, append| {
            let mut bytes = append.head.bytes_before;
            for (at, entry) in (append.head.first_id..id).zip(append.entries()) {
                debug_assert!(at < id);
                let size = entry.and_then(|(_, entry)| entry.payload_bytes());
                bytes += size.map_err(|malformed| self.malformed(frame.position(), malformed))?;
            }
            Ok(bytes)
        })
    }
}
