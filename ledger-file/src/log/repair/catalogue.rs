//! Which files are the log: as the manifest says, or, if that is damaged, as the files themselves say.

use crate::disk::{Disk, Patience};
use crate::error::{Failure, Result};
use crate::format::{
    FileName, Form, FrameSearch, HeaderError, LogId, Manifest, SEGMENT_HEADER_BYTES, SegmentHeader,
    SegmentMeta,
};
use crate::index::Layer;
use crate::log::random::random;
use crate::log::read::segment::SegmentName;
use crate::log::upkeep::index_files::open_layers;

use super::contents::{Contents, read_file};

/// The manifest to go by.
#[derive(Debug)]
pub(super) struct Catalogue {
    pub(super) manifest: Manifest,
    /// Whether the file says something else.
    pub(super) is_damaged: bool,
    /// Index files that are missing or damaged, and are made again from the log.
    pub(super) unindexed: Vec<Unindexed>,
}

/// An index file that says nothing, and the segment that it is of.
#[derive(Debug)]
pub(super) struct Unindexed {
    pub(super) segment: u32,
    pub(super) file_name: String,
    /// From where on the segment has no index that counts.
    from: u32,
}

impl Catalogue {
    /// Reads it, or makes it anew.
    ///
    /// # Errors
    /// There is no log; it is of a newer format; or the files contradict each other.
    pub(super) fn read(disk: &dyn Disk, place: &str) -> Result<Self> {
        let name = FileName::Manifest.to_string();
        let bytes = read_file(disk, &name)?;
        let (manifest, is_damaged) = match bytes.as_deref().map(Manifest::decode) {
            Some(Ok(manifest)) => (manifest, false),
            Some(Err(error)) => match (bytes.and_then(Manifest::mended), error) {
                (Some(mended), _) => (mended, true),
                (None, error @ HeaderError::TooNew { .. }) => {
                    return Err(Failure::header(&name, error));
                }
                (None, _) => (from_segments(disk, place)?, true),
            },
            None => (from_segments(disk, place)?, true),
        };
        let unindexed = damaged_indexes(disk, &manifest)?;
        Ok(Self {
            manifest,
            is_damaged,
            unindexed,
        })
    }

    /// Takes the index files out of the manifest that say nothing, and those behind them.
    pub(super) fn forget_indexes(&mut self) {
        for unindexed in &self.unindexed {
            let mut segments = self.manifest.segments.iter_mut();
            if let Some(meta) = segments.find(|meta| meta.segment == unindexed.segment) {
                meta.layers.retain(|layer| layer.from < unindexed.from);
            }
        }
    }
}

/// The first index file of each segment that is not what was written.
fn damaged_indexes(disk: &dyn Disk, manifest: &Manifest) -> Result<Vec<Unindexed>> {
    let mut unindexed = Vec::new();
    for meta in &manifest.segments {
        let sound = sound_indexes(disk, manifest.log_id, meta)?;
        unindexed.extend(meta.layers.get(sound).map(|layer| {
            let name = FileName::Index {
                segment: meta.segment,
                generation: meta.generation,
                from: layer.from,
            };
            Unindexed {
                segment: meta.segment,
                file_name: name.to_string(),
                from: layer.from,
            }
        }));
    }
    Ok(unindexed)
}

/// How many index files of a segment are what was written, one behind the other.
fn sound_indexes(disk: &dyn Disk, log_id: LogId, meta: &SegmentMeta) -> Result<usize> {
    let name = SegmentName {
        log_id,
        number: meta.segment,
        generation: meta.generation,
    };
    let (layers, _) = open_layers(disk, name, meta)?;
    for (nth, layer) in layers.iter().enumerate() {
        let Layer::Sealed(index) = layer else {
            continue;
        };
        match index.verify().map_err(Failure::from) {
            Ok(()) => {}
            Err(Failure::Index(..)) => return Ok(nth),
            Err(failure) => return Err(failure),
        }
    }
    Ok(layers.len())
}

/// Makes a manifest of all segment files that are there, and of the numbers that are missing between them: whether
/// these were dropped or lost, the ids of the others tell.
fn from_segments(disk: &dyn Disk, place: &str) -> Result<Manifest> {
    let names = disk.list().map_err(|error| Failure::io(place, error))?;
    let mut files: Vec<(u32, u64, Form)> = names
        .iter()
        .filter_map(|name| match FileName::parse(name)? {
            FileName::Segment {
                segment,
                generation,
            } => Some((segment, generation, Form::Plain)),
            FileName::Packed {
                segment,
                generation,
            } => Some((segment, generation, Form::Packed)),
            _ => None,
        })
        .collect();
    files.sort_unstable();
    // One that was just being packed: its plain file is whole, whatever became of the other.
    files.dedup_by_key(|(segment, generation, _)| (*segment, *generation));
    if let Some(twice) = files.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let number = twice[0].0;
        return Err(Failure::damage(
            place,
            format!("there is no manifest to tell which of two files is segment {number}"),
        ));
    }
    let log_id = log_id(disk, place, &files)?;
    let mut segments: Vec<SegmentMeta> = Vec::new();
    for (segment, generation, form) in files {
        let next = segments
            .last()
            .map_or(segment.saturating_sub(1), |meta| meta.segment + 1);
        let holes = (next.max(1)..segment).map(|number| listed(number, NO_GENERATION, None));
        segments.extend(holes);
        let packed_bytes = match form {
            Form::Plain => None,
            Form::Packed => Some(packed_bytes(disk, segment, generation)?),
        };
        segments.push(listed(segment, generation, packed_bytes));
    }
    seal_all_but_the_last(disk, log_id, &mut segments)?;
    Ok(Manifest {
        log_id,
        seed: random(),
        version: 1,
        streams: 0,
        segments,
    })
}

/// That of a segment of which nobody knows whether it should be there. No file has it.
pub(super) const NO_GENERATION: u64 = 0;

fn listed(segment: u32, generation: u64, packed_bytes: Option<u32>) -> SegmentMeta {
    SegmentMeta {
        segment,
        generation,
        sealed_bytes: None,
        packed_bytes,
        synced: false,
        layers: Vec::new(),
    }
}

/// How long the file of a packed segment is.
fn packed_bytes(disk: &dyn Disk, segment: u32, generation: u64) -> Result<u32> {
    let name = FileName::segment(segment, generation, Form::Packed).to_string();
    let file = disk.open(&name, crate::disk::Access::Read);
    let len = file.and_then(|file| file.len());
    let len = len.map_err(|error| Failure::io(&name, error))?;
    u32::try_from(len).map_err(|_| Failure::damage(name, "no segment is as long"))
}

/// The id that the headers of the segments tell.
fn log_id(disk: &dyn Disk, place: &str, files: &[(u32, u64, Form)]) -> Result<LogId> {
    let mut found = None;
    for (segment, generation, form) in files {
        let name = FileName::segment(*segment, *generation, *form).to_string();
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let file = disk.open(&name, crate::disk::Access::Read);
        let file = file.map_err(|error| Failure::io(&name, error))?;
        crate::disk::read_at_most(&*file, &mut bytes, 0, Patience::Wait)
            .map_err(|error| Failure::io(&name, error))?;
        let Ok(header) = SegmentHeader::decode_as(&bytes, *form) else {
            continue;
        };
        if found
            .replace(header.log_id)
            .is_some_and(|id| id != header.log_id)
        {
            return Err(Failure::damage(
                name,
                "it is of another log than those before",
            ));
        }
    }
    found.ok_or_else(|| {
        Failure::Error(ledger_core::Error::NotAStore {
            place: place.into(),
            reason: "there is neither a manifest nor a segment in it".into(),
        })
    })
}

/// Lists every segment that another with frames follows as full, and those that are packed: up to its last frame.
fn seal_all_but_the_last(
    disk: &dyn Disk,
    log_id: LogId,
    segments: &mut [SegmentMeta],
) -> Result<()> {
    let mut is_followed = false;
    for meta in segments.iter_mut().rev() {
        let contents = Contents::read(disk, log_id, meta, None)?;
        let last = contents.header.and_then(|header| {
            let search = FrameSearch::new(&contents.bytes, &header, 0);
            search.from(0).map(|frame| frame.end()).last()
        });
        if is_followed || meta.packed_bytes.is_some() {
            meta.sealed_bytes = Some(last.unwrap_or(SEGMENT_HEADER_BYTES as u32));
        }
        is_followed |= last.is_some();
    }
    Ok(())
}
