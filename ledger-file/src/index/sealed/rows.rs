//! What the rows of an index file mean, and how each kind of them is searched.

use std::ops::Range;

use super::blocks::{Blocks, Result};
use super::nearby::first_from;
use super::packed::{GROUP, Group};
use super::sections::Section;
use crate::format::StreamNumber;
use crate::index::IndexError;
use crate::index::active::Candidates;
use crate::index::change::{ChangeRow, Topic};
use crate::index::hash::{KeyHash, mix};

/// A row of `Runs`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) stream: StreamNumber,
    pub(super) first_id: u64,
    pub(super) ordinal: u32,
    pub(super) count: u32,
    /// Where its first record begins.
    pub(super) record: u32,
}

impl Run {
    pub(super) fn ids(&self) -> Range<u64> {
        self.first_id..self.first_id.saturating_add(self.count.into())
    }
}

/// The first run of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct FirstRun {
    pub(super) run: Run,
    /// Whether the stream has no other.
    pub(super) is_only: bool,
}

impl Blocks<'_> {
    /// The first row about `stream` for which `before` does not hold, or the first one behind it.
    pub(super) fn run(
        &mut self,
        stream: StreamNumber,
        before: impl Fn(&Run) -> bool,
    ) -> Result<u32> {
        let hash = mix(stream.0);
        self.search(Section::Runs, hash, |row| {
            let run = run(row);
            let other = mix(run.stream.0);
            other < hash || other == hash && before(&run)
        })
    }

    pub(super) fn run_at(&mut self, row: u32) -> Result<Run> {
        Ok(run(&self.row(Section::Runs, row)?))
    }

    /// The run before the row `behind`, if it is one of `stream`.
    pub(super) fn run_before(&mut self, behind: u32, stream: StreamNumber) -> Result<Option<Run>> {
        let Some(row) = behind.checked_sub(1) else {
            return Ok(None);
        };
        let run = self.run_at(row)?;
        Ok((run.stream == stream).then_some(run))
    }

    /// The first run of `stream`.
    pub(super) fn first_run(&mut self, stream: StreamNumber) -> Result<Option<FirstRun>> {
        let row = self.run(stream, |_| false)?;
        let Some(run) = self.run_of(row, stream)? else {
            return Ok(None);
        };
        let is_only = self.run_of(row + 1, stream)?.is_none();
        Ok(Some(FirstRun { run, is_only }))
    }

    /// The run in a row, if there is one and it is one of `stream`.
    fn run_of(&mut self, row: u32, stream: StreamNumber) -> Result<Option<Run>> {
        if row >= self.rows(Section::Runs) {
            return Ok(None);
        }
        let run = self.run_at(row)?;
        Ok((run.stream == stream).then_some(run))
    }

    /// The ordinal of the first entry of `stream` with an id of at least `id`; behind all if there is none.
    pub(super) fn ordinal(&mut self, stream: StreamNumber, id: u64) -> Result<u32> {
        let row = self.run(stream, |run| run.ids().end <= id)?;
        if row == self.rows(Section::Runs) {
            return Ok(u32::MAX);
        }
        let run = self.run_at(row)?;
        match run.stream == stream {
            true => Ok(run
                .ordinal
                .wrapping_add(id.saturating_sub(run.first_id) as u32)),
            false => Ok(u32::MAX),
        }
    }

    /// The places of a fact, newest first: those of them that are asked for.
    pub(super) fn facts(
        &mut self,
        section: Section,
        KeyHash(tag): KeyHash,
        some: Range<usize>,
    ) -> Result<Candidates> {
        let mut places = Candidates::new();
        let first = self.search(section, tag.into(), |row: &[u8; 8]| word(row, 0) < tag)?;
        let rows = first..self.rows(section);
        for row in rows.skip(some.start).take(some.len()) {
            let row = self.row::<8>(section, row)?;
            if word(&row, 0) != tag {
                break;
            }
            places.push(word(&row, 4));
        }
        Ok(places)
    }

    /// Where the entry with that ordinal begins.
    pub(super) fn offset(&mut self, ordinal: u32) -> Result<u32> {
        let missing = self.damaged("the place of an entry is missing");
        let Some(block) = self.last_candidate(Section::Offsets, ordinal.into())? else {
            return Err(missing);
        };
        let before = u64::from(ordinal).wrapping_sub(self.fence(block)) as usize;
        if before / GROUP >= self.rows_in(block)? {
            return Err(missing);
        }
        let offset = self.group(block, before / GROUP)?.get(before % GROUP);
        offset.ok_or(missing)
    }

    /// The greatest offset in a packed section that is not greater than `offset`.
    pub(super) fn floor(&mut self, section: Section, offset: u32) -> Result<Option<u32>> {
        let Some(block) = self.last_candidate(section, offset.into())? else {
            return Ok(None);
        };
        match self.group_behind(section, block, offset)?.checked_sub(1) {
            Some(last) => Ok(self.group(block, last)?.floor(offset)),
            None => Ok(None),
        }
    }

    /// The greatest offset in a packed section that is not greater than `offset`, and the least that is.
    pub(super) fn beside(
        &mut self,
        section: Section,
        offset: u32,
    ) -> Result<Option<(u32, Option<u32>)>> {
        let Some(block) = self.last_candidate(section, offset.into())? else {
            return Ok(None);
        };
        let behind = self.group_behind(section, block, offset)?;
        let beside = match behind.checked_sub(1) {
            Some(last) => self.group(block, last)?.beside(offset),
            None => None,
        };
        Ok(match beside {
            Some((floor, None)) => Some((floor, self.first_of_group(section, block, behind)?)),
            beside => beside,
        })
    }

    /// The first offset of a group of a packed section, or of the block behind, if that is the one behind the last.
    fn first_of_group(
        &mut self,
        section: Section,
        block: usize,
        group: usize,
    ) -> Result<Option<u32>> {
        if group < self.rows_in(block)? {
            return Ok(self.group(block, group)?.get(0));
        }
        let is_last = block + 1 >= self.contents.header.blocks(section).end;
        Ok((!is_last).then(|| self.fence(block + 1) as u32))
    }

    /// The first group of a block of a packed section that begins behind `offset`.
    fn group_behind(&mut self, section: Section, block: usize, offset: u32) -> Result<usize> {
        let rows = self.rows_in(block)?;
        let near = self
            .contents
            .row_expected(section, block, rows, offset.into());
        let near = near.min(rows.saturating_sub(1));
        first_from(0..rows, near, |row| {
            Ok(self.group(block, row)?.get(0) <= Some(offset))
        })
    }

    /// The offsets of a packed row.
    pub(super) fn offsets_in(&mut self, block: usize, row: usize) -> Result<Vec<u32>> {
        let missing = self.damaged("the place of an entry is missing");
        let group = self.group(block, row)?;
        let offsets = (0..group.len()).map(|index| group.get(index));
        offsets.collect::<Option<_>>().ok_or(missing)
    }

    fn group(&mut self, block: usize, row: usize) -> Result<Group<'_>> {
        let origin = self.contents.header.origin;
        let damaged = |reason| IndexError::Damaged { origin, reason };
        Group::read(self.row_in(block, row)?).map_err(damaged)
    }

    /// Shows `visit` the rows of a range.
    pub(super) fn changes(
        &mut self,
        range: Range<ChangeRow>,
        mut visit: impl FnMut(ChangeRow),
    ) -> Result<()> {
        let section = Section::Changes;
        let is_before = |row: &[u8; 24]| change(row).is_some_and(|row| row < range.start);
        let first = self.search(section, range.start.stream.0, is_before)?;
        for row in first..self.rows(section) {
            let row = change(&self.row(section, row)?);
            let row = row.ok_or_else(|| self.damaged("a change is of no known kind"))?;
            if row >= range.end {
                break;
            }
            visit(row);
        }
        Ok(())
    }

    /// The names behind `prefix` and `after`, in order.
    pub(super) fn names(
        &mut self,
        section: Section,
        prefix: &[u8],
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        let sought = [prefix, after.unwrap_or_default().as_bytes()].concat();
        let is_wanted = |name: &[u8]| match after {
            Some(_) => name > sought.as_slice(),
            None => name >= sought.as_slice(),
        };
        let mut names = Vec::new();
        for block in self.blocks_of_names(section, &sought)? {
            for row in 0..self.rows_in(block)? {
                let name = self.name(block, row)?;
                if !is_wanted(name) {
                    continue;
                }
                if !name.starts_with(prefix) || names.len() == limit {
                    return Ok(names);
                }
                let name = String::from_utf8(name[prefix.len()..].to_vec());
                names.push(name.map_err(|_| self.damaged("a name is not UTF-8"))?);
            }
        }
        Ok(names)
    }

    /// The blocks of a section from the one on that may hold the name `sought`.
    fn blocks_of_names(&mut self, section: Section, sought: &[u8]) -> Result<Range<usize>> {
        let blocks = self.contents.header.blocks(section);
        let (mut low, mut high) = (blocks.start, blocks.end);
        while high.saturating_sub(low) > 1 {
            let middle = low + (high - low) / 2;
            match self.name(middle, 0)? <= sought {
                true => low = middle,
                false => high = middle,
            }
        }
        Ok(low..blocks.end)
    }

    /// The name in a row of a block.
    pub(super) fn name(&mut self, block: usize, row: usize) -> Result<&[u8]> {
        let cut_off = self.damaged("a name is cut off");
        let row = self.row_in(block, row)?;
        let name = row.split_first_chunk().and_then(|(bytes, rest)| {
            let bytes = u16::from_le_bytes(*bytes);
            rest.get(..bytes.into())
        });
        name.ok_or(cut_off)
    }
}

fn run(row: &[u8; 28]) -> Run {
    Run {
        stream: StreamNumber(long(row, 0)),
        first_id: long(row, 8),
        ordinal: word(row, 16),
        count: word(row, 20),
        record: word(row, 24),
    }
}

/// A row of `Changes`; none if its topic is not known.
pub(super) fn change(row: &[u8; 24]) -> Option<ChangeRow> {
    Some(ChangeRow {
        stream: StreamNumber(long(row, 0)),
        id: long(row, 8),
        topic: Topic::from_number(word(row, 16))?,
        offset: word(row, 20),
    })
}

pub(super) fn word(row: &[u8], start: usize) -> u32 {
    let bytes = row[start..].first_chunk().expect("rows are long enough");
    u32::from_le_bytes(*bytes)
}

pub(super) fn long(row: &[u8], start: usize) -> u64 {
    let bytes = row[start..].first_chunk().expect("rows are long enough");
    u64::from_le_bytes(*bytes)
}
