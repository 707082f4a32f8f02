//! Which segments the log consists of, and what is where in them, at one moment.

use std::sync::Arc;

use super::segment::Segment;
use crate::error::{Failure, Result};
use crate::format::Position;
use crate::index::{Layer, Layers};

/// The segments, and the indexes that say what is where in them.
///
/// A picture never changes; what follows it shares what stayed the same. So whoever holds one can finish reading,
/// whatever is compacted or deleted meanwhile: the files stay open.
#[derive(Debug)]
pub(super) struct Picture {
    /// In the order of their numbers, which may leave some out.
    parts: Vec<Part>,
    layers: Layers,
}

/// A segment with the indexes of it, in the order of what they cover.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) segment: Arc<Segment>,
    pub(super) layers: Vec<Layer>,
}

impl Picture {
    /// Puts together what is in the order of the segments' numbers.
    pub(super) fn new(parts: Vec<Part>) -> Self {
        let layers = parts.iter().flat_map(|part| part.layers.iter().cloned());
        Self {
            layers: Layers::new(layers.collect()),
            parts,
        }
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub(super) fn layers(&self) -> &Layers {
        &self.layers
    }

    /// The segment of that number, with its indexes.
    pub(super) fn part(&self, number: u32) -> Option<&Part> {
        let index = self
            .parts
            .binary_search_by_key(&number, |part| part.segment.number());
        index.ok().map(|index| &self.parts[index])
    }

    /// The segment that `position` is in.
    pub(super) fn segment_of(&self, position: Position) -> Result<&Arc<Segment>> {
        let number = position.segment();
        let part = self.part(number).ok_or_else(|| {
            Failure::damage(
                format!("segment {number}"),
                "an index refers to it, and it is not there",
            )
        })?;
        Ok(&part.segment)
    }

    /// The picture with one more segment at its end.
    pub(super) fn with_next(&self, part: Part) -> Self {
        Self::new(self.parts.iter().cloned().chain([part]).collect())
    }

    /// The picture with another part in the place of that with the same number.
    pub(super) fn with_replaced(&self, part: &Part) -> Self {
        let number = part.segment.number();
        let replaced = self.parts.iter().map(|old| match old.segment.number() {
            same if same == number => part.clone(),
            _ => old.clone(),
        });
        Self::new(replaced.collect())
    }

    /// The picture without some segments.
    pub(super) fn without(&self, numbers: &[u32]) -> Self {
        let kept = self.parts.iter();
        let kept = kept.filter(|part| !numbers.contains(&part.segment.number()));
        Self::new(kept.cloned().collect())
    }
}
