//! The sections of an index file: what is in them, in which order they lie, and how large they are.

use std::ops::Range;

use super::super::filter::Grain;
use super::layout::Fields;

/// The parts of an index file, in their order: what a question about an order key goes to lies together, and so does what
/// the directory says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// The fingerprints of the filter over dedup keys, names and checkpoints, as many in a row as fit.
    FineFilter,
    /// Those of the filter over order keys, streams, and streams with changes.
    CoarseFilter,
    /// Tag, ordinal.
    DedupKeys,
    /// Tag, offset of a record.
    NameRecords,
    /// Tag, offset of a record.
    CheckpointRecords,
    /// Tag, first row of its list in `Postings`, which ends where the next one begins.
    OrderKeys,
    /// Ordinal, and where the entry begins; ascending for each order key.
    Postings,
    /// Where each entry begins, by ordinal; packed.
    Offsets,
    /// Where each frame begins; packed.
    Frames,
    /// Stream, first id, first ordinal, count, offset of the first record; in the order of the streams' hashes, then of
    /// the ids.
    Runs,
    /// Stream, id, topic, offset of a record; in this order.
    Changes,
    /// Ordinals of entries that have an `expires_at`.
    Expiring,
    /// Names of streams, in byte order.
    Names,
    /// Names of checkpoints behind the numbers of their streams, in byte order.
    CheckpointNames,
    /// In formats 2 and 3, in place of `OrderKeys`: tag, ordinal or first row of `OldPostings`, count. A count of one: the
    /// ordinal itself.
    OldOrderKeys,
    /// In formats 2 and 3, in place of `Postings`: ordinals, ascending for each order key.
    OldPostings,
}

pub(super) const SECTIONS: usize = Section::OldPostings as usize + 1;

/// How many sections a file has.
pub(super) const SECTIONS_OF_A_FILE: usize = Section::CheckpointNames as usize + 1;

/// The sections of a file, in their order.
pub(super) type Order = [Section; SECTIONS_OF_A_FILE];

/// Those that are written.
pub(super) const ORDER: Order = [
    Section::FineFilter,
    Section::CoarseFilter,
    Section::DedupKeys,
    Section::NameRecords,
    Section::CheckpointRecords,
    Section::OrderKeys,
    Section::Postings,
    Section::Offsets,
    Section::Frames,
    Section::Runs,
    Section::Changes,
    Section::Expiring,
    Section::Names,
    Section::CheckpointNames,
];

/// Those of format 3: with other lists.
pub(super) const ORDER_3: Order = {
    let mut order = ORDER;
    order[Section::OrderKeys as usize] = Section::OldOrderKeys;
    order[Section::Postings as usize] = Section::OldPostings;
    order
};

/// Those of format 2.
pub(super) const ORDER_2: Order = [
    Section::FineFilter,
    Section::CoarseFilter,
    Section::Offsets,
    Section::Frames,
    Section::DedupKeys,
    Section::NameRecords,
    Section::CheckpointRecords,
    Section::OldOrderKeys,
    Section::OldPostings,
    Section::Runs,
    Section::Changes,
    Section::Expiring,
    Section::Names,
    Section::CheckpointNames,
];

impl Section {
    /// The bytes of a row; none if they differ.
    pub(super) fn row_bytes(self) -> Option<usize> {
        match self {
            Self::OldPostings | Self::Expiring => Some(4),
            Self::DedupKeys
            | Self::NameRecords
            | Self::CheckpointRecords
            | Self::OrderKeys
            | Self::Postings => Some(8),
            Self::OldOrderKeys => Some(12),
            Self::Changes => Some(24),
            Self::Runs => Some(28),
            Self::FineFilter
            | Self::CoarseFilter
            | Self::Offsets
            | Self::Frames
            | Self::Names
            | Self::CheckpointNames => None,
        }
    }
}

impl From<Grain> for Section {
    fn from(grain: Grain) -> Self {
        match grain {
            Grain::Fine => Self::FineFilter,
            Grain::Coarse => Self::CoarseFilter,
        }
    }
}

/// How large a section is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) rows: u32,
    pub(super) blocks: u32,
}

/// How large the sections are, and where each begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sections {
    pub(super) extents: [Extent; SECTIONS],
    /// The first block of each, counted behind the header.
    starts: [usize; SECTIONS],
}

impl Sections {
    pub(super) fn of(extents: [Extent; SECTIONS]) -> Self {
        Self::in_order(&ORDER, extents)
    }

    /// Those that lie in an order.
    fn in_order(order: &Order, extents: [Extent; SECTIONS]) -> Self {
        let (mut starts, mut next) = ([0; SECTIONS], 0);
        for section in order.map(|section| section as usize) {
            starts[section] = next;
            next += extents[section].blocks as usize;
        }
        Self { extents, starts }
    }

    /// Reads the extents of sections in an order.
    ///
    /// # Errors
    /// They are cut off.
    pub(super) fn decode(order: &Order, fields: &mut Fields<'_>) -> Result<Self, &'static str> {
        let mut extents = [Extent::default(); SECTIONS];
        for section in order {
            let [rows, blocks] = fields.words()?;
            extents[*section as usize] = Extent { rows, blocks };
        }
        Ok(Self::in_order(order, extents))
    }

    /// The blocks of a section, counted behind the header.
    pub(super) fn blocks(&self, section: Section) -> Range<usize> {
        let start = self.starts[section as usize];
        start..start + self.extents[section as usize].blocks as usize
    }

    pub(super) fn blocks_total(&self) -> usize {
        let blocks = self.extents.iter().map(|extent| extent.blocks as usize);
        blocks.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_follow_each_other_in_the_order_of_each_format() {
        for order in [ORDER, ORDER_3, ORDER_2] {
            let mut extents = [Extent::default(); SECTIONS];
            for section in order {
                let (rows, blocks) = (1, section as u32);
                extents[section as usize] = Extent { rows, blocks };
            }
            let sections = Sections::in_order(&order, extents);
            let mut next = 0;
            for section in order {
                let blocks = sections.blocks(section);
                assert_eq!(blocks, next..next + section as usize);
                next = blocks.end;
            }
            assert_eq!(next, sections.blocks_total());
        }
        assert!(
            { ORDER.iter() }
                .map(|it| *it as usize)
                .eq(0..SECTIONS_OF_A_FILE)
        );
    }
}
