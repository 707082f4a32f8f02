//! The first page of the stage: what other processes, and this one after its death, are told at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::disk::StagePage;
use crate::fault::{Mistake, is_planted};
use crate::format::{
    LogId, MANIFEST_WORD, Position, SLOT_WORDS, Slot, StageHeader, VISIBLE_WORD, Visible, tell,
};

/// The page, as the writer writes it.
#[derive(Debug)]
pub(in crate::log) struct Page {
    words: Arc<dyn StagePage>,
    log_id: LogId,
    /// That of the slot in force.
    sequence: AtomicU64,
    is_frozen: AtomicBool,
}

impl Page {
    /// Takes the page of a stage for the log `log_id`, whatever it was before.
    pub(in crate::log) fn new(words: Arc<dyn StagePage>, log_id: LogId, area_bytes: usize) -> Self {
        let header = StageHeader {
            log_id,
            area_bytes: area_bytes as u64,
        };
        let page = Self {
            words,
            log_id,
            sequence: AtomicU64::new(0),
            is_frozen: AtomicBool::new(false),
        };
        if page.load::<6>(0) != header.words() {
            page.store(0, header.words());
        }
        if let Some(slot) = page.slot() {
            page.sequence.store(slot.sequence, Ordering::Relaxed);
        }
        page
    }

    /// The slot in force: where the bytes in the stage belong.
    pub(in crate::log) fn slot(&self) -> Option<Slot> {
        let slots = SLOT_WORDS.map(|word| Slot::decode(self.load(word), &self.log_id));
        slots.into_iter().flatten().max_by_key(|slot| slot.sequence)
    }

    /// Says that what is staged from now on belongs at `base`.
    pub(in crate::log) fn switch(&self, base: Position) {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let slot = Slot { base, sequence };
        let word = SLOT_WORDS[(sequence % 2) as usize];
        self.store(word, slot.words(&self.log_id));
    }

    /// Says that nothing that is staged belongs anywhere.
    pub(super) fn clear_slots(&self) {
        SLOT_WORDS
            .into_iter()
            .for_each(|word| self.store(word, [0; 3]));
    }

    /// What other processes are told of where they may look; none if whoever wrote that was killed meanwhile.
    pub(in crate::log) fn visible(&self) -> Option<Visible> {
        Visible::decode(self.load(VISIBLE_WORD))
    }

    /// Tells other processes up to where they may look.
    pub(in crate::log) fn show(&self, visible: Position) {
        if !self.is_frozen.load(Ordering::Acquire) {
            self.say(Visible::UpTo(visible));
        }
    }

    /// Tells other processes where they may look, whoever opens the log.
    pub(in crate::log) fn say(&self, visible: Visible) {
        self.store(VISIBLE_WORD, visible.words());
    }

    /// Tells other processes that whatever is behind what they see must not be seen, not even when this one has gone.
    pub(in crate::log) fn freeze(&self) {
        let was_frozen = self.is_frozen.swap(true, Ordering::AcqRel);
        if let Some(Visible::UpTo(end)) = self.visible()
            && !was_frozen
            && !is_planted(Mistake::FailedSyncNotTold)
        {
            self.say(Visible::Final(end));
        }
    }

    /// Tells other processes which manifest is in force.
    pub(in crate::log) fn announce(&self, manifest: u64) {
        self.store(MANIFEST_WORD, tell(manifest));
    }

    fn load<const N: usize>(&self, word: usize) -> [u64; N] {
        std::array::from_fn(|index| self.words.load(word + index))
    }

    fn store<const N: usize>(&self, word: usize, values: [u64; N]) {
        for (index, value) in values.into_iter().enumerate() {
            self.words.store(word + index, value);
        }
    }
}
