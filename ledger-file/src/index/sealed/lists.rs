//! The lists of order keys: which entries have one, and where those begin.
//!
//! What a list tells of an entry is all that it takes to find it. So the entries of a key cost the blocks of their list, and
//! not one each of the section that tells where every entry begins.
//!
//! Files of formats 2 and 3 list ordinals alone, and the only entry of a key beside the key; they are read, too.

use std::ops::Range;

use ledger_core::Direction;

use super::blocks::{Blocks, Result};
use super::rows::word;
use super::sections::Section;
use crate::format::StreamNumber;
use crate::index::Window;

/// An order key, and where its entries are told of.
#[derive(Clone, Debug)]
pub(super) struct List {
    pub(super) tag: u32,
    entries: Entries,
}

#[derive(Clone, Debug)]
enum Entries {
    /// Rows of `Postings`.
    Postings(Range<u32>),
    /// Rows of `OldPostings`.
    Old(Range<u32>),
    /// One, with that ordinal, in a file that has `OldOrderKeys`.
    OldOnly(u32),
}

/// What a list tells of an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listed {
    pub(super) ordinal: u32,
    /// Where it begins, if that stands in the list.
    pub(super) offset: Option<u32>,
}

impl Listed {
    /// An entry of which only that is known.
    pub(super) fn bare(ordinal: u32) -> Self {
        Self {
            ordinal,
            offset: None,
        }
    }
}

impl List {
    /// How many entries it has.
    pub(super) fn len(&self) -> u32 {
        match &self.entries {
            Entries::Postings(rows) | Entries::Old(rows) => rows.end - rows.start,
            Entries::OldOnly(_) => 1,
        }
    }

    /// The section that it lies in; none if it stands beside its key.
    pub(super) fn section(&self) -> Option<(Section, Range<u32>)> {
        match &self.entries {
            Entries::Postings(rows) => Some((Section::Postings, rows.clone())),
            Entries::Old(rows) => Some((Section::OldPostings, rows.clone())),
            Entries::OldOnly(_) => None,
        }
    }
}

impl Blocks<'_> {
    /// The section of the order keys in this file.
    pub(super) fn order_keys(&self) -> Section {
        match self.rows(Section::OldOrderKeys) {
            0 => Section::OrderKeys,
            _ => Section::OldOrderKeys,
        }
    }

    /// The list of an order key, if there is one.
    pub(super) fn list_of(&mut self, tag: u32) -> Result<Option<List>> {
        let section = self.order_keys();
        let row = match section {
            Section::OldOrderKeys => {
                let is_before = |row: &[u8; 12]| word(row, 0) < tag;
                self.search(section, tag.into(), is_before)?
            }
            _ => self.search(section, tag.into(), |row: &[u8; 8]| word(row, 0) < tag)?,
        };
        let list = self.list_at(row)?;
        Ok(list.filter(|list| list.tag == tag))
    }

    /// The list of the order key in a row, if there are as many.
    pub(super) fn list_at(&mut self, row: u32) -> Result<Option<List>> {
        let section = self.order_keys();
        if row >= self.rows(section) {
            return Ok(None);
        }
        let list = match section {
            Section::OldOrderKeys => self.old_list_at(row)?,
            _ => self.new_list_at(row)?,
        };
        Ok(Some(list))
    }

    fn new_list_at(&mut self, row: u32) -> Result<List> {
        let (tag, start) = self.key_at(row)?;
        let end = match row + 1 < self.rows(Section::OrderKeys) {
            true => self.key_at(row + 1)?.1,
            false => self.rows(Section::Postings),
        };
        let entries = Entries::Postings(start..end.max(start));
        Ok(List { tag, entries })
    }

    /// An order key, and the first row of its list.
    fn key_at(&mut self, row: u32) -> Result<(u32, u32)> {
        let row = self.row::<8>(Section::OrderKeys, row)?;
        Ok((word(&row, 0), word(&row, 4)))
    }

    fn old_list_at(&mut self, row: u32) -> Result<List> {
        let row = self.row::<12>(Section::OldOrderKeys, row)?;
        let (place, count) = (word(&row, 4), word(&row, 8));
        let entries = match count {
            1 => Entries::OldOnly(place),
            _ => Entries::Old(place..place.saturating_add(count)),
        };
        let tag = word(&row, 0);
        Ok(List { tag, entries })
    }

    /// What a list tells of its entry at `index`, which it has.
    pub(super) fn listed(&mut self, list: &List, index: u32) -> Result<Listed> {
        Ok(match &list.entries {
            Entries::Postings(rows) => {
                let row = self.row::<8>(Section::Postings, rows.start.saturating_add(index))?;
                let (ordinal, offset) = (word(&row, 0), Some(word(&row, 4)));
                Listed { ordinal, offset }
            }
            Entries::Old(rows) => {
                let row = rows.start.saturating_add(index);
                Listed::bare(word(&self.row::<4>(Section::OldPostings, row)?, 0))
            }
            Entries::OldOnly(ordinal) => Listed::bare(*ordinal),
        })
    }

    /// Where an entry that is listed begins.
    pub(super) fn offset_of(&mut self, listed: Listed) -> Result<u32> {
        match listed.offset {
            Some(offset) => Ok(offset),
            None => self.offset(listed.ordinal),
        }
    }

    /// How many entries of a list come before that ordinal.
    fn listed_before(&mut self, list: &List, ordinal: u32) -> Result<u32> {
        match &list.entries {
            Entries::Postings(rows) => self.rows_before::<8>(Section::Postings, rows, ordinal),
            Entries::Old(rows) => self.rows_before::<4>(Section::OldPostings, rows, ordinal),
            Entries::OldOnly(only) => Ok(u32::from(*only < ordinal)),
        }
    }

    fn rows_before<const N: usize>(
        &mut self,
        section: Section,
        rows: &Range<u32>,
        ordinal: u32,
    ) -> Result<u32> {
        let is_before = |row: &[u8; N]| word(row, 0) < ordinal;
        let found = self.partition(section, rows.clone(), is_before)?;
        Ok(found - rows.start)
    }

    /// Which entries of `list`, which are of `stream`, are in `window`: their indices, in its direction.
    pub(super) fn listed_in(
        &mut self,
        list: &List,
        stream: StreamNumber,
        window: &Window,
    ) -> Result<impl Iterator<Item = u32> + use<>> {
        let (start, end) = (
            self.ordinal(stream, window.ids.start)?,
            self.ordinal(stream, window.ids.end)?,
        );
        let indices = self.listed_before(list, start)?..self.listed_before(list, end)?;
        let (up, down) = match window.direction {
            Direction::Ascending => (indices, 0..0),
            Direction::Descending => (0..0, indices),
        };
        Ok(up.chain(down.rev()))
    }
}
