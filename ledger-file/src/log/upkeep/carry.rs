//! Dropping dead segments: what is still needed of them is written once more at the end of the log, and durable there,
//! before the manifest stops naming them; only then do the files go (rule 13).

use std::collections::HashMap;
use std::sync::Arc;

use crate::disk::Patience;
use crate::error::{Failure, Result};
use crate::fault::{Mistake, is_planted};
use crate::format::{
    Append, FRAME_OVERHEAD_BYTES_MAX, FileName, Ids, Mark, Position, Record, SegmentMeta,
    StreamNumber,
};
use crate::index::{Change, ChangeKind};
use crate::log::open::recovery::{FIRST_FRAME, Source};
use crate::log::read::picture::Part;
use crate::log::read::view::View;
use crate::log::shared::Shared;
use crate::log::write::writer::{Changed, Turn};

impl Shared {
    /// Drops the segments of which no entry is left. Whoever calls this holds the right to tidy up.
    pub(super) fn drop_dead(&self) -> Result<()> {
        let picture = Arc::clone(&self.scene().picture);
        for part in picture.parts() {
            if self.sealed_meta(part).is_some() && self.is_dead(part)? {
                self.drop_segment(part)?;
            }
        }
        Ok(())
    }

    /// What the manifest says of a segment that it lists as full.
    pub(in crate::log) fn sealed_meta(&self, part: &Part) -> Option<SegmentMeta> {
        let keeper = self.keeper();
        let meta = keeper.meta(part.segment.number());
        let is_it = |meta: &&SegmentMeta| {
            meta.sealed_bytes.is_some() && meta.generation == part.segment.generation()
        };
        meta.filter(is_it).cloned()
    }

    fn is_dead(&self, part: &Part) -> Result<bool> {
        let view = self.view(Patience::Wait);
        let mut firsts = Firsts::new(&view);
        let mut is_dead = true;
        Source::of(&part.segment)?.frames(FIRST_FRAME, |frame| {
            for record in frame.records() {
                let at = frame.position();
                let (_, record) = record.map_err(|malformed| view.malformed(at, malformed))?;
                if let Record::Append(append) = record
                    && append.last_id() >= firsts.of(append.head.stream)?
                {
                    is_dead = false;
                    return Ok(false);
                }
            }
            Ok(true)
        })?;
        Ok(is_dead)
    }

    fn drop_segment(&self, part: &Part) -> Result<()> {
        if !is_planted(Mistake::CarryForgotten) {
            self.carry(part)?;
        }
        if is_planted(Mistake::RemovedBeforeManifest) {
            self.remove_files(part)?;
        }
        let number = part.segment.number();
        self.keeper().save(self, |manifest| {
            manifest.segments.retain(|meta| meta.segment != number);
        })?;
        self.redraw(|picture| picture.without(&[number]))?;
        self.remove_files(part)
    }

    /// Removes the files of a segment that the manifest does not name. What is left of them goes when the log is opened, or written to, the next time.
    pub(super) fn remove_files(&self, part: &Part) -> Result<()> {
        part.hold_open()?;
        let segment = part.segment.file_name();
        let indexes = part.layers.iter().map(|layer| {
            let origin = layer.origin();
            FileName::Index {
                segment: origin.segment,
                generation: origin.generation,
                from: origin.from,
            }
            .to_string()
        });
        indexes
            .chain([segment])
            .try_for_each(|name| self.remove_file(&name))
    }

    /// Removes a file, if it is there.
    pub(in crate::log) fn remove_file(&self, name: &str) -> Result<()> {
        match self.disk.remove(name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::io(name, error))
            }
            _ => Ok(()),
        }
    }

    /// Writes what is needed of a segment once more, durably.
    fn carry(&self, part: &Part) -> Result<()> {
        let is_oldest = self
            .keeper()
            .manifest
            .segments
            .first()
            .map(|meta| meta.segment)
            == Some(part.segment.number());
        let view = self.view(Patience::Wait);
        Source::of(&part.segment)?.frames(FIRST_FRAME, |frame| {
            for record in frame.records() {
                let at = frame.position();
                let (offset, record) = record.map_err(|error| view.malformed(at, error))?;
                let position = part.segment.at(at.offset() + offset);
                self.turn(Patience::Wait)?
                    .carry(position, &record, is_oldest)?;
            }
            Ok(true)
        })?;
        if is_planted(Mistake::CarryNotSynced) {
            return Ok(());
        }
        self.sync()?;
        self.claim_carried()
    }

    /// Has a frame say that what was carried is durable: nothing else will be left to tell that it was there.
    fn claim_carried(&self) -> Result<()> {
        let mut turn = self.turn(Patience::Wait)?;
        let now = self.now();
        turn.commit(now, &[], Changed::new())
    }
}

impl Turn<'_> {
    /// Writes the record at `position` once more, as far as nothing later has taken its place.
    fn carry(&mut self, position: Position, record: &Record<'_>, is_oldest: bool) -> Result<()> {
        let current = Current {
            view: self.view(),
            position,
            is_oldest,
        };
        match *record {
            Record::Append(ref append) => match current.state_after(append)? {
                Some(state) => self.carry_record(&state),
                None => Ok(()),
            },
            Record::Purge { stream, ids } => {
                let ids = current.purged(stream, ids)?;
                let ids = Ids::encode(&ids);
                match ids.is_empty() {
                    true => Ok(()),
                    false => self.carry_record(&Record::Purge {
                        stream,
                        ids: Ids(&ids),
                    }),
                }
            }
            Record::Rename { stream, from, to } => match current.renamed(stream, from, to)? {
                Some(record) => self.carry_record(&record),
                None => Ok(()),
            },
            _ if current.is_current(record)? => self.carry_record(record),
            _ => Ok(()),
        }
    }

    fn carry_record(&mut self, record: &Record<'_>) -> Result<()> {
        let now = self.shared.now();
        self.make_room(
            FRAME_OVERHEAD_BYTES_MAX + crate::log::write::put::record_bytes_max(record),
        )?;
        self.write_records(now, &[*record]);
        self.put(Changed::new())
    }
}

/// A record, and what has become of it.
#[derive(Debug)]
struct Current<'a> {
    view: View<'a>,
    position: Position,
    /// Nothing older is left that it would have to outdo.
    is_oldest: bool,
}

impl Current<'_> {
    /// Whether a record that speaks of one thing is the last to do so.
    fn is_current(&self, record: &Record<'_>) -> Result<bool> {
        match *record {
            Record::Name { name, .. } => self.is_name(name),
            Record::Removals { stream, .. } => self.is_change(stream, Change::Removals),
            Record::State { stream, .. } => {
                let newest = self.view.look().newest_entry(stream)?;
                let is_last = newest.is_none_or(|spot| spot.position < self.position);
                Ok(is_last && self.is_change(stream, Change::State)?)
            }
            Record::Mark(Mark { stream, id, .. }) => {
                Ok(id >= self.view.state(stream)?.first && self.is_mark(stream, id)?)
            }
            Record::Checkpoint(saved) => {
                let is_needed = saved.value.is_some() || !self.is_oldest;
                Ok(is_needed && self.is_checkpoint(saved.stream, saved.name)?)
            }
            _ => Ok(false),
        }
    }

    fn is_name(&self, name: &str) -> Result<bool> {
        let hash = self.view.shared().hasher.name(name);
        let newest = self.view.look().name(hash, |position| {
            self.view.record(position, |_, record| {
                Ok::<_, Failure>(crate::log::read::view::binding(&record, name).map(|_| position))
            })
        })?;
        Ok(newest == Some(self.position))
    }

    fn is_change(&self, stream: StreamNumber, change: Change) -> Result<bool> {
        Ok(self.view.look().newest_change(stream, change)? == Some(self.position))
    }

    fn is_mark(&self, stream: StreamNumber, id: u64) -> Result<bool> {
        let mut changes = Vec::new();
        self.view.look().changes(stream, id..id + 1, &mut changes)?;
        let mut marks = changes
            .iter()
            .filter(|(_, kind, _)| *kind == ChangeKind::Mark);
        Ok(marks
            .next_back()
            .is_some_and(|(.., at)| *at == self.position))
    }

    fn is_checkpoint(&self, stream: StreamNumber, name: &str) -> Result<bool> {
        let hash = self.view.shared().hasher.checkpoint(stream, name);
        let newest = self.view.look().checkpoint(hash, |position| {
            self.view.record(position, |_, record| match record {
                Record::Checkpoint(saved) if saved.stream == stream && saved.name == name => {
                    Ok::<_, Failure>(Some(position))
                }
                _ => Ok(None),
            })
        })?;
        Ok(newest == Some(self.position))
    }

    /// What must be said of a stream whose last entry goes with `append`.
    fn state_after(&self, append: &Append<'_>) -> Result<Option<Record<'static>>> {
        let stream = append.head.stream;
        let carried = self.view.look().newest_change(stream, Change::State)?;
        let newest = self.view.look().newest_entry(stream)?;
        let is_last = newest
            .is_some_and(|newest| newest.id == append.last_id() && Some(newest.position) > carried);
        if !is_last {
            return Ok(None);
        }
        let bytes = append
            .bytes_after()
            .map_err(|malformed| self.view.malformed(self.position, malformed))?;
        Ok(Some(Record::State {
            stream,
            head: append.last_id(),
            bytes,
            recorded_at: append.head.recorded_at,
        }))
    }

    /// Which of the purged entries are still there, as tombstones.
    fn purged(&self, stream: StreamNumber, ids: Ids<'_>) -> Result<Vec<u64>> {
        let first = self.view.state(stream)?.first;
        let mut purged = Vec::new();
        for id in ids.iter() {
            let id = id.map_err(|malformed| self.view.malformed(self.position, malformed))?;
            if id >= first {
                purged.push(id);
            }
        }
        Ok(purged)
    }

    /// What of a renaming still holds.
    fn renamed<'r>(
        &self,
        stream: StreamNumber,
        from: &'r str,
        to: &'r str,
    ) -> Result<Option<Record<'r>>> {
        let is_bound = !to.is_empty() && self.is_name(to)?;
        let frees = !self.is_oldest && self.is_name(from)?;
        Ok(match (is_bound, frees) {
            (true, true) => Some(Record::Rename { stream, from, to }),
            (true, false) => Some(Record::Name { stream, name: to }),
            (false, true) => Some(Record::Rename {
                stream,
                from,
                to: "",
            }),
            (false, false) => None,
        })
    }
}

/// The oldest ids of streams, each looked up once.
#[derive(Debug)]
pub(super) struct Firsts<'a> {
    view: &'a View<'a>,
    known: HashMap<StreamNumber, u64>,
}

impl<'a> Firsts<'a> {
    pub(super) fn new(view: &'a View<'a>) -> Self {
        Self {
            view,
            known: HashMap::new(),
        }
    }

    /// The oldest id of `stream` that is left.
    pub(super) fn of(&mut self, stream: StreamNumber) -> Result<u64> {
        if let Some(first) = self.known.get(&stream) {
            return Ok(*first);
        }
        let first = self.view.state(stream)?.first;
        self.known.insert(stream, first);
        Ok(first)
    }
}
