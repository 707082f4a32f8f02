//! Asking the disk for what one question needs of many indexes: of all of them together, in waves.
//!
//! Where a block lies is told by another one. So the first wave asks for what each index file begins with, the next for the
//! parts of its directory that this points to, then for blocks, and so on; whoever then reads them one after the other waits
//! for the disk once a wave, and not once a block. Only for who may wait, and looks at files that are mapped: what was seen
//! there is not asked for again.

use std::ops::ControlFlow;

use ledger_core::Direction;
use smallvec::SmallVec;

use super::hash::KeyHash;
use super::layer::LayerAt;
use super::layers::Look;
use super::sealed::SealedIndex;
use super::{IndexError, Window};
use crate::format::StreamNumber;

/// Who wants fewer may have them before all indexes were asked.
const LIMIT_MIN: usize = if cfg!(test) { 2 } else { 32 };

/// From how many indexes on it is worth its time.
const INDEXES_MIN: usize = if cfg!(test) { 2 } else { 3 };

type Indexes<'a> = SmallVec<[&'a SealedIndex; 32]>;

impl Look<'_> {
    /// Asks for what it takes to look for a record about a name, or about a checkpoint, in some layers.
    ///
    /// # Errors
    /// Those of the files.
    pub(super) fn announce_record(
        &self,
        hash: KeyHash,
        layers: &[LayerAt<'_>],
    ) -> Result<(), IndexError> {
        let indexes: Indexes<'_> = layers.iter().filter_map(LayerAt::sealed).collect();
        if !self.means.is_mapped() || indexes.len() < INDEXES_MIN {
            return Ok(());
        }
        indexes.iter().for_each(|index| index.announce_contents());
        let mut indexes = indexes.iter();
        indexes.try_for_each(|index| index.announce_record(hash, self.means))
    }

    /// Asks for what it takes to find the entries of `stream` in `window` that may have an order key.
    ///
    /// # Errors
    /// Those of the files.
    pub(super) fn announce_order_key(
        &self,
        stream: StreamNumber,
        hash: KeyHash,
        window: &Window,
    ) -> Result<(), IndexError> {
        let mut indexes: Indexes<'_> = self.sealed().collect();
        if !self.means.is_mapped() || window.limit < LIMIT_MIN || indexes.len() < INDEXES_MIN {
            return Ok(());
        }
        indexes.iter().for_each(|index| index.announce_contents());
        for index in &indexes {
            index.announce_directory(stream, hash, self.means)?;
        }
        let mut unseen = Indexes::new();
        for index in indexes.drain(..) {
            if index.announce_order_key(stream, hash, self.means)? {
                unseen.push(index);
            }
        }
        for index in &unseen {
            index.announce_list(hash, self.means)?;
        }
        if window.direction == Direction::Descending {
            unseen.reverse();
        }
        let mut left = window.limit;
        let announced = unseen.iter().try_for_each(|index| {
            let window = window.with_limit(left);
            match index.announce_entries(stream, hash, &window, self.means) {
                Ok(announced) => left -= announced,
                Err(error) => return ControlFlow::Break(Err(error)),
            }
            match left {
                0 => ControlFlow::Break(Ok(())),
                _ => ControlFlow::Continue(()),
            }
        });
        announced.break_value().unwrap_or(Ok(()))
    }
}
