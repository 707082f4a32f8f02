//! The blocks of an index file, each checked when it is read.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use smallvec::SmallVec;

use super::directory::{Cut, Guards};
use super::layout::{
    BLOCK_BYTES, Directory, FILTERS, Header, ROWS_OFFSET, START_BYTES, block_offset,
};
use super::parts::Parts;
use super::recent::Recent;
use super::rows::FirstRun;
use super::sections::Section;
use super::writer::FINGERPRINTS_OF_A_ROW;
use crate::disk::{Cached, DiskFile, FileMap, Patience, read_exact_at};
use crate::fault::{Mistake, is_planted};
use crate::index::filter::{Filter, Grain};
use crate::index::{IndexError, Means, Origin};
use crate::memory::Memory;
use crate::sync::plain::OnceLock;

/// A checked block.
type Block = Arc<[u8; BLOCK_BYTES]>;

pub(super) type Result<T> = std::result::Result<T, IndexError>;

/// The header of a file, and what else of it is in memory.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) header: Header,
    pub(super) directory: Parts,
    file_bytes: u64,
    /// None: it cannot be mapped.
    pub(super) map: OnceLock<Option<FileMap>>,
    cached: Cached,
    /// A bit for each block: whether it was found to be right in the map.
    checked: Vec<AtomicU32>,
    /// Of each grain.
    pub(super) filters: [OnceLock<Filter>; FILTERS],
    /// The blocks used last: all that point reads of plain records need, and 128 KiB at most.
    blocks: Recent<Block, 32>,
    /// The first runs of the streams asked for last; none of one that has no entry here.
    pub(super) first_runs: Recent<Option<FirstRun>, 8>,
}

impl Contents {
    /// Reads what an index file begins with. The directory of one of the format before is read, too.
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
        let mut bytes = vec![0; BLOCK_BYTES];
        read_exact_at(file, &mut bytes, 0, patience).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => damaged("it is missing"),
            io::ErrorKind::UnexpectedEof => damaged("it is cut off"),
            _ => error.into(),
        })?;
        let file_bytes = file.len()?;
        let (header, directory) = Header::decode(&bytes).map_err(damaged)?;
        let is_ours = (header.origin, header.to) == (origin, to);
        if !is_ours && !is_planted(Mistake::IndexOriginIgnored) {
            return Err(damaged("it is the index of something else"));
        }
        let blocks = header.blocks_total();
        if directory.end(blocks) != file_bytes {
            return Err(damaged("it is not as long as it was"));
        }
        let directory = match directory {
            Directory::InParts(root) => Parts::unread(Cut::of(blocks), root),
            Directory::Whole(checksum) => {
                let mut bytes = vec![0; (file_bytes - block_offset(blocks as u64)) as usize];
                read_exact_at(file, &mut bytes, block_offset(blocks as u64), patience)?;
                if !matches(&bytes, checksum) {
                    return Err(damaged("its directory does not match its checksum"));
                }
                Parts::whole(Cut::of(blocks), &Guards::decode(&bytes, blocks))
            }
        };
        Ok(Self {
            header,
            directory,
            file_bytes,
            map: OnceLock::new(),
            cached: Cached::default(),
            checked: (0..blocks.div_ceil(BITS))
                .map(|_| AtomicU32::new(0))
                .collect(),
            filters: [const { OnceLock::new() }; FILTERS],
            blocks: Recent::default(),
            first_runs: Recent::default(),
        })
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let filters = self.filters.iter().filter_map(OnceLock::get);
        let filters: usize = filters.map(|it| it.fingerprints().len()).sum();
        let directory = self.directory.heap_bytes() + self.checked.len() * size_of::<u32>();
        filters + directory + self.blocks.len() * BLOCK_BYTES
    }
}

/// How many blocks share a word of `checked`.
const BITS: usize = u32::BITS as usize;

impl Contents {
    /// Whether a block was found to be right in the map.
    pub(super) fn was_right(&self, index: usize) -> bool {
        let word = self.checked.get(index / BITS);
        word.is_some_and(|word| word.load(Ordering::Relaxed) >> (index % BITS) & 1 == 1)
    }

    fn note_right(&self, index: usize) {
        self.checked[index / BITS].fetch_or(1 << (index % BITS), Ordering::Relaxed);
    }

    /// The file as memory, if that is wanted and can be. It was found to be as long as its header says, and never
    /// changes.
    fn map_if(&self, means: Means, file: &dyn DiskFile) -> Option<&FileMap> {
        if !means.may_map {
            return None;
        }
        let map = self.map.get_or_init(|| {
            let map = file.map(self.file_bytes);
            map.map(|map| map.map(FileMap::here_and_there))
                .unwrap_or_else(|error| {
                    let segment = self.header.origin.segment;
                    tracing::debug!(segment, %error, "an index cannot be mapped, and is read");
                    None
                })
        });
        map.as_ref()
    }
}

fn matches(bytes: &[u8], checksum: u32) -> bool {
    crc_fast::crc32_iscsi(bytes) == checksum || is_planted(Mistake::IndexChecksumIgnored)
}

/// The blocks of one file during one look-up, which has those at hand that it used last.
#[derive(Debug)]
pub(super) struct Blocks<'a> {
    pub(super) contents: &'a Contents,
    pub(super) file: &'a dyn DiskFile,
    means: Means,
    at_hand: SmallVec<[(usize, Block); AT_HAND]>,
    /// Which of those at hand is put aside next.
    oldest: usize,
    /// The block that was last found to be one to look at without waiting.
    not_waited_for: Option<usize>,
}

/// How many blocks are read by one call, where many in a row are wanted.
const BLOCKS_AT_ONCE: usize = 16;

/// A look-up goes along in three or four sections at most.
const AT_HAND: usize = 4;

impl<'a> Blocks<'a> {
    pub(super) fn new(contents: &'a Contents, file: &'a dyn DiskFile, means: Means) -> Self {
        Self {
            contents,
            file,
            means,
            at_hand: SmallVec::new(),
            oldest: 0,
            not_waited_for: None,
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

    /// Has a block at hand.
    pub(super) fn block(&mut self, index: usize) -> Result<&[u8; BLOCK_BYTES]> {
        if self.need_not_wait(index)
            && let Some(block) = self.mapped(index)?
        {
            return Ok(block);
        }
        let mut at_hand = self.at_hand.iter();
        let place = match at_hand.position(|(other, _)| *other == index) {
            Some(place) => place,
            None => self.fetch(index)?,
        };
        Ok(&self.at_hand[place].1)
    }

    /// Whether a block may be looked at in the map by whoever asks.
    fn need_not_wait(&mut self, index: usize) -> bool {
        if self.means.patience == Patience::Wait || self.not_waited_for == Some(index) {
            return true;
        }
        let start = block_offset(index as u64);
        let is_cached = self.contents.cached.has(start..start + BLOCK_BYTES as u64);
        if is_cached {
            self.not_waited_for = Some(index);
        }
        is_cached
    }

    /// A block in the map, if there is one: checked when it is looked at first.
    fn mapped(&self, index: usize) -> Result<Option<&'a [u8; BLOCK_BYTES]>> {
        let contents = self.contents;
        let Some(map) = contents.map_if(self.means, self.file) else {
            return Ok(None);
        };
        let start = block_offset(index as u64) as usize;
        let bytes = map.bytes(start..start + BLOCK_BYTES);
        let Some(block) = bytes.and_then(|bytes| bytes.first_chunk()) else {
            return Err(self.damaged("a block is missing"));
        };
        if !contents.was_right(index) {
            if !matches(block, self.checksum(index)?) {
                return Err(self.damaged("a block does not match its checksum"));
            }
            contents.note_right(index);
        }
        Ok(Some(block))
    }

    /// Takes a block from memory or the file, and tells where it is at hand.
    fn fetch(&mut self, index: usize) -> Result<usize> {
        let block = match self.contents.blocks.get(index as u64) {
            Some(block) => block,
            None => {
                let block = self.read(index)?;
                if self.means.keeps {
                    self.contents.blocks.put(index as u64, Arc::clone(&block));
                }
                block
            }
        };
        if self.at_hand.len() < AT_HAND {
            self.at_hand.push((index, block));
            return Ok(self.at_hand.len() - 1);
        }
        let place = self.oldest;
        self.at_hand[place] = (index, block);
        self.oldest = (place + 1) % AT_HAND;
        Ok(place)
    }

    /// Reads a block from the file and checks it.
    pub(super) fn read(&self, index: usize) -> Result<Block> {
        let checksum = self.checksum(index)?;
        let mut block = Arc::new([0; BLOCK_BYTES]);
        let bytes = Arc::get_mut(&mut block).expect("nobody else has it yet");
        let start = block_offset(index as u64);
        read_exact_at(self.file, bytes, start, self.means.patience)?;
        if self.means.patience == Patience::Now && self.means.may_map {
            let range = start..start + BLOCK_BYTES as u64;
            self.contents.cached.note(range, self.contents.file_bytes);
        }
        match matches(bytes, checksum) {
            true => Ok(block),
            false => Err(self.damaged("a block does not match its checksum")),
        }
    }

    /// Shows `each` some blocks in a row, checked: many of them are read by one call.
    pub(super) fn read_each(
        &self,
        blocks: Range<usize>,
        mut each: impl FnMut(&[u8; BLOCK_BYTES]),
    ) -> Result<()> {
        let mut buf = vec![0; blocks.len().min(BLOCKS_AT_ONCE) * BLOCK_BYTES];
        for start in blocks.clone().step_by(BLOCKS_AT_ONCE) {
            let some = start..blocks.end.min(start + BLOCKS_AT_ONCE);
            let buf = &mut buf[..some.len() * BLOCK_BYTES];
            read_exact_at(
                self.file,
                buf,
                block_offset(start as u64),
                self.means.patience,
            )?;
            for (block, index) in buf.as_chunks().0.iter().zip(some) {
                if !matches(block, self.checksum(index)?) {
                    return Err(self.damaged("a block does not match its checksum"));
                }
                each(block);
            }
        }
        Ok(())
    }

    /// Reads the whole filter of one grain.
    pub(super) fn filter(&self, grain: Grain) -> Result<Filter> {
        let extent = self.contents.header.filters[grain as usize];
        let bytes = extent.bytes as usize;
        let blocks = self.contents.header.blocks(grain.into());
        if bytes > blocks.len() * FINGERPRINTS_OF_A_ROW {
            return Err(self.damaged("its filter is cut off"));
        }
        let mut fingerprints = Memory::zeroed(bytes);
        let mut rows = fingerprints.chunks_mut(FINGERPRINTS_OF_A_ROW);
        self.read_each(blocks, |block| {
            if let Some(row) = rows.next() {
                row.copy_from_slice(&block[ROWS_OFFSET..][..row.len()]);
            }
        })?;
        let filter = Filter::from_parts(grain, extent.shape, fingerprints);
        filter.ok_or_else(|| self.damaged("its filter makes no sense"))
    }
}

// The directory.
impl<'a> Blocks<'a> {
    /// A part of the directory: read when it is needed first, and kept.
    #[inline]
    pub(super) fn part(&self, part: usize) -> Result<&'a Guards> {
        match self.contents.directory.get(part) {
            Some(guards) => Ok(guards),
            None => self.read_part(part),
        }
    }

    #[cold]
    fn read_part(&self, part: usize) -> Result<&'a Guards> {
        let directory = &self.contents.directory;
        let Some(checksum) = directory.root.checksums.get(part) else {
            return Err(self.damaged("a block is missing"));
        };
        let place = directory.cut.bytes_of(part..part + 1);
        let mut bytes = vec![0; (place.end - place.start) as usize];
        read_exact_at(self.file, &mut bytes, place.start, self.means.patience)?;
        if !matches(&bytes, *checksum) {
            return Err(self.damaged("its directory does not match its checksum"));
        }
        Ok(directory.keep(part, directory.cut.decode(part, &bytes)))
    }

    /// CRC-32C of a block.
    fn checksum(&self, block: usize) -> Result<u32> {
        let cut = self.contents.directory.cut;
        let part = cut.part_of(block);
        let place = block - cut.blocks_of(part).start;
        let checksum = self.part(part)?.checksums.get(place);
        checksum
            .copied()
            .ok_or_else(|| self.damaged("a block is missing"))
    }
}

// Rows that differ in size.
impl Blocks<'_> {
    /// How many rows a block has.
    pub(super) fn rows_in(&mut self, block: usize) -> Result<usize> {
        let rows = u16_at(self.block(block)?, 0).unwrap_or_default();
        Ok(rows.into())
    }

    /// What begins with a row of a block.
    pub(super) fn row_in(&mut self, block: usize, row: usize) -> Result<&[u8]> {
        let missing = self.damaged("a row is missing");
        let bytes = self.block(block)?;
        let start = BLOCK_BYTES.checked_sub(START_BYTES * (row + 1));
        let start = start.and_then(|place| u16_at(bytes, place));
        start
            .and_then(|start| bytes.get(usize::from(start)..))
            .ok_or(missing)
    }
}

fn u16_at(bytes: &[u8], start: usize) -> Option<u16> {
    let bytes = bytes.get(start..)?.first_chunk()?;
    Some(u16::from_le_bytes(*bytes))
}
