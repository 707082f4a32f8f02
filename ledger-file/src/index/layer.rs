//! One index, in memory or in a file, asked the same questions.

use std::ops::Range;
use std::sync::{Arc, PoisonError};

use super::active::{ActiveIndex, Candidates, NO_STREAM};
use super::change::{Change, ChangeKind};
use super::hash::KeyHash;
use super::sealed::SealedIndex;
use super::{IndexError, Means, Origin, Spot, Stretch, Window};
use crate::format::{Position, StreamNumber};
use crate::sync::{RwLock, RwLockReadGuard};

/// One index.
#[derive(Clone, Debug)]
pub(crate) enum Layer {
    /// Of what is appended now, or was until its file is written. No lock on it is held while anything is read.
    Memory(Arc<RwLock<ActiveIndex>>),
    /// Of what is sealed: of one segment, or of several.
    Sealed(Arc<SealedIndex>),
}

impl Layer {
    /// What it is of.
    pub(crate) fn origin(&self) -> Origin {
        match self {
            Self::Memory(index) => read(index).origin,
            Self::Sealed(index) => index.origin(),
        }
    }

    /// The index, if it is in memory.
    pub(super) fn in_memory(&self) -> Option<RwLockReadGuard<'_, ActiveIndex>> {
        match self {
            Self::Memory(index) => Some(read(index)),
            Self::Sealed(_) => None,
        }
    }

    /// Whether it is known in memory that no key and no name with that hash is here.
    #[inline]
    pub(super) fn lacks(&self, hash: KeyHash) -> bool {
        match self {
            Self::Memory(_) => false,
            Self::Sealed(index) => index.is_known_to_lack(hash),
        }
    }
}

/// One index, and where what it covers begins: that never changes, and to ask an index in memory for it takes a lock.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) start: Position,
    pub(super) layer: Layer,
}

impl From<Layer> for Placed {
    fn from(layer: Layer) -> Self {
        let origin = layer.origin();
        let start = Position::new(origin.segment, origin.from);
        Self { start, layer }
    }
}

/// One index at some point of the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct LayerAt<'a> {
    layer: &'a Layer,
    start: Position,
    /// What begins at this offset or behind it is not there yet.
    bound: u32,
    means: Means,
}

type Result<T> = std::result::Result<T, IndexError>;

impl<'a> LayerAt<'a> {
    /// Looks at `layer` as it was when the log ended at `below`; none if there was nothing of it.
    pub(super) fn new(placed: &'a Placed, below: Position, means: Means) -> Option<Self> {
        let start = placed.start;
        let bound = match start.segment() == below.segment() {
            true => below.offset(),
            false => u32::MAX,
        };
        (start < below).then_some(Self {
            layer: &placed.layer,
            start,
            bound,
            means,
        })
    }

    /// The index, if it is in a file.
    pub(super) fn sealed(&self) -> Option<&'a SealedIndex> {
        match self.layer {
            Layer::Memory(_) => None,
            Layer::Sealed(index) => Some(index),
        }
    }

    /// Where what it covers begins.
    pub(super) fn start(&self) -> Position {
        self.start
    }

    /// Where in the log an offset is that it speaks of.
    pub(super) fn position(&self, offset: u32) -> Position {
        match self.layer {
            Layer::Memory(_) => Position::new(self.start.segment(), offset),
            Layer::Sealed(index) => index.position(offset),
        }
    }

    /// Whether it is of the segment that `position` is in.
    pub(super) fn covers(&self, position: Position) -> bool {
        match self.layer {
            Layer::Memory(_) => self.start.segment() == position.segment(),
            Layer::Sealed(index) => index.covers(position),
        }
    }

    pub(super) fn stretches(
        &self,
        stream: StreamNumber,
        window: &Window,
        out: &mut Vec<Stretch>,
    ) -> Result<()> {
        match self.layer {
            Layer::Memory(index) => {
                read(index).stretches(stream, window, self.bound, out);
                Ok(())
            }
            Layer::Sealed(index) => index.stretches(stream, window, self.means, out),
        }
    }

    pub(super) fn order_key(
        &self,
        stream: StreamNumber,
        hash: KeyHash,
        window: &Window,
        out: &mut Vec<Spot>,
    ) -> Result<()> {
        match self.layer {
            Layer::Memory(index) => {
                read(index).order_key(stream, hash, window, self.bound, out);
                Ok(())
            }
            Layer::Sealed(index) => index.order_key(stream, hash, window, self.means, out),
        }
    }

    pub(super) fn expiring(
        &self,
        stream: StreamNumber,
        window: &Window,
        out: &mut Vec<Spot>,
    ) -> Result<()> {
        match self.layer {
            Layer::Memory(index) => {
                read(index).expiring(stream, window, self.bound, out);
                Ok(())
            }
            Layer::Sealed(index) => index.expiring(stream, window, self.means, out),
        }
    }

    pub(super) fn newest_entry(&self, stream: StreamNumber) -> Result<Option<Spot>> {
        match self.layer {
            Layer::Memory(index) => Ok(read(index).newest_entry(stream, self.bound)),
            Layer::Sealed(index) => index.newest_entry(stream, self.means),
        }
    }

    pub(super) fn first_id(&self, stream: StreamNumber) -> Result<Option<u64>> {
        match self.layer {
            Layer::Memory(index) => Ok(read(index).first_id(stream)),
            Layer::Sealed(index) => index.first_id(stream, self.means),
        }
    }

    /// Shows `visit` each ordinal that may have a dedup key of one of `hashes`, with the index of the hash. No other than
    /// `some` of them can be here, if that is known.
    pub(super) fn dedup_keys(
        &self,
        hashes: &[KeyHash],
        some: Option<&[usize]>,
        mut visit: impl FnMut(usize, u32) -> Result<()>,
    ) -> Result<()> {
        match self.layer {
            Layer::Memory(index) => {
                let index = read(index);
                let found = match some {
                    Some(some) => index.dedup_keys(hashes, some.iter().copied(), self.bound),
                    None => index.dedup_keys(hashes, 0..hashes.len(), self.bound),
                };
                // Whoever is shown one may ask the index again, which must not be held then.
                drop(index);
                for (position, ordinal) in found {
                    visit(position, ordinal)?;
                }
                Ok(())
            }
            Layer::Sealed(index) => index.dedup_keys(hashes, some, self.means, visit),
        }
    }

    /// The entry of `stream` with an ordinal; none if it belongs to another stream.
    pub(super) fn spot(&self, stream: StreamNumber, ordinal: u32) -> Result<Option<Spot>> {
        match self.layer {
            Layer::Memory(index) => Ok(read(index).spot(stream, ordinal)),
            Layer::Sealed(index) => index.spot(stream, ordinal, self.means),
        }
    }

    /// Some of the newest records about a name, behind `skipped` that are newer.
    pub(super) fn name_records(&self, hash: KeyHash, skipped: usize) -> Result<Candidates> {
        match self.layer {
            Layer::Memory(index) => Ok(read(index).name_records(hash, self.bound, skipped)),
            Layer::Sealed(index) => index.name_records(hash, skipped, self.means),
        }
    }

    /// Some of the newest records about a checkpoint, behind `skipped` that are newer.
    pub(super) fn checkpoint_records(&self, hash: KeyHash, skipped: usize) -> Result<Candidates> {
        match self.layer {
            Layer::Memory(index) => Ok(read(index).checkpoint_records(hash, self.bound, skipped)),
            Layer::Sealed(index) => index.checkpoint_records(hash, skipped, self.means),
        }
    }

    pub(super) fn newest_change(
        &self,
        stream: StreamNumber,
        change: Change,
    ) -> Result<Option<Position>> {
        match self.layer {
            Layer::Memory(index) => Ok(read(index).newest_change(stream, change, self.bound)),
            Layer::Sealed(index) => index.newest_change(stream, change, self.means),
        }
    }

    pub(super) fn entry_changes(
        &self,
        stream: StreamNumber,
        ids: &Range<u64>,
        out: &mut Vec<(u64, ChangeKind, Position)>,
    ) -> Result<()> {
        match self.layer {
            Layer::Memory(index) => {
                read(index).entry_changes(stream, ids, self.bound, out);
                Ok(())
            }
            Layer::Sealed(index) => index.entry_changes(stream, ids, self.means, out),
        }
    }

    pub(super) fn names(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        match self.layer {
            Layer::Memory(index) => Ok(owned(read(index).names.list(NO_STREAM, after, limit))),
            Layer::Sealed(index) => index.names(after, limit, self.means),
        }
    }

    pub(super) fn checkpoint_names(
        &self,
        stream: StreamNumber,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        match self.layer {
            Layer::Memory(index) => Ok(owned(
                read(index).checkpoint_names.list(stream, after, limit),
            )),
            Layer::Sealed(index) => index.checkpoint_names(stream, after, limit, self.means),
        }
    }

    pub(super) fn frame(&self, at: Position) -> Result<Option<Position>> {
        match self.layer {
            Layer::Memory(index) => {
                let frame = read(index).frame(at.offset());
                Ok(frame.map(|offset| Position::new(at.segment(), offset)))
            }
            Layer::Sealed(index) => index.frame(at, self.means),
        }
    }

    /// The frame that holds what is at a position, and where in its segment it ends, if that is in a file.
    pub(super) fn frame_and_end(&self, at: Position) -> Result<Option<(Position, Option<u32>)>> {
        match self.layer {
            Layer::Memory(_) => Ok(self.frame(at)?.map(|frame| (frame, None))),
            Layer::Sealed(index) => {
                let found = index.frame_and_end(at, self.means)?;
                Ok(found.map(|(frame, end)| (frame, Some(end))))
            }
        }
    }
}

fn read(index: &RwLock<ActiveIndex>) -> RwLockReadGuard<'_, ActiveIndex> {
    index.read().unwrap_or_else(PoisonError::into_inner)
}

fn owned(names: Vec<&str>) -> Vec<String> {
    names.into_iter().map(str::to_owned).collect()
}
