//! An index in a file: written when its segment is sealed, and never changed. Those of several segments are merged into one
//! of all of them.
//!
//! `span` says of what it is, `layout` what stands where, in which `sections`, and `directory` what stands there of each block, `writer` writes it,
//! `merge` makes one of many, `blocks` reads and checks pieces of it, `search` finds rows in them, `rows` and `lists` say what they mean, and [`SealedIndex`] answers the same questions as an [`ActiveIndex`](super::ActiveIndex). Opening reads nothing.
//! The header is read by the first question and kept, and so are the `parts` of the directory when one needs them; the
//! filters, when there were a few.
//! Blocks are mapped where the asker may wait, and checked once; else the few used last are kept. What a question will
//! need of many files is asked for together, by what each of them `announce`s.
//!
//! A file that is cut off, changed, or the index of something else is found out before anything in it is believed.

mod announce;
mod blocks;
mod directory;
mod layout;
mod lists;
mod lookup;
mod merge;
mod nearby;
mod packed;
mod parts;
mod recent;
mod rows;
mod search;
mod sections;
mod span;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use blocks::{Blocks, Contents, Result};
use layout::FILTERS;

use super::filter::{Filter, Grain};
use super::hash::KeyHash;
use super::together::select;
use super::{Means, Origin};
use crate::disk::DiskFile;
use crate::format::Position;
use crate::sync::plain::OnceLock;

pub(crate) use merge::{Merge, MergeError};
pub(crate) use span::Span;
pub(crate) use writer::write;

/// An index file.
#[derive(Debug)]
pub(crate) struct SealedIndex {
    file: Arc<dyn DiskFile>,
    span: Span,
    /// Elsewhere, because most indexes of a log are not asked, and it is long.
    contents: OnceLock<Box<Contents>>,
    /// How many questions found nothing here that the filter of each grain would have answered, had it been there.
    in_vain: [AtomicU32; FILTERS],
}

/// How many questions in vain are cheaper than reading the filter.
const IN_VAIN_MAX: u32 = 16;

impl SealedIndex {
    /// Takes `file` for the index of `origin` up to the offset `to`. That is checked when it is first asked.
    pub(crate) fn open(file: Arc<dyn DiskFile>, origin: Origin, to: u32) -> Self {
        Self::of(file, Span::one(origin, to))
    }

    /// Takes `file` for the index of `span`. That is checked when it is first asked.
    pub(crate) fn of(file: Arc<dyn DiskFile>, span: Span) -> Self {
        Self {
            file,
            span,
            contents: OnceLock::new(),
            in_vain: [const { AtomicU32::new(0) }; FILTERS],
        }
    }

    /// What it is of.
    pub(crate) fn origin(&self) -> Origin {
        self.span.origin()
    }

    /// The pieces of the log that it is of.
    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// Whether it is of the segment that `position` is in.
    pub(in crate::index) fn covers(&self, position: Position) -> bool {
        self.span.offset(position).is_some()
    }

    /// Where in the log an offset is.
    pub(in crate::index) fn position(&self, offset: u32) -> Position {
        self.span.position(offset)
    }

    /// Its file.
    pub(crate) fn file(&self) -> &dyn DiskFile {
        &*self.file
    }

    /// The memory that it holds, in bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.contents
            .get()
            .map_or(0, |contents| contents.heap_bytes())
    }

    /// Reads and checks every byte of it.
    ///
    /// # Errors
    /// Those of the file, and whatever is damaged.
    pub(crate) fn verify(&self) -> Result<()> {
        let blocks = self.blocks(Means::WAIT)?;
        (0..blocks.contents.header.blocks_total())
            .try_for_each(|block| blocks.read(block).map(drop))
    }

    fn blocks(&self, means: Means) -> Result<Blocks<'_>> {
        let contents = self.contents(means)?;
        Ok(Blocks::new(contents, &*self.file, means))
    }

    fn contents(&self, means: Means) -> Result<&Contents> {
        if let Some(contents) = self.contents.get() {
            return Ok(contents);
        }
        let contents = Contents::read(&*self.file, self.origin(), self.span.to(), means.patience)?;
        Ok(self.contents.get_or_init(|| Box::new(contents)))
    }

    /// Whether something with that tag may be here.
    fn may_have(&self, grain: Grain, tag: u32, means: Means) -> Result<bool> {
        let filter = self.filter(grain, 1, means)?;
        Ok(filter.is_none_or(|it| it.may_have(tag)))
    }

    /// Shows `visit` the indices of the dedup keys that may be here: of all, or of `some`.
    fn candidates(
        &self,
        hashes: &[KeyHash],
        some: Option<&[usize]>,
        means: Means,
        visit: impl FnMut(usize) -> Result<()>,
    ) -> Result<()> {
        let Some(some) = some else {
            return self.filtered(hashes, means, visit);
        };
        let filter = self.filter(Grain::Fine, some.len(), means)?;
        let has = |index: &usize| filter.is_none_or(|it| it.may_have(hashes[*index].0));
        some.iter().copied().filter(has).try_for_each(visit)
    }

    /// The same by the filter alone.
    fn filtered(
        &self,
        hashes: &[KeyHash],
        means: Means,
        visit: impl FnMut(usize) -> Result<()>,
    ) -> Result<()> {
        let Some(filter) = self.filter(Grain::Fine, hashes.len(), means)? else {
            return (0..hashes.len()).try_for_each(visit);
        };
        match hashes {
            [KeyHash(tag)] if !filter.may_have(*tag) => Ok(()),
            _ => select(hashes, |some| filter.maybe(some)).try_for_each(visit),
        }
    }

    fn filter_in_memory(&self, grain: Grain) -> Option<&Filter> {
        self.contents.get()?.filters[grain as usize].get()
    }

    /// Notes that something was looked for here that is not here.
    fn note_in_vain(&self, grain: Grain) {
        self.in_vain[grain as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The filter of one grain, once so many questions were in vain that it is worth being read; `asked` are now.
    fn filter(&self, grain: Grain, asked: usize, means: Means) -> Result<Option<&Filter>> {
        let filter = &self.contents(means)?.filters[grain as usize];
        if let Some(filter) = filter.get() {
            return Ok(Some(filter));
        }
        let in_vain = self.in_vain[grain as usize].load(Ordering::Relaxed) as usize;
        if in_vain + asked <= IN_VAIN_MAX as usize {
            return Ok(None);
        }
        let read = self.blocks(means)?.filter(grain)?;
        Ok(Some(filter.get_or_init(|| read)))
    }
}
