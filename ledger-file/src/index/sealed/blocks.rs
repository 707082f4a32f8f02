//! The blocks of an index file, each checked when it is read, and the search for rows in them.

use std::ops::Range;
use std::sync::OnceLock;

use super::super::filter::Filter;
use super::super::{IndexError, Origin};
use super::layout::{BLOCK_BYTES, Fields, Guard, Header, ROWS_OFFSET, Section, block_offset};
use crate::disk::{DiskFile, Patience, read_exact_at};

pub(super) type Result<T> = std::result::Result<T, IndexError>;

/// The header and the directory of a file.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) header: Header,
    fences: Vec<u64>,
    checksums: Vec<u32>,
    pub(super) filter: OnceLock<Filter>,
}

impl Contents {
    /// Reads what an index file begins and ends with.
    ///
    /// # Errors
    /// Those of the file; damage if it is not the index of `origin` up to `to`.
    pub(super) fn read(
        file: &dyn DiskFile,
        origin: Origin,
        to: u32,
        patience: Patience,
    ) -> Result<Self> {
        let damaged = |reason| IndexError::Damaged { origin, reason };
        let file_bytes = file.len()?;
        if file_bytes < BLOCK_BYTES as u64 {
            return Err(damaged("it is cut off"));
        }
        let mut bytes = vec![0; BLOCK_BYTES];
        read_exact_at(file, &mut bytes, 0, patience)?;
        let header = Header::decode(&bytes).map_err(damaged)?;
        if (header.origin, header.to) != (origin, to) {
            return Err(damaged("it is the index of something else"));
        }
        if header.file_bytes() != file_bytes {
            return Err(damaged("it is not as long as it was"));
        }
        let mut directory = vec![0; header.blocks_total() * Guard::BYTES];
        let start = block_offset(header.blocks_total() as u64);
        read_exact_at(file, &mut directory, start, patience)?;
        if crc32c::crc32c(&directory) != header.directory_checksum {
            return Err(damaged("its directory does not match its checksum"));
        }
        let guards = Guard::decode_all(&directory);
        Ok(Self {
            header,
            fences: guards.iter().map(|guard| guard.fence).collect(),
            checksums: guards.iter().map(|guard| guard.checksum).collect(),
            filter: OnceLock::new(),
        })
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let filter = self.filter.get().map_or(0, |it| it.fingerprints().len());
        filter + self.fences.len() * size_of::<u64>() + self.checksums.len() * size_of::<u32>()
    }
}

/// The blocks of one file during one look-up, which remembers those that it read last.
#[derive(Debug)]
pub(super) struct Blocks<'a> {
    pub(super) contents: &'a Contents,
    file: &'a dyn DiskFile,
    patience: Patience,
    remembered: Vec<(usize, Box<[u8]>)>,
    /// Which of the remembered is forgotten next.
    oldest: usize,
}

/// How many blocks a look-up remembers: it goes along in three or four sections at most.
const REMEMBERED_MAX: usize = 4;

impl<'a> Blocks<'a> {
    pub(super) fn new(contents: &'a Contents, file: &'a dyn DiskFile, patience: Patience) -> Self {
        Self {
            contents,
            file,
            patience,
            remembered: Vec::new(),
            oldest: 0,
        }
    }

    pub(super) fn damaged(&self, reason: &'static str) -> IndexError {
        IndexError::Damaged {
            origin: self.contents.header.origin,
            reason,
        }
    }

    /// How many rows a section has.
    pub(super) fn rows(&self, section: Section) -> u32 {
        self.contents.header.extent(section).rows
    }

    /// The blocks of a section in which a row may be that is searched by `fence`; there is at least one, unless the
    /// section has none.
    pub(super) fn candidates(&self, section: Section, fence: u64) -> Range<usize> {
        let blocks = self.contents.header.blocks(section);
        let Some(fences) = self.contents.fences.get(blocks.clone()) else {
            return blocks.start..blocks.start;
        };
        let first = fences.partition_point(|other| *other < fence);
        let behind = fences.partition_point(|other| *other <= fence);
        blocks.start + first.saturating_sub(1)..blocks.start + behind.max(1).min(fences.len())
    }

    /// The fence of a block.
    pub(super) fn fence(&self, block: usize) -> u64 {
        self.contents.fences.get(block).copied().unwrap_or_default()
    }

    /// The rows of a block.
    fn block(&mut self, index: usize) -> Result<&[u8]> {
        let at = self.load(index)?;
        Ok(&self.remembered[at].1[ROWS_OFFSET..])
    }

    /// Sees to it that a block is remembered, and tells where.
    fn load(&mut self, index: usize) -> Result<usize> {
        let mut remembered = self.remembered.iter();
        match remembered.position(|(known, _)| *known == index) {
            Some(at) => Ok(at),
            None => self.read(index),
        }
    }

    /// Reads and checks a block.
    pub(super) fn check(&mut self, block: usize) -> Result<()> {
        self.load(block).map(drop)
    }

    /// Reads and checks a block, and tells where it is remembered.
    fn read(&mut self, index: usize) -> Result<usize> {
        let Some(checksum) = self.contents.checksums.get(index).copied() else {
            return Err(self.damaged("a block is missing"));
        };
        let mut block = vec![0; BLOCK_BYTES].into_boxed_slice();
        read_exact_at(
            self.file,
            &mut block,
            block_offset(index as u64),
            self.patience,
        )?;
        if crc32c::crc32c(&block) != checksum {
            return Err(self.damaged("a block does not match its checksum"));
        }
        Ok(self.remember(index, block))
    }

    fn remember(&mut self, index: usize, block: Box<[u8]>) -> usize {
        if self.remembered.len() < REMEMBERED_MAX {
            self.remembered.push((index, block));
            return self.remembered.len() - 1;
        }
        let at = self.oldest;
        self.remembered[at] = (index, block);
        self.oldest = (at + 1) % REMEMBERED_MAX;
        at
    }

    /// Reads the whole filter.
    pub(super) fn filter(&mut self) -> Result<Filter> {
        let left = self.contents.header.filter_bytes as usize;
        let blocks = self.contents.header.blocks(Section::Filter);
        if left > blocks.len() * (BLOCK_BYTES - ROWS_OFFSET) {
            return Err(self.damaged("its filter is cut off"));
        }
        let mut fingerprints = Vec::with_capacity(left);
        for block in blocks {
            let taken = (left - fingerprints.len()).min(BLOCK_BYTES - ROWS_OFFSET);
            fingerprints.extend_from_slice(&self.block(block)?[..taken]);
        }
        let shape = self.contents.header.filter;
        Filter::from_parts(shape, fingerprints)
            .ok_or_else(|| self.damaged("its filter makes no sense"))
    }
}

// Rows of one size.
impl Blocks<'_> {
    /// The row of a section with that index.
    pub(super) fn row<const N: usize>(&mut self, section: Section, row: u32) -> Result<[u8; N]> {
        debug_assert_eq!(section.row_bytes(), Some(N));
        let per_block = rows_per_block(section);
        let blocks = self.contents.header.blocks(section);
        let block = blocks.start + row as usize / per_block;
        if row >= self.rows(section) || block >= blocks.end {
            return Err(self.damaged("a row is missing"));
        }
        let start = row as usize % per_block * N;
        let rows = self.block(block)?;
        let row = rows[start..].first_chunk().expect("whole rows fit");
        Ok(*row)
    }

    /// The first row of a section that is not `before`, among those searched by `fence` and the one behind them.
    /// `before` holds for a first part of the rows.
    pub(super) fn search<const N: usize>(
        &mut self,
        section: Section,
        fence: u64,
        before: impl Fn(&[u8; N]) -> bool,
    ) -> Result<u32> {
        let first = self.contents.header.blocks(section).start;
        let candidates = self.candidates(section, fence);
        let row = |block: usize| ((block - first) * rows_per_block(section)) as u32;
        let end = row(candidates.end).min(self.rows(section));
        self.partition(section, row(candidates.start)..end, before)
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

// Rows that differ in size.
impl Blocks<'_> {
    /// The last block of a section whose first row is not behind what is searched by `fence`.
    pub(super) fn last_candidate(&self, section: Section, fence: u64) -> Option<usize> {
        self.candidates(section, fence).last()
    }

    /// The rows of a block, to be taken one after the other, and how many they are.
    pub(super) fn fields(&mut self, block: usize) -> Result<(u16, Fields<'_>)> {
        let at = self.load(block)?;
        let mut fields = Fields(&self.remembered[at].1);
        let rows = fields.u16().expect("a block is longer");
        Ok((rows, fields))
    }
}
