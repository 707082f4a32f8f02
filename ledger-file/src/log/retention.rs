//! Removing: trims and retention from the old end, purges of what has expired.

use ledger_core::{Retention, StreamName, Timestamp};

use super::read::pages::Reading;
use super::read::view::View;
use super::shared::Shared;
use super::streams::StreamState;
use super::write::writer::{Changed, Subject, Turn};
use crate::disk::Patience;
use crate::error::Result;
use crate::format::{Ids, Record};
use crate::index::{ChangeKind, Spot};

/// How many expired entries are looked for in one go.
const EXPIRING_MAX: usize = if cfg!(test) { 2 } else { 4096 };

impl Shared {
    /// Removes what has an id up to `through`, and tells how many that were.
    pub(super) fn trim(&self, stream: &StreamName, through: u64) -> Result<u64> {
        let mut turn = self.turn(Patience::Wait)?;
        let now = self.now();
        match turn.find(stream)? {
            Some(subject) => turn.trim(subject, through.saturating_add(1), now),
            None => Ok(0),
        }
    }

    /// Removes from the old end what `retention` does not keep, and tells how many that were.
    pub(super) fn retain(&self, stream: &StreamName, retention: &Retention) -> Result<u64> {
        let mut turn = self.turn(Patience::Wait)?;
        let now = self.now();
        let Some(subject) = turn.find(stream)? else {
            return Ok(0);
        };
        let first_kept = {
            let view = turn.view();
            let reading = Reading {
                view: &view,
                name: &subject.name,
                state: &subject.state,
                now,
            };
            reading.first_kept(retention)?
        };
        turn.trim(subject, first_kept, now)
    }

    /// Makes tombstones of what has expired, and tells how many were made.
    pub(super) fn purge_expired(&self, stream: &StreamName) -> Result<u64> {
        let mut turn = self.turn(Patience::Wait)?;
        let now = self.now();
        let Some(subject) = turn.find(stream)? else {
            return Ok(0);
        };
        let expired = expired(&turn.view(), &subject.state, now)?;
        if expired.is_empty() {
            return Ok(0);
        }
        let ids: Vec<u64> = expired.iter().map(|(id, _)| *id).collect();
        let mut state = subject.state;
        state.bytes_removed += expired.iter().map(|(_, bytes)| bytes).sum::<u64>();
        state.has_removals = true;
        let purge = Record::Purge {
            stream: state.number,
            ids: Ids(&Ids::encode(&ids)),
        };
        let records = [purge, removals(&state)];
        turn.commit(now, &records, Changed::from_iter([(subject, state)]))?;
        Ok(ids.len() as u64)
    }
}

impl Turn<'_> {
    /// Removes what has an id below `first_kept`, and tells how many that were.
    fn trim(&mut self, subject: Subject, first_kept: u64, now: Timestamp) -> Result<u64> {
        let before = subject.state;
        let first = first_kept.min(before.head + 1);
        if first <= before.first {
            return Ok(0);
        }
        let mut state = before;
        state.first = first;
        state.has_removals = true;
        state.bytes_removed = match state.first() {
            None => state.bytes_appended,
            Some(_) => before.bytes_removed + bytes_before(&self.view(), &before, first)?,
        };
        let records = [removals(&state)];
        self.commit(now, &records, Changed::from_iter([(subject, state)]))?;
        Ok(first - before.first)
    }
}

fn removals(state: &StreamState) -> Record<'static> {
    Record::Removals {
        stream: state.number,
        first: state.first,
        bytes: state.bytes_removed,
    }
}

/// The payload bytes of the entries that are there before `id`, which is there too.
fn bytes_before(view: &View<'_>, state: &StreamState, id: u64) -> Result<u64> {
    let from = view.bytes_appended_before(state.number, state.first)?;
    let appended = view.bytes_appended_before(state.number, id)? - from;
    let purged = purged(view, state, id)?;
    Ok(appended.saturating_sub(purged.iter().map(|(_, bytes)| bytes).sum()))
}

/// The entries before `end` that were purged, with the bytes their payloads had.
fn purged(view: &View<'_>, state: &StreamState, end: u64) -> Result<Vec<(u64, u64)>> {
    let mut changes = Vec::new();
    view.look()
        .changes(state.number, state.first..end, &mut changes)?;
    changes.retain(|(_, kind, _)| *kind == ChangeKind::Purge);
    changes.dedup_by_key(|(id, ..)| *id);
    let sizes = changes.into_iter().map(|(id, ..)| {
        let bytes = view.payload_bytes(state.number, id)?;
        Ok((id, bytes))
    });
    sizes.collect()
}

/// The entries that have expired and are not purged yet, with the bytes of their payloads.
fn expired(view: &View<'_>, state: &StreamState, now: Timestamp) -> Result<Vec<(u64, u64)>> {
    let (mut expired, mut rest) = (Vec::new(), state.first..state.head + 1);
    while !rest.is_empty() {
        let mut spots: Vec<Spot> = Vec::new();
        view.look()
            .expiring(state.number, rest.clone(), EXPIRING_MAX, &mut spots)?;
        let Some(last) = spots.last() else { break };
        let part = rest.start..last.id + 1;
        rest.start = part.end;
        let changes = super::read::changes::Changes::of(view, state.number, part)?;
        for spot in spots {
            let said = changes.about(spot.id);
            let bytes = view.entry(state.number, spot, |_, entry| {
                let fields = entry.fields();
                let fields = fields.map_err(|error| view.malformed(spot.position, error))?;
                let is_over = fields.expires_at.is_some_and(|time| time <= now);
                let is_there =
                    !fields.is_tombstone && said != Some(super::read::changes::Said::Purged);
                Ok((is_over && is_there).then_some(fields.payload_bytes))
            })?;
            expired.extend(bytes.map(|bytes| (spot.id, bytes)));
        }
    }
    Ok(expired)
}

impl Reading<'_> {
    /// The oldest id that `retention` keeps.
    fn first_kept(&self, retention: &Retention) -> Result<u64> {
        let ids = self.state.first..self.state.head + 1;
        let mut first = ids.start;
        if let Some(age) = retention.age_max {
            first = self.first_since(ids.clone(), self.now.saturating_sub(age))?;
        }
        if let Some(entries) = retention.entries_max {
            first = first.max(ids.end.saturating_sub(entries));
        }
        if let Some(bytes) = retention.bytes_max {
            first = first.max(self.first_within(bytes)?);
        }
        Ok(first)
    }

    /// The id from which on the payloads have no more than `bytes_max` together.
    fn first_within(&self, bytes_max: u64) -> Result<u64> {
        let Some(too_much) = self.state.bytes().checked_sub(bytes_max).filter(|b| *b > 0) else {
            return Ok(self.state.first);
        };
        let (mut low, mut high) = (self.state.first, self.state.head + 1);
        let from = self.view.bytes_appended_before(self.state.number, low)?;
        let purged = purged(self.view, self.state, high)?;
        while low < high {
            let middle = low + (high - low) / 2;
            let number = self.state.number;
            let appended = self.view.bytes_appended_before(number, middle + 1)? - from;
            let before = purged.iter().take_while(|(id, _)| *id <= middle);
            let gone: u64 = before.map(|(_, bytes)| bytes).sum();
            if appended - gone < too_much {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low + 1)
    }
}
