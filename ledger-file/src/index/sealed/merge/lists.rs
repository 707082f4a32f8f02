//! Order keys, and the list of each: the lists of all indexes, one behind the other.

use smallvec::SmallVec;

use super::member::{Cursor, Member};
use super::{Merging, ROWS_BETWEEN_LOOKS, Result};
use crate::index::sealed::blocks::Blocks;
use crate::index::sealed::rows::word;
use crate::index::sealed::sections::Section;
use crate::index::sealed::writer::words;

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
    pub(super) fn order_keys(&mut self) -> Result<()> {
        let mut start = 0u32;
        self.each_list(|merging, tag, parts| {
            let too_many = || merging.members[0].damaged("it has more rows than it can have");
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

    pub(super) fn postings(&mut self) -> Result<()> {
        let members = self.members;
        let mut rows: Vec<Blocks<'_>> =
            members.iter().map(Member::blocks).collect::<Result<_>>()?;
        let mut written = 0usize;
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
                    written += 1;
                    // A single list may be as long as the log.
                    if written.is_multiple_of(ROWS_BETWEEN_LOOKS) {
                        merging.look()?;
                    }
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
