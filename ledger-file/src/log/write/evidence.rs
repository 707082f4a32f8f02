//! What an append is decided by: the stream as of the moment before it.

use ledger_core::{Condition, Direction, Error, Evidence, Filter, ReadOptions, Timestamp};

use super::writer::Subject;
use crate::error::{Failure, Result};
use crate::fault::{Mistake, is_planted};
use crate::index::{ChangeKind, Spot};
use crate::log::read::pages::Reading;
use crate::log::read::view::View;

/// A stream at a moment.
#[derive(Debug)]
pub(super) struct AsOf<'a> {
    view: &'a View<'a>,
    subject: &'a Subject,
    now: Timestamp,
    /// What a look-up ran into that no error of the contract can say.
    failure: Option<Failure>,
}

/// Whether an entry has a dedup key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// It does not, or has been purged.
    Other,
    /// It does.
    Holds,
    /// It does, but has expired; its payload has that many bytes.
    Expired(u64),
}

impl<'a> AsOf<'a> {
    pub(super) fn new(view: &'a View<'a>, subject: &'a Subject, now: Timestamp) -> Self {
        Self {
            view,
            subject,
            now,
            failure: None,
        }
    }

    /// Decides whether `condition` holds.
    pub(super) fn check(mut self, condition: &Condition<u64>) -> Result<()> {
        let name = self.subject.name.clone();
        let checked = condition.check(&name, &mut self);
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok(checked?),
        }
    }

    /// Tells whether the entry at `spot` has the dedup key `key`, and is retained.
    pub(super) fn retained_holder(&self, spot: Spot, key: Option<&str>) -> Result<Holder> {
        match spot.id < self.subject.state.first {
            true => Ok(Holder::Other),
            false => self.holder(spot, key),
        }
    }

    fn holder(&self, spot: Spot, key: Option<&str>) -> Result<Holder> {
        let number = self.subject.state.number;
        let mut changes = Vec::new();
        let ids = spot.id..spot.id + 1;
        self.view.look().changes(number, ids, &mut changes)?;
        if changes
            .iter()
            .any(|(_, kind, _)| *kind == ChangeKind::Purge)
        {
            return Ok(Holder::Other);
        }
        self.view.entry(number, spot, |_, entry| {
            let malformed = |malformed| self.view.malformed(spot.position, malformed);
            let fields = entry.fields().map_err(malformed)?;
            Ok(match fields.expires_at {
                _ if fields.dedup_key != key && !is_planted(Mistake::IndexTrusted) => Holder::Other,
                Some(expires_at) if expires_at <= self.now => Holder::Expired(fields.payload_bytes),
                _ => Holder::Holds,
            })
        })
    }

    /// The newest entry that a read with `options` returns.
    fn newest_of(&mut self, options: ReadOptions<u64>) -> ledger_core::Result<Option<u64>> {
        let reading = Reading {
            view: self.view,
            name: &self.subject.name,
            state: &self.subject.state,
            now: self.now,
        };
        match reading.page(&options) {
            Ok(page) => Ok(page.entries.first().map(|entry| entry.id)),
            Err(failure) => Err(self.set_aside(failure)),
        }
    }

    fn set_aside(&mut self, failure: Failure) -> Error {
        self.failure = Some(failure);
        Error::InvalidInput {
            reason: "what the look-up ran into is set aside".into(),
        }
    }
}

impl Evidence<u64> for AsOf<'_> {
    fn newest(&mut self, filter: &Filter, from: Option<u64>) -> ledger_core::Result<Option<u64>> {
        let mut options = ReadOptions::new().limit(1).filter(filter.clone());
        options.direction = Direction::Descending;
        options.after = from.and_then(|from| from.checked_sub(1));
        self.newest_of(options)
    }

    fn head(&mut self) -> ledger_core::Result<Option<u64>> {
        Ok(self.subject.state.head())
    }

    fn is_gone(&mut self, id: u64) -> ledger_core::Result<bool> {
        if id == 0 || id > self.subject.state.head {
            return Ok(false);
        }
        let options = ReadOptions::new().limit(1).after(id - 1).before(id + 1);
        Ok(self.newest_of(options)?.is_none())
    }
}
