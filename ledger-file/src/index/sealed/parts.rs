//! What of a directory is in memory: the root, and the parts that were needed so far.

use std::ops::Range;

use super::directory::{Cut, Guard, Guards};
use super::nearby::{expected, rank};
use crate::sync::plain::OnceLock;

/// A directory as far as it was read.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) cut: Cut,
    /// A guard for each part.
    pub(super) root: Guards,
    parts: Box<[OnceLock<Guards>]>,
}

impl Parts {
    /// A directory of which nothing but the root was read.
    pub(super) fn unread(cut: Cut, root: Guards) -> Self {
        Self {
            cut,
            root,
            parts: (0..cut.parts()).map(|_| OnceLock::new()).collect(),
        }
    }

    /// A directory that was read in one piece.
    pub(super) fn whole(cut: Cut, guards: &Guards) -> Self {
        let starts = (0..cut.parts()).map(|part| cut.blocks_of(part).start);
        let root = starts.map(|start| Guard {
            fence: guards.fences[start],
            checksum: 0,
        });
        let part = |part| Guards {
            fences: guards.fences[cut.blocks_of(part)].into(),
            checksums: guards.checksums[cut.blocks_of(part)].into(),
        };
        Self {
            cut,
            root: root.collect(),
            parts: (0..cut.parts()).map(|it| part(it).into()).collect(),
        }
    }

    /// A part, if it was read.
    #[inline]
    pub(super) fn get(&self, part: usize) -> Option<&Guards> {
        self.parts.get(part)?.get()
    }

    /// Keeps a part that was read: the one that is there, if somebody else was faster.
    pub(super) fn keep(&self, part: usize, guards: Guards) -> &Guards {
        self.parts[part].get_or_init(|| guards)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let places = self.parts.len() * size_of::<OnceLock<Guards>>();
        let parts = self.parts.iter().filter_map(OnceLock::get);
        let parts: usize = parts.map(Guards::heap_bytes).sum();
        places + parts + self.root.heap_bytes()
    }
}

// Where to search.
impl Parts {
    /// The parts that tell of some blocks in a row.
    pub(super) fn about(&self, blocks: &Range<usize>) -> Range<usize> {
        match blocks.is_empty() {
            true => 0..0,
            false => self.cut.part_of(blocks.start)..self.cut.part_of(blocks.end - 1) + 1,
        }
    }

    /// Of the parts about `blocks`, which are sorted by their fences, those from the one with the last fence before `fence`
    /// to the one with the last that is not behind it. At least one, unless there are no blocks.
    pub(super) fn parts_of(&self, blocks: &Range<usize>, fence: u64) -> Range<usize> {
        let parts = self.about(blocks);
        if parts.len() < 2 {
            return parts;
        }
        // The first of them may begin with blocks of others.
        let fences = &self.root.fences[parts.start + 1..parts.end];
        let first = rank(fences, expected(fences, fence), |other| other < fence);
        let last = rank(fences, first, |other| other <= fence);
        parts.start + first..parts.start + last.max(first) + 1
    }

    /// The fences of those of `blocks` that a part tells of, and the first of these blocks.
    pub(super) fn fences<'p>(
        &self,
        part: usize,
        guards: &'p Guards,
        blocks: &Range<usize>,
    ) -> (usize, &'p [u64]) {
        let told = self.cut.blocks_of(part);
        let (start, end) = (told.start.max(blocks.start), told.end.min(blocks.end));
        (start, &guards.fences[start - told.start..end - told.start])
    }

    /// What the first row of a block is searched by, as far as that was read.
    pub(super) fn fence(&self, block: usize) -> Option<u64> {
        let part = self.cut.part_of(block);
        let start = self.cut.blocks_of(part).start;
        match block == start {
            true => self.root.fences.get(part).copied(),
            false => self.get(part)?.fences.get(block - start).copied(),
        }
    }
}
