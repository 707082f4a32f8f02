//! Building a filter, or a part of one: which fingerprint each slot has.

use super::{Grain, Shape};

/// A filter while it is built: tags that are alone in one of their slots are set aside, until none is left.
pub(super) struct Building {
    grain: Grain,
    shape: Shape,
    /// For each slot four times the number of its tags, and the exclusive or of which of their slots it is.
    counts: Vec<u8>,
    /// For each slot the exclusive or of its tags.
    tags: Vec<u32>,
}

/// Tags in the order in which they were set aside, and for each which of its slots it was alone in.
struct Order {
    tags: Vec<u32>,
    which: Vec<u8>,
}

impl Order {
    fn with_capacity(tags: usize) -> Self {
        Self {
            tags: Vec::with_capacity(tags),
            which: Vec::with_capacity(tags),
        }
    }

    fn push(&mut self, tag: u32, which: u8) {
        self.tags.push(tag);
        self.which.push(which);
    }
}

impl Building {
    pub(super) fn new(grain: Grain, shape: Shape) -> Self {
        Self {
            grain,
            shape,
            counts: vec![0; shape.slots()],
            tags: vec![0; shape.slots()],
        }
    }

    /// The fingerprints of `tags`; none if no order for them was found.
    pub(super) fn build(mut self, tags: impl ExactSizeIterator<Item = u32>) -> Option<Vec<u8>> {
        let count = tags.len();
        for tag in tags {
            let (slots, _) = self.shape.place(tag);
            for (which, slot) in (0..).zip(slots) {
                self.counts[slot] = self.counts[slot].wrapping_add(4);
                self.toggle(slot, which, tag);
            }
        }
        let order = self.set_aside(count);
        (order.tags.len() == count).then(|| self.assign(&order))
    }

    /// Sets tags aside, each with the slot in which it was alone.
    fn set_aside(&mut self, tags: usize) -> Order {
        let mut order = Order::with_capacity(tags);
        let mut alone = Vec::new();
        for slot in 0..self.counts.len() {
            alone.push(slot);
            while let Some(slot) = alone.pop() {
                if self.counts[slot] >> 2 == 1 {
                    order.push(self.tags[slot], self.counts[slot] & 3);
                    self.take_out(self.tags[slot], &mut alone);
                }
            }
        }
        order
    }

    fn take_out(&mut self, tag: u32, alone: &mut Vec<usize>) {
        let (slots, _) = self.shape.place(tag);
        for (which, slot) in (0..).zip(slots) {
            self.counts[slot] = self.counts[slot].wrapping_sub(4);
            self.toggle(slot, which, tag);
            if self.counts[slot] >> 2 == 1 {
                alone.push(slot);
            }
        }
    }

    fn toggle(&mut self, slot: usize, which: u8, tag: u32) {
        self.counts[slot] ^= which;
        self.tags[slot] ^= tag;
    }

    /// Gives each tag, last set aside first, the fingerprint in its own slot that makes the three add up.
    fn assign(self, order: &Order) -> Vec<u8> {
        let mut fingerprints = vec![0u8; self.shape.slots()];
        for (tag, which) in order.tags.iter().zip(&order.which).rev() {
            let (slots, fingerprint) = self.shape.place(*tag);
            let own = slots[usize::from(*which)];
            let others = slots.map(|slot| fingerprints[slot]);
            fingerprints[own] ^= self.grain.cut(fingerprint) ^ others[0] ^ others[1] ^ others[2];
        }
        self.grain.pack(fingerprints)
    }
}
