//! All indexes of a log, and the questions that a log asks them.
//!
//! A file index has a filter, so that a layer without an answer usually costs a look into memory.

use std::ops::Range;

use ledger_core::Direction;
use smallvec::SmallVec;

use super::active::{ActiveIndex, CANDIDATES, Candidates};
use super::change::{Change, ChangeKind};
use super::hash::KeyHash;
use super::layer::{Layer, LayerAt, Placed};
use super::recent::Known;
use super::sealed::SealedIndex;
use super::{IndexError, Means, Spot, Stretch, Window};
use crate::disk::Patience;
use crate::format::{Position, StreamNumber};
use crate::sync::RwLockReadGuard;

/// Indexes that cover a log, oldest first. They do not change: a roll makes new ones.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    layers: Vec<Placed>,
}

impl Layers {
    /// Puts `layers` together: oldest first, none beside another.
    pub(crate) fn new(layers: Vec<Layer>) -> Self {
        Self {
            layers: layers.into_iter().map(Placed::from).collect(),
        }
    }

    /// The newest of them, one after the other, as long as they are in memory.
    pub(super) fn newest_in_memory(
        &self,
    ) -> impl Iterator<Item = RwLockReadGuard<'_, ActiveIndex>> {
        let newest_first = self.layers.iter().rev();
        newest_first.map_while(|placed| placed.layer.in_memory())
    }

    /// Looks at them as they were when the log ended at `below`, which is not before the end of any file layer.
    pub(crate) fn at(&self, below: Position, patience: Patience) -> Look<'_> {
        Look {
            layers: &self.layers,
            below,
            means: Means::calls(patience),
        }
    }
}

/// The indexes at some point of the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look<'a> {
    pub(super) layers: &'a [Placed],
    below: Position,
    pub(super) means: Means,
}

type Result<T, E = IndexError> = std::result::Result<T, E>;

impl Look<'_> {
    /// The same look, at files that may be mapped.
    pub(crate) fn mapped(mut self, may_map: bool) -> Self {
        self.means.may_map = may_map;
        self
    }
}

// By id and order key.
impl Look<'_> {
    /// Finds the entries of `stream` with `ids`, at most `limit` of them from the end that `direction` begins at.
    ///
    /// # Errors
    /// Those of the files.
    pub(crate) fn entries(
        &self,
        stream: StreamNumber,
        ids: Range<u64>,
        direction: Direction,
        limit: usize,
        out: &mut Vec<Stretch>,
    ) -> Result<()> {
        let known = out.len();
        let window = Window {
            ids,
            direction,
            limit,
        };
        self.glance_at_runs(stream);
        self.walk(stream, &window, |layer| {
            let left = limit - count(&out[known..]);
            layer.stretches(stream, &window.with_limit(left), out)?;
            let found = &out[known..];
            let is_at_end = found.last().is_some_and(|last| window.ends_with(last));
            Ok(is_at_end || count(found) >= limit)
        })
    }

    /// Finds entries of `stream` that may have the order key: those with `ids`, at most `limit` of them.
    ///
    /// # Errors
    /// Those of the files.
    pub(crate) fn order_key(
        &self,
        stream: StreamNumber,
        hash: KeyHash,
        ids: Range<u64>,
        direction: Direction,
        limit: usize,
        out: &mut Vec<Spot>,
    ) -> Result<()> {
        let end = out.len() + limit;
        let window = Window {
            ids,
            direction,
            limit,
        };
        self.announce_order_key(stream, hash, &window)?;
        self.walk(stream, &window, |layer| {
            layer.order_key(stream, hash, &window.with_limit(end - out.len()), out)?;
            Ok(out.len() >= end)
        })
    }

    /// Finds entries of `stream` that have an `expires_at`: those with `ids`, at most `limit` of them, oldest first.
    ///
    /// # Errors
    /// Those of the files.
    pub(crate) fn expiring(
        &self,
        stream: StreamNumber,
        ids: Range<u64>,
        limit: usize,
        out: &mut Vec<Spot>,
    ) -> Result<()> {
        let end = out.len() + limit;
        let window = Window {
            ids,
            direction: Direction::Ascending,
            limit,
        };
        self.walk(stream, &window, |layer| {
            layer.expiring(stream, &window.with_limit(end - out.len()), out)?;
            Ok(out.len() >= end)
        })
    }

    /// The newest entry of `stream`.
    ///
    /// # Errors
    /// Those of the files.
    pub(crate) fn newest_entry(&self, stream: StreamNumber) -> Result<Option<Spot>> {
        self.newest(|layer| layer.newest_entry(stream))
    }

    pub(super) fn sealed(&self) -> impl Iterator<Item = &SealedIndex> {
        self.layers.iter().filter_map(|placed| match &placed.layer {
            Layer::Sealed(index) => Some(&**index),
            Layer::Memory(_) => None,
        })
    }

    /// Shows `visit` the layers that can hold entries of `stream` in `window`, until it answers that it has enough.
    fn walk(
        &self,
        stream: StreamNumber,
        window: &Window,
        mut visit: impl FnMut(LayerAt<'_>) -> Result<bool>,
    ) -> Result<()> {
        let ids = &window.ids;
        if ids.is_empty() {
            return Ok(());
        }
        let layers: &mut dyn Iterator<Item = usize> = match window.direction {
            Direction::Ascending => &mut (self.layer_of(stream, ids.start)?..self.layers.len()),
            Direction::Descending => &mut (0..=self.layer_of(stream, ids.end - 1)?).rev(),
        };
        for layer in layers.filter_map(|layer| self.layer(layer)) {
            if visit(layer)? {
                break;
            }
        }
        Ok(())
    }

    /// The last layer in which `stream` begins with `id` or less; that is where `id` is, if it is anywhere.
    fn layer_of(&self, stream: StreamNumber, id: u64) -> Result<usize> {
        let mut found = 0;
        let (mut low, mut high) = (0, self.layers.len());
        let mut middle = high.saturating_sub(1);
        while low < high {
            match self.begins(stream, low..middle + 1)? {
                Some((layer, first)) if first > id => high = layer,
                Some((layer, _)) => (found, low) = (layer, middle + 1),
                None => low = middle + 1,
            }
            middle = low + (high.saturating_sub(low)) / 2;
        }
        Ok(found)
    }

    /// The newest of some layers that has entries of `stream`, and its first id there.
    fn begins(&self, stream: StreamNumber, layers: Range<usize>) -> Result<Option<(usize, u64)>> {
        for index in layers.rev() {
            if let Some(layer) = self.layer(index)
                && let Some(first) = layer.first_id(stream)?
            {
                return Ok(Some((index, first)));
            }
        }
        Ok(None)
    }
}

fn count(stretches: &[Stretch]) -> usize {
    stretches.iter().map(|stretch| stretch.count as usize).sum()
}

// By keys that the log has to confirm.
impl Look<'_> {
    /// Finds all entries of `stream` with a dedup key of one of `hashes`, each with the index of its hash: the newest
    /// first. The log has to confirm them. What is `known` of the hashes spares looks.
    ///
    /// # Errors
    /// Those of the files.
    pub(crate) fn dedup_keys(
        &self,
        stream: StreamNumber,
        hashes: &[KeyHash],
        known: &Known,
        out: &mut Vec<(usize, Spot)>,
    ) -> Result<()> {
        let lacks = |placed: &Placed| match known.of(placed.start) {
            Some(some) => some.is_empty(),
            None => matches!(hashes, [hash] if placed.layer.lacks(*hash)),
        };
        for layer in self.newest_without(lacks) {
            layer.dedup_keys(hashes, known.of(layer.start()), |index, ordinal| {
                let spot = layer.spot(stream, ordinal)?;
                out.extend(spot.map(|spot| (index, spot)));
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Finds the newest record about the name of a stream that `take` makes something of.
    ///
    /// # Errors
    /// Those of the files and of `take`.
    pub(crate) fn name<T, E: From<IndexError>>(
        &self,
        hash: KeyHash,
        take: impl FnMut(Position) -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        self.record(
            hash,
            |layer, skipped| layer.name_records(hash, skipped),
            take,
        )
    }

    /// Finds the newest record about a checkpoint that `take` makes something of.
    ///
    /// # Errors
    /// Those of the files and of `take`.
    pub(crate) fn checkpoint<T, E: From<IndexError>>(
        &self,
        hash: KeyHash,
        take: impl FnMut(Position) -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        self.record(
            hash,
            |layer, skipped| layer.checkpoint_records(hash, skipped),
            take,
        )
    }

    fn record<T, E: From<IndexError>>(
        &self,
        hash: KeyHash,
        candidates: impl Fn(&LayerAt<'_>, usize) -> Result<Candidates>,
        mut take: impl FnMut(Position) -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        let layers: SmallVec<[_; 32]> = self.newest_without(|it| it.layer.lacks(hash)).collect();
        for (nth, layer) in layers.iter().enumerate() {
            if nth == 1 {
                self.announce_record(hash, &layers[nth..])?;
            }
            let mut skipped = 0;
            loop {
                let some = candidates(layer, skipped)?;
                for offset in &some {
                    if let Some(taken) = take(layer.position(*offset))? {
                        return Ok(Some(taken));
                    }
                }
                skipped += some.len();
                if some.len() < CANDIDATES {
                    break;
                }
            }
        }
        Ok(None)
    }
}

// What was said about streams and entries, and names.
impl Look<'_> {
    /// Where the state of `stream`, or what was removed of it, was written last.
    ///
    /// # Errors
    /// Those of the files.
    pub(crate) fn newest_change(
        &self,
        stream: StreamNumber,
        change: Change,
    ) -> Result<Option<Position>> {
        self.newest(|layer| layer.newest_change(stream, change))
    }

    /// As [`newest_change`](Self::newest_change), if it is not before `since`; of what is before, it may be told or not.
    ///
    /// # Errors
    /// Those of the files.
    pub(crate) fn newest_change_since(
        &self,
        stream: StreamNumber,
        change: Change,
        since: Position,
    ) -> Result<Option<Position>> {
        for layer in self.newest_first() {
            let found = layer.newest_change(stream, change)?;
            if found.is_some() || layer.start() <= since {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Finds what was written about the entries of `stream` with `ids`: in the order of their ids, the oldest first.
    ///
    /// # Errors
    /// Those of the files.
    pub(crate) fn changes(
        &self,
        stream: StreamNumber,
        ids: Range<u64>,
        out: &mut Vec<(u64, ChangeKind, Position)>,
    ) -> Result<()> {
        let known = out.len();
        for layer in self.newest_first() {
            layer.entry_changes(stream, &ids, out)?;
        }
        out[known..].sort_unstable_by_key(|(id, _, position)| (*id, *position));
        Ok(())
    }

    /// Lists up to `limit` names of streams behind `after`, in byte order. They may have been freed since.
    ///
    /// # Errors
    /// Those of the files.
    pub(crate) fn names(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        self.list(limit, |layer| layer.names(after, limit))
    }

    /// Lists up to `limit` names of checkpoints of `stream` behind `after`, in byte order. They may have been deleted
    /// since.
    ///
    /// # Errors
    /// Those of the files.
    pub(crate) fn checkpoint_names(
        &self,
        stream: StreamNumber,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        self.list(limit, |layer| layer.checkpoint_names(stream, after, limit))
    }

    fn list(
        &self,
        limit: usize,
        names: impl Fn(LayerAt<'_>) -> Result<Vec<String>>,
    ) -> Result<Vec<String>> {
        let mut all = Vec::new();
        for layer in self.newest_first() {
            all.append(&mut names(layer)?);
            all.sort_unstable();
            all.dedup();
            all.truncate(limit);
        }
        Ok(all)
    }

    /// The frame that holds what is at `position`; none if the layers do not cover it.
    ///
    /// # Errors
    /// Those of the files.
    pub(crate) fn frame(&self, position: Position) -> Result<Option<Position>> {
        let layer = self.covering(position);
        layer.map_or(Ok(None), |layer| layer.frame(position))
    }

    /// The frame that holds what is at `position`, and the offset at which it ends, if that is in a file.
    ///
    /// # Errors
    /// Those of the files.
    pub(crate) fn frame_and_end(
        &self,
        position: Position,
    ) -> Result<Option<(Position, Option<u32>)>> {
        let layer = self.covering(position);
        layer.map_or(Ok(None), |layer| layer.frame_and_end(position))
    }

    fn covering(&self, position: Position) -> Option<LayerAt<'_>> {
        let start = |placed: &Placed| placed.start <= position;
        let covering = self.layers.partition_point(start);
        let layer = self.layer(covering.checked_sub(1)?)?;
        layer.covers(position).then_some(layer)
    }
}

impl<'a> Look<'a> {
    fn layer(&self, index: usize) -> Option<LayerAt<'a>> {
        LayerAt::new(self.layers.get(index)?, self.below, self.means)
    }

    fn newest_first(&self) -> impl Iterator<Item = LayerAt<'a>> + '_ {
        self.newest_without(|_| false)
    }

    /// The layers, newest first, without those that have no answer, as is known in memory: most of them. The processor guesses
    /// so, and loads what is looked at in memory for several at the same time.
    fn newest_without(&self, lacks: impl Fn(&Placed) -> bool) -> impl Iterator<Item = LayerAt<'a>> {
        let indices = (0..self.layers.len()).rev();
        let indices = indices.filter(move |index| !lacks(&self.layers[*index]));
        indices.filter_map(|index| self.layer(index))
    }

    fn newest<T>(&self, look: impl Fn(LayerAt<'a>) -> Result<Option<T>>) -> Result<Option<T>> {
        for layer in self.newest_first() {
            if let Some(found) = look(layer)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}
