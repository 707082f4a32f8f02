//! Which segments the log consists of, and what is where in them, at one moment.

use std::io;
use std::sync::Arc;

use super::segment::Segment;
use crate::disk::DiskFile;
use crate::error::{Failure, Result};
use crate::format::Position;
use crate::index::{Layer, Layers, Origin, SealedIndex, Span};
use crate::log::upkeep::index_files;

/// The segments, and the indexes that say what is where in them.
///
/// A picture never changes; what follows it shares what stayed the same. So whoever holds one can finish reading,
/// whatever is compacted or deleted meanwhile: the files stay open.
#[derive(Debug)]
pub(in crate::log) struct Picture {
    /// In the order of their numbers, which may leave some out.
    parts: Vec<Part>,
    /// Each of some of the segments that follow each other, in their order: asked in place of the indexes of these.
    merged: Vec<Arc<SealedIndex>>,
    layers: Layers,
}

/// A segment with the indexes of it, in the order of what they cover.
#[derive(Clone, Debug)]
pub(in crate::log) struct Part {
    pub(in crate::log) segment: Arc<Segment>,
    pub(in crate::log) layers: Vec<Layer>,
}

impl Part {
    /// Opens those of its files that nobody has asked for yet, so that whoever looks at it can go on when they are gone.
    pub(in crate::log) fn hold_open(&self) -> Result<()> {
        open(&**self.segment.file(), || self.segment.file_name())?;
        for layer in &self.layers {
            if let Layer::Sealed(index) = layer {
                open(index.file(), || index_files::file_name(index.origin()))?;
            }
        }
        Ok(())
    }
}

/// Opens a file that is there.
pub(in crate::log) fn open(file: &dyn DiskFile, name: impl FnOnce() -> String) -> Result<()> {
    match file.len() {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::io(&name(), error)),
        _ => Ok(()),
    }
}

impl Picture {
    /// Puts together what is in the order of the segments' numbers.
    pub(in crate::log) fn new(parts: Vec<Part>) -> Self {
        Self::of(parts, Vec::new())
    }

    /// Puts together parts and those of the `merged` indexes that are of parts that are there.
    fn of(parts: Vec<Part>, mut merged: Vec<Arc<SealedIndex>>) -> Self {
        merged.retain(|index| first_and_count(&parts, index.span()).is_some());
        merged.sort_by_key(|index| index.origin().segment);
        Self {
            layers: Layers::new(layers(&parts, &merged)),
            merged,
            parts,
        }
    }

    /// The picture with merged indexes.
    pub(in crate::log) fn with_all_merged(self, merged: Vec<Arc<SealedIndex>>) -> Self {
        Self::of(self.parts, merged)
    }

    pub(in crate::log) fn merged(&self) -> &[Arc<SealedIndex>] {
        &self.merged
    }

    /// Whether the indexes of `span` are merged.
    pub(in crate::log) fn has_merged(&self, span: &Span) -> bool {
        self.merged.iter().any(|index| index.span() == span)
    }

    /// The indexes of the pieces of `span`; none if one of them is not in a file.
    pub(in crate::log) fn indexes_of(&self, span: &Span) -> Option<Vec<&SealedIndex>> {
        let indexes = span.pieces().iter().map(|piece| {
            let part = self.part(piece.origin.segment)?;
            part.layers.iter().find_map(|layer| match layer {
                Layer::Sealed(index) if index.origin() == piece.origin => Some(&**index),
                _ => None,
            })
        });
        indexes.collect()
    }

    /// The picture with one more merged index, and with what `unread` makes of the indexes that it is asked in place of.
    pub(in crate::log) fn with_merged(
        &self,
        merged: Arc<SealedIndex>,
        unread: impl Fn(&Part) -> Vec<Layer>,
    ) -> Self {
        let mut parts = self.parts.clone();
        if let Some((first, count)) = first_and_count(&parts, merged.span()) {
            for part in &mut parts[first..first + count] {
                part.layers = unread(part);
            }
        }
        let merged = self.merged.iter().cloned().chain([merged]);
        Self::of(parts, merged.collect())
    }

    /// The picture without the merged index of that origin; none if there is no such.
    pub(in crate::log) fn without_merged(&self, origin: Origin) -> Option<Self> {
        let is_it = |index: &Arc<SealedIndex>| index.origin() == origin;
        let place = self.merged.iter().position(is_it)?;
        let mut merged = self.merged.clone();
        merged.remove(place);
        Some(Self::of(self.parts.clone(), merged))
    }

    pub(in crate::log) fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub(in crate::log) fn layers(&self) -> &Layers {
        &self.layers
    }

    /// The segment of that number, with its indexes.
    pub(in crate::log) fn part(&self, number: u32) -> Option<&Part> {
        let index = self
            .parts
            .binary_search_by_key(&number, |part| part.segment.number());
        index.ok().map(|index| &self.parts[index])
    }

    /// The segment that `position` is in.
    pub(in crate::log) fn segment_of(&self, position: Position) -> Result<&Arc<Segment>> {
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
    pub(in crate::log) fn with_next(&self, part: Part) -> Self {
        let parts = self.parts.iter().cloned().chain([part]);
        Self::of(parts.collect(), self.merged.clone())
    }

    /// The picture with another part in the place of that with the same number.
    pub(in crate::log) fn with_replaced(&self, part: &Part) -> Self {
        let number = part.segment.number();
        let replaced = self.parts.iter().map(|old| match old.segment.number() {
            same if same == number => part.clone(),
            _ => old.clone(),
        });
        Self::of(replaced.collect(), self.merged.clone())
    }

    /// The picture without some segments.
    pub(in crate::log) fn without(&self, numbers: &[u32]) -> Self {
        let kept = self.parts.iter();
        let kept = kept.filter(|part| !numbers.contains(&part.segment.number()));
        Self::of(kept.cloned().collect(), self.merged.clone())
    }
}

/// Where the segments of `span` are among `parts`; none if one of them is not there, or another between them.
fn first_and_count(parts: &[Part], span: &Span) -> Option<(usize, usize)> {
    let first = span.pieces()[0].origin.segment;
    let first = { parts }.partition_point(|part| part.segment.number() < first);
    let segments = span.pieces().chunk_by(|one, other| {
        let [one, other] = [one, other].map(|piece| piece.origin.segment);
        one == other
    });
    let mut count = 0;
    for pieces in segments {
        let segment = &parts.get(first + count)?.segment;
        let origin = pieces[0].origin;
        if (segment.number(), segment.generation()) != (origin.segment, origin.generation) {
            return None;
        }
        count += 1;
    }
    Some((first, count))
}

/// What is asked for all of `parts`: merged indexes where there are any, which are of parts that are there.
fn layers(parts: &[Part], merged: &[Arc<SealedIndex>]) -> Vec<Layer> {
    let mut layers = Vec::new();
    let (mut merged, mut rest) = (merged.iter().peekable(), parts);
    while let [part, behind @ ..] = rest {
        let number = part.segment.number();
        match merged.next_if(|index| index.origin().segment == number) {
            Some(index) => {
                layers.push(Layer::Sealed(Arc::clone(index)));
                let count = first_and_count(rest, index.span()).map_or(1, |(_, count)| count);
                rest = &rest[count..];
            }
            None => {
                layers.extend(part.layers.iter().cloned());
                rest = behind;
            }
        }
    }
    layers
}

#[cfg(test)]
mod tests {
    use ledger_core::{Batch, NewEntry, Payload};

    use super::*;
    use crate::disk::Patience;
    use crate::log::Log;
    use crate::options::{FileOptions, Housekeeping};

    #[test]
    fn who_looks_at_a_segment_that_nobody_has_opened_goes_on_when_it_is_removed() {
        let place = tempfile::tempdir().unwrap();
        let options = FileOptions::default()
            .with_segment_bytes_max(1 << 10)
            .with_housekeeping(Housekeeping::Inline);
        let log = Log::open(place.path(), options.clone()).unwrap();
        for _ in 0..3 {
            let entry = NewEntry::new(Payload::octets(vec![7; 600]));
            log.append(Batch::new("s", vec![entry])).unwrap();
        }
        log.close().unwrap();
        let log = Log::open(place.path(), options).unwrap();
        let picture = Arc::clone(&log.shared.scene().picture);
        assert_eq!(log.trim(&"s".into(), 2).unwrap(), 2);
        assert_eq!(log.stats().unwrap().segments, 1);
        for part in &picture.parts()[..2] {
            part.segment.header(Patience::Wait).unwrap();
            let Layer::Sealed(index) = &part.layers[0] else {
                panic!("it was written to a file");
            };
            index.verify().unwrap();
        }
    }
}
