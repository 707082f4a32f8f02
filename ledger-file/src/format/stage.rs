//! The first page of the stage, as words of 64 bits: what the mapped file is written by, word by word.
//!
//! The frames lie behind the page, from the place that the newest valid slot tells on.

use super::header::{FORMAT, HeaderError, LogId, check};
use super::input::Malformed;
use super::position::Position;
use super::short_checksum::short_crc;

const MAGIC: &[u8; 8] = b"LEDGERST";

/// Where the words of the two slots begin. A cache line each: a torn one leaves the other whole.
pub(crate) const SLOT_WORDS: [usize; 2] = [8, 16];

/// Where it is told up to where readers may [look](Visible).
pub(crate) const VISIBLE_WORD: usize = 24;

/// Where the version of the newest manifest is [told](tell).
pub(crate) const MANIFEST_WORD: usize = 32;

/// What a stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StageHeader {
    /// The log it belongs to.
    pub(crate) log_id: LogId,
    /// How many bytes of frames it has room for.
    pub(crate) area_bytes: u64,
}

impl StageHeader {
    /// The first words of the page.
    pub(crate) fn words(&self) -> [u64; 6] {
        let [low, high] = id_words(&self.log_id);
        let words = [
            u64::from_le_bytes(*MAGIC),
            u64::from(FORMAT),
            low,
            high,
            self.area_bytes,
        ];
        let [magic, format, low, high, area_bytes] = words;
        [magic, format, low, high, area_bytes, checksum(&words)]
    }

    /// # Errors
    /// The words are those of no stage, of a newer format, or damaged.
    pub(crate) fn decode(words: [u64; 6]) -> Result<Self, HeaderError> {
        let [magic, format, low, high, area_bytes, _] = words;
        check(
            MAGIC,
            magic.to_le_bytes(),
            u32::try_from(format).map_err(Malformed::from)?,
            FORMAT,
        )?;
        let mut log_id = LogId::default();
        log_id[..8].copy_from_slice(&low.to_le_bytes());
        log_id[8..].copy_from_slice(&high.to_le_bytes());
        let header = Self { log_id, area_bytes };
        if header.words() != words {
            return Err(Malformed("the header of the stage is damaged").into());
        }
        Ok(header)
    }
}

/// Where the frames of the stage belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// The place in the log of the first byte of the stage's area.
    pub(crate) base: Position,
    /// The valid slot with the greater one is in force.
    pub(crate) sequence: u64,
}

impl Slot {
    /// The words of the slot in the stage of the log `log_id`.
    pub(crate) fn words(&self, log_id: &LogId) -> [u64; 3] {
        let (base, sequence) = (self.base.as_u64(), self.sequence);
        let [low, high] = id_words(log_id);
        [base, sequence, checksum(&[low, high, base, sequence])]
    }

    /// Reads a slot; none if it is torn, empty or of another log.
    pub(crate) fn decode(words: [u64; 3], log_id: &LogId) -> Option<Self> {
        let slot = Self {
            base: Position::from_u64(words[0]),
            sequence: words[1],
        };
        (slot.words(log_id) == words).then_some(slot)
    }
}

/// The words that tell `value`: itself, and its complement, because the two are not written at once.
pub(crate) fn tell(value: u64) -> [u64; 2] {
    [value, !value]
}

/// The value that the words tell; none if they were read while being written.
pub(crate) fn told([value, complement]: [u64; 2]) -> Option<u64> {
    (value == !complement).then_some(value)
}

/// Up to where readers in other processes may look. What is acknowledged lies before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visible {
    /// As long as somebody writes. If nobody does, whoever did may have left more.
    UpTo(Position),
    /// Somebody opens the log, and does not know yet: as if nobody wrote.
    Unknown,
    /// Whether somebody writes or not: a sync has failed behind it.
    Final(Position),
    /// Somebody opens the log, and syncs what is kept: a sync of a reader's would prove nothing if that fails. If nobody writes, whoever
    /// did that was killed, and it is as if it were [unknown](Self::Unknown).
    Syncing,
    /// A sync has failed when the log was opened, and nobody knows what is durable.
    Failed,
}

/// What of the two words of a final place differs.
const FINAL: u64 = 0x5555_5555_5555_5555;

/// Places where no frame ends, final ones.
const FAILED: Position = Position::from_u64(0);
const SYNCING: Position = Position::from_u64(1);

impl Visible {
    /// The words that tell it.
    pub(crate) fn words(self) -> [u64; 2] {
        let end_at = |end: Position| [end.as_u64(), end.as_u64() ^ FINAL];
        match self {
            Self::UpTo(end) => tell(end.as_u64()),
            Self::Unknown => [0; 2],
            Self::Final(end) => end_at(end),
            Self::Syncing => end_at(SYNCING),
            Self::Failed => end_at(FAILED),
        }
    }

    /// What the words tell; none if they were read while being written, or whoever wrote them was killed then.
    pub(crate) fn decode(words: [u64; 2]) -> Option<Self> {
        let end = Position::from_u64(words[0]);
        let known = [
            Self::UpTo(end),
            Self::Unknown,
            Self::Syncing,
            Self::Failed,
            Self::Final(end),
        ];
        known.into_iter().find(|visible| visible.words() == words)
    }

    /// The place, if one is told.
    pub(crate) fn end(self) -> Option<Position> {
        match self {
            Self::UpTo(end) | Self::Final(end) => Some(end),
            Self::Unknown | Self::Syncing | Self::Failed => None,
        }
    }
}

fn id_words(log_id: &LogId) -> [u64; 2] {
    let [low, high] = [0, 8].map(|at| {
        log_id[at..at + 8]
            .try_into()
            .expect("the half of an id has eight bytes")
    });
    [u64::from_le_bytes(low), u64::from_le_bytes(high)]
}

fn checksum(words: &[u64]) -> u64 {
    u64::from(
        words
            .iter()
            .fold(0, |sum, word| short_crc(sum, &word.to_le_bytes())),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn header_and_slots_come_back(log_id: LogId, area_bytes: u64, base: u64, sequence: u64) {
            let header = StageHeader { log_id, area_bytes };
            prop_assert_eq!(StageHeader::decode(header.words()), Ok(header));
            let slot = Slot { base: Position::from_u64(base), sequence };
            prop_assert_eq!(Slot::decode(slot.words(&log_id), &log_id), Some(slot));
            prop_assert_eq!(told(tell(base)), Some(base));
            let end = Position::from_u64(base);
            prop_assume!(end != FAILED && end != SYNCING);
            for visible in [Visible::UpTo(end), Visible::Unknown, Visible::Final(end), Visible::Syncing, Visible::Failed] {
                prop_assert_eq!(Visible::decode(visible.words()), Some(visible));
            }
        }

        #[test]
        fn a_flipped_bit_is_found(log_id: LogId, area_bytes: u64, base: u64, sequence: u64, word: usize, bit in 0..64) {
            let mut header = StageHeader { log_id, area_bytes }.words();
            header[word % 6] ^= 1u64 << bit;
            prop_assert!(StageHeader::decode(header).is_err());
            let mut slot = Slot { base: Position::from_u64(base), sequence }.words(&log_id);
            slot[word % 3] ^= 1u64 << bit;
            prop_assert_eq!(Slot::decode(slot, &log_id), None);
            let mut pair = tell(base);
            pair[word % 2] ^= 1u64 << bit;
            prop_assert_eq!(told(pair), None);
            prop_assert_eq!(Visible::decode(pair), None);
        }

        #[test]
        fn a_slot_of_another_log_does_not_pass(a: LogId, b: LogId, base: u64, sequence: u64) {
            prop_assume!(a != b);
            let slot = Slot { base: Position::from_u64(base), sequence };
            prop_assert_eq!(Slot::decode(slot.words(&a), &b), None);
        }
    }

    #[test]
    fn a_page_that_was_never_written_is_no_stage_and_has_no_slot() {
        assert_eq!(StageHeader::decode([0; 6]), Err(HeaderError::NotOurs));
        assert_eq!(Slot::decode([0; 3], &[7; 16]), None);
        assert_eq!(told([0; 2]), None);
    }
}
