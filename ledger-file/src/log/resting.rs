//! Streams that nothing was appended to for a while: what is remembered of them, in a few bytes each.
//!
//! The memory is divided into buckets, and a stream's hash says which one is its own. In a bucket lies one stream behind
//! the other, in the order in which they came; when it is full, one of them is forgotten, by chance: if it were the oldest, streams that
//! take turns would all be forgotten before their next. There is no table beside it,
//! and a million streams take little more than twenty megabytes.

use ledger_core::Timestamp;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::streams::StreamState;
use crate::format::{Input, Malformed, StreamNumber, put_signed_varint, put_varint};
use crate::memory::Memory;

/// States of streams by their names.
#[derive(Debug)]
pub(super) struct Resting {
    memory: Memory,
    /// How many bytes of buckets are in use.
    taken: usize,
    bytes_max: usize,
    seed: u64,
    /// How many were forgotten.
    forgotten: u64,
    /// Times are kept as their distance from this one, which is shorter.
    epoch: Option<i64>,
    scratch: Vec<u8>,
}

/// A bucket begins with the bytes that it holds behind that, as two bytes.
const BUCKET_BYTES: usize = 2 << 10;
const HEAD_BYTES: usize = 2;

/// Multiples of it have no pattern in their upper half.
const CHANCE: u64 = 0x9E37_79B9_7F4A_7C15;

/// How many buckets there are at first, and how many times more when they are full.
const BUCKETS_MIN: usize = 32;
const GROWTH: usize = 4;

/// The flags of a row: whether entries were trimmed or purged, and whether something says so.
const HAS_FIRST: u8 = 1;
const HAS_REMOVALS: u8 = 2;

/// The other bits of that byte are those of the hash, the lowest, which do not say which bucket it is.
const FLAGS: u8 = HAS_FIRST | HAS_REMOVALS;

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

    /// The memory that it may take, in bytes.
    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// The memory that it takes, in bytes.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.memory.len()
    }

    /// Remembers a stream that is not remembered.
    pub(super) fn put(&mut self, name: &str, state: &StreamState) {
        let hash = self.hash(name);
        let mut row = std::mem::take(&mut self.scratch);
        row.clear();
        self.encode(hash, name, state, &mut row);
        if row.len() <= BUCKET_BYTES - HEAD_BYTES {
            self.make_room();
            self.push(hash, &row);
        }
        self.scratch = row;
    }

    /// What is remembered of a stream.
    pub(super) fn get(&self, name: &str) -> Option<StreamState> {
        let hash = self.hash(name);
        let mut rows = Rows(self.bucket(hash)?);
        rows.find_map(|row| self.decode(row, hash, name))
    }

    /// Forgets a stream, and tells what was remembered of it.
    pub(super) fn take(&mut self, name: &str) -> Option<StreamState> {
        let hash = self.hash(name);
        let bucket = self.bucket(hash)?;
        let mut start = 0;
        for row in Rows(bucket) {
            if let Some(state) = self.decode(row, hash, name) {
                let bytes = SIZE_BYTES + row.len();
                self.remove(hash, start, bytes);
                return Some(state);
            }
            start += SIZE_BYTES + row.len();
        }
        None
    }

    fn hash(&self, name: &str) -> u64 {
        xxh3_64_with_seed(name.as_bytes(), self.seed)
    }

    fn buckets(&self) -> usize {
        self.memory.len() / BUCKET_BYTES
    }

    /// Where the bucket of a hash begins.
    fn place(&self, hash: u64) -> usize {
        let bucket = (u128::from(hash) * self.buckets() as u128) >> u64::BITS;
        bucket as usize * BUCKET_BYTES
    }

    /// What the bucket of a hash holds; none if there are no buckets.
    fn bucket(&self, hash: u64) -> Option<&[u8]> {
        let bucket = self.memory.get(self.place(hash)..)?;
        let (len, rows) = bucket.split_first_chunk()?;
        rows.get(..usize::from(u16::from_le_bytes(*len)))
    }

    fn len_of(&self, place: usize) -> usize {
        u16::from_le_bytes([self.memory[place], self.memory[place + 1]]).into()
    }

    fn set_len(&mut self, place: usize, len: usize) {
        self.memory[place..place + HEAD_BYTES].copy_from_slice(&(len as u16).to_le_bytes());
    }

    /// Puts a row behind the others of its bucket, of which the first go if there is no room.
    fn push(&mut self, hash: u64, row: &[u8]) {
        if self.memory.is_empty() {
            return;
        }
        let place = self.place(hash);
        let bytes = SIZE_BYTES + row.len();
        while self.len_of(place) + bytes > BUCKET_BYTES - HEAD_BYTES {
            self.forget_one(hash);
        }
        let len = self.len_of(place);
        let at = place + HEAD_BYTES + len;
        self.memory[at..at + SIZE_BYTES].copy_from_slice(&(row.len() as u16).to_le_bytes());
        self.memory[at + SIZE_BYTES..at + bytes].copy_from_slice(row);
        self.set_len(place, len + bytes);
        self.taken += bytes;
    }

    /// Forgets one of the streams in the bucket of a hash, which has some.
    fn forget_one(&mut self, hash: u64) {
        let Some(rows) = self.bucket(hash) else {
            return;
        };
        let chosen = (self.forgotten.wrapping_mul(CHANCE) >> 32) as usize % rows.len();
        let (mut start, mut bytes) = (0, 0);
        for row in Rows(rows) {
            bytes = SIZE_BYTES + row.len();
            if start + bytes > chosen {
                break;
            }
            start += bytes;
        }
        self.forgotten += 1;
        self.remove(hash, start, bytes);
    }

    /// Takes `bytes` from `start` on out of the bucket of a hash.
    fn remove(&mut self, hash: u64, start: usize, bytes: usize) {
        let place = self.place(hash);
        let len = self.len_of(place);
        let rows = place + HEAD_BYTES;
        self.memory
            .copy_within(rows + start + bytes..rows + len, rows + start);
        self.set_len(place, len - bytes);
        self.taken -= bytes;
    }
}

// Buckets.
impl Resting {
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
        let grown = Memory::zeroed(buckets * BUCKET_BYTES);
        let before = std::mem::replace(&mut self.memory, grown);
        self.taken = 0;
        for bucket in before.chunks_exact(BUCKET_BYTES) {
            let (len, rows) = bucket.split_at(HEAD_BYTES);
            let len = u16::from_le_bytes([len[0], len[1]]);
            for row in Rows(&rows[..len.into()]) {
                if let Ok(name) = name_of(Input::new(row)) {
                    self.push(xxh3_64_with_seed(name, self.seed), row);
                }
            }
        }
    }
}

// Rows.
impl Resting {
    /// Writes a row: flags, the name, the state.
    fn encode(&mut self, hash: u64, name: &str, state: &StreamState, row: &mut Vec<u8>) {
        let time = state.recorded_at.as_micros();
        let epoch = *self.epoch.get_or_insert(time);
        let has_first = state.first != 1 || state.bytes_removed != 0;
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let flags = flag(has_first, HAS_FIRST) | flag(state.has_removals, HAS_REMOVALS);
        row.push(hash as u8 & !FLAGS | flags);
        put_varint(row, name.len() as u64);
        row.extend_from_slice(name.as_bytes());
        for number in [state.number.0, state.head, state.bytes_appended] {
            put_varint(row, number);
        }
        put_signed_varint(row, time.wrapping_sub(epoch));
        if has_first {
            put_varint(row, state.first);
            put_varint(row, state.bytes_removed);
        }
    }

    /// The state in a row, if it is that of the stream.
    fn decode(&self, row: &[u8], hash: u64, name: &str) -> Option<StreamState> {
        if row.first()? & !FLAGS != hash as u8 & !FLAGS {
            return None;
        }
        let state = self.decode_fields(Input::new(row), name);
        state.expect("rows are read as they were written")
    }

    fn decode_fields(
        &self,
        mut row: Input<'_>,
        name: &str,
    ) -> Result<Option<StreamState>, Malformed> {
        let flags = row.u8()?;
        if row.prefixed()? != name.as_bytes() {
            return Ok(None);
        }
        let mut state = StreamState::new(StreamNumber(row.varint()?));
        state.head = row.varint()?;
        state.bytes_appended = row.varint()?;
        let time = row.signed()?.wrapping_add(self.epoch.unwrap_or_default());
        state.recorded_at = Timestamp::from_micros(time);
        state.has_removals = flags & HAS_REMOVALS != 0;
        if flags & HAS_FIRST != 0 {
            state.first = row.varint()?;
            state.bytes_removed = row.varint()?;
        }
        Ok(Some(state))
    }
}

fn name_of(mut row: Input<'_>) -> Result<&[u8], Malformed> {
    let _flags = row.u8()?;
    row.prefixed()
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

    use proptest::prelude::*;

    use super::*;

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
        let mut none = Resting::new(0, 7);
        none.put("s", &state(1, 1, false));
        assert_eq!(
            (none.get("s"), none.take("s"), none.bytes()),
            (None, None, 0)
        );
    }
}
