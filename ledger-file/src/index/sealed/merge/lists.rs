//! Order keys, and the list of each: the lists of all indexes, one behind the other.

use smallvec::SmallVec;

use super::member::Member;
use super::{Merging, ROWS_BETWEEN_LOOKS, Result};
use crate::index::sealed::blocks::Blocks;
use crate::index::sealed::lists::List;
use crate::index::sealed::sections::Section;
use crate::index::sealed::writer::words;

/// The lists of one index, ascending by their keys.
struct Lists<'a> {
    blocks: Blocks<'a>,
    /// The row of the next key.
    row: u32,
    next: Option<List>,
}

impl<'a> Lists<'a> {
    fn new(member: &'a Member<'a>) -> Result<Self> {
        let mut lists = Self {
            blocks: member.blocks()?,
            row: 0,
            next: None,
        };
        lists.next = lists.blocks.list_at(0)?;
        Ok(lists)
    }

    /// Takes the next list, if it is that of a key.
    fn take(&mut self, tag: u32) -> Result<Option<List>> {
        let Some(list) = self.next.take_if(|list| list.tag == tag) else {
            return Ok(None);
        };
        self.row += 1;
        self.next = self.blocks.list_at(self.row)?;
        Ok(Some(list))
    }
}

/// The list of a key in one index: in which, and what.
type Part = (usize, List);

/// The order keys of all indexes, ascending.
struct Keys<'a>(Vec<Lists<'a>>);

impl Keys<'_> {
    /// The next key, and its list in each index that has it.
    fn next(&mut self) -> Result<Option<(u32, SmallVec<[Part; 8]>)>> {
        let heads = self.0.iter().filter_map(|lists| lists.next.as_ref());
        let Some(tag) = heads.map(|list| list.tag).min() else {
            return Ok(None);
        };
        let mut parts = SmallVec::new();
        for (nth, lists) in self.0.iter_mut().enumerate() {
            parts.extend(lists.take(tag)?.map(|list| (nth, list)));
        }
        Ok(Some((tag, parts)))
    }
}

// Order keys.
impl<'a> Merging<'a> {
    pub(super) fn order_keys(&mut self) -> Result<()> {
        let mut start = 0u32;
        self.each_key(|merging, tag, parts| {
            let row = words(&[tag, start]);
            merging.writer.row(Section::OrderKeys, tag.into(), &row)?;
            let counts = parts.iter().map(|(_, list)| list.len());
            let end = { counts }.try_fold(start, u32::checked_add);
            let too_many = || merging.members[0].damaged("it has more rows than it can have");
            start = end.ok_or_else(too_many)?;
            Ok(())
        })?;
        Ok(self.writer.end_block(Section::OrderKeys)?)
    }

    pub(super) fn postings(&mut self) -> Result<()> {
        let members: &'a [Member<'a>] = self.members;
        let blocks = members.iter().map(Member::blocks);
        let mut blocks: Vec<Blocks<'_>> = blocks.collect::<Result<_>>()?;
        let mut written = 0usize;
        self.each_key(|merging, _, parts| {
            for (nth, list) in parts {
                for index in 0..list.len() {
                    let listed = blocks[*nth].listed(list, index)?;
                    let offset = blocks[*nth].offset_of(listed)?;
                    let member = &members[*nth];
                    let row = words(&[member.ordinal(listed.ordinal), member.offset(offset)]);
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

    /// Shows `each` the order keys, ascending, and the list of each in every index that has it.
    fn each_key(
        &mut self,
        mut each: impl FnMut(&mut Self, u32, &[Part]) -> Result<()>,
    ) -> Result<()> {
        let members: &'a [Member<'a>] = self.members;
        let lists = members.iter().map(Lists::new).collect::<Result<_>>()?;
        let mut keys = Keys(lists);
        for count in 1.. {
            let Some((tag, parts)) = keys.next()? else {
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
