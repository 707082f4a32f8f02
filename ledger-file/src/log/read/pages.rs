//! Pages: which entries a read answers, with what was said about them since.

use std::ops::{ControlFlow, Range};

use ledger_core::{Direction, Entry, Filter, Page, ReadOptions, StreamName, Timestamp};

use super::changes::{Changes, Said};
use super::view::View;
use super::visit::{Each, Visit};
use crate::error::Result;
use crate::format::{EntryRef, Fields, Malformed, Owning, Position};
use crate::index::{Spot, Stretch};
use crate::log::streams::StreamState;

/// How many entries are looked at in one go when nobody knows how many of them match: few at first.
const LOOK_MIN: usize = if cfg!(test) { 1 } else { 64 };
const LOOK_MAX: usize = if cfg!(test) { 3 } else { 4096 };

/// How much room is made in a page before its entries are seen.
const RESERVED_MAX: usize = 1024;

/// A stream, as of a moment, that is read.
#[derive(Debug)]
pub(in crate::log) struct Reading<'a> {
    pub(in crate::log) view: &'a View<'a>,
    pub(in crate::log) name: &'a StreamName,
    pub(in crate::log) state: &'a StreamState,
    pub(in crate::log) now: Timestamp,
}

impl Reading<'_> {
    /// The page that `options` ask for.
    pub(in crate::log) fn page(&self, options: &ReadOptions<u64>) -> Result<Page<u64>> {
        let ids = self.ids(options)?;
        let mut collected = Collected {
            reading: self,
            options,
            takes_all: options.filter.is_empty(),
            owning: Owning::new(self.name),
            entries: Vec::new(),
            tombstones: Vec::new(),
        };
        if options.filter.order_keys.is_empty() {
            self.by_id(ids, &mut collected)?;
        } else if options.tombstones {
            // Tombstones are chosen by id alone, so all ids must be looked at.
            self.by_id(ids, &mut collected)?;
        } else {
            self.by_order_key(ids, &mut collected)?;
        }
        let Collected {
            mut entries,
            tombstones,
            mut owning,
            ..
        } = collected;
        owning.settle(&mut entries);
        Ok(Page::new(
            options,
            entries,
            tombstones,
            self.state.first(),
            self.state.head(),
        ))
    }

    /// The ids between the cursors.
    fn ids(&self, options: &ReadOptions<u64>) -> Result<Range<u64>> {
        let after = options.after.map_or(0, |after| after.saturating_add(1));
        let end = self.state.head + 1;
        let mut start = after.max(self.state.first);
        let end = options.before.map_or(end, |before| before.min(end));
        if let Some(since) = options.since
            && start < end
        {
            start = self.first_since(start..end, since)?;
        }
        Ok(start..end.max(start))
    }

    /// The first of `ids` that was recorded at `time` or later; their end if there is none. Time never steps back.
    pub(in crate::log) fn first_since(&self, ids: Range<u64>, time: Timestamp) -> Result<u64> {
        let (mut low, mut high) = (ids.start, ids.end);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.recorded_at(middle)? < time {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    fn recorded_at(&self, id: u64) -> Result<Timestamp> {
        let mut found = None;
        self.each(id..id + 1, Direction::Ascending, 1, |_, recorded_at, _| {
            found = Some(recorded_at);
            Ok(ControlFlow::Break(()))
        })?;
        found.ok_or_else(|| self.missing(id))
    }

    /// Shows `each` up to `limit` of the entries with `ids`, in the order asked for, until it says to stop.
    pub(super) fn each(
        &self,
        ids: Range<u64>,
        direction: Direction,
        limit: usize,
        each: impl FnMut(u64, Timestamp, EntryRef<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        self.visit(ids, direction, limit, &mut Each::new(each))
    }

    /// As [`each`](Self::each), for whoever can do with less of plain entries.
    fn visit(
        &self,
        ids: Range<u64>,
        direction: Direction,
        limit: usize,
        each: &mut impl Visit,
    ) -> Result<()> {
        let mut stretches: Vec<Stretch> = Vec::new();
        let number = self.state.number;
        let look = self.view.look();
        look.entries(number, ids, direction, limit, &mut stretches)?;
        let places = stretches.iter().map(|stretch| stretch.start.place());
        let frames = self.view.announce(places)?;
        for (stretch, frame) in stretches.into_iter().zip(frames) {
            let flow = match direction {
                Direction::Ascending => self.view.entries(number, stretch, frame, each)?,
                Direction::Descending => self.backwards(stretch, frame, each)?,
            };
            if flow.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Shows `each` the entries of a stretch, the last one first.
    fn backwards(
        &self,
        stretch: Stretch,
        frame: Option<Position>,
        each: &mut impl Visit,
    ) -> Result<ControlFlow<()>> {
        let mut kept = Vec::with_capacity(stretch.count as usize);
        let mut keep = Each::new(|id, recorded_at, entry: EntryRef<'_>| {
            kept.push((id, recorded_at, entry.raw().to_vec()));
            Ok(ControlFlow::Continue(()))
        });
        let number = self.state.number;
        let flow = self.view.entries(number, stretch, frame, &mut keep)?;
        for (id, recorded_at, raw) in kept.iter().rev() {
            let entry = EntryRef::parse(raw)
                .map_err(|malformed| self.view.malformed(stretch.start.place(), malformed))?;
            if each.visit(*id, *recorded_at, entry)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(flow)
    }

    fn by_id(&self, ids: Range<u64>, collected: &mut Collected<'_>) -> Result<()> {
        let mut rest = ids;
        let mut look = self.first_look(collected);
        collected.reserve(&rest);
        while !rest.is_empty() && !collected.is_full() {
            let part = take_part(&mut rest, collected.options.direction, look as u64);
            let changes = Changes::of(self.view, self.state.number, part.clone())?;
            let direction = collected.options.direction;
            let mut taking = Taking {
                collected,
                changes: &changes,
            };
            self.visit(part, direction, look, &mut taking)?;
            look = (look * 4).min(LOOK_MAX);
        }
        Ok(())
    }

    /// How many entries to look at first: just what is wanted, if every entry is.
    fn first_look(&self, collected: &Collected<'_>) -> usize {
        let options = collected.options;
        match options.filter.is_empty() {
            true => options.limit.min(LOOK_MAX),
            false => options.limit.clamp(LOOK_MIN, LOOK_MAX),
        }
    }

    fn by_order_key(&self, ids: Range<u64>, collected: &mut Collected<'_>) -> Result<()> {
        let (mut rest, direction) = (ids, collected.options.direction);
        while !rest.is_empty() && !collected.is_full() {
            let limit = collected.room().min(LOOK_MAX);
            let spots = self.candidates(&mut rest, direction, limit, &collected.options.filter)?;
            let places = spots.iter().map(|spot| spot.position);
            let frames = self.view.announce(places)?;
            for (spot, frame) in spots.into_iter().zip(frames) {
                let changes = Changes::of(self.view, self.state.number, spot.id..spot.id + 1)?;
                let flow =
                    self.view
                        .entry_in(self.state.number, spot, frame, |recorded_at, entry| {
                            collected.take(spot.id, recorded_at, entry, &changes)
                        })?;
                if flow.is_break() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The next entries that may have one of the filter's order keys. `rest` is what lies behind them.
    fn candidates(
        &self,
        rest: &mut Range<u64>,
        direction: Direction,
        limit: usize,
        filter: &Filter,
    ) -> Result<Vec<Spot>> {
        let (number, look) = (self.state.number, self.view.look());
        let (mut all, mut part) = (Vec::new(), rest.clone());
        for key in &filter.order_keys {
            let hash = self.view.shared().hasher.order_key(number, key);
            let known = all.len();
            look.order_key(number, hash, part.clone(), direction, limit, &mut all)?;
            if all.len() - known == limit
                && let Some(last) = all.last()
            {
                // There may be more of this key behind: what the others have there comes later.
                match direction {
                    Direction::Ascending => part.end = part.end.min(last.id + 1),
                    Direction::Descending => part.start = part.start.max(last.id),
                }
            }
        }
        all.retain(|spot| part.contains(&spot.id));
        all.sort_unstable_by_key(|spot| spot.id);
        all.dedup();
        if direction == Direction::Descending {
            all.reverse();
        }
        match direction {
            Direction::Ascending => rest.start = part.end,
            Direction::Descending => rest.end = part.start,
        }
        Ok(all)
    }

    pub(super) fn missing(&self, id: u64) -> crate::error::Failure {
        crate::error::Failure::damage(
            self.view.shared().place.clone(),
            format!("entry {id} of stream {:?} is in no index", self.name),
        )
    }
}

/// Takes the first `limit` of `rest`, or its last if that is where a page begins.
fn take_part(rest: &mut Range<u64>, direction: Direction, limit: u64) -> Range<u64> {
    match direction {
        Direction::Ascending => {
            let end = rest.end.min(rest.start.saturating_add(limit));
            let part = rest.start..end;
            rest.start = end;
            part
        }
        Direction::Descending => {
            let start = rest.start.max(rest.end.saturating_sub(limit));
            let part = start..rest.end;
            rest.end = start;
            part
        }
    }
}

/// A page in the making.
#[derive(Debug)]
struct Collected<'a> {
    reading: &'a Reading<'a>,
    options: &'a ReadOptions<u64>,
    /// Whether no filter is to be asked.
    takes_all: bool,
    owning: Owning<'a>,
    entries: Vec<Entry<u64>>,
    tombstones: Vec<u64>,
}

impl Collected<'_> {
    fn room(&self) -> usize {
        let taken = self.entries.len() + self.owning.waiting() + self.tombstones.len();
        self.options.limit.saturating_sub(taken)
    }

    fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// Makes room at once for what is known to come.
    fn reserve(&mut self, ids: &Range<u64>) {
        if self.takes_all {
            let count = usize::try_from(ids.end - ids.start).unwrap_or(usize::MAX);
            let count = count.min(self.options.limit);
            self.entries.reserve(count.min(RESERVED_MAX));
            self.owning.expect(count);
        }
    }

    /// Takes an entry, if it belongs into the page.
    fn take(
        &mut self,
        id: u64,
        recorded_at: Timestamp,
        entry: EntryRef<'_>,
        changes: &Changes,
    ) -> Result<ControlFlow<()>> {
        if self.is_full() {
            return Ok(ControlFlow::Break(()));
        }
        if self.takes_all && entry.is_plain() && changes.is_empty() {
            self.take_plain(id, recorded_at, entry);
        } else {
            self.take_any(id, recorded_at, entry, changes)?;
        }
        Ok(self.flow())
    }

    /// As [`take`](Self::take), if all entries are wanted and nothing was said about this one: what has no fields does
    /// not expire.
    #[inline]
    fn take_plain(&mut self, id: u64, recorded_at: Timestamp, plain: EntryRef<'_>) {
        self.owning.plain(id, recorded_at, plain, &mut self.entries);
    }

    #[inline]
    fn flow(&self) -> ControlFlow<()> {
        match self.is_full() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// As [`take`](Self::take), whatever the entry has and whatever is wanted.
    #[inline(never)]
    fn take_any(
        &mut self,
        id: u64,
        recorded_at: Timestamp,
        entry: EntryRef<'_>,
        changes: &Changes,
    ) -> Result<()> {
        let view = self.reading.view;
        let place = Position::ZERO;
        let malformed = |malformed: Malformed| view.malformed(place, malformed);
        let decoded;
        let fields = if entry.is_plain() {
            entry.plain_fields()
        } else {
            decoded = entry.fields().map_err(malformed)?;
            &decoded
        };
        let said = changes.about(id);
        if is_gone(fields, said, self.reading.now) {
            if self.options.tombstones {
                self.tombstones.push(id);
            }
        } else if may_match(&self.options.filter, fields) {
            self.owning.settle(&mut self.entries);
            let taken = self.owning.entry(id, recorded_at, entry, fields);
            let mut taken = taken.map_err(malformed)?;
            if let Some(Said::Marked(position)) = said {
                crate::log::marks::apply(view, position, &mut taken)?;
            }
            if self.takes_all || self.options.filter.matches(&taken) {
                self.entries.push(taken);
            }
        }
        Ok(())
    }
}

/// A page that is shown entries of which some may have changed.
struct Taking<'t, 'a> {
    collected: &'t mut Collected<'a>,
    changes: &'t Changes,
}

impl Visit for Taking<'_, '_> {
    #[inline]
    fn visit(
        &mut self,
        id: u64,
        recorded_at: Timestamp,
        entry: EntryRef<'_>,
    ) -> Result<ControlFlow<()>> {
        self.collected.take(id, recorded_at, entry, self.changes)
    }

    fn wants_plain(&self) -> bool {
        self.collected.takes_all && self.changes.is_empty() && !self.collected.is_full()
    }

    #[inline]
    fn visit_plain(
        &mut self,
        id: u64,
        recorded_at: Timestamp,
        plain: EntryRef<'_>,
    ) -> Result<ControlFlow<()>> {
        self.collected.take_plain(id, recorded_at, plain);
        Ok(self.collected.flow())
    }
}

/// Whether reads at `now` no longer return the entry.
pub(super) fn is_gone(fields: &Fields<'_>, said: Option<Said>, now: Timestamp) -> bool {
    fields.is_tombstone
        || said == Some(Said::Purged)
        || fields
            .expires_at
            .is_some_and(|expires_at| expires_at <= now)
}

/// Looked at first, because it costs no copy of the entry.
fn may_match(filter: &Filter, fields: &Fields<'_>) -> bool {
    let is_any_of = |value: Option<&str>, wanted: &[String]| {
        wanted.is_empty() || value.is_some_and(|value| wanted.iter().any(|one| one == value))
    };
    is_any_of(fields.kind, &filter.kinds) && is_any_of(fields.order_key, &filter.order_keys)
}
