//! Reading a stream from some id on without owning anything: for programs that want all of it, and quickly.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::ops::{ControlFlow, Range};

use ledger_core::{StreamName, Timestamp};

use super::changes::Changes;
use super::pages::is_gone;
use super::view::View;
use super::visit::Visit;
use crate::disk::Patience;
use crate::error::Result;
use crate::format::{EntryRef, Fields, Malformed, ShortKeys, StreamNumber};
use crate::log::shared::Shared;

/// How many entries are looked up in the indexes in one go: few at first, because who is shown them may want no more.
const PART_MIN: u64 = if cfg!(test) { 1 } else { 1 << 7 };
const PART_MAX: u64 = if cfg!(test) { 4 } else { 1 << 20 };

/// An entry, borrowed from what was just read of the log. Marks that were made later are not applied.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a> {
    id: u64,
    recorded_at: Timestamp,
    entry: EntryRef<'a>,
    /// What it has beside its payload; none if that is [kind and keys](EntryRef::short_keys) at most, which are read when
    /// they are asked for.
    fields: Option<&'a Fields<'a>>,
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
        let payload = self.entry.payload();
        payload.map_err(|malformed| damaged(self.id, malformed))
    }

    /// How the payload is encoded.
    #[inline]
    pub fn content_type(&self) -> &'a str {
        match self.fields {
            Some(fields) => fields.content_type,
            None => self.entry.known_content_type(),
        }
    }

    /// The event type's name.
    #[inline]
    pub fn kind(&self) -> Option<&'a str> {
        match self.fields {
            Some(fields) => fields.kind,
            None => self.short_keys()?.kind(),
        }
    }

    /// What it happened to.
    #[inline]
    pub fn order_key(&self) -> Option<&'a str> {
        match self.fields {
            Some(fields) => fields.order_key,
            None => self.short_keys()?.order_key(),
        }
    }

    /// The key under which it is stored at most once, unless empty.
    #[inline]
    pub fn dedup_key(&self) -> Option<&'a str> {
        match self.fields {
            Some(fields) => fields.dedup_key,
            None => self.short_keys()?.dedup_key(),
        }
    }

    /// The version of the schema that it was written in.
    #[inline]
    pub fn schema_version(&self) -> u32 {
        self.fields.map_or(1, |fields| fields.schema_version)
    }

    #[inline]
    fn short_keys(&self) -> Option<ShortKeys<'a>> {
        self.entry.short_keys()
    }

    /// All of its bytes in the log, out of which [`lend`](Self::lend) makes it again.
    #[inline]
    pub(crate) fn raw(&self) -> &'a [u8] {
        self.entry.raw()
    }
}

impl RecordRef<'_> {
    /// Shows `each` an entry that was copied.
    ///
    /// # Errors
    /// Something about it is malformed.
    pub(super) fn lend<T>(
        id: u64,
        recorded_at: Timestamp,
        raw: &[u8],
        each: impl FnOnce(RecordRef<'_>) -> T,
    ) -> std::result::Result<T, Malformed> {
        let entry = EntryRef::parse(raw)?;
        let has_more = entry.short_keys().is_none();
        let fields = has_more.then(|| entry.fields()).transpose()?;
        Ok(each(RecordRef {
            id,
            recorded_at,
            entry,
            fields: fields.as_ref(),
        }))
    }
}

#[cold]
pub(super) fn damaged(id: u64, Malformed(reason): Malformed) -> ledger_core::Error {
    ledger_core::Error::Corrupt {
        place: format!("entry {id}"),
        reason: reason.into(),
    }
}

/// How far somebody has got who is shown a stream as of one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// What is not behind this id was shown or passed over, or is not to be shown.
    after: u64,
    last: Option<u64>,
    /// The stream, and the id that it ends before: known since it was first looked at.
    stream: Option<(StreamNumber, u64)>,
}

impl Progress {
    /// Of one who is to be shown what lies behind the id `after`.
    pub(crate) fn behind(after: u64) -> Self {
        Self {
            after,
            last: None,
            stream: None,
        }
    }

    /// Notes that an entry was shown.
    pub(super) fn note(&mut self, id: u64) {
        (self.after, self.last) = (id, Some(id));
    }

    /// Takes over from another one which stream it is, and where it ends.
    pub(super) fn goes_on_as(&mut self, other: &Self) {
        self.stream = other.stream;
    }

    /// The last id that was shown.
    pub(crate) fn last(&self) -> Option<u64> {
        self.last
    }
}

impl Shared {
    /// Shows `each` the entries of a stream that it was not shown yet, until it says to stop, or `ids_max` ids were looked
    /// at. Goes on if none of that was so: then all were shown. Notes how far that got, also if it fails.
    pub(in crate::log) fn scan(
        &self,
        name: &StreamName,
        progress: &mut Progress,
        ids_max: u64,
        patience: Patience,
        each: &mut impl FnMut(RecordRef<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let (view, state) = self.seen(name, patience)?;
        let state = match (progress.stream, state) {
            // The name may stand for another stream by now.
            (Some((begun, _)), state) if state.is_none_or(|state| state.number != begun) => {
                view.state(begun)?
            }
            (_, Some(state)) => state,
            (_, None) => return Ok(ControlFlow::Continue(())),
        };
        let (stream, end) = *progress
            .stream
            .get_or_insert((state.number, state.head + 1));
        let mut scan = Scan {
            view: &view,
            stream,
            changes: Changes::default(),
            now: OnceCell::new(),
            each,
            last: None,
            is_over: false,
        };
        let start = state.first.max(progress.after.saturating_add(1));
        let part_end = end.min(start.saturating_add(ids_max));
        let scanned = scan.run(start..part_end);
        let is_over = scan.is_over;
        if let Some(last) = scan.last {
            progress.note(last);
        }
        scanned?;
        if is_over {
            return Ok(ControlFlow::Break(()));
        }
        // What was passed over need not be looked at again.
        progress.after = progress.after.max(part_end.saturating_sub(1));
        Ok(match part_end < end {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    }
}

/// A scan under way.
struct Scan<'a, F> {
    view: &'a View<'a>,
    stream: StreamNumber,
    /// What was said about the entries of this part.
    changes: Changes,
    /// Looked at by the first entry that may have expired.
    now: OnceCell<Timestamp>,
    each: &'a mut F,
    /// The last id that was shown.
    last: Option<u64>,
    is_over: bool,
}

impl<F: FnMut(RecordRef<'_>) -> ControlFlow<()>> Scan<'_, F> {
    fn run(&mut self, ids: Range<u64>) -> Result<()> {
        let (mut start, mut part_max) = (ids.start, PART_MIN);
        while start < ids.end && !self.is_over {
            let part = start..ids.end.min(start + part_max);
            (start, part_max) = (part.end, (8 * part_max).min(PART_MAX));
            self.changes = Changes::of(self.view, self.stream, part.clone())?;
            self.view.ascending(self.stream, part, self)?;
        }
        Ok(())
    }

    #[inline]
    fn show(&mut self, record: RecordRef<'_>) -> ControlFlow<()> {
        self.last = Some(record.id);
        let flow = (self.each)(record);
        if flow.is_break() {
            self.is_over = true;
        }
        flow
    }

    /// What an entry has beside its payload; none if it has expired or was purged.
    #[inline(never)]
    fn fields<'e>(&self, id: u64, entry: EntryRef<'e>) -> Result<Option<Fields<'e>>> {
        let fields = entry.fields();
        let fields = fields.map_err(|malformed| self.view.malformed(self.view.end(), malformed))?;
        let is_gone = is_gone(&fields, self.changes.about(id), self.now());
        Ok((!is_gone).then_some(fields))
    }

    fn now(&self) -> Timestamp {
        *self.now.get_or_init(|| self.view.shared().now())
    }
}

impl<F: FnMut(RecordRef<'_>) -> ControlFlow<()>> Visit for Scan<'_, F> {
    /// Whatever it is, it is shown in one place: in a third, beside that of plain entries, the caller's closure would not
    /// become one piece of code with the loop that shows those.
    #[inline(never)]
    fn visit(
        &mut self,
        id: u64,
        recorded_at: Timestamp,
        entry: EntryRef<'_>,
    ) -> Result<ControlFlow<()>> {
        let all;
        // Nothing but an expiry or a purge takes an entry away.
        let fields = if self.changes.is_empty() && entry.short_keys().is_some() {
            None
        } else {
            all = self.fields(id, entry)?;
            if all.is_none() {
                return Ok(ControlFlow::Continue(()));
            }
            all.as_ref()
        };
        Ok(self.show(RecordRef {
            id,
            recorded_at,
            entry,
            fields,
        }))
    }

    /// Nothing but a purge can have taken a plain entry away, and purges are changes.
    #[inline]
    fn wants_plain(&self) -> bool {
        self.changes.is_empty()
    }

    #[inline]
    fn visit_plain(
        &mut self,
        id: u64,
        recorded_at: Timestamp,
        plain: EntryRef<'_>,
    ) -> Result<ControlFlow<()>> {
        Ok(self.show(RecordRef {
            id,
            recorded_at,
            entry: plain,
            fields: None,
        }))
    }
}
