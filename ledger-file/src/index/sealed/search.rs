//! The search for rows of one size: in which block they may be, and where in it.

use std::convert::Infallible;
use std::ops::Range;

use super::blocks::{Blocks, Contents, Result};
use super::directory::Guards;
use super::layout::{BLOCK_BYTES, ROWS_OFFSET, block_offset};
use super::nearby::{around, expected, rank, share};
use super::sections::Section;
use crate::index::IndexError;

// Fences.
impl Contents {
    /// The blocks of a section in which the first row may be that is not before `fence`. There is at least one, unless
    /// the section has none. `part` has the parts of the directory that this takes.
    fn candidates<'c, E>(
        &'c self,
        section: Section,
        fence: u64,
        part: impl Fn(usize) -> std::result::Result<&'c Guards, E>,
    ) -> std::result::Result<Range<usize>, E> {
        let (directory, blocks) = (&self.directory, self.header.blocks(section));
        let parts = directory.parts_of(&blocks, fence);
        if parts.is_empty() {
            return Ok(blocks);
        }
        let (start, fences) = directory.fences(parts.start, part(parts.start)?, &blocks);
        let first = rank(fences, expected(fences, fence), |other| other < fence);
        let behind = match parts.len() {
            1 => start + rank(fences, first, |other| other <= fence),
            _ => {
                let last = parts.end - 1;
                let (start, fences) = directory.fences(last, part(last)?, &blocks);
                start + rank(fences, 0, |other| other <= fence)
            }
        };
        let first = (start + first).saturating_sub(1).max(blocks.start);
        Ok(first..behind.max(first + 1))
    }

    /// As [`candidates`](Self::candidates), if all that this takes was read.
    fn known_candidates(&self, section: Section, fence: u64) -> Option<Range<usize>> {
        let part = |part| self.directory.get(part).ok_or(());
        self.candidates(section, fence, part).ok()
    }

    /// At which of the `rows` of a block one with that fence is, if they are as far from each other as they are on the average.
    /// Tags and hashes are, and frames nearly.
    pub(super) fn row_expected(
        &self,
        section: Section,
        block: usize,
        rows: usize,
        fence: u64,
    ) -> usize {
        let fence_of = |block| self.directory.fence(block);
        match (fence_of(block), fence_of(block + 1)) {
            (Some(from), Some(to)) if block + 1 < self.header.blocks(section).end => {
                share(fence, from, to, rows as u64) as usize
            }
            _ => rows / 2,
        }
    }
}

impl Blocks<'_> {
    /// As that of the [contents](Contents::candidates): reads the parts of the directory that this takes.
    pub(super) fn candidates(&self, section: Section, fence: u64) -> Result<Range<usize>> {
        let contents = self.contents;
        contents.candidates(section, fence, |part| self.part(part))
    }

    /// The last block of a section whose first row is not behind `fence`.
    pub(super) fn last_candidate(&self, section: Section, fence: u64) -> Result<Option<usize>> {
        Ok(self.candidates(section, fence)?.last())
    }

    /// What the first row of a block is searched by, which was a candidate or is the one behind.
    pub(super) fn fence(&self, block: usize) -> u64 {
        self.contents.directory.fence(block).unwrap_or_default()
    }
}

// Glances: at what a search is about to look at, for who only wants that to be in the processor's cache.
impl Contents {
    /// The fence near which one like that should be, if the part of the directory was read.
    pub(super) fn glance_at_fence(&self, section: Section, fence: u64) -> Option<&u64> {
        let (directory, blocks) = (&self.directory, self.header.blocks(section));
        let part = directory.parts_of(&blocks, fence).next()?;
        let (_, fences) = directory.fences(part, directory.get(part)?, &blocks);
        fences.get(expected(fences, fence))
    }

    /// The rows among which one with that fence should be, if their block is in the map and was found to be right.
    pub(super) fn glance(&self, section: Section, fence: u64) -> Option<impl Iterator<Item = &u8>> {
        let block = self.known_candidates(section, fence)?.last()?;
        if !self.was_right(block) {
            return None;
        }
        let start = block_offset(block as u64) as usize;
        let bytes = self
            .map
            .get()?
            .as_ref()?
            .bytes(start..start + BLOCK_BYTES)?;
        let row = self.row_expected(section, block, rows_per_block(section), fence);
        let near = ROWS_OFFSET + row * section.row_bytes()?;
        let end = BLOCK_BYTES.min(near + GLANCED_BYTES);
        let near = bytes.get(near.saturating_sub(GLANCED_BYTES)..end)?;
        Some(near.iter().step_by(LINE_BYTES))
    }
}

/// What the processor loads at once.
const LINE_BYTES: usize = 64;

/// How far a row is from where it should be, most often: a few rows.
const GLANCED_BYTES: usize = 3 * LINE_BYTES;

// Rows of one size.
impl Blocks<'_> {
    /// The blocks that some rows of a section are in, as far as there are such.
    pub(super) fn blocks_of(&self, section: Section, rows: Range<u32>) -> Range<usize> {
        let per_block = rows_per_block(section);
        let blocks = self.contents.header.blocks(section);
        let (start, end) = (rows.start as usize / per_block, rows.end as usize);
        let end = blocks.start + end.div_ceil(per_block);
        blocks.start + start..end.min(blocks.end)
    }

    /// Shows `each` some rows of a section.
    pub(super) fn each_row<const N: usize>(
        &self,
        section: Section,
        rows: Range<u32>,
        mut each: impl FnMut(&[u8; N]),
    ) -> Result<()> {
        let mut skipped = rows.start as usize % rows_per_block(section);
        let mut left = rows.len();
        self.read_each(self.blocks_of(section, rows), |block| {
            let rows = block[ROWS_OFFSET..].as_chunks().0;
            let rows = &rows[skipped..rows.len().min(skipped + left)];
            (skipped, left) = (0, left - rows.len());
            rows.iter().for_each(&mut each);
        })
    }

    /// The row of a section with that index.
    pub(super) fn row<const N: usize>(&mut self, section: Section, row: u32) -> Result<[u8; N]> {
        debug_assert_eq!(section.row_bytes(), Some(N));
        let per_block = rows_per_block(section);
        let blocks = self.contents.header.blocks(section);
        let block = blocks.start + row as usize / per_block;
        if row >= self.rows(section) || block >= blocks.end {
            return Err(self.damaged("a row is missing"));
        }
        let start = ROWS_OFFSET + row as usize % per_block * N;
        let row = self.block(block)?[start..].first_chunk();
        Ok(*row.expect("whole rows fit in a block"))
    }

    /// The first row of a section that is not `before`, among those with `fence` and the one behind them. `before` holds
    /// for a first part of the rows.
    pub(super) fn search<const N: usize>(
        &mut self,
        section: Section,
        fence: u64,
        before: impl Fn(&[u8; N]) -> bool,
    ) -> Result<u32> {
        let first = self.contents.header.blocks(section).start;
        let candidates = self.candidates(section, fence)?;
        let row = |block: usize| (block - first) * rows_per_block(section);
        let rows = row(candidates.start)..row(candidates.end).min(self.rows(section) as usize);
        let near =
            self.contents
                .row_expected(section, candidates.start, rows_per_block(section), fence);
        // A header may tell of fewer rows than its blocks would hold, and of none in this one.
        let near = near.min(rows.len().saturating_sub(1));
        if candidates.len() == 1 {
            let found = self.search_block(candidates.start, rows.len(), near, before)?;
            return Ok((rows.start + found) as u32);
        }
        let is_before = |row| Ok(before(&self.row(section, row as u32)?));
        let near = rows.start + near;
        let rows = around::<IndexError>(rows, near, 2, is_before)?;
        self.partition(section, rows.start as u32..rows.end as u32, before)
    }

    /// The first of the `count` rows of a block that is not `before`, or their end: looked for from `near` on.
    fn search_block<const N: usize>(
        &mut self,
        block: usize,
        count: usize,
        near: usize,
        before: impl Fn(&[u8; N]) -> bool,
    ) -> Result<usize> {
        let missing = self.damaged("a row is missing");
        let (rows, _) = self.block(block)?[ROWS_OFFSET..].as_chunks();
        let rows = rows.get(..count).ok_or(missing)?;
        let is_before = |row: usize| Ok::<_, Infallible>(before(&rows[row]));
        let Ok(part) = around(0..count, near, 2, is_before);
        Ok(part.start + rows[part].partition_point(before))
    }

    /// The first of `rows` that is not `before`, or their end: block by block first, then within one.
    pub(super) fn partition<const N: usize>(
        &mut self,
        section: Section,
        rows: Range<u32>,
        before: impl Fn(&[u8; N]) -> bool,
    ) -> Result<u32> {
        if rows.is_empty() {
            return Ok(rows.start);
        }
        let per_block = rows_per_block(section) as u32;
        let (mut low, mut high) = (rows.start / per_block, rows.end.div_ceil(per_block));
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match before(&self.row(section, middle * per_block)?) {
                true => low = middle,
                false => high = middle,
            }
        }
        let (mut low, mut high) = (low * per_block, high * per_block);
        (low, high) = (low.max(rows.start), high.min(rows.end));
        while low < high {
            let middle = low + (high - low) / 2;
            match before(&self.row(section, middle)?) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        Ok(low)
    }
}

fn rows_per_block(section: Section) -> usize {
    let row_bytes = section.row_bytes().expect("its rows are of one size");
    (BLOCK_BYTES - ROWS_OFFSET) / row_bytes
}
