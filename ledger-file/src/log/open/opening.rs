//! Opening a log: made if it is not there, and set right if it was not closed.
//!
//! Nothing is served before what will be served survives the loss of power (rule 9). What is damaged is left as it is.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ledger_core::Error;

use super::creation::{create, remove_strangers};
use super::recovery::{FIRST_FRAME, Source, check_claims, write_again};
use crate::disk::{
    Access, Disk, DiskFile, LateFile, Lock, LockGuard, Patience, Stage, write_all_at,
};
use crate::error::{Failure, Result};
use crate::fault::{Mistake, is_planted};
use crate::format::{
    FileName, Found, MANIFEST_WORD, Manifest, Position, SegmentMeta, Visible, read_frame, tell,
};
use crate::index::{ActiveIndex, KeyHasher, Layer};
use crate::log::keeper::{Keeper, Prepared, Sealed, read_manifest};
use crate::log::read::packed::{KeptBlocks, segment_in};
use crate::log::read::picture::{Part, Picture};
use crate::log::read::segment::{Segment, SegmentName};
use crate::log::recall::Recall;
use crate::log::shared::{Scene, Shared};
use crate::log::streams::Streams;
use crate::log::upkeep::index_files::late_layers;
use crate::log::upkeep::merging::late_merged;
use crate::log::write::page::Page;
use crate::log::write::tail::{Tail, clear_stage};
use crate::log::write::writer::Writer;
use crate::options::FileOptions;
use crate::sync::{Mutex, RwLock};

/// Opens the log in the directory that `disk` is.
pub(in crate::log) fn open(
    disk: Arc<dyn Disk>,
    place: String,
    options: FileOptions,
) -> Result<Shared> {
    let lock = take_lock(&*disk, &place)?;
    let (manifest, is_new) = match read_manifest(&*disk)? {
        Some(manifest) => (manifest, false),
        None => (create(&*disk, &place, &options)?, true),
    };
    let name = FileName::Stage.to_string();
    let stage = disk
        .map_stage(&name, options.stage_bytes)
        .map_err(|error| Failure::io(&name, error))?;
    let opening = Opening {
        page: Page::new(stage.page(), manifest.log_id, options.stage_bytes),
        hasher: KeyHasher::new(manifest.seed),
        disk,
        place,
        options,
        manifest,
        is_new,
        stage,
        kept_blocks: Arc::default(),
        is_swept: false,
    };
    opening.run(lock)
}

/// Takes the lock of the one process that writes.
pub(in crate::log) fn take_lock(disk: &dyn Disk, place: &str) -> Result<Box<dyn LockGuard>> {
    let name = FileName::Lock.to_string();
    match disk
        .lock(&name)
        .map_err(|error| Failure::io(&name, error))?
    {
        Lock::Held(guard) => Ok(guard),
        Lock::Taken { holder } => {
            let holder = match holder {
                Some(process) => format!("process {process} writes to it"),
                None => "another process writes to it".into(),
            };
            Err(Failure::Error(Error::Busy {
                place: place.into(),
                waited: Duration::ZERO,
                source: holder.into(),
            }))
        }
    }
}

/// A log that is being opened.
#[derive(Debug)]
struct Opening {
    disk: Arc<dyn Disk>,
    place: String,
    options: FileOptions,
    manifest: Manifest,
    /// Whether it was made just now.
    is_new: bool,
    hasher: KeyHasher,
    stage: Box<dyn Stage>,
    page: Page,
    kept_blocks: Arc<KeptBlocks>,
    /// Whether files that the manifest does not name were removed.
    is_swept: bool,
}

/// A segment that may have grown since its last index was written.
#[derive(Debug)]
struct Unsealed {
    segment: Arc<Segment>,
    layers: Vec<Layer>,
    /// From where on no index file knows what is there.
    from: u32,
}

/// A segment that was read from where its indexes end.
#[derive(Debug)]
struct Scanned {
    part: Part,
    from: u32,
    durable: u32,
    end: u32,
    index: Arc<RwLock<ActiveIndex>>,
}

impl Opening {
    fn run(mut self, lock: Box<dyn LockGuard>) -> Result<Shared> {
        let unsealed = self.all_unsealed()?;
        // First of all, since readers wait for what becomes of the end.
        self.hide_end(&unsealed)?;
        let mut parts = Vec::new();
        let mut sealed = Vec::new();
        for meta in &self.manifest.segments {
            if let Some(bytes) = meta.sealed_bytes {
                match self.sealed(meta, bytes, &mut sealed) {
                    Err(_) if is_planted(Mistake::MissingSegmentPassedOver) => {}
                    part => parts.push(part?),
                }
            }
        }
        self.replay_stage(&unsealed)?;
        let mut unsealed = unsealed.into_iter();
        let active = loop {
            let unsealed = unsealed.next().ok_or_else(|| {
                Failure::damage(&self.place, "the manifest lists no segment to go on in")
            })?;
            let (scanned, is_sealed) = self.scan(unsealed)?;
            parts.push(scanned.part.clone());
            if !is_sealed {
                break scanned;
            }
            self.sync(|| self.make_durable(&scanned))?;
            sealed.push(Sealed {
                number: scanned.part.segment.number(),
                bytes: scanned.end,
            });
        };
        let next = self.end_log(&active, unsealed.collect())?;
        self.share(lock, parts, sealed, active, next)
    }

    fn all_unsealed(&self) -> Result<Vec<Unsealed>> {
        let metas = self.manifest.segments.iter();
        let unsealed = metas.filter(|meta| meta.sealed_bytes.is_none());
        unsealed.map(|meta| self.unsealed(meta)).collect()
    }

    /// Lets readers look for the end of a log that was not closed themselves until it is known: what they were told may be too little.
    fn hide_end(&self, unsealed: &[Unsealed]) -> Result<()> {
        if is_planted(Mistake::EndNotHidden) {
            return Ok(());
        }
        let mut was_closed = self.page.visible().is_some();
        for Unsealed { segment, from, .. } in unsealed {
            was_closed &= segment.file_end()? == *from;
        }
        if !was_closed && !self.is_frozen() {
            self.page.say(Visible::Unknown);
        }
        Ok(())
    }

    /// Whether readers must not look behind what they were told: a sync had failed there, and is to be made good first.
    fn is_frozen(&self) -> bool {
        let visible = self.page.visible();
        matches!(visible, Some(Visible::Final(_) | Visible::Failed))
    }

    /// A segment that is full, and known to be.
    fn sealed(&self, meta: &SegmentMeta, bytes: u32, sealed: &mut Vec<Sealed>) -> Result<Part> {
        let opened = self.unopened(meta, bytes)?;
        if opened.from == bytes {
            return Ok(Part {
                segment: opened.segment,
                layers: opened.layers,
            });
        }
        // Its index is lost: the log knows it all (rule 12).
        sealed.push(Sealed {
            number: meta.segment,
            bytes,
        });
        let segment = Arc::clone(&opened.segment);
        let (scanned, _) = self.scan(opened)?;
        match scanned.end == bytes {
            true => Ok(scanned.part),
            false => Err(segment.damage(scanned.end, "a frame that was there is gone")),
        }
    }

    /// A segment that is full and seen to be there, as a file that is not opened yet.
    fn unopened(&self, meta: &SegmentMeta, bytes: u32) -> Result<Unsealed> {
        let name = meta.file_name().to_string();
        let len = self.disk.len(&name);
        let len = len.map_err(|error| missing_or(&name, error))?;
        let file = Arc::new(LateFile::new(&self.disk, name, Access::Write));
        let unopened = self.part_in(file, meta)?;
        let needed = meta.packed_bytes.unwrap_or(bytes);
        match len < u64::from(needed) && !is_planted(Mistake::ShortSegmentAccepted) {
            true => Err(unopened
                .segment
                .damage(bytes, "the file ends before its last frame")),
            false => {
                unopened.segment.note_full(bytes);
                Ok(unopened)
            }
        }
    }

    fn unsealed(&self, meta: &SegmentMeta) -> Result<Unsealed> {
        let name = meta.file_name().to_string();
        let file = self.disk.open(&name, Access::Write);
        self.part_in(file.map_err(|error| missing_or(&name, error))?, meta)
    }

    /// A segment with the indexes that the manifest names.
    fn part_in(&self, file: Arc<dyn DiskFile>, meta: &SegmentMeta) -> Result<Unsealed> {
        let log_id = self.manifest.log_id;
        let name = SegmentName {
            log_id,
            number: meta.segment,
            generation: meta.generation,
        };
        let may_grow = meta.sealed_bytes.is_none();
        let (layers, from) = late_layers(&self.disk, name, meta, may_grow)?;
        Ok(Unsealed {
            segment: Arc::new(segment_in(file, log_id, meta, &self.kept_blocks)),
            layers,
            from,
        })
    }

    /// Reads what no index file knows.
    fn scan(&self, unsealed: Unsealed) -> Result<(Scanned, bool)> {
        let Unsealed {
            segment,
            mut layers,
            from,
        } = unsealed;
        let scan = Source::of(&segment)?.scan(self.hasher, from)?;
        let index = Arc::new(RwLock::new(scan.index));
        layers.push(Layer::Memory(Arc::clone(&index)));
        let scanned = Scanned {
            part: Part { segment, layers },
            from,
            durable: scan.durable,
            end: scan.end,
            index,
        };
        Ok((scanned, scan.is_sealed))
    }

    /// Writes what was staged when the log was last open to where it belongs. It may be there already.
    fn replay_stage(&self, unsealed: &[Unsealed]) -> Result<()> {
        let Some(slot) = self.page.slot() else {
            return Ok(());
        };
        let number = slot.base.segment();
        let target = unsealed
            .iter()
            .find(|unsealed| unsealed.segment.number() == number);
        let Some(Unsealed { segment, .. }) = target else {
            return Ok(());
        };
        if is_planted(Mistake::StageNotReplayed) {
            return Ok(());
        }
        let header = segment.header(Patience::Wait)?;
        let staged = self.stage.area();
        let mut len = 0;
        while let Found::Frame(frame) =
            read_frame(&staged[len..], header, slot.base.offset() + len as u32)
        {
            len += frame.bytes_len() as usize;
        }
        if len > 0 && !self.is_frozen() {
            self.page.say(Visible::Unknown);
        }
        write_all_at(&**segment.file(), &staged[..len], slot.base.offset().into())
            .map_err(|error| Failure::io(&segment.file_name(), error))
    }

    /// Ends the log where `active` was found to end. Tells which of the `later` segments can be written next.
    fn end_log(&mut self, active: &Scanned, later: Vec<Unsealed>) -> Result<Option<Prepared>> {
        let source = Source::of(&active.part.segment)?;
        let was_closed = active.from == active.end && source.len == u64::from(active.end);
        let needs_cut = !was_closed && !self.is_new;
        if needs_cut || later.len() > 1 {
            // As long as what is known of the manifest is what the disk has.
            remove_strangers(&*self.disk, &self.manifest)?;
            self.is_swept = true;
        }
        if needs_cut {
            self.cut(active, source, &later)?;
        }
        let mut later = later.into_iter();
        let next = later.next();
        for unsealed in later {
            let number = unsealed.segment.number();
            self.manifest.segments.retain(|meta| meta.segment != number);
        }
        let prepared = next.map(|unsealed| {
            Ok::<_, Failure>(Prepared {
                header: *unsealed.segment.header(Patience::Wait)?,
                file: Arc::clone(unsealed.segment.file()),
            })
        });
        prepared.transpose()
    }

    /// Cuts off what lies behind the end of the log, unless that is damage.
    fn cut(&mut self, active: &Scanned, source: Source<'_>, later: &[Unsealed]) -> Result<()> {
        let mut sources = vec![(source, active.end)];
        for unsealed in later {
            sources.push((Source::of(&unsealed.segment)?, FIRST_FRAME));
        }
        check_claims(&sources)?;
        let segments = std::iter::once(&active.part.segment);
        let segments = segments.chain(later.iter().map(|unsealed| &unsealed.segment));
        self.sync(|| {
            for ((source, end), segment) in sources.iter().zip(segments) {
                self.cut_behind(source, *end, segment)?;
            }
            self.make_durable(active)
        })?;
        if !is_planted(Mistake::StageKeptAfterCut) {
            // What the stage holds must not come back over what is written here next: neither now, nor when the power
            // is lost and brings an older slot back.
            let name = FileName::Stage.to_string();
            clear_stage(&mut *self.stage, &self.page).map_err(|error| Failure::io(&name, error))?;
        }
        self.disk
            .sync_directory()
            .map_err(|error| Failure::io(&self.place, error))
    }

    /// Does what syncs what is kept. Readers must not sync it meanwhile: if that fails, a sync of theirs would prove nothing.
    fn sync(&self, sync: impl FnOnce() -> Result<()>) -> Result<()> {
        if self.is_frozen() || is_planted(Mistake::EndNotHidden) {
            return sync();
        }
        self.page.say(Visible::Syncing);
        let synced = sync();
        if self.page.visible() == Some(Visible::Syncing) {
            self.page.say(Visible::Unknown);
        }
        synced
    }

    /// Tells readers if a sync of a segment has failed.
    fn synced(&self, segment: &Segment, synced: io::Result<()>) -> Result<()> {
        synced.map_err(|error| {
            if !self.is_frozen() && !is_planted(Mistake::FailedOpeningNotTold) {
                self.page.say(Visible::Failed);
            }
            Failure::io(&segment.file_name(), error)
        })
    }

    /// Cuts off what lies behind the `end` of a segment.
    fn cut_behind(&self, source: &Source<'_>, end: u32, segment: &Segment) -> Result<()> {
        if source.rest(end)?.is_none() || is_planted(Mistake::TailNotCut) {
            return Ok(());
        }
        let cut = segment.file().truncate(u64::from(end));
        cut.map_err(|error| Failure::io(&segment.file_name(), error))?;
        match is_planted(Mistake::CutNotSynced) {
            true => Ok(()),
            false => self.synced(segment, segment.file().sync_all()),
        }
    }

    /// Makes durable what was read again: it may have been in memory only.
    fn make_durable(&self, scanned: &Scanned) -> Result<()> {
        if is_planted(Mistake::RecoveredNotSynced) {
            return Ok(());
        }
        let (segment, kept) = (&scanned.part.segment, scanned.durable..scanned.end);
        if !is_planted(Mistake::RecoveredNotWrittenAgain) {
            if !kept.is_empty() {
                self.synced(segment, segment.file().sync_all())?;
            }
            let written = write_again(&**segment.file(), kept);
            written.map_err(|error| Failure::io(&segment.file_name(), error))?;
        }
        self.synced(segment, segment.file().sync_all())
    }

    /// Tells other processes where the log ends, and by which manifest, if they were told anything else.
    ///
    /// # Errors
    /// Those of the stage, where it must not come back that a sync had failed.
    fn tell(&self, end: Position) -> Result<()> {
        let was_frozen = self.is_frozen();
        if self.page.visible() != Some(Visible::UpTo(end)) {
            self.page.show(end);
        }
        let words = self.stage.page();
        let told = [MANIFEST_WORD, MANIFEST_WORD + 1].map(|at| words.load(at));
        if told != tell(self.manifest.version) {
            self.page.announce(self.manifest.version);
        }
        match was_frozen {
            true => self
                .stage
                .sync()
                .map_err(|error| Failure::io(&FileName::Stage.to_string(), error)),
            false => Ok(()),
        }
    }

    fn share(
        self,
        lock: Box<dyn LockGuard>,
        parts: Vec<Part>,
        sealed: Vec<Sealed>,
        active: Scanned,
        next: Option<Prepared>,
    ) -> Result<Shared> {
        let header = *active.part.segment.header(Patience::Wait)?;
        let end = header.at(active.end);
        self.tell(end)?;
        let streams = highest_stream(&parts).max(self.manifest.streams);
        let writer = Writer {
            indexed_from: active.from,
            recall: Some(Recall::new(&self.manifest, end)),
            ..Writer::new(
                header,
                Arc::clone(active.part.segment.file()),
                active.end,
                active.index,
                streams,
            )
        };
        let merged = late_merged(&self.disk, &self.manifest)?;
        let keeper = Keeper {
            highest_segment: self.manifest.segments.last().map_or(0, |meta| meta.segment),
            manifest: self.manifest,
            next,
            sealed,
            packed: None,
        };
        let scene = Scene {
            visible: end,
            end,
            picture: Arc::new(Picture::new(parts).with_all_merged(merged)),
            streams: Streams::new(self.options.stream_cache_bytes, keeper.manifest.seed),
            // Nothing is staged before the first turn to write.
            tail: Tail::gathered(end, Some(self.stage)),
        };
        let shared = Shared::new(
            self.disk,
            self.place,
            self.options,
            scene,
            keeper,
            writer,
            self.page,
        );
        Ok(Shared {
            kept_blocks: self.kept_blocks,
            is_swept: Mutex::new(self.is_swept),
            lock: Mutex::new(Some(lock)),
            ..shared
        })
    }
}

fn missing_or(name: &str, error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound => Failure::damage(name, "it is missing"),
        _ => Failure::io(name, error),
    }
}

/// The highest number of a stream in the indexes that are in memory.
fn highest_stream(parts: &[Part]) -> u64 {
    let layers = parts.iter().flat_map(|part| &part.layers);
    let highest = layers.filter_map(|layer| match layer {
        Layer::Memory(index) => {
            let index = index
                .read()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            Some(index.highest_stream().0)
        }
        Layer::Sealed(_) => None,
    });
    highest.max().unwrap_or(0)
}
