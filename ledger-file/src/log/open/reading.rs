//! Opening a log for reading, whoever writes it: nothing is locked, and nothing is written.

use std::sync::Arc;

use ledger_core::Error;

use super::follower::{Follower, NoPage};
use crate::disk::{Disk, Patience};
use crate::error::{Failure, Result};
use crate::format::{Manifest, Position, SegmentHeader};
use crate::index::{ActiveIndex, Origin};
use crate::log::keeper::{Keeper, read_manifest};
use crate::log::read::picture::Picture;
use crate::log::shared::{Scene, Shared};
use crate::log::streams::Streams;
use crate::log::write::page::Page;
use crate::log::write::tail::Tail;
use crate::log::write::writer::Writer;
use crate::options::FileOptions;
use crate::sync::{Mutex, RwLock};

/// Opens the log in the directory that `disk` is for reading, whoever writes it.
pub(in crate::log) fn open_read_only(
    disk: Arc<dyn Disk>,
    place: String,
    options: FileOptions,
) -> Result<Shared> {
    let Some(manifest) = read_manifest(&*disk)? else {
        return Err(Failure::Error(Error::NotAStore {
            place,
            reason: "there is no manifest in it".into(),
        }));
    };
    let follower = Follower::new(&disk, manifest.log_id);
    let writer = nobody(&manifest, &follower, &options);
    let scene = Scene {
        visible: Position::ZERO,
        end: Position::ZERO,
        picture: Arc::new(Picture::new(Vec::new())),
        streams: Streams::new(options.stream_cache_bytes, manifest.seed),
        tail: Tail::gathered(Position::ZERO, None),
    };
    let page = Page::new(Arc::new(NoPage), manifest.log_id, 0);
    let keeper = Keeper {
        highest_segment: 0,
        manifest,
        next: None,
        sealed: Vec::new(),
        packed: None,
    };
    let shared = Shared::new(disk, place, options, scene, keeper, writer, page);
    let shared = Shared {
        follower: Some(Mutex::new(follower)),
        ..shared
    };
    shared.refresh(Patience::Wait)?;
    Ok(shared)
}

/// The one who never gets the turn to write.
fn nobody(manifest: &Manifest, follower: &Follower, options: &FileOptions) -> Writer {
    let header = SegmentHeader {
        log_id: manifest.log_id,
        segment: 0,
        generation: 0,
        created_at: options.clock.now(),
    };
    let index = Arc::new(RwLock::new(ActiveIndex::new(Origin {
        log_id: header.log_id,
        segment: 0,
        generation: 0,
        from: 0,
    })));
    let stage = Arc::clone(follower.stage());
    Writer::new(header, stage, 0, index, manifest.streams)
}
