//! One index file of many that follow each other: the same rows in the same order, with the offsets and ordinals of all.
//!
//! Every section is read from its first row to its last, block by block, and written as it is read: what stays in memory is
//! a block of each, and the tags of one part of a filter. A question is asked of one file then, and not of each; and what
//! is about the same stream or key, in whatever segment it happened, lies side by side.
//!
//! `member` is one of the indexes; `in_order`, `sorted`, `lists` and `names` are the kinds of sections.

mod in_order;
mod lists;
mod member;
mod names;
mod sorted;

use std::io;

use member::Member;

use super::SealedIndex;
use super::sections::Section;
use super::span::Span;
use super::writer::{Summary, Writer};
use crate::disk::DiskFile;
use crate::format::StreamNumber;
use crate::index::filter::Grain;
use crate::index::{IndexError, Means};

/// Indexes that are to be one.
pub(crate) struct Merge<'a> {
    /// Each of one piece of the span, in their order.
    pub(crate) members: &'a [&'a SealedIndex],
    pub(crate) span: &'a Span,
    /// Asked now and then whether to go on.
    pub(crate) go_on: &'a dyn Fn() -> bool,
}

/// Why indexes were not merged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MergeError {
    /// One of them cannot be read.
    #[error(transparent)]
    Member(#[from] IndexError),
    /// The file cannot be written.
    #[error("the merged index could not be written")]
    File(#[from] io::Error),
    /// It was told not to go on.
    #[error("merging was broken off")]
    BrokenOff,
}

type Result<T> = std::result::Result<T, MergeError>;

/// Between how many rows it is asked whether to go on.
const ROWS_BETWEEN_LOOKS: usize = 4_096;

impl Merge<'_> {
    /// Writes the index of all of the span into the empty `file`, and answers how many bytes that took. Nothing is synced.
    ///
    /// # Errors
    /// What cannot be read or written, and the wish not to go on: the file is of no use then.
    pub(crate) fn write(&self, file: &dyn DiskFile) -> Result<u64> {
        let members = self.members()?;
        let mut merging = Merging {
            go_on: self.go_on,
            writer: Writer::new(file),
            members: &members,
        };
        merging.filter(Grain::Fine)?;
        merging.filter(Grain::Coarse)?;
        merging.facts(Section::DedupKeys, |member, place| member.ordinal(place))?;
        merging.facts(Section::NameRecords, |member, place| member.offset(place))?;
        merging.facts(Section::CheckpointRecords, |member, place| {
            member.offset(place)
        })?;
        merging.order_keys()?;
        merging.postings()?;
        merging.packed(Section::Offsets, |nth, _| nth as u64)?;
        merging.packed(Section::Frames, |_, offset| offset.into())?;
        merging.runs()?;
        merging.changes()?;
        merging.expiring()?;
        merging.names(Section::Names)?;
        merging.names(Section::CheckpointNames)?;
        let bytes = merging.writer.finish(self.summary(&members)?)?;
        Ok(bytes)
    }

    fn members(&self) -> Result<Vec<Member<'_>>> {
        let mut entries = 0u32;
        let mut members = Vec::new();
        for (index, piece) in self.members.iter().zip(self.span.pieces()) {
            let blocks = index.blocks(Means::WAIT.in_passing())?;
            let (here, too_many) = (
                blocks.contents.header.entries,
                blocks.damaged("it has more entries than bytes"),
            );
            members.push(Member {
                index,
                piece: *piece,
                ordinals: entries,
            });
            entries = entries.checked_add(here).ok_or(too_many)?;
        }
        Ok(members)
    }

    fn summary(&self, members: &[Member<'_>]) -> Result<Summary> {
        let (mut entries, mut highest_stream) = (0, StreamNumber(0));
        for member in members {
            let header = &member.blocks()?.contents.header;
            entries = member.ordinal(header.entries);
            highest_stream = highest_stream.max(header.highest_stream);
        }
        Ok(Summary {
            origin: self.span.origin(),
            to: self.span.to(),
            entries,
            highest_stream,
        })
    }
}

/// A file that is being made.
struct Merging<'a> {
    go_on: &'a dyn Fn() -> bool,
    writer: Writer<'a>,
    members: &'a [Member<'a>],
}

impl Merging<'_> {
    /// Asks whether to go on.
    fn look(&self) -> Result<()> {
        match (self.go_on)() {
            true => Ok(()),
            false => Err(MergeError::BrokenOff),
        }
    }
}
