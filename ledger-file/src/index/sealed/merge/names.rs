//! Names in byte order.

use std::ops::Range;

use super::member::Member;
use super::{Merging, ROWS_BETWEEN_LOOKS, Result};
use crate::index::sealed::blocks::Blocks;
use crate::index::sealed::sections::Section;

// Names.
impl Merging<'_> {
    /// Writes names in byte order, each once.
    pub(super) fn names(&mut self, section: Section) -> Result<()> {
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
    left: Range<usize>,
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
