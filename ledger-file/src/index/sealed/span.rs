//! What an index file is of: what lies in one segment from some offset on, or several such pieces, one behind the other.
//!
//! Offsets in a file count as if its pieces were one segment: those of a piece begin where all before it have ended. So
//! the rows of an index of many pieces are those of an index of one.

use xxhash_rust::xxh3::Xxh3;

use crate::format::Position;
use crate::index::Origin;

/// The pieces of the log that an index file is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// At least one, in the order of the log, no two of the same offset.
    pieces: Box<[Piece]>,
    origin: Origin,
}

/// What lies in one segment from some offset on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Where it begins.
    pub(crate) origin: Origin,
    /// Where in the segment it ends.
    pub(crate) to: u32,
    /// What is added to its offsets.
    base: u32,
}

impl Span {
    /// The span of what lies between `origin` and `to`.
    pub(crate) fn one(origin: Origin, to: u32) -> Self {
        let piece = Piece {
            origin,
            to,
            base: 0,
        };
        Self {
            pieces: Box::new([piece]),
            origin,
        }
    }

    /// The span of several pieces, each from its origin to its end, in the order of the log; none if there is not a single
    /// one, or if together they are longer than offsets can say. `seed` is that of the hashes of keys: the same pieces under
    /// another one are another span.
    pub(crate) fn of(seed: u64, pieces: impl IntoIterator<Item = (Origin, u32)>) -> Option<Self> {
        let mut base = 0u32;
        let mut placed = Vec::new();
        for (origin, to) in pieces {
            placed.push(Piece { origin, to, base });
            base = base.checked_add(to)?;
        }
        let origin = match *placed {
            [] => return None,
            [only] => only.origin,
            [first, ..] => Origin {
                generation: digest(seed, &placed),
                ..first.origin
            },
        };
        let pieces = placed.into();
        Some(Self { pieces, origin })
    }

    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Where it begins. Of many pieces, the generation tells which ones they are.
    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    /// Behind which offset there is nothing of it.
    pub(crate) fn to(&self) -> u32 {
        let last = self.pieces[self.pieces.len() - 1];
        last.base + last.to
    }

    /// Where in the log an offset is.
    pub(super) fn position(&self, offset: u32) -> Position {
        let piece = self.piece(|piece| piece.base <= offset);
        Position::new(piece.origin.segment, offset - piece.base)
    }

    /// What the offset of a position is; none if it is in another segment.
    pub(super) fn offset(&self, position: Position) -> Option<u32> {
        let piece = self.piece_at(position);
        let is_here = piece.origin.segment == position.segment();
        is_here.then(|| piece.base.checked_add(position.offset()))?
    }

    /// Where in its segment the piece ends that a position is in, and the offset of that.
    pub(super) fn end_at(&self, position: Position) -> (u32, u32) {
        let piece = self.piece_at(position);
        (piece.to, piece.base + piece.to)
    }

    fn piece_at(&self, position: Position) -> &Piece {
        let start = |origin: Origin| Position::new(origin.segment, origin.from);
        self.piece(|piece| start(piece.origin) <= position)
    }

    /// The last piece that `begins`, or the first one.
    fn piece(&self, begins: impl Fn(&Piece) -> bool) -> &Piece {
        let behind = self.pieces.partition_point(begins);
        &self.pieces[behind.saturating_sub(1)]
    }
}

fn digest(seed: u64, pieces: &[Piece]) -> u64 {
    let mut digest = Xxh3::with_seed(seed);
    for Piece { origin, to, .. } in pieces {
        digest.update(&origin.segment.to_le_bytes());
        digest.update(&origin.generation.to_le_bytes());
        digest.update(&origin.from.to_le_bytes());
        digest.update(&to.to_le_bytes());
    }
    digest.digest()
}

impl Piece {
    /// Adds what its offsets are higher by than those in an index of it alone.
    pub(super) fn rebased(&self, offset: u32) -> u32 {
        self.base.wrapping_add(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u64 = 42;

    fn origin(segment: u32, from: u32) -> Origin {
        Origin {
            log_id: [7; 16],
            segment,
            generation: u64::from(segment),
            from,
        }
    }

    fn of_three() -> Span {
        Span::of(
            SEED,
            [
                (origin(2, 64), 500),
                (origin(2, 500), 900),
                (origin(5, 64), 300),
            ],
        )
        .unwrap()
    }

    #[test]
    fn every_position_has_one_offset_and_comes_back() {
        let span = of_three();
        let mut last = None;
        for (segment, offsets) in [(2, 64..900), (5, 64..300)] {
            for offset in offsets {
                let position = Position::new(segment, offset);
                let there = span.offset(position).unwrap();
                assert!(last.replace(there) < Some(there), "{position:?}");
                assert_eq!(span.position(there), position);
                assert!(there < span.to());
            }
        }
        for outside in [
            Position::new(1, 64),
            Position::new(3, 64),
            Position::new(6, 64),
        ] {
            assert_eq!(span.offset(outside), None);
        }
    }

    #[test]
    fn a_position_knows_where_its_piece_ends() {
        let span = of_three();
        assert_eq!(span.end_at(Position::new(2, 64)), (500, 500));
        assert_eq!(span.end_at(Position::new(2, 500)), (900, 1_400));
        assert_eq!(span.end_at(Position::new(5, 299)), (300, 1_700));
    }

    #[test]
    fn a_span_of_one_is_told_by_its_origin_and_one_of_many_by_all_of_them() {
        let one = Span::one(origin(2, 64), 500);
        assert_eq!((one.origin(), one.to()), (origin(2, 64), 500));
        assert_eq!(Span::of(SEED, [(origin(2, 64), 500)]), Some(one));
        let other_end = Span::of(
            SEED,
            [
                (origin(2, 64), 500),
                (origin(2, 500), 901),
                (origin(5, 64), 300),
            ],
        );
        let identity = of_three().origin();
        assert_ne!(other_end.unwrap().origin(), identity);
        let pieces = of_three().pieces.to_vec().into_iter();
        let pieces = pieces.map(|piece| (piece.origin, piece.to));
        assert_ne!(Span::of(SEED + 1, pieces).unwrap().origin(), identity);
        assert_eq!(of_three().origin(), identity);
        assert_eq!((identity.segment, identity.from), (2, 64));
    }

    #[test]
    fn what_is_longer_than_offsets_can_say_has_no_span() {
        let half = 1 << 31;
        assert!(Span::of(SEED, [(origin(1, 64), half), (origin(2, 64), half - 1)]).is_some());
        assert_eq!(
            Span::of(SEED, [(origin(1, 64), half), (origin(2, 64), half)]),
            None
        );
        assert_eq!(Span::of(SEED, []), None);
    }
}
