//! Rewriting segments of which little is alive: the same number and the same ids, in a file of another generation.
//!
//! What was trimmed is left out, what was purged becomes a tombstone, and all other records stay as they are. The new
//! file and its index are durable before the manifest names them; then the old ones go (rule 13).

use std::collections::HashSet;
use std::sync::Arc;

use super::carry::Firsts;
use super::rewriting::Rewriting;
use crate::disk::Patience;
use crate::error::{Failure, Result};
use crate::format::{
    Append, AppendHead, EntryRef, Frame, FrameWriter, Record, SegmentHeader, StreamNumber,
};
use crate::index::{Change, ChangeKind, Layer};
use crate::log::open::recovery::{FIRST_FRAME, Source};
use crate::log::random::random;
use crate::log::read::picture::Part;
use crate::log::read::segment::Segment;
use crate::log::read::view::View;
use crate::log::shared::Shared;
use crate::sync::RwLock;

impl Shared {
    /// Rewrites full segments in which more than half of the bytes, or anything that was purged, can go; then packs those
    /// that are not packed, if that is wanted.
    pub(in crate::log) fn compact(&self) -> Result<()> {
        self.check_writes()?;
        let _alone = self.alone()?;
        self.sweep()?;
        self.settle_sealed()?;
        self.drop_dead()?;
        let picture = Arc::clone(&self.scene().picture);
        for part in picture.parts() {
            if let Some(meta) = self.sealed_meta(part)
                && let Some(bytes) = meta.sealed_bytes
                && self.is_sparse(part, bytes)?
            {
                self.rewrite(part, bytes)?;
            }
        }
        while self.pack_next()? {}
        Ok(())
    }

    fn is_sparse(&self, part: &Part, bytes: u32) -> Result<bool> {
        let view = self.view(Patience::Wait);
        let mut alive = Alive::new(&view);
        let mut dead = 0;
        let mut has_purged = false;
        Source::of(&part.segment)?.frames(FIRST_FRAME, |frame| {
            alive.each(frame, |_, _, fate, entry| {
                match fate {
                    Fate::Trimmed => dead += entry.raw().len() as u64,
                    Fate::Purged => has_purged |= !is_tombstone(&view, frame, &entry)?,
                    Fate::Alive => {}
                }
                Ok(())
            })?;
            Ok(true)
        })?;
        Ok(has_purged || 2 * dead > u64::from(bytes))
    }

    fn rewrite(&self, part: &Part, bytes: u32) -> Result<()> {
        let old = *part.segment.header(Patience::Wait)?;
        let header = SegmentHeader {
            generation: random(),
            ..old
        };
        let mut rewriting = Rewriting::begin(&*self.disk, &header)?;
        self.copy_alive(part, &mut rewriting, bytes)?;
        let end = rewriting.finish()?;
        let segment = Segment::made(header, Arc::clone(rewriting.file()));
        let scan = Source::of(&segment)?.scan(self.hasher, FIRST_FRAME)?;
        if scan.end != end {
            return Err(segment.damage(scan.end, "what was just written is no valid frame"));
        }
        segment.note_full(end);
        let rewritten = Part {
            segment: Arc::new(segment),
            layers: vec![Layer::Memory(Arc::new(RwLock::new(scan.index)))],
        };
        let indexed = self.index_all(&rewritten, end)?;
        // What is left out was removed by something that must not be lost when it is.
        self.sync()?;
        self.keeper().save(self, |manifest| {
            let mut segments = manifest.segments.iter_mut();
            if let Some(meta) = segments.find(|meta| meta.segment == header.segment) {
                meta.generation = header.generation;
                meta.sealed_bytes = Some(end);
                meta.packed_bytes = None;
                meta.layers = indexed.layers;
            }
        })?;
        self.redraw(|picture| picture.with_replaced(&indexed.part))?;
        self.remove_files(part)
    }

    /// Writes what is alive in a segment.
    fn copy_alive(&self, part: &Part, rewriting: &mut Rewriting<'_>, bytes: u32) -> Result<()> {
        let view = self.view(Patience::Wait);
        let mut alive = Alive::new(&view);
        let source = Source {
            len: bytes.into(),
            ..Source::of(&part.segment)?
        };
        source.frames(FIRST_FRAME, |frame| {
            rewriting.frame(frame.recorded_at(), |writer| alive.copy(frame, writer))?;
            Ok(true)
        })?;
        Ok(())
    }
}

/// What becomes of an entry in a compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It stays as it is.
    Alive,
    /// It was purged: its id and size stay.
    Purged,
    /// It was trimmed.
    Trimmed,
}

/// Who tells what is alive.
#[derive(Debug)]
struct Alive<'a> {
    view: &'a View<'a>,
    firsts: Firsts<'a>,
}

impl<'a> Alive<'a> {
    fn new(view: &'a View<'a>) -> Self {
        Self {
            view,
            firsts: Firsts::new(view),
        }
    }

    /// Shows `each` the entries of a frame with their fates.
    fn each(
        &mut self,
        frame: &Frame<'_>,
        mut each: impl FnMut(&Append<'_>, u64, Fate, EntryRef<'_>) -> Result<()>,
    ) -> Result<()> {
        for record in frame.records() {
            let (_, record) = record.map_err(|error| self.malformed(frame, error))?;
            if let Record::Append(append) = record {
                self.each_of(frame, &append, |id, fate, entry| {
                    each(&append, id, fate, entry)
                })?;
            }
        }
        Ok(())
    }

    fn each_of(
        &mut self,
        frame: &Frame<'_>,
        append: &Append<'_>,
        mut each: impl FnMut(u64, Fate, EntryRef<'_>) -> Result<()>,
    ) -> Result<()> {
        let (stream, first_id) = (append.head.stream, append.head.first_id);
        let first = self.firsts.of(stream)?;
        let purged = self.purged(stream, first_id..append.last_id() + 1)?;
        for (id, entry) in (first_id..).zip(append.entries()) {
            let (_, entry) = entry.map_err(|error| self.malformed(frame, error))?;
            let fate = match id {
                id if id < first => Fate::Trimmed,
                id if purged.contains(&id) => Fate::Purged,
                _ => Fate::Alive,
            };
            each(id, fate, entry)?;
        }
        Ok(())
    }

    fn purged(&self, stream: StreamNumber, ids: std::ops::Range<u64>) -> Result<HashSet<u64>> {
        let mut changes = Vec::new();
        self.view.look().changes(stream, ids, &mut changes)?;
        let purges = changes
            .into_iter()
            .filter(|(_, kind, _)| *kind == ChangeKind::Purge);
        Ok(purges.map(|(id, ..)| id).collect())
    }

    /// Writes what is alive of a frame.
    fn copy(&mut self, frame: &Frame<'_>, writer: &mut FrameWriter<'_>) -> Result<()> {
        for record in frame.records() {
            let (_, record) = record.map_err(|error| self.malformed(frame, error))?;
            match record {
                Record::Append(append) => self.copy_append(frame, &append, writer)?,
                other => drop(writer.push(&other)),
            }
        }
        Ok(())
    }

    fn copy_append(
        &mut self,
        frame: &Frame<'_>,
        append: &Append<'_>,
        writer: &mut FrameWriter<'_>,
    ) -> Result<()> {
        let first = self.firsts.of(append.head.stream)?;
        if append.last_id() < first {
            return self.copy_state(frame, append, writer);
        }
        let mut head = AppendHead {
            first_id: append.head.first_id.max(first),
            ..append.head
        };
        self.each_of(frame, append, |_, fate, entry| {
            if fate == Fate::Trimmed {
                head.bytes_before += payload_bytes(frame, &entry)?;
            }
            Ok(())
        })?;
        let mut section = writer.append_many(&head);
        self.each_of(frame, append, |_, fate, entry| {
            match fate {
                Fate::Trimmed => {}
                Fate::Purged => drop(section.tombstone(payload_bytes(frame, &entry)?)),
                Fate::Alive => drop(section.copy(&entry)),
            }
            Ok(())
        })?;
        section.finish();
        Ok(())
    }

    /// A section of which nothing is left may still be what tells how far its stream is.
    fn copy_state(
        &self,
        frame: &Frame<'_>,
        append: &Append<'_>,
        writer: &mut FrameWriter<'_>,
    ) -> Result<()> {
        let stream = append.head.stream;
        let newest = self.view.look().newest_entry(stream)?;
        let carried = self.view.look().newest_change(stream, Change::State)?;
        let is_last = newest
            .is_some_and(|newest| newest.id == append.last_id() && Some(newest.position) > carried);
        if is_last {
            let bytes = append.bytes_after();
            writer.push(&Record::State {
                stream,
                head: append.last_id(),
                bytes: bytes.map_err(|error| self.malformed(frame, error))?,
                recorded_at: append.head.recorded_at,
            });
        }
        Ok(())
    }

    fn malformed(&self, frame: &Frame<'_>, malformed: crate::format::Malformed) -> Failure {
        self.view.malformed(frame.position(), malformed)
    }
}

fn payload_bytes(frame: &Frame<'_>, entry: &EntryRef<'_>) -> Result<u64> {
    entry.payload_bytes().map_err(|malformed| {
        Failure::damage(
            format!("segment {}", frame.position().segment()),
            malformed.to_string(),
        )
    })
}

fn is_tombstone(view: &View<'_>, frame: &Frame<'_>, entry: &EntryRef<'_>) -> Result<bool> {
    let fields = entry.fields();
    let fields = fields.map_err(|malformed| view.malformed(frame.position(), malformed))?;
    Ok(fields.is_tombstone)
}
