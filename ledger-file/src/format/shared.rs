//! Copies of bytes that share memory, piece by piece: many small ones cost few allocations.
//!
//! Whoever keeps one of them keeps its piece, so pieces are small, and none is larger than what is known to come.

use bytes::BytesMut;
use ledger_core::Bytes;

/// How large a piece becomes.
const PIECE_BYTES_MAX: usize = 16 << 10;

/// From how many bytes on a copy has memory of its own.
const ALONE_BYTES_MIN: usize = 1 << 10;

/// Makes copies.
#[derive(Debug, Default)]
pub(crate) struct SharedBytes {
    piece: BytesMut,
    /// How many copies are still to come, at least.
    expected: usize,
}

impl SharedBytes {
    /// Says that `count` more copies will be made.
    pub(crate) fn expect(&mut self, count: usize) {
        self.expected = count;
    }

    /// A copy of `bytes`.
    pub(crate) fn copy(&mut self, bytes: &[u8]) -> Bytes {
        let expected = self.expected;
        self.expected = expected.saturating_sub(1);
        if expected <= 1 && self.left() < bytes.len() || bytes.len() >= ALONE_BYTES_MIN {
            return Bytes::copy_from_slice(bytes);
        }
        if self.left() < bytes.len() {
            let wanted = expected.saturating_mul(bytes.len());
            self.piece = BytesMut::with_capacity(wanted.min(PIECE_BYTES_MAX));
        }
        self.piece.extend_from_slice(bytes);
        self.piece.split().freeze()
    }

    /// How many bytes fit into the piece.
    fn left(&self) -> usize {
        self.piece.capacity() - self.piece.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The addresses of some copies' bytes.
    fn addresses(copies: &[Bytes]) -> Vec<usize> {
        copies.iter().map(|copy| copy.as_ptr() as usize).collect()
    }

    proptest! {
        #[test]
        fn copies_are_what_was_copied(
            originals in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3_000), 0..40),
            expected in 0..60usize,
        ) {
            let mut shared = SharedBytes::default();
            shared.expect(expected);
            let copies: Vec<Bytes> = originals.iter().map(|bytes| shared.copy(bytes)).collect();
            prop_assert_eq!(copies, originals);
        }
    }

    #[test]
    fn copies_that_were_expected_lie_side_by_side() {
        let mut shared = SharedBytes::default();
        shared.expect(3);
        let copies = [[1; 100], [2; 100], [3; 100]].map(|bytes| shared.copy(&bytes));
        let first = addresses(&copies)[0];
        assert_eq!(addresses(&copies), [first, first + 100, first + 200]);
    }

    #[test]
    fn a_copy_that_is_kept_keeps_no_more_than_a_piece() {
        let mut shared = SharedBytes::default();
        shared.expect(100_000);
        shared.copy(&[0; 100]);
        assert_eq!(shared.left(), PIECE_BYTES_MAX - 100);
    }

    #[test]
    fn a_copy_that_is_large_or_alone_has_memory_of_its_own() {
        let mut shared = SharedBytes::default();
        shared.copy(&[0; 100]);
        shared.expect(1);
        shared.copy(&[0; 100]);
        shared.expect(10);
        shared.copy(&[0; ALONE_BYTES_MIN]);
        assert_eq!(shared.left(), 0);
    }
}
