//! Reading a stream from some id on without owning anything: for programs that want all of it, and quickly.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::ops::{ControlFlow, Range};

use ledger_core::{StreamName, Timestamp};

use super::changes::Changes;
use super::read::is_gone;
use super::shared::Shared;
use super::view::View;
use crate::disk::Patience;
use crate::error::Result;
use crate::format::{EntryRef, Fields, Malformed, StreamNumber};

/// How many entries are looked up in the indexes in one go: few at first, because who is shown them may want no more.
const PART_MIN: u64 = 1 << 7;
const PART_MAX: u64 = 1 << 20;

/// An entry, borrowed from what was just read of the log. Marks that were made later are not applied.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a> {
    id: u64,
    recorded_at: Timestamp,
    entry: EntryRef<'a>,
    fields: &'a Fields<'a>,
}

impl<'a> RecordRef<'a> {
    /// Its id in the stream.
    #[inline]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// When it was recorded.
    #[inline]
    pub fn recorded_at(&self) -> Timestamp {
        self.recorded_at
    }

    /// The payload as it was appended; owned only if it had to be decompressed.
    ///
    /// # Errors
    /// [`Corrupt`](ledger_core::Error::Corrupt): it could not be decompressed.
    #[inline]
    pub fn payload(&self) -> ledger_core::Result<Cow<'a, [u8]>> {
        self.entry
            .payload()
            .map_err(|Malformed(reason)| ledger_core::Error::Corrupt {
                place: format!("entry {}", self.id),
                reason: reason.into(),
            })
    }

    /// How the payload is encoded.
    #[inline]
    pub fn content_type(&self) -> &'a str {
        self.fields.content_type
    }

    /// The event type's name.
    #[inline]
    pub fn kind(&self) -> Option<&'a str> {
        self.fields.kind
    }

    /// What it happened to.
    #[inline]
    pub fn order_key(&self) -> Option<&'a str> {
        self.fields.order_key
    }

    /// The key under which it is stored at most once, unless empty.
    #[inline]
    pub fn dedup_key(&self) -> Option<&'a str> {
        self.fields.dedup_key
    }

    /// The version of the schema that it was written in.
    #[inline]
    pub fn schema_version(&self) -> u32 {
        self.fields.schema_version
    }
}

impl Shared {
    /// Shows `each` the entries of a stream behind the id `after`, until it says to stop. Answers the last id shown.
    pub(super) fn scan(
        &self,
        stream: &StreamName,
        after: u64,
        each: &mut impl FnMut(RecordRef<'_>) -> ControlFlow<()>,
    ) -> Result<Option<u64>> {
        let (view, state) = self.seen(stream, Patience::Wait)?;
        let Some(state) = state else {
            return Ok(None);
        };
        let mut scan = Scan {
            view: &view,
            stream: state.number,
            now: OnceCell::new(),
            last: None,
            is_over: false,
        };
        let (mut start, end) = (state.first.max(after.saturating_add(1)), state.head + 1);
        let mut part_max = PART_MIN;
        while start < end && !scan.is_over {
            let part = start..end.min(start + part_max);
            (start, part_max) = (part.end, (8 * part_max).min(PART_MAX));
            scan.part(part, each)?;
        }
        Ok(scan.last)
    }
}

/// A scan under way.
struct Scan<'a> {
    view: &'a View<'a>,
    stream: StreamNumber,
    /// Looked at by the first entry that may have expired.
    now: OnceCell<Timestamp>,
    /// The last id that was shown.
    last: Option<u64>,
    is_over: bool,
}

impl Scan<'_> {
    fn part(
        &mut self,
        ids: Range<u64>,
        each: &mut impl FnMut(RecordRef<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let (view, stream) = (self.view, self.stream);
        let changes = Changes::of(view, stream, ids.clone())?;
        view.ascending(stream, ids, |id, recorded_at, entry| {
            let decoded;
            let fields = match entry.plain_fields().filter(|_| changes.is_empty()) {
                Some(fields) => fields,
                None => {
                    decoded = self.fields(entry)?;
                    if is_gone(&decoded, changes.about(id), self.now()) {
                        return Ok(ControlFlow::Continue(()));
                    }
                    &decoded
                }
            };
            self.last = Some(id);
            let flow = each(RecordRef {
                id,
                recorded_at,
                entry,
                fields,
            });
            self.is_over = flow.is_break();
            Ok(flow)
        })
    }

    #[inline]
    fn fields<'e>(&self, entry: EntryRef<'e>) -> Result<Fields<'e>> {
        let fields = entry.fields();
        fields.map_err(|malformed| self.view.malformed(self.view.end(), malformed))
    }

    fn now(&self) -> Timestamp {
        *self.now.get_or_init(|| self.view.shared().now())
    }
}
