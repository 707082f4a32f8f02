//! What a frame holds: one record after another.
//!
//! `tag u8, length, fields`: a record can be passed over without being understood. An append of one entry has no
//! length, for it is the record that every small append pays for. Rare records are written from the same type that
//! they are read as, so that carrying one forward is reading it and writing it.

use ledger_core::Timestamp;

use super::append::{Append, tag as append_tag};
use super::input::{Input, Malformed, put_measured, put_prefixed};
use super::lists::{Ids, Pairs, Tags};
use super::position::{Position, StreamNumber};
use super::varint;

mod tag {
    pub(super) const NAME: u8 = 0x20;
    pub(super) const RENAME: u8 = 0x21;
    pub(super) const REMOVALS: u8 = 0x22;
    pub(super) const PURGE: u8 = 0x23;
    pub(super) const MARK: u8 = 0x24;
    pub(super) const CHECKPOINT: u8 = 0x25;
    pub(super) const CHECKPOINT_DELETED: u8 = 0x26;
    pub(super) const STATE: u8 = 0x27;
    pub(super) const SEAL: u8 = 0x28;
}

/// One fact of a commit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Record<'a> {
    /// Entries were appended to a stream.
    Append(Append<'a>),
    /// A new stream: the number stands for this name from now on.
    Name { stream: StreamNumber, name: &'a str },
    /// The stream has another name from now on; the old one is free.
    Rename {
        stream: StreamNumber,
        from: &'a str,
        to: &'a str,
    },
    /// Everything below `first` is gone from the stream; `bytes` of payload have been removed from it altogether.
    Removals {
        stream: StreamNumber,
        first: u64,
        bytes: u64,
    },
    /// These entries are tombstones from now on.
    Purge { stream: StreamNumber, ids: Ids<'a> },
    /// What can change about an entry, as it is from now on.
    Mark(Mark<'a>),
    /// A checkpoint as it is from now on.
    Checkpoint(CheckpointRecord<'a>),
    /// What is known of a stream whose newest append is in no segment any more.
    State {
        stream: StreamNumber,
        head: u64,
        bytes: u64,
        recorded_at: Timestamp,
    },
    /// The segment ends here.
    Seal,
}

/// The tags and annotations of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark<'a> {
    pub(crate) stream: StreamNumber,
    pub(crate) id: u64,
    pub(crate) updated_at: Timestamp,
    pub(crate) tags: Tags<'a>,
    pub(crate) annotations: Pairs<'a>,
}

/// A checkpoint's value, or that it is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CheckpointRecord<'a> {
    pub(crate) stream: StreamNumber,
    pub(crate) name: &'a str,
    /// The place of the frame that changed it first, kept when the record is carried forward.
    pub(crate) revision: Position,
    /// None: it was deleted.
    pub(crate) value: Option<&'a [u8]>,
}

type Result<T> = std::result::Result<T, Malformed>;

// Reading.
impl<'a> Record<'a> {
    /// Takes a record from `input`, which ends at the offset `end` of a frame of the time `frame_time`.
    #[inline]
    pub(super) fn read(input: &mut Input<'a>, end: u32, frame_time: Timestamp) -> Result<Self> {
        let tag = input.u8()?;
        if tag & !append_tag::ALL == 0 && tag & append_tag::APPEND != 0 {
            return Append::read(tag, input, end, frame_time).map(Self::Append);
        }
        let mut fields = Input::new(input.prefixed()?);
        let record = Self::read_fields(tag, &mut fields)?;
        fields.end()?;
        Ok(record)
    }

    fn read_fields(tag: u8, input: &mut Input<'a>) -> Result<Self> {
        if tag == tag::SEAL {
            return Ok(Self::Seal);
        }
        let stream = StreamNumber(input.varint()?);
        Ok(match tag {
            tag::NAME => Self::Name {
                stream,
                name: input.text()?,
            },
            tag::RENAME => Self::Rename {
                stream,
                from: input.text()?,
                to: input.text()?,
            },
            tag::REMOVALS => Self::Removals {
                stream,
                first: input.varint()?,
                bytes: input.varint()?,
            },
            tag::PURGE => Self::Purge {
                stream,
                ids: Ids(input.prefixed()?),
            },
            tag::MARK => Self::Mark(Mark::read(stream, input)?),
            tag::CHECKPOINT => Self::Checkpoint(CheckpointRecord::read(stream, true, input)?),
            tag::CHECKPOINT_DELETED => {
                Self::Checkpoint(CheckpointRecord::read(stream, false, input)?)
            }
            tag::STATE => Self::State {
                stream,
                head: input.varint()?,
                bytes: input.varint()?,
                recorded_at: Timestamp::from_micros(input.signed()?),
            },
            _ => return Err(Malformed("a record is of a newer format")),
        })
    }
}

impl<'a> Mark<'a> {
    fn read(stream: StreamNumber, input: &mut Input<'a>) -> Result<Self> {
        Ok(Self {
            stream,
            id: input.varint()?,
            updated_at: Timestamp::from_micros(input.signed()?),
            tags: Tags(input.prefixed()?),
            annotations: Pairs(input.prefixed()?),
        })
    }
}

impl<'a> CheckpointRecord<'a> {
    fn read(stream: StreamNumber, has_value: bool, input: &mut Input<'a>) -> Result<Self> {
        Ok(Self {
            stream,
            name: input.text()?,
            revision: Position::from_u64(input.varint()?),
            value: has_value.then(|| input.prefixed()).transpose()?,
        })
    }
}

// Writing.
impl Record<'_> {
    /// Appends the record to `buf`.
    ///
    /// # Panics
    /// For an append, which is written by its own writer.
    pub(super) fn put(&self, buf: &mut Vec<u8>) {
        buf.push(self.tag());
        put_measured(buf, |buf| self.put_fields(buf));
    }

    fn tag(&self) -> u8 {
        match self {
            Self::Append(_) => unreachable!("appends have a writer of their own"),
            Self::Name { .. } => tag::NAME,
            Self::Rename { .. } => tag::RENAME,
            Self::Removals { .. } => tag::REMOVALS,
            Self::Purge { .. } => tag::PURGE,
            Self::Mark(_) => tag::MARK,
            Self::Checkpoint(CheckpointRecord { value: Some(_), .. }) => tag::CHECKPOINT,
            Self::Checkpoint(CheckpointRecord { value: None, .. }) => tag::CHECKPOINT_DELETED,
            Self::State { .. } => tag::STATE,
            Self::Seal => tag::SEAL,
        }
    }

    fn put_fields(&self, buf: &mut Vec<u8>) {
        if let Some(stream) = self.stream() {
            varint::put(buf, stream.0);
        }
        match *self {
            Self::Append(_) | Self::Seal => {}
            Self::Name { name, .. } => put_prefixed(buf, name.as_bytes()),
            Self::Rename { from, to, .. } => {
                put_prefixed(buf, from.as_bytes());
                put_prefixed(buf, to.as_bytes());
            }
            Self::Removals { first, bytes, .. } => {
                varint::put(buf, first);
                varint::put(buf, bytes);
            }
            Self::Purge { ids, .. } => put_prefixed(buf, ids.0),
            Self::Mark(mark) => mark.put(buf),
            Self::Checkpoint(checkpoint) => checkpoint.put(buf),
            Self::State {
                head,
                bytes,
                recorded_at,
                ..
            } => {
                varint::put(buf, head);
                varint::put(buf, bytes);
                varint::put_signed(buf, recorded_at.as_micros());
            }
        }
    }

    /// The stream that it tells of; none for a seal.
    pub(crate) fn stream(&self) -> Option<StreamNumber> {
        match *self {
            Self::Append(append) => Some(append.head.stream),
            Self::Name { stream, .. }
            | Self::Rename { stream, .. }
            | Self::Removals { stream, .. }
            | Self::Purge { stream, .. }
            | Self::State { stream, .. } => Some(stream),
            Self::Mark(mark) => Some(mark.stream),
            Self::Checkpoint(checkpoint) => Some(checkpoint.stream),
            Self::Seal => None,
        }
    }
}

impl Mark<'_> {
    fn put(&self, buf: &mut Vec<u8>) {
        varint::put(buf, self.id);
        varint::put_signed(buf, self.updated_at.as_micros());
        put_prefixed(buf, self.tags.0);
        put_prefixed(buf, self.annotations.0);
    }
}

impl CheckpointRecord<'_> {
    fn put(&self, buf: &mut Vec<u8>) {
        put_prefixed(buf, self.name.as_bytes());
        varint::put(buf, self.revision.as_u64());
        if let Some(value) = self.value {
            put_prefixed(buf, value);
        }
    }
}
