//! The index files of segments: written when a segment is full or the log is closed, and made anew when one is damaged
//! or missing (rule 12).

use std::io;
use std::sync::{Arc, PoisonError};

use ledger_core::Error;

use crate::disk::{Access, Disk, LateFile};
use crate::error::{Failure, Result};
use crate::format::{self, FileName, SegmentMeta};
use crate::index::{ActiveIndex, KeyHasher, Layer, Origin, SealedIndex, sealed};
use crate::log::open::follower;
use crate::log::open::recovery::{FIRST_FRAME, Source};
use crate::log::read::picture::Part;
use crate::log::read::segment::SegmentName;
use crate::log::shared::Shared;
use crate::sync::RwLock;

/// How often a question is asked again because another index turned out to be damaged, beyond once for each segment:
/// after an update all of them may be of an older format.
const HEALINGS_MAX: usize = 100;

/// Opens the index files of a segment, and tells up to where they know what is there. One that is missing ends them.
pub(in crate::log) fn open_layers(
    disk: &dyn Disk,
    name: SegmentName,
    meta: &SegmentMeta,
) -> Result<(Vec<Layer>, u32)> {
    let (mut layers, mut end) = (Vec::new(), FIRST_FRAME);
    for layer in &meta.layers {
        let origin = origin(name, layer.from);
        let file_name = file_name(origin);
        if layer.from != end {
            break;
        }
        match disk.open(&file_name, Access::Read) {
            Ok(file) => {
                let index = SealedIndex::open(file, origin, layer.to);
                layers.push(Layer::Sealed(Arc::new(index)));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(Failure::io(&file_name, error)),
        }
        end = layer.to;
    }
    Ok((layers, end))
}

/// As [`open_layers`], for the process that writes, in which nobody else removes files: they are opened when they are
/// first asked. One that is missing is found out then, and made anew; of a segment that `may_grow` it is looked for now.
pub(in crate::log) fn late_layers(
    disk: &Arc<dyn Disk>,
    name: SegmentName,
    meta: &SegmentMeta,
    may_grow: bool,
) -> Result<(Vec<Layer>, u32)> {
    let (mut layers, mut end) = (Vec::new(), FIRST_FRAME);
    for layer in &meta.layers {
        let origin = origin(name, layer.from);
        let file_name = file_name(origin);
        if layer.from != end || may_grow && is_missing(&**disk, &file_name)? {
            break;
        }
        let file = Arc::new(LateFile::new(disk, file_name, Access::Read));
        let index = SealedIndex::open(file, origin, layer.to);
        layers.push(Layer::Sealed(Arc::new(index)));
        end = layer.to;
    }
    Ok((layers, end))
}

/// The indexes of `part` again, those in files as nobody has asked them yet: with nothing of them in memory.
pub(super) fn unread_layers(disk: &Arc<dyn Disk>, part: &Part) -> Vec<Layer> {
    let unread = |layer: &Layer| match layer {
        Layer::Memory(_) => layer.clone(),
        Layer::Sealed(index) => {
            let file = LateFile::new(disk, file_name(index.origin()), Access::Read);
            let index = SealedIndex::of(Arc::new(file), index.span().clone());
            Layer::Sealed(Arc::new(index))
        }
    };
    part.layers.iter().map(unread).collect()
}

fn is_missing(disk: &dyn Disk, name: &str) -> Result<bool> {
    match disk.len(name) {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(Failure::io(name, error)),
    }
}

pub(super) fn origin(name: SegmentName, from: u32) -> Origin {
    Origin {
        log_id: name.log_id,
        segment: name.number,
        generation: name.generation,
        from,
    }
}

pub(in crate::log) fn file_name(origin: Origin) -> String {
    FileName::Index {
        segment: origin.segment,
        generation: origin.generation,
        from: origin.from,
    }
    .to_string()
}

/// A part whose indexes are in files, and what the manifest says of it.
#[derive(Debug)]
pub(in crate::log) struct Indexed {
    pub(in crate::log) part: Part,
    pub(in crate::log) layers: Vec<format::Layer>,
    pub(in crate::log) highest_stream: u64,
}

impl Shared {
    /// Sees to it that all of a segment that ends at `end` is in index files.
    pub(super) fn index_all(&self, part: &Part, end: u32) -> Result<Indexed> {
        let mut part = part.clone();
        let mut highest_stream = 0;
        let ends: Vec<u32> = part.layers[1..]
            .iter()
            .map(|layer| layer.origin().from)
            .chain([end])
            .collect();
        let mut layers = Vec::new();
        for (layer, to) in part.layers.iter_mut().zip(ends) {
            let from = layer.origin().from;
            if let Layer::Memory(index) = layer {
                let index = Arc::clone(index);
                let index = index.read().unwrap_or_else(PoisonError::into_inner);
                highest_stream = highest_stream.max(index.highest_stream().0);
                *layer = self.write_index(&index, to)?;
            }
            layers.push(format::Layer { from, to });
        }
        Ok(Indexed {
            part,
            layers,
            highest_stream,
        })
    }

    /// Writes the index of what ends at `to` into a file of its own, durably.
    fn write_index(&self, index: &ActiveIndex, to: u32) -> Result<Layer> {
        let name = file_name(index.origin());
        let failed = |error| Failure::io(&name, error);
        match self.disk.remove(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let file = self.disk.create(&name).map_err(failed)?;
        sealed::write(index, to, &*file).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        self.disk.sync_directory().map_err(failed)?;
        let index = SealedIndex::open(file, index.origin(), to);
        Ok(Layer::Sealed(Arc::new(index)))
    }
}

impl Shared {
    /// Asks, and asks again when an index file that turned out to be damaged was made anew.
    pub(in crate::log) fn sound<T>(&self, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
        match ask() {
            Err(Failure::Index(origin, reason)) => self.healed(ask, origin, reason),
            Err(failure) => Err(self.or_closed(failure)),
            answer => answer,
        }
    }

    /// What fails in a log that was closed meanwhile: another process may have removed files that nobody had opened here.
    #[cold]
    fn or_closed(&self, failure: Failure) -> Failure {
        let closed = self.check_open().err();
        match failure {
            Failure::Error(Error::Engine { .. } | Error::Corrupt { .. }) => {
                closed.unwrap_or(failure)
            }
            failure => failure,
        }
    }

    #[cold]
    fn healed<T>(
        &self,
        mut ask: impl FnMut() -> Result<T>,
        origin: Origin,
        reason: &'static str,
    ) -> Result<T> {
        let (mut origin, mut reason) = (origin, reason);
        let segments = self.scene().picture.parts().len();
        for _ in 0..HEALINGS_MAX + segments {
            tracing::warn!(segment = origin.segment, reason, "an index is made anew");
            self.heal(origin)?;
            match ask() {
                Err(Failure::Index(next, why)) => (origin, reason) = (next, why),
                answer => return answer.map_err(|failure| self.or_closed(failure)),
            }
        }
        ask()
    }

    fn heal(&self, origin: Origin) -> Result<()> {
        let _alone = self.alone()?;
        self.heal_alone(origin)
    }

    /// Puts an index that was made from the log in the place of the one of `origin`; in the place of a merged one those that
    /// it was made of. Whoever calls this holds the right to tidy up.
    pub(super) fn heal_alone(&self, origin: Origin) -> Result<()> {
        let mut scene = self.scene_mut();
        if let Some(unmerged) = scene.picture.without_merged(origin) {
            scene.picture = Arc::new(unmerged);
            return Ok(());
        }
        drop(scene);
        let picture = Arc::clone(&self.scene().picture);
        let part = picture.part(origin.segment);
        let Some(part) = part.filter(|part| part.segment.generation() == origin.generation) else {
            // It was dropped or rewritten since.
            return Ok(());
        };
        let mut part = part.clone();
        for layer in &mut part.layers {
            let to = match layer {
                Layer::Sealed(index) if index.origin() == origin => index.span().to(),
                _ => continue,
            };
            let index = index_from_log(self.hasher, &part.segment, origin, to)?;
            *layer = self.layer_of(index, to);
            if let Some(follower) = &self.follower {
                follower::lock(follower).replace(origin, layer);
            }
        }
        let mut scene = self.scene_mut();
        scene.picture = Arc::new(scene.picture.with_replaced(&part));
        Ok(())
    }

    /// Has an index that was made anew in a file; in memory if that fails, and in a process that only reads.
    fn layer_of(&self, index: ActiveIndex, to: u32) -> Layer {
        let in_memory = |index| Layer::Memory(Arc::new(RwLock::new(index)));
        if self.follower.is_some() {
            return in_memory(index);
        }
        self.write_index(&index, to).unwrap_or_else(|failure| {
            let error = failure.into_error(&self.place);
            tracing::warn!(%error, "an index stays in memory");
            in_memory(index)
        })
    }
}

/// Makes the index of what lies between `origin` and `to` in a segment.
pub(super) fn index_from_log(
    hasher: KeyHasher,
    segment: &crate::log::read::segment::Segment,
    origin: Origin,
    to: u32,
) -> Result<ActiveIndex> {
    let source = Source {
        len: to.into(),
        ..Source::of(segment)?
    };
    let scan = source.scan(hasher, origin.from)?;
    match scan.end == to {
        true => Ok(scan.index),
        false => Err(segment.damage(scan.end, "a frame that was there is gone")),
    }
}
