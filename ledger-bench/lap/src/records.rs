//! The records of all laps: random bytes behind a number, made from that number alone, so that whatever was written can be
//! checked down to the last byte without being kept.

use serde::{Deserialize, Serialize};

/// How many different fillings there are: the most that a batch can have.
const RING: usize = 1_024;

/// What a record begins with: who appended it, and how many that thread had appended before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Number(u64);

impl Number {
    /// How long a number is within a record.
    pub const BYTES: usize = 8;

    const SEQUENCE_BITS: u32 = 40;

    /// The number of a thread's record.
    #[must_use]
    pub fn new(thread: usize, sequence: u64) -> Self {
        Self((thread as u64) << Self::SEQUENCE_BITS | sequence)
    }

    /// The number that `record` begins with, unless it is too short.
    #[must_use]
    pub fn of(record: &[u8]) -> Option<Self> {
        record
            .first_chunk()
            .map(|bytes| Self(u64::from_le_bytes(*bytes)))
    }

    /// The number without its pattern: what an index sees of random keys. No two numbers are the same then either.
    #[must_use]
    pub fn scrambled(self) -> u64 {
        scramble(self.0)
    }

    /// Who appended the record.
    #[must_use]
    pub fn thread(self) -> usize {
        (self.0 >> Self::SEQUENCE_BITS) as usize
    }

    /// How many records the thread had appended before.
    #[must_use]
    pub fn sequence(self) -> u64 {
        self.0 & ((1 << Self::SEQUENCE_BITS) - 1)
    }
}

/// The record that a thread appends behind `sequence` others.
#[must_use]
pub fn record(thread: usize, sequence: u64, record_bytes: usize) -> Vec<u8> {
    Records::new(record_bytes, thread).one(sequence).to_vec()
}

/// Makes records that are `record_bytes` long: cheaply, so that the time of a lap is the engine's.
pub(crate) struct Records {
    record_bytes: usize,
    thread: usize,
    ring: Vec<u8>,
}

impl Records {
    pub(crate) fn new(record_bytes: usize, thread: usize) -> Self {
        assert!(record_bytes >= Number::BYTES, "a record holds its number");
        let words = (RING * record_bytes).div_ceil(8) as u64;
        let mut ring: Vec<u8> = (0..words)
            .flat_map(|word| scramble(word).to_le_bytes())
            .collect();
        ring.truncate(RING * record_bytes);
        Self {
            record_bytes,
            thread,
            ring,
        }
    }

    /// Makes one record.
    pub(crate) fn one(&mut self, sequence: u64) -> &[u8] {
        let slot = self.slot(sequence);
        self.stamp(slot, sequence);
        &self.ring[slot..slot + self.record_bytes]
    }

    /// Makes the records of a batch, the first one being `first`.
    pub(crate) fn batch(&mut self, first: u64, count: usize) -> Vec<&[u8]> {
        assert!(count <= RING, "the records of a batch differ");
        let numbers = first..first + count as u64;
        for sequence in numbers.clone() {
            let slot = self.slot(sequence);
            self.stamp(slot, sequence);
        }
        numbers
            .map(|sequence| &self.ring[self.slot(sequence)..][..self.record_bytes])
            .collect()
    }

    fn slot(&self, sequence: u64) -> usize {
        sequence as usize % RING * self.record_bytes
    }

    fn stamp(&mut self, slot: usize, sequence: u64) {
        let number = Number::new(self.thread, sequence).0;
        self.ring[slot..slot + Number::BYTES].copy_from_slice(&number.to_le_bytes());
    }
}

/// SplitMix64's output function: a different number for each number, without a pattern.
pub(crate) fn scramble(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_tells_thread_and_sequence() {
        let number = Number::new(63, 1_000_000);
        assert_eq!((number.thread(), number.sequence()), (63, 1_000_000));
    }

    #[test]
    fn a_record_begins_with_its_number() {
        let mut records = Records::new(100, 3);
        assert_eq!(Number::of(records.one(2_000)), Some(Number::new(3, 2_000)));
        assert_eq!(Number::of(b"short"), None);
    }

    #[test]
    fn a_batch_holds_the_same_records_as_appends_one_by_one() {
        let (mut alone, mut batched) = (Records::new(100, 0), Records::new(100, 0));
        let batch: Vec<_> = batched.batch(1_000, 100);
        for (sequence, record) in (1_000..).zip(batch) {
            assert_eq!(record, alone.one(sequence));
        }
    }
}
