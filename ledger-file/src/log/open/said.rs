//! What a writer says on its page, and what of the log a reader may look at then.

use std::io;

use crate::disk::{DiskFile, Patience, STAGE_PAGE_BYTES, STAGE_PAGE_WORDS, read_at_most};
use crate::error::{Failure, Result};
use crate::format::{
    FileName, HeaderError, LogId, MANIFEST_WORD, Position, SLOT_WORDS, Slot, StageHeader,
    VISIBLE_WORD, Visible, told,
};

/// What the writer says on the first page of the stage.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) manifest: Option<u64>,
    pub(super) visible: Option<Visible>,
    pub(super) slot: Option<Slot>,
}

/// Up to where a reader may look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    To(Position),
    /// To the last frame that is valid, once the reader has synced it.
    End,
    /// Nobody knows yet, and somebody is about to.
    Wait,
    /// Nobody knows before the log was opened: a sync has failed.
    Nowhere,
}

impl Said {
    pub(super) fn of(words: &[u64; STAGE_PAGE_WORDS], log_id: &LogId) -> Self {
        let pair = |at: usize| [words[at], words[at + 1]];
        let slots =
            SLOT_WORDS.map(|at| Slot::decode([words[at], words[at + 1], words[at + 2]], log_id));
        Self {
            manifest: told(pair(MANIFEST_WORD)),
            visible: Visible::decode(pair(VISIBLE_WORD)),
            slot: slots.into_iter().flatten().max_by_key(|slot| slot.sequence),
        }
    }

    /// The place that is told.
    pub(super) fn end(&self) -> Option<Position> {
        self.visible?.end()
    }

    /// Up to where a reader may look, to which so much is `shown` already: that is there to stay. If a sync of its own `has_failed`,
    /// another one would prove nothing.
    pub(super) fn reach(&self, is_written: bool, has_failed: bool, shown: Position) -> Reach {
        match (self.visible, is_written) {
            (Some(Visible::UpTo(end)), true) => Reach::To(end),
            (Some(Visible::Final(end)), _) => Reach::To(end.max(shown)),
            (Some(Visible::Failed), false) => Reach::Nowhere,
            (None | Some(Visible::Syncing | Visible::Failed), true) => Reach::Wait,
            (Some(Visible::UpTo(end)), false) if has_failed => Reach::To(end.max(shown)),
            (_, true) if has_failed => Reach::Wait,
            (_, false) if has_failed => Reach::Nowhere,
            _ => Reach::End,
        }
    }
}

/// The first page of the `stage` of the log `log_id`. Nothing, if there is none of it: a loss of power may have left none, or less of it.
pub(super) fn page_words(
    stage: &dyn DiskFile,
    log_id: &LogId,
    patience: Patience,
) -> Result<[u64; STAGE_PAGE_WORDS]> {
    let mut bytes = [0; STAGE_PAGE_BYTES];
    let name = FileName::Stage.to_string();
    match read_at_most(stage, &mut bytes, 0, patience) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        read => drop(read.map_err(|error| Failure::io(&name, error))?),
    }
    let (words, _) = bytes.as_chunks::<8>();
    let words = std::array::from_fn(|index| u64::from_le_bytes(words[index]));
    match StageHeader::decode(std::array::from_fn(|index| words[index])) {
        Ok(header) if header.log_id == *log_id => Ok(words),
        Ok(_) => Err(Failure::damage(name, "it is that of another log")),
        Err(error @ HeaderError::TooNew { .. }) => Err(Failure::header(&name, error)),
        Err(_) => Ok([0; STAGE_PAGE_WORDS]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: Position = Position::from_u64(100);
    const TOLD: Position = Position::from_u64(200);

    /// Beside a writer, and when nobody writes.
    fn reach(visible: Option<Visible>, has_failed: bool) -> [Reach; 2] {
        let said = Said {
            manifest: None,
            visible,
            slot: None,
        };
        [true, false].map(|is_written| said.reach(is_written, has_failed, SHOWN))
    }

    #[test]
    fn a_reader_goes_as_far_as_is_told_or_as_it_can_sync() {
        let told = Reach::To(TOLD);
        assert_eq!(reach(Some(Visible::UpTo(TOLD)), false), [told, Reach::End]);
        assert_eq!(reach(Some(Visible::Final(TOLD)), false), [told, told]);
        assert_eq!(reach(Some(Visible::Unknown), false), [Reach::End; 2]);
        let between = [Reach::Wait, Reach::End];
        assert_eq!(reach(None, false), between);
        assert_eq!(reach(Some(Visible::Syncing), false), between);
        let failed = [Reach::Wait, Reach::Nowhere];
        assert_eq!(reach(Some(Visible::Failed), false), failed);
    }

    #[test]
    fn a_reader_whose_sync_has_failed_does_not_trust_another() {
        let told = Reach::To(TOLD);
        assert_eq!(reach(Some(Visible::UpTo(TOLD)), true), [told, told]);
        assert_eq!(reach(Some(Visible::Final(TOLD)), true), [told, told]);
        let failed = [Reach::Wait, Reach::Nowhere];
        for visible in [Visible::Unknown, Visible::Syncing, Visible::Failed] {
            assert_eq!(reach(Some(visible), true), failed);
        }
        assert_eq!(reach(None, true), failed);
    }

    #[test]
    fn what_is_shown_stays() {
        let less = Position::from_u64(50);
        let shown = Reach::To(SHOWN);
        assert_eq!(reach(Some(Visible::Final(less)), false), [shown; 2]);
        assert_eq!(reach(Some(Visible::UpTo(less)), true)[1], shown);
    }
}
