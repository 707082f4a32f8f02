//! Streams that nothing was appended to for a while: what is remembered of them, in a few bytes each.
//!
//! The memory is divided into buckets, and a stream's hash says which one is its own. In a bucket lies one stream behind
//! the other, in the order in which they came; when it is full, one of them is forgotten, by chance: if it were the oldest, streams that
//! take turns would all be forgotten before their next. There is no table beside it,
//! and a million streams take little more than twenty megabytes.
//!
//! What a stream takes is written as a `row`. While the log is closed all of it is `kept` in a file.

mod kept;
mod row;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::streams::StreamState;
use crate::memory::Memory;

pub(super) use kept::{Identity, forget, is_kept, keep, recall};

/// States of streams by their names.
#[derive(Debug)]
pub(super) struct Resting {
    memory: Memory,
    /// How many bytes of buckets are in use.
    taken: usize,
    bytes_max: usize,
    seed: u64,
    /// How many were forgotten, or never found room.
    forgotten: u64,
    /// Times are kept as their distance from this one, which is shorter.
    epoch: Option<i64>,
    scratch: Vec<u8>,
}

/// A bucket begins with the bytes that its rows take, as two bytes, and with its checksum, which only means something in
/// a file.
const BUCKET_BYTES: usize = 2 << 10;
const LEN_BYTES: usize = 2;
const HEAD_BYTES: usize = LEN_BYTES + size_of::<u64>();

/// Multiples of it have no pattern in their upper half.
const CHANCE: u64 = 0x9E37_79B9_7F4A_7C15;

/// What so many bytes say of streams, some two thousand, is kept in a file. In unit tests less, so that short histories
/// have such a file.
const KEPT_BYTES_MIN: usize = if cfg!(test) { 1 } else { 64 << 10 };

/// How many buckets there are at first, and how many times more when they are full. In unit tests fewer, as disks are
/// copied there very often.
const BUCKETS_MIN: usize = if cfg!(test) { 2 } else { 32 };
const GROWTH: usize = 4;

impl Resting {
    /// Remembers streams in up to `bytes_max` of memory. Nobody who does not know `seed` can choose names that share a
    /// bucket.
    pub(super) fn new(bytes_max: usize, seed: u64) -> Self {
        Self {
            memory: Memory::default(),
            taken: 0,
            bytes_max,
            seed,
            forgotten: 0,
            epoch: None,
            scratch: Vec::new(),
        }
    }

    /// Whether everything is remembered that was [put](Self::put) here, and not [taken](Self::take).
    pub(super) fn remembers_all(&self) -> bool {
        self.forgotten == 0
    }

    /// The memory that it may take, in bytes.
    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Whether the streams are so many that the next opening should not have to look them up.
    pub(super) fn is_worth_keeping(&self) -> bool {
        self.taken >= KEPT_BYTES_MIN
    }

    /// The memory that it takes, in bytes.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.memory.len()
    }

    /// Remembers a stream that is not remembered, if there is room for it.
    pub(super) fn put(&mut self, name: &str, state: &StreamState) {
        let hash = self.hash(name);
        let epoch = *self.epoch.get_or_insert(state.recorded_at.as_micros());
        let mut row = std::mem::take(&mut self.scratch);
        row.clear();
        row::encode(hash, name, state, epoch, &mut row);
        match row.len() <= BUCKET_BYTES - HEAD_BYTES - SIZE_BYTES {
            true => {
                self.make_room();
                self.push(hash, &row);
            }
            false => self.forgotten += 1,
        }
        self.scratch = row;
    }

    /// What is remembered of a stream.
    pub(super) fn get(&self, name: &str) -> Option<StreamState> {
        let hash = self.hash(name);
        let mut rows = Rows(self.rows(self.number(hash))?);
        rows.find_map(|row| row::decode(row, hash, name, self.epoch?))
    }

    /// Forgets a stream, and tells what was remembered of it.
    pub(super) fn take(&mut self, name: &str) -> Option<StreamState> {
        let hash = self.hash(name);
        let number = self.number(hash);
        let mut start = 0;
        for row in Rows(self.rows(number)?) {
            let bytes = SIZE_BYTES + row.len();
            if let Some(state) = row::decode(row, hash, name, self.epoch?) {
                self.remove(number, start, bytes);
                return Some(state);
            }
            start += bytes;
        }
        None
    }

    /// Remembers everything that `other` does, which knows better where both know a stream.
    pub(super) fn take_over(&mut self, other: &Self) {
        let epoch = other.epoch.unwrap_or_default();
        for number in 0..other.buckets() {
            for row in Rows(other.rows(number).unwrap_or_default()) {
                if let Some((name, state)) = row::decode_all(row, epoch) {
                    let _outdated = self.take(name);
                    self.put(name, &state);
                }
            }
        }
    }

    fn hash(&self, name: &str) -> u64 {
        self.hash_bytes(name.as_bytes())
    }

    fn hash_bytes(&self, name: &[u8]) -> u64 {
        xxh3_64_with_seed(name, self.seed)
    }

    fn buckets(&self) -> usize {
        self.memory.len() / BUCKET_BYTES
    }

    /// The number of the bucket of a hash.
    fn number(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.buckets() as u128) >> u64::BITS) as usize
    }

    /// The rows in a bucket; none if there is no such bucket.
    fn rows(&self, number: usize) -> Option<&[u8]> {
        let bucket = self.memory.get(number * BUCKET_BYTES..)?;
        rows_in(bucket.first_chunk()?)
    }

    fn len_of(&self, number: usize) -> usize {
        self.rows(number).map_or(0, <[u8]>::len)
    }

    fn set_len(&mut self, number: usize, len: usize) {
        let place = number * BUCKET_BYTES;
        self.memory[place..place + LEN_BYTES].copy_from_slice(&(len as u16).to_le_bytes());
    }

    /// Puts a row behind the others of its bucket, of which some go if there is no room.
    fn push(&mut self, hash: u64, row: &[u8]) {
        if self.memory.is_empty() {
            self.forgotten += 1;
            return;
        }
        let number = self.number(hash);
        let bytes = SIZE_BYTES + row.len();
        while self.len_of(number) + bytes > BUCKET_BYTES - HEAD_BYTES {
            self.forget_one(number);
        }
        let len = self.len_of(number);
        let at = number * BUCKET_BYTES + HEAD_BYTES + len;
        self.memory[at..at + SIZE_BYTES].copy_from_slice(&(row.len() as u16).to_le_bytes());
        self.memory[at + SIZE_BYTES..at + bytes].copy_from_slice(row);
        self.set_len(number, len + bytes);
        self.taken += bytes;
    }

    /// Forgets one of the streams in a bucket, which has some.
    fn forget_one(&mut self, number: usize) {
        let Some(rows) = self.rows(number) else {
            return;
        };
        let chosen = (self.forgotten.wrapping_mul(CHANCE) >> 32) as usize % rows.len();
        let (mut start, mut bytes) = (0, rows.len());
        for row in Rows(rows) {
            bytes = SIZE_BYTES + row.len();
            if start + bytes > chosen {
                break;
            }
            start += bytes;
        }
        self.forgotten += 1;
        self.remove(number, start, bytes);
    }

    /// Takes `bytes` from `start` on out of a bucket.
    fn remove(&mut self, number: usize, start: usize, bytes: usize) {
        let len = self.len_of(number);
        let rows = number * BUCKET_BYTES + HEAD_BYTES;
        self.memory
            .copy_within(rows + start + bytes..rows + len, rows + start);
        self.set_len(number, len - bytes);
        self.taken = self.taken.saturating_sub(bytes);
    }

    /// Makes more buckets if there may be, and those that there are begin to be full.
    fn make_room(&mut self) {
        let is_crowded = self.taken >= self.memory.len() / 4 * 3;
        let buckets = (self.buckets() * GROWTH).max(BUCKETS_MIN);
        let buckets = buckets.min(self.bytes_max / BUCKET_BYTES);
        if is_crowded && buckets > self.buckets() {
            self.grow(buckets);
        }
    }

    fn grow(&mut self, buckets: usize) {
        let grown = Self {
            memory: Memory::zeroed(buckets * BUCKET_BYTES),
            epoch: self.epoch,
            forgotten: self.forgotten,
            ..Self::new(self.bytes_max, self.seed)
        };
        let before = std::mem::replace(self, grown);
        for number in 0..before.buckets() {
            for row in Rows(before.rows(number).unwrap_or_default()) {
                if let Ok(name) = row::name_of(row) {
                    self.push(self.hash_bytes(name), row);
                }
            }
        }
    }
}

/// What the bucket says are its rows.
fn rows_in(bucket: &[u8; BUCKET_BYTES]) -> Option<&[u8]> {
    let (len, _) = bucket.split_first_chunk()?;
    let rows = bucket.get(HEAD_BYTES..)?;
    rows.get(..usize::from(u16::from_le_bytes(*len)))
}

/// The size of a row stands before it.
const SIZE_BYTES: usize = 2;

/// The rows of a bucket, without their sizes.
struct Rows<'a>(&'a [u8]);

impl<'a> Iterator for Rows<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (size, rest) = self.0.split_first_chunk()?;
        let (row, rest) = rest.split_at_checked(u16::from_le_bytes(*size).into())?;
        self.0 = rest;
        Some(row)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ledger_core::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::format::StreamNumber;

    fn state(number: u64, other: u64, has_removals: bool) -> StreamState {
        StreamState {
            head: other,
            first: if has_removals { other } else { 1 },
            bytes_appended: other.wrapping_mul(3),
            bytes_removed: if has_removals { other / 2 } else { 0 },
            recorded_at: Timestamp::from_micros(other.wrapping_mul(7) as i64),
            has_removals,
            ..StreamState::new(StreamNumber(number))
        }
    }

    proptest! {
        #[test]
        fn every_state_comes_back_as_it_was(
            steps in proptest::collection::vec((0..40u64, any::<u64>(), any::<bool>(), any::<bool>()), 0..400),
        ) {
            let mut resting = Resting::new(1 << 20, 7);
            let mut model = BTreeMap::new();
            for (number, other, has_removals, is_put) in steps {
                let name = format!("stream-{number}");
                prop_assert_eq!(resting.get(&name), model.get(&name).copied());
                prop_assert_eq!(resting.take(&name), model.remove(&name));
                if is_put {
                    let state = state(number, other, has_removals);
                    resting.put(&name, &state);
                    model.insert(name, state);
                }
            }
            for (name, state) in model {
                prop_assert_eq!(resting.get(&name), Some(state));
            }
        }
    }

    #[test]
    fn memory_is_bounded_and_filled() {
        let bytes_max = 100 * BUCKET_BYTES;
        let mut resting = Resting::new(bytes_max, 7);
        for number in 0..20_000 {
            resting.put(&format!("s-{number}"), &state(number, number, false));
            assert!(resting.bytes() <= bytes_max);
        }
        let kept = |number: &u64| resting.get(&format!("s-{number}")).is_some();
        assert!((0..20_000).filter(kept).count() > bytes_max / 32);
        assert_eq!(resting.get("s-19999"), Some(state(19_999, 19_999, false)));
    }

    #[test]
    fn a_stream_takes_few_bytes() {
        let mut resting = Resting::new(1 << 20, 7);
        for number in 0..40_000 {
            resting.put(&format!("s-{number}"), &state(number, 10, false));
        }
        let kept = (0..40_000).filter(|number| resting.get(&format!("s-{number}")).is_some());
        let (kept, bytes) = (kept.count(), resting.bytes());
        assert!(bytes / kept < 28, "{kept} streams in {bytes} bytes");
    }

    #[test]
    fn what_does_not_fit_is_not_remembered() {
        let long = "n".repeat(BUCKET_BYTES);
        let mut resting = Resting::new(1 << 20, 7);
        resting.put(&long, &state(1, 1, false));
        assert_eq!(resting.get(&long), None);
        assert!(!resting.remembers_all());
        let mut none = Resting::new(0, 7);
        none.put("s", &state(1, 1, false));
        assert_eq!(
            (none.get("s"), none.take("s"), none.bytes()),
            (None, None, 0)
        );
        assert!(!none.remembers_all());
    }
}
