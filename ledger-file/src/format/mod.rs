//! Bytes in, values out: what lies in the files of a log, and no file calls.
//!
//! What always holds here: a decoder takes any bytes whatever and answers a value or an error. It never panics, and
//! never allocates by a length that it has not held against the bytes that are there. All numbers of fixed width are
//! little-endian. `docs/FORMAT.md` describes every byte; change both in one commit.
//!
//! A segment file begins with a [`SegmentHeader`]; behind it lie frames, one for each commit, written by
//! [`FrameWriter`] and read by [`read_frame`]. A frame holds [`Record`]s, most of them an [`Append`] of entries.

mod append;
mod checksum;
mod entry;
#[cfg(any(test, fuzzing))]
mod exhaust;
mod frame;
mod frame_writer;
mod header;
mod input;
mod lists;
mod manifest;
mod name;
mod new_record;
mod owning;
mod packed;
mod payload;
mod position;
mod record;
mod search;
mod segment;
mod shared;
mod short_checksum;
mod short_keys;
mod stage;
mod varint;

pub(crate) use append::{Append, AppendHead};
pub(crate) use entry::{EntryRef, Fields};
#[cfg(any(test, fuzzing))]
pub(crate) use exhaust::{exhaust, framed};
pub(crate) use frame::{
    FRAME_HEADER_BYTES, Found, Frame, is_padding, read_frame, read_frame_again,
};
pub(crate) use frame_writer::{APPEND_OVERHEAD_BYTES_MAX, FRAME_OVERHEAD_BYTES_MAX, FrameWriter};
pub(crate) use header::{HeaderError, LogId};
pub(crate) use input::{Input, Malformed};
pub(crate) use lists::{Ids, Pairs, Tags};
pub(crate) use manifest::{Layer, Manifest, SegmentMeta};
pub(crate) use name::FileName;
pub use new_record::NewRecord;
pub(crate) use owning::Owning;
#[cfg(fuzzing)]
pub(crate) use packed::stored_block;
pub(crate) use packed::{
    BLOCK_BYTES, Block, BlockTable, block_at, block_range, put_block, salvage,
};
pub(crate) use payload::Compressed;
pub(crate) use position::{Position, StreamNumber};
pub(crate) use record::{CheckpointRecord, Mark, Record};
pub(crate) use search::{FrameSearch, newest_claim};
pub(crate) use segment::{Form, SEGMENT_HEADER_BYTES, SegmentHeader};
pub(crate) use short_checksum::short_crc;
pub(crate) use short_keys::ShortKeys;
pub(crate) use stage::{
    MANIFEST_WORD, SLOT_WORDS, Slot, StageHeader, VISIBLE_WORD, Visible, tell, told,
};
pub(crate) use varint::{put as put_varint, put_signed as put_signed_varint};

#[cfg(test)]
mod tests;
