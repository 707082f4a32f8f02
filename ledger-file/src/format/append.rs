//! The section of a frame that appends entries to one stream.

use ledger_core::Timestamp;

use super::entry::EntryRef;
use super::input::{Input, Malformed};
use super::position::StreamNumber;

/// The bits of the tag of an append.
pub(super) mod tag {
    pub(crate) const APPEND: u8 = 0x10;
    /// Any number of entries, with their count and length in front; without it, one entry.
    pub(crate) const MANY: u8 = 1 << 0;
    /// A removals record of the stream exists.
    pub(crate) const HAS_REMOVALS: u8 = 1 << 1;
    /// The stream's time is not that of the frame: it follows, as the distance from it.
    pub(crate) const TIME: u8 = 1 << 2;
    pub(crate) const ALL: u8 = APPEND | MANY | HAS_REMOVALS | TIME;
}

/// What a section says before its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AppendHead {
    /// The stream appended to.
    pub(crate) stream: StreamNumber,
    /// The id of the first entry; the others follow without a gap.
    pub(crate) first_id: u64,
    /// The bytes of all payloads that were appended to the stream before this section.
    pub(crate) bytes_before: u64,
    /// When the entries were recorded.
    pub(crate) recorded_at: Timestamp,
    /// Whether a removals record of the stream exists, which a reader of its state must look for.
    pub(crate) has_removals: bool,
}

/// A section in the bytes of its frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Append<'a> {
    pub(crate) head: AppendHead,
    /// How many entries there are; at least one.
    pub(crate) count: u32,
    entries: &'a [u8],
    /// Where the entries begin in the frame.
    offset: u32,
}

/// A section of one entry at the front of a frame, with no more than has to be seen of it to pass it on. To move a whole [`Append`] costs more
/// than to read a small frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Single<'a> {
    pub(crate) stream: StreamNumber,
    pub(crate) id: u64,
    /// Begins with the entry.
    pub(crate) bytes: &'a [u8],
}

impl<'a> Single<'a> {
    /// Reads what `records` begin with; none if that is anything else, or was recorded at another time than the frame.
    #[inline]
    pub(super) fn read(records: &'a [u8]) -> Option<Self> {
        let mut input = Input::new(records);
        let tag = input.u8().ok()?;
        if tag & !tag::HAS_REMOVALS != tag::APPEND {
            return None;
        }
        let stream = StreamNumber(input.varint().ok()?);
        let id = input.varint().ok()?;
        let _bytes_before = input.varint().ok()?;
        Some(Self {
            stream,
            id,
            bytes: input.rest(),
        })
    }
}

impl<'a> Append<'a> {
    /// Reads the section behind its `tag`, leaving `input` behind it. `end` is the offset in the frame at which `input`
    /// ends; `frame_time` that of the frame.
    pub(super) fn read(
        tag: u8,
        input: &mut Input<'a>,
        end: u32,
        frame_time: Timestamp,
    ) -> Result<Self, Malformed> {
        if tag & tag::MANY == 0 {
            return Self::read_one(tag, input, end, frame_time);
        }
        let len = input.u32()?;
        let mut section = Input::new(input.bytes(u64::from(len))?);
        let count = section.u32()?;
        let head = AppendHead::read(tag, &mut section, frame_time)?;
        let offset = end - input.len() as u32 - section.len() as u32;
        Self {
            head,
            count,
            entries: section.rest(),
            offset,
        }
        .checked()
    }

    fn read_one(
        tag: u8,
        input: &mut Input<'a>,
        end: u32,
        frame_time: Timestamp,
    ) -> Result<Self, Malformed> {
        let head = AppendHead::read(tag, input, frame_time)?;
        let offset = end - input.len() as u32;
        let entries = EntryRef::parse(input.rest())?.raw();
        input.bytes(entries.len() as u64)?;
        Self {
            head,
            count: 1,
            entries,
            offset,
        }
        .checked()
    }

    /// Refuses a section without entries, and ids that cannot be: there is always a next one.
    fn checked(self) -> Result<Self, Malformed> {
        let next = self.head.first_id.checked_add(self.count.into());
        if self.count == 0 || self.head.first_id == 0 || next.is_none() {
            return Err(Malformed("an append has impossible ids"));
        }
        Ok(self)
    }

    /// The id of the last entry.
    pub(crate) fn last_id(&self) -> u64 {
        self.head.first_id + u64::from(self.count) - 1
    }

    /// Where the entries begin in the frame.
    pub(crate) fn offset(&self) -> u32 {
        self.offset
    }

    /// The bytes of the entries.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.entries
    }

    /// The entries with their offsets in the frame, in the order of their ids.
    pub(crate) fn entries(&self) -> Entries<'a> {
        Entries {
            rest: self.entries,
            left: self.count,
            offset: self.offset,
        }
    }

    /// The bytes of all payloads that were appended to the stream up to and with this section.
    ///
    /// # Errors
    /// An entry is malformed.
    pub(crate) fn bytes_after(&self) -> Result<u64, Malformed> {
        let mut bytes = self.head.bytes_before;
        for entry in self.entries() {
            bytes = bytes.saturating_add(entry?.1.payload_bytes()?);
        }
        Ok(bytes)
    }
}

impl AppendHead {
    fn read(tag: u8, input: &mut Input<'_>, frame_time: Timestamp) -> Result<Self, Malformed> {
        Ok(Self {
            stream: StreamNumber(input.varint()?),
            first_id: input.varint()?,
            bytes_before: input.varint()?,
            recorded_at: if tag & tag::TIME == 0 {
                frame_time
            } else {
                Timestamp::from_micros(frame_time.as_micros().wrapping_add(input.signed()?))
            },
            has_removals: tag & tag::HAS_REMOVALS != 0,
        })
    }
}

/// The entries of a section, with their offsets in the frame. Nothing follows the first that is malformed.
#[derive(Clone, Debug)]
pub(crate) struct Entries<'a> {
    rest: &'a [u8],
    left: u32,
    offset: u32,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<(u32, EntryRef<'a>), Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 && self.rest.is_empty() {
            return None;
        }
        Some(self.take().inspect_err(|_| {
            self.left = 0;
            self.rest = &[];
        }))
    }
}

impl<'a> Entries<'a> {
    #[inline]
    fn take(&mut self) -> Result<(u32, EntryRef<'a>), Malformed> {
        self.left = self
            .left
            .checked_sub(1)
            .ok_or(Malformed("an append has more entries than it says"))?;
        let offset = self.offset;
        let (entry, rest) = EntryRef::split(self.rest)?;
        self.offset += entry.raw().len() as u32;
        self.rest = rest;
        Ok((offset, entry))
    }
}
