//! Sections whose rows lie one index behind the other, and the filters.

use std::ops::RangeInclusive;

use super::{Merging, Result};
use crate::index::filter::{Filter, Grain, PART_BITS_MAX, part_of, tags_of};
use crate::index::sealed::packed::{self, GROUP};
use crate::index::sealed::rows::word;
use crate::index::sealed::sections::Section;

// Sections whose rows lie one index behind the other.
impl Merging<'_> {
    pub(super) fn packed(
        &mut self,
        section: Section,
        fence: impl Fn(usize, u32) -> u64,
    ) -> Result<()> {
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

    pub(super) fn expiring(&mut self) -> Result<()> {
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
}

// Filters.
impl Merging<'_> {
    pub(super) fn filter(&mut self, grain: Grain) -> Result<()> {
        let counts = self.count_tags(grain)?;
        let part_bits = Filter::part_bits_for(counts.iter().sum(), PART_TAGS_MAX);
        let of_parts = counts.chunks(counts.len() >> part_bits);
        let most = of_parts.map(|counts| counts.iter().sum()).max();
        let filter = Filter::build_in_parts(grain, part_bits, most.unwrap_or_default(), |part| {
            self.tags_in(grain, &tags_of(part, part_bits))
        })?;
        Ok(self.writer.filter(&filter)?)
    }

    /// How many tags there are in each of the most parts that a filter can have.
    fn count_tags(&self, grain: Grain) -> Result<Vec<usize>> {
        let mut counts = vec![0; 1 << PART_BITS_MAX];
        for member in self.members {
            let all = 0..=u32::MAX;
            member.each_tag(grain, &all, |tag| counts[part_of(tag, PART_BITS_MAX)] += 1)?;
            self.look()?;
        }
        Ok(counts)
    }

    fn tags_in(&self, grain: Grain, range: &RangeInclusive<u32>) -> Result<Vec<u32>> {
        let mut tags = Vec::new();
        for member in self.members {
            member.each_tag(grain, range, |tag| tags.push(tag))?;
            self.look()?;
        }
        Ok(tags)
    }
}

/// How many tags a part of a filter should have at most: then building it takes some megabytes. For each part of a coarse filter
/// all streams are read once more.
const PART_TAGS_MAX: usize = 1 << 19;
