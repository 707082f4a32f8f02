//! Copies of bytes that share memory, piece by piece: many small ones cost few allocations.
//!
//! Whoever keeps one of them keeps its piece, so pieces are small, and none is larger than what is known to come.
//!
//! A copy can be had at once, or with all others of its piece, which is cheaper: bytes are gathered then, and shared out.

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

/// Where a copy lies among those that are shared out together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gathered {
    start: u32,
    len: u32,
}

impl SharedBytes {
    /// Says that `count` more copies will be made.
    pub(crate) fn expect(&mut self, count: usize) {
        self.expected = count;
    }

    /// A copy of `bytes`, when nothing is gathered.
    pub(crate) fn copy(&mut self, bytes: &[u8]) -> Bytes {
        match self.gather(bytes).or_else(|| self.gather_anew(bytes)) {
            Some(_all_of_it) => self.share(),
            None => self.copy_alone(bytes),
        }
    }

    /// A copy of `bytes` with memory of its own.
    pub(crate) fn copy_alone(&mut self, bytes: &[u8]) -> Bytes {
        self.expected = self.expected.saturating_sub(1);
        Bytes::copy_from_slice(bytes)
    }

    /// Copies `bytes` behind what was gathered. None: they do not fit into the piece, or are too large for any.
    #[inline]
    pub(crate) fn gather(&mut self, bytes: &[u8]) -> Option<Gathered> {
        if self.left() < bytes.len() || bytes.len() >= ALONE_BYTES_MIN {
            return None;
        }
        let gathered = Gathered {
            start: self.piece.len() as u32,
            len: bytes.len() as u32,
        };
        self.expected = self.expected.saturating_sub(1);
        self.piece.extend_from_slice(bytes);
        Some(gathered)
    }

    /// As [`gather`](Self::gather), into a new piece, when nothing is gathered. None: they are too large, or the last that
    /// are known to come.
    pub(crate) fn gather_anew(&mut self, bytes: &[u8]) -> Option<Gathered> {
        debug_assert!(self.piece.is_empty(), "what was gathered is shared out");
        if self.expected <= 1 || bytes.len() >= ALONE_BYTES_MIN {
            return None;
        }
        let wanted = self.expected.saturating_mul(bytes.len());
        self.piece = BytesMut::with_capacity(wanted.min(PIECE_BYTES_MAX));
        self.gather(bytes)
    }

    /// All that was gathered: what [`Gathered::of`] gives parts of.
    pub(crate) fn share(&mut self) -> Bytes {
        self.piece.split().freeze()
    }

    /// How many bytes fit into the piece.
    fn left(&self) -> usize {
        self.piece.capacity() - self.piece.len()
    }
}

impl Gathered {
    /// The copy, out of `all` that was gathered with it.
    #[inline]
    pub(crate) fn of(self, all: &Bytes) -> Bytes {
        let start = self.start as usize;
        all.slice(start..start + self.len as usize)
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
    fn what_was_gathered_is_shared_out_as_it_was() {
        let mut shared = SharedBytes::default();
        shared.expect(4);
        let originals: [&[u8]; 3] = [b"one", b"", b"three"];
        let first = shared.gather_anew(originals[0]).unwrap();
        let others = [1, 2].map(|index| shared.gather(originals[index]).unwrap());
        let all = shared.share();
        assert_eq!(
            [first, others[0], others[1]].map(|it| it.of(&all)),
            originals
        );
        assert_eq!(shared.copy(b"four"), "four", "behind them, or anew");
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
