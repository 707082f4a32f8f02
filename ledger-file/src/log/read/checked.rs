//! Which frames of a segment were found to be right: a point read need not go over all of a large one each time.

use std::sync::PoisonError;

use hashbrown::HashTable;
use ledger_core::Timestamp;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::format::{Append, Frame, Malformed, Record, StreamNumber};
use crate::sync::plain::RwLock;

/// Large frames whose checksums were right since the log was opened, and sections of them.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// Where the frames begin.
    frames: RwLock<HashTable<u32>>,
    sections: RwLock<HashTable<Section>>,
}

/// The entries of one stream in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Section {
    stream: StreamNumber,
    /// Where the frame begins.
    frame: u32,
    pub(super) first_id: u64,
    pub(super) last_id: u64,
    pub(super) recorded_at: Timestamp,
    /// Where the first entry begins in the segment.
    pub(super) start: u32,
    /// Where the frame ends.
    pub(super) frame_end: u32,
}

/// From how many bytes on a frame, or a section, is large. Nothing is remembered of others.
pub(super) const LARGE_BYTES: u64 = 8 << 10;

/// Stands in the hash of a frame for the stream of a section.
const NO_STREAM: StreamNumber = StreamNumber(0);

/// How many sections are remembered in a segment.
const SECTIONS_MAX: usize = if cfg!(test) { 3 } else { 4 << 10 };

impl Checked {
    /// Remembers a frame whose checksum was right, if it is large.
    pub(super) fn note_frame(&self, frame: &Frame<'_>) {
        let at = frame.position().offset();
        if u64::from(frame.bytes_len()) < LARGE_BYTES || self.has_frame(at, LARGE_BYTES) {
            return;
        }
        let mut frames = self.frames.write().unwrap_or_else(PoisonError::into_inner);
        frames.insert_unique(hash(at, NO_STREAM), at, |at| hash(*at, NO_STREAM));
    }

    /// Whether the checksum of the frame at `frame`, of so many bytes, was right.
    pub(super) fn has_frame(&self, frame: u32, bytes: u64) -> bool {
        bytes >= LARGE_BYTES && self.has_large_frame(frame)
    }

    /// Whether there is a large frame at `frame`, and its checksum was right.
    pub(super) fn has_large_frame(&self, frame: u32) -> bool {
        let frames = self.frames.read().unwrap_or_else(PoisonError::into_inner);
        let is_it = |at: &u32| *at == frame;
        frames.find(hash(frame, NO_STREAM), is_it).is_some()
    }

    /// Remembers the section of a frame whose checksum was right, if it is large. A frame that has the stream twice is
    /// not worth the trouble.
    pub(super) fn note(&self, frame: &Frame<'_>, append: &Append<'_>) {
        let stream = append.head.stream;
        if append.bytes().len() < LARGE_BYTES as usize
            || sections_of(frame, stream).nth(1).is_some()
        {
            return;
        }
        let at = frame.position().offset();
        let section = Section {
            stream,
            frame: at,
            first_id: append.head.first_id,
            last_id: append.last_id(),
            recorded_at: append.head.recorded_at,
            start: at + append.offset(),
            frame_end: frame.end(),
        };
        let mut sections = self
            .sections
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if sections.len() >= SECTIONS_MAX {
            sections.clear();
        }
        let hash = section.hash();
        if sections.find(hash, |old| *old == section).is_none() {
            sections.insert_unique(hash, section, |old| old.hash());
        }
    }

    /// The section of `stream` in the frame at `frame`, if it was found to be right and holds the entry `id`.
    pub(super) fn section(&self, frame: u32, stream: StreamNumber, id: u64) -> Option<Section> {
        let sections = self.sections.read().unwrap_or_else(PoisonError::into_inner);
        let is_it = |section: &Section| section.frame == frame && section.stream == stream;
        let section = sections.find(hash(frame, stream), is_it)?;
        let holds = section.first_id <= id && id <= section.last_id;
        holds.then_some(*section)
    }
}

impl Section {
    fn hash(&self) -> u64 {
        hash(self.frame, self.stream)
    }
}

fn hash(frame: u32, stream: StreamNumber) -> u64 {
    xxh3_64_with_seed(&frame.to_le_bytes(), stream.0)
}

fn sections_of<'a>(frame: &Frame<'a>, stream: StreamNumber) -> impl Iterator<Item = ()> + use<'a> {
    let is_of_it = move |record: Result<(u32, Record<'a>), Malformed>| match record {
        Ok((_, Record::Append(append))) => (append.head.stream == stream).then_some(()),
        _ => None,
    };
    frame.records().filter_map(is_of_it)
}
