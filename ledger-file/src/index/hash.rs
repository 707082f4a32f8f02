//! Keys as hashes: what an index knows of names, order keys and dedup keys.
//!
//! A hash leads to candidates, and the log says which of them is meant. So 32 bits are enough, and a fact takes eight
//! bytes. The log's own seed goes in, so that nobody can choose keys that collide.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::format::StreamNumber;

/// The hash of a key of some kind in some stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KeyHash(pub(super) u32);

/// Makes the hashes of one log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyHasher {
    /// The seed of each kind.
    seeds: [u64; KINDS],
}

/// What a key is of. Part of the hash, and so of the format of index files.
#[derive(Clone, Copy)]
enum Kind {
    Name,
    DedupKey,
    OrderKey,
    Checkpoint,
}

const KINDS: usize = Kind::Checkpoint as usize + 1;

/// Odd, and without a pattern: multiples of it are far apart.
pub(super) const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

impl KeyHasher {
    /// Takes the seed that the log's manifest holds.
    pub(crate) fn new(seed: u64) -> Self {
        let seed_of = |kind| mix(seed.wrapping_add(kind as u64));
        Self {
            seeds: std::array::from_fn(seed_of),
        }
    }

    /// Hashes the name of a stream.
    pub(crate) fn name(self, name: &str) -> KeyHash {
        self.hash(Kind::Name, StreamNumber(0), name)
    }

    /// Hashes a dedup key of a stream.
    pub(crate) fn dedup_key(self, stream: StreamNumber, key: &str) -> KeyHash {
        self.hash(Kind::DedupKey, stream, key)
    }

    /// Hashes an order key of a stream.
    pub(crate) fn order_key(self, stream: StreamNumber, key: &str) -> KeyHash {
        self.hash(Kind::OrderKey, stream, key)
    }

    /// Hashes the name of a checkpoint of a stream.
    pub(crate) fn checkpoint(self, stream: StreamNumber, name: &str) -> KeyHash {
        self.hash(Kind::Checkpoint, stream, name)
    }

    #[inline]
    fn hash(self, kind: Kind, stream: StreamNumber, key: &str) -> KeyHash {
        let of_stream = stream.0.wrapping_mul(GOLDEN);
        let seed = self.seeds[kind as usize].wrapping_add(of_stream);
        KeyHash((xxh3_64_with_seed(key.as_bytes(), seed) >> 32) as u32)
    }
}

/// The tag that a filter knows a stream by. No seed: stream numbers are chosen by nobody.
pub(super) fn stream_tag(stream: StreamNumber) -> u32 {
    (mix(stream.0) >> 32) as u32
}

/// The tag that a filter knows the changes of a stream by.
pub(super) fn changes_tag(stream: StreamNumber) -> u32 {
    mix(stream.0) as u32
}

/// Spreads every bit of `word` over all of them (the finalizer of SplitMix64). One to one.
pub(super) fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(GOLDEN);
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_hashes_differently_as_another_kind_in_another_stream_and_in_another_log() {
        let hasher = KeyHasher::new(7);
        let (one, two) = (StreamNumber(1), StreamNumber(2));
        let hashes = [
            hasher.name("a"),
            hasher.dedup_key(one, "a"),
            hasher.dedup_key(two, "a"),
            hasher.order_key(one, "a"),
            hasher.checkpoint(one, "a"),
            KeyHasher::new(8).name("a"),
        ];
        let different: std::collections::BTreeSet<_> = hashes.into_iter().collect();
        assert_eq!(different.len(), hashes.len());
    }

    /// Index files hold these values: a change of them needs a new format number.
    #[test]
    fn hashes_stay_what_they_are() {
        let hasher = KeyHasher::new(42);
        assert_eq!(hasher.name("orders"), KeyHash(1_718_609_831));
        assert_eq!(
            hasher.dedup_key(StreamNumber(3), "evt-1"),
            KeyHash(781_721_837)
        );
    }
}
