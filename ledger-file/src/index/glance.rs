//! Glances: what a question will look at in many indexes is loaded into the processor's cache together, and not one after
//! the other.

use std::hint::black_box;
use std::ops::BitXor;

use smallvec::SmallVec;

use super::filter::Grain;
use super::hash::stream_tag;
use super::layers::Look;
use super::sealed::SealedIndex;
use crate::format::StreamNumber;

/// From how many layers on a glance at all of them is worth its time.
const GLANCE_LAYERS_MIN: usize = if cfg!(test) { 1 } else { 4 };

impl Look<'_> {
    /// Glances at where the runs of `stream` are, and what leads there.
    pub(super) fn glance_at_runs(&self, stream: StreamNumber) {
        if self.layers.len() < GLANCE_LAYERS_MIN {
            return;
        }
        self.glance_at_filters(stream_tag(stream));
        if !self.means.is_mapped() {
            return;
        }
        let holders = self.sealed().filter(|it| it.is_known_to_hold(stream));
        let holders: SmallVec<[&SealedIndex; 32]> = holders.collect();
        // Where the rows are is seen from the fences.
        let fences = holders.iter().filter_map(|it| it.glance_at_fence(stream));
        look_at(&fences.collect::<SmallVec<[&u64; 32]>>());
        let rows = holders.iter().flat_map(|it| it.glance_at_run(stream));
        look_at(&rows.collect::<SmallVec<[&u8; 96]>>());
    }

    fn glance_at_filters(&self, tag: u32) {
        let filters = self.sealed().flat_map(|it| it.glance(Grain::Coarse, tag));
        look_at(&filters.collect::<SmallVec<[&u8; 96]>>());
    }
}

/// Has words loaded into the processor's cache: in a loop that does nothing else, so that it waits for all of them at once.
fn look_at<T: Copy + Default + BitXor<Output = T>>(words: &[&T]) {
    let seen = words.iter().fold(T::default(), |seen, word| seen ^ **word);
    black_box(seen);
}
