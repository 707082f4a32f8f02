//! The questions to an index file. What each answers is said at [`ActiveIndex`](super::super::ActiveIndex).

use std::ops::Range;

use ledger_core::Direction;

use super::SealedIndex;
use super::blocks::{Blocks, Result};
use super::lists::Listed;
use super::rows::{FirstRun, Run, word};
use super::sections::Section;
use super::writer::prefix;
use crate::format::{Position, StreamNumber};
use crate::index::active::{CANDIDATES, Candidates};
use crate::index::change::{Change, ChangeKind, ChangeRow, Topic};
use crate::index::filter::Grain;
use crate::index::hash::{KeyHash, changes_tag, mix, stream_tag};
use crate::index::{Means, Spot, Start, Stretch, Window};

impl SealedIndex {
    pub(in crate::index) fn stretches(
        &self,
        stream: StreamNumber,
        window: &Window,
        means: Means,
        out: &mut Vec<Stretch>,
    ) -> Result<()> {
        let Some(first) = self.first_run(stream, means)? else {
            return Ok(());
        };
        let mut blocks = self.blocks(means)?;
        if first.is_only {
            let clipped = window.clip(first.run.ids(), window.limit as u64);
            return self.stretch(&mut blocks, &first.run, clipped, out);
        }
        let start = match window.direction {
            Direction::Ascending => blocks.run(stream, |run| run.ids().end <= window.ids.start)?,
            Direction::Descending => blocks.run(stream, |run| run.first_id < window.ids.end)?,
        };
        let mut left = window.limit as u64;
        for row in rows_from(start, window.direction, blocks.rows(Section::Runs)) {
            let run = blocks.run_at(row)?;
            let clipped = window.clip(run.ids(), left);
            if run.stream != stream || clipped.is_empty() {
                break;
            }
            left -= clipped.end - clipped.start;
            self.stretch(&mut blocks, &run, clipped, out)?;
        }
        Ok(())
    }

    /// Tells where the entries of a run with `ids` are, if there are any.
    fn stretch(
        &self,
        blocks: &mut Blocks<'_>,
        run: &Run,
        ids: Range<u64>,
        out: &mut Vec<Stretch>,
    ) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let start = match (ids.start - run.first_id) as u32 {
            0 => Start::Record(self.position(run.record)),
            before => {
                let offset = blocks.offset(run.ordinal.wrapping_add(before))?;
                Start::Entry(self.position(offset))
            }
        };
        out.push(Stretch {
            id: ids.start,
            count: (ids.end - ids.start) as u32,
            start,
        });
        Ok(())
    }

    pub(in crate::index) fn order_key(
        &self,
        stream: StreamNumber,
        KeyHash(tag): KeyHash,
        window: &Window,
        means: Means,
        out: &mut Vec<Spot>,
    ) -> Result<()> {
        if !self.may_have(Grain::Coarse, tag, means)? {
            return Ok(());
        }
        let mut blocks = self.blocks(means)?;
        let Some(list) = blocks.list_of(tag)? else {
            self.note_in_vain(Grain::Coarse);
            return Ok(());
        };
        let found = out.len();
        for index in blocks.listed_in(&list, stream, window)? {
            if out.len() - found == window.limit {
                break;
            }
            let listed = blocks.listed(&list, index)?;
            out.extend(self.spot_in(&mut blocks, stream, listed)?);
        }
        Ok(())
    }

    pub(in crate::index) fn expiring(
        &self,
        stream: StreamNumber,
        window: &Window,
        means: Means,
        out: &mut Vec<Spot>,
    ) -> Result<()> {
        let mut blocks = self.blocks(means)?;
        let rows = blocks.rows(Section::Expiring);
        if rows == 0 {
            return Ok(());
        }
        let (start, end) = (
            blocks.ordinal(stream, window.ids.start)?,
            blocks.ordinal(stream, window.ids.end)?,
        );
        let found = out.len();
        let first = blocks.search(Section::Expiring, start.into(), |row: &[u8; 4]| {
            word(row, 0) < start
        })?;
        for row in first..rows {
            let ordinal = word(&blocks.row::<4>(Section::Expiring, row)?, 0);
            if ordinal >= end || out.len() - found == window.limit {
                break;
            }
            out.extend(self.spot_in(&mut blocks, stream, Listed::bare(ordinal))?);
        }
        Ok(())
    }

    pub(in crate::index) fn newest_entry(
        &self,
        stream: StreamNumber,
        means: Means,
    ) -> Result<Option<Spot>> {
        if !self.may_have(Grain::Coarse, stream_tag(stream), means)? {
            return Ok(None);
        }
        let mut blocks = self.blocks(means)?;
        let behind = blocks.run(stream, |_| true)?;
        let Some(run) = blocks.run_before(behind, stream)? else {
            self.note_in_vain(Grain::Coarse);
            return Ok(None);
        };
        let last = Listed::bare(run.ordinal.wrapping_add(run.count).wrapping_sub(1));
        self.spot_of(&mut blocks, &run, last).map(Some)
    }

    pub(in crate::index) fn first_id(
        &self,
        stream: StreamNumber,
        means: Means,
    ) -> Result<Option<u64>> {
        let first = self.first_run(stream, means)?;
        Ok(first.map(|first| first.run.first_id))
    }

    /// The first run of `stream`: looked up once for each of the streams that were asked for last.
    fn first_run(&self, stream: StreamNumber, means: Means) -> Result<Option<FirstRun>> {
        let contents = self.contents(means)?;
        if let Some(first) = contents.first_runs.get(stream.0) {
            return Ok(first);
        }
        let first = match self.may_have(Grain::Coarse, stream_tag(stream), means)? {
            true => {
                let first = self.blocks(means)?.first_run(stream)?;
                if first.is_none() {
                    self.note_in_vain(Grain::Coarse);
                }
                first
            }
            false => None,
        };
        contents.first_runs.put(stream.0, first);
        Ok(first)
    }

    /// What a look for a tag looks at first, if it is in memory.
    pub(in crate::index) fn glance(&self, grain: Grain, tag: u32) -> impl Iterator<Item = &u8> {
        let filter = self.filter_in_memory(grain);
        filter.into_iter().flat_map(move |it| it.glance(tag))
    }

    /// Whether it is known in memory that nothing with that fine tag is here.
    #[inline]
    pub(in crate::index) fn is_known_to_lack(&self, KeyHash(tag): KeyHash) -> bool {
        let filter = self.filter_in_memory(Grain::Fine);
        filter.is_some_and(|it| !it.may_have(tag))
    }

    /// Whether `stream` may be here, as far as that is known in memory.
    pub(in crate::index) fn is_known_to_hold(&self, stream: StreamNumber) -> bool {
        let filter = self.filter_in_memory(Grain::Coarse);
        filter.is_some_and(|it| it.may_have(stream_tag(stream)))
    }

    /// What a look for the runs of `stream` looks at next.
    pub(in crate::index) fn glance_at_fence(&self, stream: StreamNumber) -> Option<&u64> {
        let contents = self.contents.get()?;
        contents.glance_at_fence(Section::Runs, mix(stream.0))
    }

    /// What it looks at then, where the file is mapped.
    pub(in crate::index) fn glance_at_run(
        &self,
        stream: StreamNumber,
    ) -> impl Iterator<Item = &u8> {
        let contents = self.contents.get();
        let rows = contents.and_then(|it| it.glance(Section::Runs, mix(stream.0)));
        rows.into_iter().flatten()
    }

    pub(in crate::index) fn dedup_keys(
        &self,
        hashes: &[KeyHash],
        some: Option<&[usize]>,
        means: Means,
        mut visit: impl FnMut(usize, u32) -> Result<()>,
    ) -> Result<()> {
        self.candidates(hashes, some, means, |index| {
            // Every index is asked, and hardly any has it: what is looked at for nothing should not stay.
            let ordinals = self.blocks(means.in_passing())?.facts(
                Section::DedupKeys,
                hashes[index],
                0..usize::MAX,
            )?;
            if ordinals.is_empty() {
                self.note_in_vain(Grain::Fine);
            }
            ordinals
                .into_iter()
                .try_for_each(|ordinal| visit(index, ordinal))
        })
    }

    pub(in crate::index) fn name_records(
        &self,
        hash: KeyHash,
        skipped: usize,
        means: Means,
    ) -> Result<Candidates> {
        self.places(Section::NameRecords, hash, skipped, means)
    }

    pub(in crate::index) fn checkpoint_records(
        &self,
        hash: KeyHash,
        skipped: usize,
        means: Means,
    ) -> Result<Candidates> {
        self.places(Section::CheckpointRecords, hash, skipped, means)
    }

    fn places(
        &self,
        section: Section,
        hash: KeyHash,
        skipped: usize,
        means: Means,
    ) -> Result<Candidates> {
        if !self.may_have(Grain::Fine, hash.0, means)? {
            return Ok(Candidates::new());
        }
        let some = skipped..skipped + CANDIDATES;
        let places = self.blocks(means)?.facts(section, hash, some)?;
        if places.is_empty() && skipped == 0 {
            self.note_in_vain(Grain::Fine);
        }
        Ok(places)
    }

    pub(in crate::index) fn spot(
        &self,
        stream: StreamNumber,
        ordinal: u32,
        means: Means,
    ) -> Result<Option<Spot>> {
        self.spot_in(&mut self.blocks(means)?, stream, Listed::bare(ordinal))
    }

    fn spot_in(
        &self,
        blocks: &mut Blocks<'_>,
        stream: StreamNumber,
        listed: Listed,
    ) -> Result<Option<Spot>> {
        let ordinal = listed.ordinal;
        let behind = blocks.run(stream, |run| run.ordinal <= ordinal)?;
        let Some(run) = blocks.run_before(behind, stream)? else {
            return Ok(None);
        };
        match ordinal.wrapping_sub(run.ordinal) < run.count {
            true => self.spot_of(blocks, &run, listed).map(Some),
            false => Ok(None),
        }
    }

    /// Where an entry of a run is.
    fn spot_of(&self, blocks: &mut Blocks<'_>, run: &Run, listed: Listed) -> Result<Spot> {
        let before = listed.ordinal.wrapping_sub(run.ordinal);
        Ok(Spot {
            id: run.first_id.wrapping_add(before.into()),
            position: self.position(blocks.offset_of(listed)?),
            record: (before == 0).then(|| self.position(run.record)),
        })
    }

    pub(in crate::index) fn newest_change(
        &self,
        stream: StreamNumber,
        change: Change,
        means: Means,
    ) -> Result<Option<Position>> {
        if !self.may_have_changes(stream, means)? {
            return Ok(None);
        }
        let mut blocks = self.blocks(means)?;
        let (from, to) = (change.row(stream, 0), change.row(stream, u32::MAX));
        let mut found = None;
        blocks.changes(from..to, |row| found = Some(self.position(row.offset)))?;
        if found.is_none() {
            self.note_in_vain(Grain::Coarse);
        }
        Ok(found)
    }

    pub(in crate::index) fn entry_changes(
        &self,
        stream: StreamNumber,
        ids: &Range<u64>,
        means: Means,
        out: &mut Vec<(u64, ChangeKind, Position)>,
    ) -> Result<()> {
        if !self.may_have_changes(stream, means)? {
            return Ok(());
        }
        let (mut blocks, known) = (self.blocks(means)?, out.len());
        for kind in [ChangeKind::Mark, ChangeKind::Purge] {
            let rows = ChangeRow::range(stream, Topic::of(kind), ids.clone());
            blocks.changes(rows, |row| {
                out.push((row.id, kind, self.position(row.offset)))
            })?;
        }
        if out.len() == known {
            self.note_in_vain(Grain::Coarse);
        }
        Ok(())
    }

    fn may_have_changes(&self, stream: StreamNumber, means: Means) -> Result<bool> {
        let changes = self.contents(means)?.header.extent(Section::Changes);
        Ok(changes.rows > 0 && self.may_have(Grain::Coarse, changes_tag(stream), means)?)
    }

    pub(in crate::index) fn names(
        &self,
        after: Option<&str>,
        limit: usize,
        means: Means,
    ) -> Result<Vec<String>> {
        let mut blocks = self.blocks(means)?;
        blocks.names(Section::Names, &[], after, limit)
    }

    pub(in crate::index) fn checkpoint_names(
        &self,
        stream: StreamNumber,
        after: Option<&str>,
        limit: usize,
        means: Means,
    ) -> Result<Vec<String>> {
        let mut blocks = self.blocks(means)?;
        blocks.names(Section::CheckpointNames, &prefix(stream), after, limit)
    }

    pub(in crate::index) fn frame(&self, at: Position, means: Means) -> Result<Option<Position>> {
        let Some(offset) = self.span.offset(at) else {
            return Ok(None);
        };
        let frame = self.blocks(means)?.floor(Section::Frames, offset)?;
        let frame = frame.map(|frame| self.position(frame));
        Ok(frame.filter(|frame| frame.segment() == at.segment()))
    }

    /// The frame that holds what is at a position, and where in the segment it ends.
    pub(in crate::index) fn frame_and_end(
        &self,
        at: Position,
        means: Means,
    ) -> Result<Option<(Position, u32)>> {
        let Some(offset) = self.span.offset(at) else {
            return Ok(None);
        };
        let beside = self.blocks(means)?.beside(Section::Frames, offset)?;
        let beside = beside.map(|(frame, next)| (self.position(frame), next));
        let here = beside.filter(|(frame, _)| frame.segment() == at.segment());
        let (end, end_offset) = self.span.end_at(at);
        Ok(here.map(|(frame, next)| {
            let next = next.filter(|next| *next < end_offset);
            (frame, next.map_or(end, |next| self.position(next).offset()))
        }))
    }
}

/// The rows from `start` on, or those before it, newest first.
fn rows_from(start: u32, direction: Direction, rows: u32) -> impl Iterator<Item = u32> {
    let (up, down) = match direction {
        Direction::Ascending => (start..rows, 0..0),
        Direction::Descending => (0..0, 0..start),
    };
    up.chain(down.rev())
}
