//! A list that only grows, in pieces of one size: nothing is moved when it grows, and what it leaves behind fits the next.

use std::ops::{Index, IndexMut};

/// Values that were pushed, by their number.
#[derive(Debug)]
pub(super) struct Column<T> {
    full: Vec<Vec<T>>,
    last: Vec<T>,
}

/// How large a piece is.
const PIECE_BYTES: usize = 64 << 10;

impl<T> Default for Column<T> {
    fn default() -> Self {
        Self {
            full: Vec::new(),
            last: Vec::new(),
        }
    }
}

impl<T: Copy> Column<T> {
    /// How many values a piece holds.
    pub(super) const PIECE: usize = PIECE_BYTES / size_of::<T>();

    pub(super) fn len(&self) -> usize {
        self.full.len() * Self::PIECE + self.last.len()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.full.len() * PIECE_BYTES + self.last.capacity() * size_of::<T>()
    }

    #[inline]
    pub(super) fn push(&mut self, value: T) {
        if self.last.len() == Self::PIECE {
            self.begin_piece();
        }
        self.last.push(value);
    }

    #[cold]
    fn begin_piece(&mut self) {
        let next = Vec::with_capacity(Self::PIECE);
        self.full.push(std::mem::replace(&mut self.last, next));
    }

    pub(super) fn get(&self, index: usize) -> Option<&T> {
        let piece = self.full.get(index / Self::PIECE);
        let piece =
            piece.or_else(|| (index / Self::PIECE == self.full.len()).then_some(&self.last));
        piece?.get(index % Self::PIECE)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        let full = self.full.len();
        let piece = match index / Self::PIECE {
            piece if piece == full => &mut self.last,
            piece => self.full.get_mut(piece)?,
        };
        piece.get_mut(index % Self::PIECE)
    }

    pub(super) fn last(&self) -> Option<&T> {
        self.last.last()
    }

    /// The pieces, all of them full but the last.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[T]> {
        let full = self.full.iter().map(Vec::as_slice);
        full.chain([self.last.as_slice()])
    }

    /// How many values are `before`, which holds for a first part of them.
    pub(super) fn partition_point(&self, before: impl Fn(&T) -> bool) -> usize {
        let is_before = |piece: &Vec<T>| piece.last().is_some_and(&before);
        let full = self.full.partition_point(is_before);
        let piece = self.full.get(full).unwrap_or(&self.last);
        full * Self::PIECE + piece.partition_point(before)
    }
}

impl<T: Copy> Index<usize> for Column<T> {
    type Output = T;

    #[inline]
    fn index(&self, index: usize) -> &T {
        self.get(index).expect("the value was pushed")
    }
}

impl<T: Copy> IndexMut<usize> for Column<T> {
    #[inline]
    fn index_mut(&mut self, index: usize) -> &mut T {
        self.get_mut(index).expect("the value was pushed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_the_list_of_what_was_pushed() {
        let count = 2 * Column::<u64>::PIECE as u64 + 3;
        let mut column = Column::default();
        assert_eq!(
            (column.len(), column.last(), column.get(0)),
            (0, None, None)
        );
        for value in 0..count {
            column.push(2 * value);
            assert_eq!(column.last(), Some(&(2 * value)));
        }
        assert_eq!(column.len() as u64, count);
        assert!(
            column
                .pieces()
                .flatten()
                .copied()
                .eq((0..count).map(|it| 2 * it))
        );
        for index in [0, 1, Column::<u64>::PIECE, count as usize - 1] {
            assert_eq!(column[index], 2 * index as u64);
            assert_eq!(column.partition_point(|it| *it < 2 * index as u64), index);
            assert_eq!(
                column.partition_point(|it| *it <= 2 * index as u64),
                index + 1
            );
        }
        for index in [0, Column::<u64>::PIECE, count as usize - 1] {
            column[index] = 7;
            assert_eq!(
                (column.get(index), column.len()),
                (Some(&7), count as usize)
            );
        }
        assert_eq!(column.get(count as usize), None);
        assert_eq!(column.get_mut(count as usize), None);
        assert_eq!(column.partition_point(|_| false), 0);
    }

    #[test]
    fn a_column_that_ends_with_its_piece_is_whole() {
        let mut column = Column::default();
        (0..Column::<u32>::PIECE as u32).for_each(|value| column.push(value));
        assert_eq!(column.partition_point(|_| true), column.len());
        assert_eq!(column.get(column.len()), None);
    }
}
