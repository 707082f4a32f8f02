//! What was said about entries after they were appended: marks and purges.

use std::ops::Range;

use super::view::View;
use crate::error::Result;
use crate::format::{Position, StreamNumber};
use crate::index::ChangeKind;

/// What was said about some entries of a stream. Of most entries nothing ever is.
#[derive(Debug, Default)]
pub(in crate::log) struct Changes(Vec<(u64, ChangeKind, Position)>);

/// What holds of an entry now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) enum Said {
    /// Its marks are those of the record at this place.
    Marked(Position),
    /// Its content is erased.
    Purged,
}

impl Changes {
    /// Looks up what was said about the entries of `stream` with `ids`.
    pub(in crate::log) fn of(
        view: &View<'_>,
        stream: StreamNumber,
        ids: Range<u64>,
    ) -> Result<Self> {
        let mut changes = Vec::new();
        view.look().changes(stream, ids, &mut changes)?;
        Ok(Self(changes))
    }

    /// Whether nothing was said about any of them.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What holds of the entry `id`.
    pub(in crate::log) fn about(&self, id: u64) -> Option<Said> {
        if self.0.is_empty() {
            return None;
        }
        let from = self.0.partition_point(|(of, ..)| *of < id);
        let own = self.0[from..].iter().take_while(|(of, ..)| *of == id);
        own.fold(None, |said, (_, kind, position)| match (said, kind) {
            (Some(Said::Purged), _) | (_, ChangeKind::Purge) => Some(Said::Purged),
            (_, ChangeKind::Mark) => Some(Said::Marked(*position)),
        })
    }
}
