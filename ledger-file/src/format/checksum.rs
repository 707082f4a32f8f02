//! CRC-32C: of bytes, and of a range of bytes whose running checksums are known.

use crc_fast::CrcAlgorithm::Crc32Iscsi;
use crc_fast::Digest;

/// The checksum of `bytes` behind what `crc` is the checksum of (0: of nothing).
#[inline]
pub(crate) fn crc(crc: u32, bytes: &[u8]) -> u32 {
    match crc {
        0 => crc_fast::crc32_iscsi(bytes),
        _ => continued(crc, bytes),
    }
}

/// As [`crc`], the longer way: the quicker one cannot begin behind anything.
fn continued(crc: u32, bytes: &[u8]) -> u32 {
    let mut digest = Digest::new_with_init_state(Crc32Iscsi, u64::from(!crc));
    digest.update(bytes);
    digest.finalize() as u32
}

/// Checksums of ranges of some bytes in a time that hardly grows with the range.
///
/// Holds the running checksum at every 64th byte. A checksum is a remainder of polynomials over two elements, so that
/// of a range follows from those at its two ends.
#[derive(Debug)]
pub(crate) struct RangeChecksums<'a> {
    bytes: &'a [u8],
    running: Vec<u32>,
}

const STRIDE: usize = 64;

impl<'a> RangeChecksums<'a> {
    /// Reads all of `bytes` once.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let mut digest = Digest::new(Crc32Iscsi);
        let running = std::iter::once(0).chain(bytes.chunks_exact(STRIDE).map(|chunk| {
            digest.update(chunk);
            digest.finalize() as u32
        }));
        Self {
            bytes,
            running: running.collect(),
        }
    }

    /// The checksum of `len` bytes from `start` on, which must be there.
    pub(crate) fn range(&self, start: usize, len: usize) -> u32 {
        shifted(self.up_to(start), len) ^ self.up_to(start + len)
    }

    fn up_to(&self, end: usize) -> u32 {
        let block = end / STRIDE;
        crc(self.running[block], &self.bytes[block * STRIDE..end])
    }
}

/// The reversed polynomial of CRC-32C.
pub(super) const POLYNOMIAL: u32 = 0x82F6_3B78;
const ONE: u32 = 1 << 31;

/// What a checksum contributes to that of `len` bytes more: its product with x to the power of `8 * len`.
fn shifted(crc: u32, len: usize) -> u32 {
    let mut product = crc;
    let mut rest = len;
    let mut power = 3;
    while rest > 0 {
        if rest & 1 == 1 {
            product = multiply(POWERS[power % 32], product);
        }
        rest >>= 1;
        power += 1;
    }
    product
}

/// x to the power of 2 to the power of n, for each n; the sequence repeats behind 32.
const POWERS: [u32; 32] = {
    let mut powers = [ONE >> 1; 32];
    let mut n = 1;
    while n < 32 {
        powers[n] = multiply(powers[n - 1], powers[n - 1]);
        n += 1;
    }
    powers
};

/// The product of two polynomials, modulo that of CRC-32C.
const fn multiply(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    let mut bit = ONE;
    while bit != 0 {
        if a & bit != 0 {
            product ^= b;
        }
        b = if b & 1 == 1 {
            b >> 1 ^ POLYNOMIAL
        } else {
            b >> 1
        };
        bit >>= 1;
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_range_has_the_checksum_of_its_bytes(bytes: Vec<u8>, repeat in 1..50usize, a: usize, b: usize) {
            let bytes = bytes.repeat(repeat);
            let (a, b) = (a % (bytes.len() + 1), b % (bytes.len() + 1));
            let (start, end) = (a.min(b), a.max(b));
            let checksums = RangeChecksums::new(&bytes);
            prop_assert_eq!(checksums.range(start, end - start), crc(0, &bytes[start..end]));
        }
    }

    #[test]
    fn the_checksum_is_the_standard_one() {
        assert_eq!(crc(0, b"123456789"), 0xE306_9283);
    }

    #[test]
    fn a_range_may_be_long() {
        let bytes = vec![0x5A; 5 << 20];
        let checksums = RangeChecksums::new(&bytes);
        assert_eq!(checksums.range(3, (5 << 20) - 3), crc(0, &bytes[3..]));
    }
}
