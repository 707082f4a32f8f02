//! Writing an index into a file: once, from its first byte to its last, the header at the end.

use std::io;

use smallvec::SmallVec;

use super::super::Origin;
use super::super::active::ActiveIndex;
use super::super::column::Column;
use super::super::filter::{Filter, Grain};
use super::super::hash::{changes_tag, mix};
use super::super::latest::Latest;
use super::super::names::Names;
use super::super::postings::Posting;
use super::super::runs::Run;
use super::directory::{Cut, Guard};
use super::layout::{
    BLOCK_BYTES, FILTERS, FilterExtent, Header, ROWS_OFFSET, START_BYTES, block_offset,
};
use super::packed;
use super::sections::{Extent, SECTIONS, Section, Sections};
use crate::disk::{DiskFile, write_all_at};
use crate::format::StreamNumber;

/// Writes what `index` holds, which ends at the offset `to` of its segment, into the empty `file`, and answers how many
/// bytes that took. Nothing is synced.
///
/// # Errors
/// Those of the file.
pub(crate) fn write(index: &ActiveIndex, to: u32, file: &dyn DiskFile) -> io::Result<u64> {
    let mut writer = Writer::new(file);
    writer.filter(&Filter::build(Grain::Fine, || fine_tags(index)))?;
    writer.filter(&Filter::build(Grain::Coarse, || coarse_tags(index)))?;
    writer.places(Section::DedupKeys, index.dedup_keys.iter())?;
    writer.places(Section::NameRecords, index.name_records.iter())?;
    writer.places(Section::CheckpointRecords, index.checkpoint_records.iter())?;
    writer.order_keys(index)?;
    writer.postings(index)?;
    let offsets = index.offsets.pieces();
    writer.packed(Section::Offsets, offsets, |ordinal, _| ordinal as u64)?;
    let frames = [index.frames.as_slice()].into_iter();
    writer.packed(Section::Frames, frames, |_, offset| offset.into())?;
    writer.runs(index)?;
    writer.changes(index)?;
    writer.expiring(&index.expiring)?;
    writer.names(Section::Names, &index.names, |_| Vec::new())?;
    writer.names(Section::CheckpointNames, &index.checkpoint_names, prefix)?;
    writer.finish(Summary {
        origin: index.origin,
        to,
        entries: index.entries(),
        highest_stream: index.highest_stream(),
    })
}

/// What names of checkpoints of `stream` begin with: in byte order the order of the numbers.
pub(super) fn prefix(stream: StreamNumber) -> Vec<u8> {
    stream.0.to_be_bytes().into()
}

/// What may be looked for by a tag, and is usually nowhere.
fn fine_tags(index: &ActiveIndex) -> impl Iterator<Item = u32> {
    let records = [&index.name_records, &index.checkpoint_records];
    // A dedup key has one place, unless it expired; a checkpoint that was saved often has many.
    let keys = index.dedup_keys.tags();
    keys.chain(records.into_iter().flat_map(Latest::tags))
}

/// What may be looked for by a tag, and has many entries.
fn coarse_tags(index: &ActiveIndex) -> impl Iterator<Item = u32> {
    let mut last = None;
    let streams = index.changes.iter().map(|row| row.stream);
    let changed = streams.filter(move |stream| last.replace(*stream) != Some(*stream));
    let lists = index.order_keys.tags().chain(index.runs_by_stream.tags());
    lists.chain(changed.map(changes_tag))
}

/// One block is one row of the filter.
pub(super) const FINGERPRINTS_OF_A_ROW: usize = BLOCK_BYTES - ROWS_OFFSET - START_BYTES;

/// What a header says of the whole.
pub(super) struct Summary {
    pub(super) origin: Origin,
    pub(super) to: u32,
    pub(super) entries: u32,
    pub(super) highest_stream: StreamNumber,
}

/// A file as far as it is written.
pub(super) struct Writer<'a> {
    file: &'a dyn DiskFile,
    /// Whole blocks that are still to be written, and behind them the one that is being filled.
    buffer: Vec<u8>,
    /// Where the block that is being filled begins in `buffer`.
    block: usize,
    written: u64,
    /// Where the rows of the block begin in it.
    starts: Vec<u16>,
    /// Of the blocks; that of the block that is being filled has no checksum yet.
    directory: Vec<Guard>,
    filters: [FilterExtent; FILTERS],
    sections: [Extent; SECTIONS],
}

/// How much is written at once.
const BUFFER_BYTES: usize = 64 * BLOCK_BYTES;

impl<'a> Writer<'a> {
    pub(super) fn new(file: &'a dyn DiskFile) -> Self {
        Self {
            file,
            buffer: Vec::with_capacity(BUFFER_BYTES + BLOCK_BYTES),
            block: 0,
            written: block_offset(0),
            starts: Vec::new(),
            directory: Vec::new(),
            filters: [FilterExtent::default(); FILTERS],
            sections: [Extent::default(); SECTIONS],
        }
    }

    /// Appends a row to a section; `fence` is what it is searched by.
    pub(super) fn row(&mut self, section: Section, fence: u64, row: &[u8]) -> io::Result<()> {
        let start_bytes = match section.row_bytes() {
            Some(_) => 0,
            None => START_BYTES,
        };
        let taken = self.buffer.len() - self.block + start_bytes * self.starts.len();
        if !self.starts.is_empty() && taken + row.len() + start_bytes > BLOCK_BYTES {
            self.end_block(section)?;
        }
        if self.starts.is_empty() {
            self.buffer.extend_from_slice(&[0; ROWS_OFFSET]);
            self.directory.push(Guard { fence, checksum: 0 });
            self.sections[section as usize].blocks += 1;
        }
        self.starts.push((self.buffer.len() - self.block) as u16);
        self.buffer.extend_from_slice(row);
        self.sections[section as usize].rows += 1;
        Ok(())
    }

    /// Ends the block that is being filled, if there is one. Every section ends with its block.
    pub(super) fn end_block(&mut self, section: Section) -> io::Result<()> {
        if self.starts.is_empty() {
            return Ok(());
        }
        debug_assert!(self.buffer.len() - self.block <= BLOCK_BYTES, "a row fits");
        self.buffer.resize(self.block + BLOCK_BYTES, 0);
        let block = &mut self.buffer[self.block..];
        block[..ROWS_OFFSET].copy_from_slice(&(self.starts.len() as u16).to_le_bytes());
        if section.row_bytes().is_none() {
            for (place, start) in block.rchunks_exact_mut(START_BYTES).zip(&self.starts) {
                place.copy_from_slice(&start.to_le_bytes());
            }
        }
        if let Some(guard) = self.directory.last_mut() {
            guard.checksum = crc_fast::crc32_iscsi(block);
        }
        self.block = self.buffer.len();
        self.starts.clear();
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        write_all_at(self.file, &self.buffer, self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        self.block = 0;
        Ok(())
    }

    /// Writes the directory, and the header that makes the file one. Answers how many bytes it has.
    pub(super) fn finish(mut self, summary: Summary) -> io::Result<u64> {
        self.flush()?;
        let cut = Cut::of(self.directory.len());
        let (directory, root) = cut.encode(&self.directory);
        write_all_at(self.file, &directory, self.written)?;
        let header = Header {
            origin: summary.origin,
            to: summary.to,
            entries: summary.entries,
            highest_stream: summary.highest_stream,
            filters: self.filters,
            sections: Sections::of(self.sections),
        };
        write_all_at(self.file, &header.encode(&root), 0)?;
        Ok(cut.end())
    }
}

// The sections.
impl Writer<'_> {
    /// Writes the filter of one grain.
    pub(super) fn filter(&mut self, filter: &Filter) -> io::Result<()> {
        let grain = filter.grain();
        self.filters[grain as usize] = FilterExtent {
            shape: filter.shape(),
            bytes: filter.fingerprints().len() as u32,
        };
        for row in filter.fingerprints().chunks(FINGERPRINTS_OF_A_ROW) {
            self.row(grain.into(), 0, row)?;
        }
        self.end_block(grain.into())
    }

    /// Writes offsets, which come in whole groups but for the last.
    fn packed<'o>(
        &mut self,
        section: Section,
        offsets: impl Iterator<Item = &'o [u32]>,
        fence: impl Fn(usize, u32) -> u64,
    ) -> io::Result<()> {
        const { assert!(Column::<u32>::PIECE.is_multiple_of(packed::GROUP)) };
        let mut row = Vec::new();
        let groups = offsets.flat_map(|piece| piece.chunks(packed::GROUP));
        for (index, group) in groups.enumerate() {
            row.clear();
            packed::put(group, &mut row);
            self.row(section, fence(index * packed::GROUP, group[0]), &row)?;
        }
        self.end_block(section)
    }

    fn places(
        &mut self,
        section: Section,
        places: impl Iterator<Item = (u32, u32)>,
    ) -> io::Result<()> {
        for (tag, place) in places {
            let row = u64::from(place) << 32 | u64::from(tag);
            self.row(section, tag.into(), &row.to_le_bytes())?;
        }
        self.end_block(section)
    }

    fn order_keys(&mut self, index: &ActiveIndex) -> io::Result<()> {
        let mut start = 0;
        for (tag, posting) in index.order_keys.iter() {
            self.row(Section::OrderKeys, tag.into(), &words(&[tag, start]))?;
            start += posting.len() as u32;
        }
        self.end_block(Section::OrderKeys)
    }

    fn postings(&mut self, index: &ActiveIndex) -> io::Result<()> {
        for (_, posting) in index.order_keys.iter() {
            for ordinal in posting.iter() {
                let offset = index.offsets[ordinal as usize];
                self.row(Section::Postings, 0, &words(&[ordinal, offset]))?;
            }
        }
        self.end_block(Section::Postings)
    }

    /// Writes the runs by the hashes of their streams, of which the table knows the upper half.
    fn runs(&mut self, index: &ActiveIndex) -> io::Result<()> {
        let mut lists = index.runs_by_stream.iter().peekable();
        while let Some((tag, list)) = lists.next() {
            let mut same_tag = vec![list];
            while let Some((_, list)) = lists.next_if(|(other, _)| *other == tag) {
                same_tag.push(list);
            }
            same_tag.sort_by_key(|list| list.iter().next().map(|run| hash_of(index, run)));
            for list in &same_tag {
                self.runs_of_stream(index, list)?;
            }
        }
        self.end_block(Section::Runs)
    }

    fn runs_of_stream(&mut self, index: &ActiveIndex, list: &Posting<'_>) -> io::Result<()> {
        for number in list.iter() {
            let (run, count) = index.run_and_count(number);
            let row = run_row(run, count);
            self.row(Section::Runs, mix(run.stream.0), &row)?;
        }
        Ok(())
    }

    /// Writes what was said last about each topic.
    fn changes(&mut self, index: &ActiveIndex) -> io::Result<()> {
        let mut rows = index.changes.iter().peekable();
        while let Some(change) = rows.next() {
            if rows.peek().is_some_and(|next| change.is_replaced_by(next)) {
                continue;
            }
            let mut row = [0; 24];
            row[..8].copy_from_slice(&change.stream.0.to_le_bytes());
            row[8..16].copy_from_slice(&change.id.to_le_bytes());
            row[16..].copy_from_slice(&words(&[change.topic as u32, change.offset]));
            self.row(Section::Changes, change.stream.0, &row)?;
        }
        self.end_block(Section::Changes)
    }

    fn expiring(&mut self, ordinals: &[u32]) -> io::Result<()> {
        for ordinal in ordinals {
            let row = ordinal.to_le_bytes();
            self.row(Section::Expiring, (*ordinal).into(), &row)?;
        }
        self.end_block(Section::Expiring)
    }

    fn names(
        &mut self,
        section: Section,
        names: &Names,
        prefix: impl Fn(StreamNumber) -> Vec<u8>,
    ) -> io::Result<()> {
        let mut row = Vec::new();
        for row_index in names.sorted() {
            let (stream, name) = names.get(row_index);
            let prefix = prefix(stream);
            row.clear();
            row.extend_from_slice(&((prefix.len() + name.len()) as u16).to_le_bytes());
            row.extend_from_slice(&prefix);
            row.extend_from_slice(name);
            self.row(section, 0, &row)?;
        }
        self.end_block(section)
    }
}

fn hash_of(index: &ActiveIndex, run: u32) -> u64 {
    mix(index.run_and_count(run).0.stream.0)
}

fn run_row(run: Run, count: u32) -> [u8; 28] {
    let mut row = [0; 28];
    row[..8].copy_from_slice(&run.stream.0.to_le_bytes());
    row[8..16].copy_from_slice(&run.first_id.to_le_bytes());
    row[16..].copy_from_slice(&words(&[run.ordinal, count, run.record]));
    row
}

/// Words as they stand in a file.
pub(super) fn words(words: &[u32]) -> SmallVec<[u8; 24]> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
