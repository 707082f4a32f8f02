//! An index in a file: written when its segment is sealed, and never changed.
//!
//! `layout` says what stands where, `writer` writes it, `blocks` reads and checks pieces of it, and [`SealedIndex`]
//! answers the same questions as an [`ActiveIndex`](super::ActiveIndex). Opening reads nothing. The directory, a
//! hundredth of the file, is read by the first question and kept; the filter too, when there were a few.
//!
//! A file that is cut off, changed, or the index of something else is found out before anything in it is believed.

mod blocks;
mod layout;
mod lookup;
mod packed;
mod recent;
mod rows;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use blocks::{Blocks, Contents, Result};

use super::Origin;
use super::hash::KeyHash;
use crate::disk::{DiskFile, Patience};

pub(crate) use writer::write;

/// An index file.
#[derive(Debug)]
pub(crate) struct SealedIndex {
    file: Arc<dyn DiskFile>,
    origin: Origin,
    to: u32,
    contents: OnceLock<Contents>,
    /// How many questions there were that the filter could have answered before it was there.
    unfiltered: AtomicU32,
}

/// How many questions are cheaper to answer from the file than by reading the filter.
const UNFILTERED_MAX: u32 = 16;

impl SealedIndex {
    /// Takes `file` for the index of `origin` up to the offset `to`. That is checked when it is first asked.
    pub(crate) fn open(file: Arc<dyn DiskFile>, origin: Origin, to: u32) -> Self {
        Self {
            file,
            origin,
            to,
            contents: OnceLock::new(),
            unfiltered: AtomicU32::new(0),
        }
    }

    /// What it is of.
    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    /// Where in the segment it ends.
    pub(crate) fn to(&self) -> u32 {
        self.to
    }

    /// The memory that it holds, in bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.contents.get().map_or(0, Contents::heap_bytes)
    }

    /// Reads and checks every byte of it.
    ///
    /// # Errors
    /// Those of the file, and whatever is damaged.
    pub(crate) fn verify(&self) -> Result<()> {
        let blocks = self.blocks(Patience::Wait)?;
        (0..blocks.contents.header.blocks_total())
            .try_for_each(|block| blocks.read(block).map(drop))
    }

    fn blocks(&self, patience: Patience) -> Result<Blocks<'_>> {
        let contents = self.contents(patience)?;
        Ok(Blocks::new(contents, &*self.file, patience))
    }

    fn contents(&self, patience: Patience) -> Result<&Contents> {
        if let Some(contents) = self.contents.get() {
            return Ok(contents);
        }
        let contents = Contents::read(&*self.file, self.origin, self.to, patience)?;
        Ok(self.contents.get_or_init(|| contents))
    }

    /// Whether something with that tag may be here.
    fn may_have(&self, tag: u32, patience: Patience) -> Result<bool> {
        let mut result = false;
        self.filtered(&[KeyHash(tag)], patience, |_| {
            result = true;
            Ok(())
        })?;
        Ok(result)
    }

    /// Shows `visit` the indices of the hashes that may be here.
    fn filtered(
        &self,
        hashes: &[KeyHash],
        patience: Patience,
        visit: impl FnMut(usize) -> Result<()>,
    ) -> Result<()> {
        let contents = self.contents(patience)?;
        let asked = hashes.len().min(UNFILTERED_MAX as usize) as u32;
        if contents.filter.get().is_none()
            && self.unfiltered.fetch_add(asked, Ordering::Relaxed) + asked <= UNFILTERED_MAX
        {
            return (0..hashes.len()).try_for_each(visit);
        }
        if contents.filter.get().is_none() {
            let filter = self.blocks(patience)?.filter()?;
            contents.filter.get_or_init(|| filter);
        }
        let filter = contents.filter.get();
        let may_have = |index: &usize| filter.is_none_or(|it| it.may_have(hashes[*index].0));
        (0..hashes.len()).filter(may_have).try_for_each(visit)
    }
}
