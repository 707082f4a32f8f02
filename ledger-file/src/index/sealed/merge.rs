//! One index file of many that follow each other: the same rows in the same order, with the offsets and ordinals of all.
//!
//! Every section is read from its first row to its last, block by block, and written as it is read: what stays in memory is
//! a block of each, and the tags of one part of a filter. A question is asked of one file then, and not of each; and what
//! is about the same stream or key, in whatever segment it happened, lies side by side.

use std::io;

use smallvec::SmallVec;

use super::SealedIndex;
use super::blocks::Blocks;
use super::layout::{ROWS_OFFSET, Section};
use super::packed::{self, GROUP};
use super::rows::{change, long, word};
use super::span::{Piece, Span};
use super::writer::{Summary, Writer, words};
use crate::disk::DiskFile;
use crate::format::StreamNumber;
use crate::index::change::ChangeRow;
use crate::index::filter::{Filter, Grain};
use crate::index::hash::{changes_tag, mix, stream_tag};
use crate::index::{IndexError, Means};

/// Indexes that are to be one.
pub(crate) struct Merge<'a> {
    /// Each of one piece of the span, in their order.
    pub(crate) members: &'a [&'a SealedIndex],
    pub(crate) span: &'a Span,
    /// Asked now and then whether to go on.
    pub(crate) go_on: &'a dyn Fn() -> bool,
}

/// Why indexes were not merged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MergeError {
    /// One of them cannot be read.
    #[error(transparent)]
    Member(#[from] IndexError),
    /// The file cannot be written.
    #[error("the merged index could not be written")]
    File(#[from] io::Error),
    /// It was told not to go on.
    #[error("merging was broken off")]
    BrokenOff,
}

type Result<T> = std::result::Result<T, MergeError>;

/// Between how many rows it is asked whether to go on.
const ROWS_BETWEEN_LOOKS: usize = 4_096;

impl Merge<'_> {
    /// Writes the index of all of the span into the empty `file`, and answers how many bytes that took. Nothing is synced.
    ///
    /// # Errors
    /// What cannot be read or written, and the wish not to go on: the file is of no use then.
    pub(crate) fn write(&self, file: &dyn DiskFile) -> Result<u64> {
        let members = self.members()?;
        let mut merging = Merging {
            go_on: self.go_on,
            writer: Writer::new(file),
            members: &members,
        };
        merging.filter(Grain::Fine)?;
        merging.filter(Grain::Coarse)?;
        merging.packed(Section::Offsets, |nth, _| nth as u64)?;
        merging.packed(Section::Frames, |_, offset| offset.into())?;
        merging.facts(Section::DedupKeys, |member, place| member.ordinal(place))?;
        merging.facts(Section::NameRecords, |member, place| member.offset(place))?;
        merging.facts(Section::CheckpointRecords, |member, place| {
            member.offset(place)
        })?;
        merging.order_keys()?;
        merging.postings()?;
        merging.runs()?;
        merging.changes()?;
        merging.expiring()?;
        merging.names(Section::Names)?;
        merging.names(Section::CheckpointNames)?;
        let bytes = merging.writer.finish(self.summary(&members)?)?;
        Ok(bytes)
    }

    fn members(&self) -> Result<Vec<Member<'_>>> {
        let mut entries = 0u32;
        let mut members = Vec::new();
        for (index, piece) in self.members.iter().zip(self.span.pieces()) {
            let blocks = index.blocks(Means::WAIT.in_passing())?;
            let (here, too_many) = (
                blocks.contents.header.entries,
                blocks.damaged("it has more entries than bytes"),
            );
            members.push(Member {
                index,
                piece: *piece,
                ordinals: entries,
            });
            entries = entries.checked_add(here).ok_or(too_many)?;
        }
        Ok(members)
    }

    fn summary(&self, members: &[Member<'_>]) -> Result<Summary> {
        let (mut entries, mut highest_stream) = (0, StreamNumber(0));
        for member in members {
            let header = &member.blocks()?.contents.header;
            entries = member.ordinal(header.entries);
            highest_stream = highest_stream.max(header.highest_stream);
        }
        Ok(Summary {
            origin: self.span.origin(),
            to: self.span.to(),
            entries,
            highest_stream,
        })
    }
}

/// One of the indexes.
struct Member<'a> {
    index: &'a SealedIndex,
    piece: Piece,
    /// How many entries are in those before.
    ordinals: u32,
}

impl Member<'_> {
    fn blocks(&self) -> Result<Blocks<'_>> {
        Ok(self.index.blocks(Means::WAIT.in_passing())?)
    }

    /// What an ordinal of it is among all.
    fn ordinal(&self, ordinal: u32) -> u32 {
        self.ordinals.wrapping_add(ordinal)
    }

    /// What an offset of it is among all.
    fn offset(&self, offset: u32) -> u32 {
        self.piece.rebased(offset)
    }

    /// Shows `each` the rows of a section.
    fn each<const N: usize>(&self, section: Section, mut each: impl FnMut(&[u8; N])) -> Result<()> {
        let blocks = self.blocks()?;
        let mut left = blocks.rows(section) as usize;
        blocks.read_each(blocks.contents.header.blocks(section), |block| {
            let rows = block[ROWS_OFFSET..].as_chunks().0;
            let rows = &rows[..rows.len().min(left)];
            left -= rows.len();
            rows.iter().for_each(&mut each);
        })?;
        Ok(())
    }

    /// Shows `each` the tags of one grain, in no order; those that several rows in a row have, once.
    fn each_tag(&self, grain: Grain, mut each: impl FnMut(u32)) -> Result<()> {
        let mut last = None;
        let mut each = |tag| {
            if last.replace(tag) != Some(tag) {
                each(tag);
            }
        };
        match grain {
            Grain::Fine => {
                self.each(Section::DedupKeys, |row: &[u8; 8]| each(word(row, 0)))?;
                self.each(Section::NameRecords, |row: &[u8; 8]| each(word(row, 0)))?;
                self.each(Section::CheckpointRecords, |row: &[u8; 8]| {
                    each(word(row, 0));
                })
            }
            Grain::Coarse => {
                let stream = |row: &[u8]| StreamNumber(long(row, 0));
                self.each(Section::OrderKeys, |row: &[u8; 12]| each(word(row, 0)))?;
                self.each(Section::Runs, |row: &[u8; 28]| {
                    each(stream_tag(stream(row)))
                })?;
                self.each(Section::Changes, |row: &[u8; 24]| {
                    each(changes_tag(stream(row)));
                })
            }
        }
    }
}

/// The rows of a section of one index, one after the other.
struct Cursor<'a, const N: usize> {
    nth: usize,
    blocks: Blocks<'a>,
    section: Section,
    next: u32,
    row: Option<[u8; N]>,
}

impl<'a, const N: usize> Cursor<'a, N> {
    fn new(nth: usize, member: &'a Member<'a>, section: Section) -> Result<Self> {
        let mut cursor = Self {
            nth,
            blocks: member.blocks()?,
            section,
            next: 0,
            row: None,
        };
        cursor.advance()?;
        Ok(cursor)
    }

    fn advance(&mut self) -> Result<Option<[u8; N]>> {
        let next = match self.next < self.blocks.rows(self.section) {
            true => Some(self.blocks.row(self.section, self.next)?),
            false => None,
        };
        self.next += 1;
        Ok(std::mem::replace(&mut self.row, next))
    }
}

/// A file that is being made.
struct Merging<'a> {
    go_on: &'a dyn Fn() -> bool,
    writer: Writer<'a>,
    members: &'a [Member<'a>],
}

// Sections whose rows lie one index behind the other.
impl Merging<'_> {
    fn packed(&mut self, section: Section, fence: impl Fn(usize, u32) -> u64) -> Result<()> {
        let (mut group, mut nth) = (Vec::with_capacity(GROUP), 0);
        for member in self.members {
            let mut blocks = member.blocks()?;
            for block in blocks.contents.header.blocks(section) {
                for row in 0..blocks.rows_in(block)? {
                    for offset in blocks.offsets_in(block, row)? {
                        group.push(member.offset(offset));
                        if group.len() == GROUP {
                            self.put_group(section, fence(nth, group[0]), &mut group)?;
                            nth += GROUP;
                        }
                    }
                }
                self.look()?;
            }
        }
        if !group.is_empty() {
            self.put_group(section, fence(nth, group[0]), &mut group)?;
        }
        Ok(self.writer.end_block(section)?)
    }

    fn put_group(&mut self, section: Section, fence: u64, group: &mut Vec<u32>) -> Result<()> {
        let mut row = Vec::new();
        packed::put(group, &mut row);
        group.clear();
        Ok(self.writer.row(section, fence, &row)?)
    }

    fn expiring(&mut self) -> Result<()> {
        let section = Section::Expiring;
        for member in self.members {
            let mut written = Ok(());
            member.each(section, |row: &[u8; 4]| {
                let ordinal = member.ordinal(word(row, 0));
                if written.is_ok() {
                    let row = ordinal.to_le_bytes();
                    written = self.writer.row(section, ordinal.into(), &row);
                }
            })?;
            written?;
        }
        Ok(self.writer.end_block(section)?)
    }

    fn look(&self) -> Result<()> {
        match (self.go_on)() {
            true => Ok(()),
            false => Err(MergeError::BrokenOff),
        }
    }
}

// Filters.
impl Merging<'_> {
    fn filter(&mut self, grain: Grain) -> Result<()> {
        let total = self.count_tags(grain, 0)?[0];
        let part_bits = Filter::part_bits_for(total);
        let counts = self.count_tags(grain, part_bits)?;
        let most = counts.iter().copied().max().unwrap_or_default();
        let filter = Filter::build_in_parts(grain, part_bits, most, |part| {
            self.tags_of_part(grain, part_bits, part)
        })?;
        Ok(self.writer.filter(&filter)?)
    }

    /// How many tags the parts of a filter have at most.
    fn count_tags(&self, grain: Grain, part_bits: u32) -> Result<Vec<usize>> {
        let mut counts = vec![0; 1 << part_bits];
        for member in self.members {
            member.each_tag(grain, |tag| counts[part_of(tag, part_bits)] += 1)?;
            self.look()?;
        }
        Ok(counts)
    }

    fn tags_of_part(&self, grain: Grain, part_bits: u32, part: u32) -> Result<Vec<u32>> {
        let mut tags = Vec::new();
        for member in self.members {
            member.each_tag(grain, |tag| {
                if part_of(tag, part_bits) == part as usize {
                    tags.push(tag);
                }
            })?;
            self.look()?;
        }
        tags.sort_unstable();
        tags.dedup();
        Ok(tags)
    }
}

/// To which part of a filter a tag belongs.
fn part_of(tag: u32, part_bits: u32) -> usize {
    (u64::from(tag) << part_bits >> u32::BITS) as usize
}

// Sections that are sorted.
impl<'a> Merging<'a> {
    /// Writes the rows of all indexes by their keys; those of one key are shown index by index, as the keys say.
    fn sorted<const N: usize, K: Ord>(
        &mut self,
        section: Section,
        key: impl Fn(&Member<'_>, &[u8; N], usize) -> K,
        mut put: impl FnMut(&mut Writer<'_>, &Member<'_>, [u8; N]) -> Result<()>,
    ) -> Result<()> {
        let mut cursors = self.cursors::<N>(section)?;
        for count in 1.. {
            let heads = cursors.iter_mut().filter_map(|cursor| {
                let row = cursor.row.as_ref()?;
                let key = key(&self.members[cursor.nth], row, cursor.nth);
                Some((key, cursor))
            });
            let Some((_, first)) = heads.min_by(|(one, _), (other, _)| one.cmp(other)) else {
                break;
            };
            if let Some(row) = first.advance()? {
                put(&mut self.writer, &self.members[first.nth], row)?;
            }
            if count % ROWS_BETWEEN_LOOKS == 0 {
                self.look()?;
            }
        }
        Ok(())
    }

    fn cursors<const N: usize>(&self, section: Section) -> Result<Vec<Cursor<'a, N>>> {
        let members: &'a [Member<'a>] = self.members;
        let members = members.iter().enumerate();
        members
            .map(|(nth, member)| Cursor::new(nth, member, section))
            .collect()
    }

    /// Writes facts by their tags, the newest first.
    fn facts(&mut self, section: Section, place: impl Fn(&Member<'_>, u32) -> u32) -> Result<()> {
        self.sorted(
            section,
            |_, row: &[u8; 8], nth| (word(row, 0), std::cmp::Reverse(nth)),
            |writer, member, row| {
                let (tag, place) = (word(&row, 0), place(member, word(&row, 4)));
                Ok(writer.row(section, tag.into(), &words(&[tag, place]))?)
            },
        )?;
        Ok(self.writer.end_block(section)?)
    }

    fn runs(&mut self) -> Result<()> {
        let section = Section::Runs;
        let fence = |row: &[u8; 28]| mix(long(row, 0));
        self.sorted(
            section,
            |_, row: &[u8; 28], nth| (fence(row), nth),
            |writer, member, mut row| {
                let (ordinal, count, record) = (word(&row, 16), word(&row, 20), word(&row, 24));
                let there = [member.ordinal(ordinal), count, member.offset(record)];
                row[16..].copy_from_slice(&words(&there));
                Ok(writer.row(section, fence(&row), &row)?)
            },
        )?;
        Ok(self.writer.end_block(section)?)
    }

    /// Writes what was said last about each topic.
    fn changes(&mut self) -> Result<()> {
        let section = Section::Changes;
        let mut last: Option<(ChangeRow, [u8; 24])> = None;
        let put_last = |writer: &mut Writer<'_>, last: Option<(ChangeRow, [u8; 24])>| match last {
            Some((change, row)) => writer.row(section, change.stream.0, &row),
            None => Ok(()),
        };
        self.sorted(
            section,
            |member, row: &[u8; 24], _| rebased(member, row),
            |writer, member, mut row| {
                let unknown = member.blocks()?.damaged("a change is of no known kind");
                let change = rebased(member, &row).ok_or(unknown)?;
                row[20..].copy_from_slice(&change.offset.to_le_bytes());
                let before = last.replace((change, row));
                let before = before.filter(|(before, _)| !before.is_replaced_by(&change));
                Ok(put_last(writer, before)?)
            },
        )?;
        put_last(&mut self.writer, last)?;
        Ok(self.writer.end_block(section)?)
    }
}

fn rebased(member: &Member<'_>, row: &[u8; 24]) -> Option<ChangeRow> {
    let change = change(row)?;
    Some(ChangeRow {
        offset: member.offset(change.offset),
        ..change
    })
}

/// The list of an order key in one index: which, where, and how many.
type Part = (usize, u32, u32);

/// The lists of all order keys, ascending.
struct Lists<'a> {
    cursors: Vec<Cursor<'a, 12>>,
}

impl Lists<'_> {
    /// The next order key, with its list in each index that has it.
    fn next(&mut self) -> Result<Option<(u32, SmallVec<[Part; 8]>)>> {
        let tags = self.cursors.iter().filter_map(|it| it.row.as_ref());
        let Some(tag) = tags.map(|row| word(row, 0)).min() else {
            return Ok(None);
        };
        let mut parts = SmallVec::new();
        for cursor in &mut self.cursors {
            if let Some(row) = cursor.row
                && word(&row, 0) == tag
            {
                parts.push((cursor.nth, word(&row, 4), word(&row, 8)));
                cursor.advance()?;
            }
        }
        Ok(Some((tag, parts)))
    }
}

// Order keys.
impl Merging<'_> {
    fn order_keys(&mut self) -> Result<()> {
        let mut start = 0u32;
        self.each_list(|merging, tag, parts| {
            let too_many = || merging.members[0].too_many();
            let counts = parts.iter().map(|(.., count)| *count);
            let count = { counts }.try_fold(0u32, u32::checked_add);
            let count = count.map_or_else(|| Err(too_many()), Ok)?;
            let place = match (parts, count) {
                ([(nth, ordinal, _)], 1) => merging.members[*nth].ordinal(*ordinal),
                _ => start,
            };
            if count > 1 {
                start = start
                    .checked_add(count)
                    .map_or_else(|| Err(too_many()), Ok)?;
            }
            let row = words(&[tag, place, count]);
            Ok(merging.writer.row(Section::OrderKeys, tag.into(), &row)?)
        })?;
        Ok(self.writer.end_block(Section::OrderKeys)?)
    }

    fn postings(&mut self) -> Result<()> {
        let members = self.members;
        let mut rows: Vec<Blocks<'_>> =
            members.iter().map(Member::blocks).collect::<Result<_>>()?;
        self.each_list(|merging, _, parts| {
            if let [(.., 1)] = parts {
                return Ok(());
            }
            for (nth, place, count) in parts {
                let (member, rows) = (&members[*nth], &mut rows[*nth]);
                for row in 0..*count {
                    let ordinal = match count {
                        1 => *place,
                        _ => {
                            let row = place.saturating_add(row);
                            word(&rows.row::<4>(Section::Postings, row)?, 0)
                        }
                    };
                    let row = member.ordinal(ordinal).to_le_bytes();
                    merging.writer.row(Section::Postings, 0, &row)?;
                }
            }
            Ok(())
        })?;
        Ok(self.writer.end_block(Section::Postings)?)
    }

    fn each_list(
        &mut self,
        mut each: impl FnMut(&mut Self, u32, &[Part]) -> Result<()>,
    ) -> Result<()> {
        let mut lists = Lists {
            cursors: self.cursors(Section::OrderKeys)?,
        };
        for count in 1.. {
            let Some((tag, parts)) = lists.next()? else {
                break;
            };
            each(self, tag, &parts)?;
            if count % ROWS_BETWEEN_LOOKS == 0 {
                self.look()?;
            }
        }
        Ok(())
    }
}

impl Member<'_> {
    fn too_many(&self) -> MergeError {
        let origin = self.index.origin();
        let reason = "it has more rows than it can have";
        IndexError::Damaged { origin, reason }.into()
    }
}

// Names.
impl Merging<'_> {
    /// Writes names in byte order, each once.
    fn names(&mut self, section: Section) -> Result<()> {
        let mut cursors = Vec::new();
        for member in self.members {
            cursors.push(NameCursor::new(member, section)?);
        }
        for count in 1.. {
            let names = cursors.iter().filter_map(|cursor| cursor.name.as_ref());
            let Some(name) = names.min().cloned() else {
                break;
            };
            for cursor in &mut cursors {
                if cursor.name.as_ref() == Some(&name) {
                    cursor.advance()?;
                }
            }
            let len = (name.len() as u16).to_le_bytes();
            self.writer
                .row(section, 0, &[&len, name.as_slice()].concat())?;
            if count % ROWS_BETWEEN_LOOKS == 0 {
                self.look()?;
            }
        }
        Ok(self.writer.end_block(section)?)
    }
}

/// The most bytes of a name, with the number of its stream before it.
const NAME_BYTES_MAX: usize = 1 << 10;

/// The names of one index, one after the other.
struct NameCursor<'a> {
    blocks: Blocks<'a>,
    left: std::ops::Range<usize>,
    row: usize,
    name: Option<Vec<u8>>,
}

impl<'a> NameCursor<'a> {
    fn new(member: &'a Member<'a>, section: Section) -> Result<Self> {
        let blocks = member.blocks()?;
        let mut cursor = Self {
            left: blocks.contents.header.blocks(section),
            blocks,
            row: 0,
            name: None,
        };
        cursor.advance()?;
        Ok(cursor)
    }

    fn advance(&mut self) -> Result<()> {
        self.name = None;
        while let Some(block) = self.left.clone().next() {
            if self.row < self.blocks.rows_in(block)? {
                let name = self.blocks.name(block, self.row)?.to_vec();
                if name.len() > NAME_BYTES_MAX {
                    return Err(self
                        .blocks
                        .damaged("a name is longer than it can be")
                        .into());
                }
                self.name = Some(name);
                self.row += 1;
                break;
            }
            self.left.start += 1;
            self.row = 0;
        }
        Ok(())
    }
}
