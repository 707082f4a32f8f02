//! Sections that are sorted by a key: the rows of all indexes, in the order of their keys.

use std::cmp::Reverse;

use super::member::{Cursor, Member};
use super::{Merging, ROWS_BETWEEN_LOOKS, Result};
use crate::index::change::ChangeRow;
use crate::index::hash::mix;
use crate::index::sealed::rows::{change, long, word};
use crate::index::sealed::sections::Section;
use crate::index::sealed::writer::{Writer, words};

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

    pub(super) fn cursors<const N: usize>(&self, section: Section) -> Result<Vec<Cursor<'a, N>>> {
        let members: &'a [Member<'a>] = self.members;
        let members = members.iter().enumerate();
        members
            .map(|(nth, member)| Cursor::new(nth, member, section))
            .collect()
    }

    /// Writes facts by their tags, the newest first.
    pub(super) fn facts(
        &mut self,
        section: Section,
        place: impl Fn(&Member<'_>, u32) -> u32,
    ) -> Result<()> {
        self.sorted(
            section,
            |_, row: &[u8; 8], nth| (word(row, 0), Reverse(nth)),
            |writer, member, row| {
                let (tag, place) = (word(&row, 0), place(member, word(&row, 4)));
                Ok(writer.row(section, tag.into(), &words(&[tag, place]))?)
            },
        )?;
        Ok(self.writer.end_block(section)?)
    }

    pub(super) fn runs(&mut self) -> Result<()> {
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
    pub(super) fn changes(&mut self) -> Result<()> {
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
                let unknown = || member.damaged("a change is of no known kind");
                let change = rebased(member, &row).ok_or_else(unknown)?;
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
