//! Who is shown entries as they lie in the log, one after the other.

use std::ops::ControlFlow;

use ledger_core::Timestamp;

use crate::error::Result;
use crate::format::EntryRef;

/// Who is shown entries.
pub(super) trait Visit {
    /// Takes an entry, with its id and the time at which it was recorded, and says whether to go on.
    fn visit(
        &mut self,
        id: u64,
        recorded_at: Timestamp,
        entry: EntryRef<'_>,
    ) -> Result<ControlFlow<()>>;

    /// Whether entries that [are plain](EntryRef::is_plain) are to be shown to [`visit_plain`](Self::visit_plain).
    #[inline]
    fn wants_plain(&self) -> bool {
        false
    }

    /// As [`visit`](Self::visit), for whoever can do with less then.
    #[inline]
    fn visit_plain(
        &mut self,
        id: u64,
        recorded_at: Timestamp,
        plain: EntryRef<'_>,
    ) -> Result<ControlFlow<()>> {
        self.visit(id, recorded_at, plain)
    }
}

/// A closure that is shown entries.
pub(super) struct Each<F>(F);

impl<F: FnMut(u64, Timestamp, EntryRef<'_>) -> Result<ControlFlow<()>>> Each<F> {
    pub(super) fn new(visit: F) -> Self {
        Self(visit)
    }
}

impl<F: FnMut(u64, Timestamp, EntryRef<'_>) -> Result<ControlFlow<()>>> Visit for Each<F> {
    #[inline]
    fn visit(
        &mut self,
        id: u64,
        recorded_at: Timestamp,
        entry: EntryRef<'_>,
    ) -> Result<ControlFlow<()>> {
        (self.0)(id, recorded_at, entry)
    }
}
