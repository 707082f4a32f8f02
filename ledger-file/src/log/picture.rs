//! Which segments the log consists of, and what is where in them, at one moment.

use std::io;
use std::sync::Arc;

use super::index_files;
use super::segment::Segment;
use crate::disk::DiskFile;
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

impl Part {
    /// Opens those of its files that nobody has asked for yet, so that whoever looks at it can go on when they are gone.
    pub(super) fn hold_open(&self) -> Result<()> {
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
fn open(file: &dyn DiskFile, name: impl FnOnce() -> String) -> Result<()> {
    match file.len() {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::io(&name(), error)),
        _ => Ok(()),
    }
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
