//! One of the indexes that are merged, and walks along its rows.

use std::ops::RangeInclusive;

use super::Result;
use crate::format::StreamNumber;
use crate::index::filter::Grain;
use crate::index::hash::{changes_tag, stream_tag};
use crate::index::sealed::SealedIndex;
use crate::index::sealed::blocks::Blocks;
use crate::index::sealed::merge::MergeError;
use crate::index::sealed::rows::{long, word};
use crate::index::sealed::sections::Section;
use crate::index::sealed::span::Piece;
use crate::index::{IndexError, Means};

/// One of the indexes.
pub(super) struct Member<'a> {
    pub(super) index: &'a SealedIndex,
    pub(super) piece: Piece,
    /// How many entries are in those before.
    pub(super) ordinals: u32,
}

impl Member<'_> {
    pub(super) fn blocks(&self) -> Result<Blocks<'_>> {
        Ok(self.index.blocks(Means::WAIT.in_passing())?)
    }

    /// Says what is wrong with it.
    pub(super) fn damaged(&self, reason: &'static str) -> MergeError {
        let origin = self.index.origin();
        IndexError::Damaged { origin, reason }.into()
    }

    /// What an ordinal of it is among all.
    pub(super) fn ordinal(&self, ordinal: u32) -> u32 {
        self.ordinals.wrapping_add(ordinal)
    }

    /// What an offset of it is among all.
    pub(super) fn offset(&self, offset: u32) -> u32 {
        self.piece.rebased(offset)
    }

    /// Shows `each` the rows of a section.
    pub(super) fn each<const N: usize>(
        &self,
        section: Section,
        each: impl FnMut(&[u8; N]),
    ) -> Result<()> {
        let blocks = self.blocks()?;
        Ok(blocks.each_row(section, 0..blocks.rows(section), each)?)
    }

    /// Shows `each` those of some tags that a section has which is sorted by them.
    fn each_sorted<const N: usize>(
        &self,
        section: Section,
        tags: &RangeInclusive<u32>,
        mut each: impl FnMut(u32),
    ) -> Result<()> {
        let mut blocks = self.blocks()?;
        let (first, last) = (*tags.start(), *tags.end());
        let start = blocks.search(section, first.into(), |row: &[u8; N]| word(row, 0) < first)?;
        let end = blocks.search(section, last.into(), |row: &[u8; N]| word(row, 0) <= last)?;
        Ok(blocks.each_row(section, start..end, |row: &[u8; N]| each(word(row, 0)))?)
    }

    /// Shows `each` those of some `tags` that it has of one grain, in no order; those that several rows in a row have, once.
    pub(super) fn each_tag(
        &self,
        grain: Grain,
        tags: &RangeInclusive<u32>,
        mut each: impl FnMut(u32),
    ) -> Result<()> {
        let mut last = None;
        let mut each = |tag| {
            if tags.contains(&tag) && last.replace(tag) != Some(tag) {
                each(tag);
            }
        };
        match grain {
            Grain::Fine => {
                self.each_sorted::<8>(Section::DedupKeys, tags, &mut each)?;
                self.each_sorted::<8>(Section::NameRecords, tags, &mut each)?;
                self.each_sorted::<8>(Section::CheckpointRecords, tags, &mut each)
            }
            Grain::Coarse => {
                let stream = |row: &[u8]| StreamNumber(long(row, 0));
                self.each_sorted::<8>(Section::OrderKeys, tags, &mut each)?;
                self.each_sorted::<12>(Section::OldOrderKeys, tags, &mut each)?;
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
pub(super) struct Cursor<'a, const N: usize> {
    pub(super) nth: usize,
    pub(super) blocks: Blocks<'a>,
    pub(super) section: Section,
    pub(super) next: u32,
    pub(super) row: Option<[u8; N]>,
}

impl<'a, const N: usize> Cursor<'a, N> {
    pub(super) fn new(nth: usize, member: &'a Member<'a>, section: Section) -> Result<Self> {
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

    pub(super) fn advance(&mut self) -> Result<Option<[u8; N]>> {
        let next = match self.next < self.blocks.rows(self.section) {
            true => Some(self.blocks.row(self.section, self.next)?),
            false => None,
        };
        self.next += 1;
        Ok(std::mem::replace(&mut self.row, next))
    }
}
