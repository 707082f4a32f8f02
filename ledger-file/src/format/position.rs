//! Where something is in the log, and which stream it belongs to.

use std::fmt;

/// A place in the log: a segment and a byte offset in its file. Positions grow along the log.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Position(u64);

impl Position {
    /// Before every place there is.
    pub(crate) const ZERO: Self = Self(0);

    /// The place at `offset` of the file of `segment`.
    pub(crate) const fn new(segment: u32, offset: u32) -> Self {
        Self((segment as u64) << 32 | offset as u64)
    }

    /// The place that [`as_u64`](Self::as_u64) tells.
    pub(crate) const fn from_u64(value: u64) -> Self {
        Self(value)
    }

    /// Segment and offset in one number, which sorts as the place does.
    pub(crate) const fn as_u64(self) -> u64 {
        self.0
    }

    /// The number of the segment, from 1.
    pub(crate) const fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The byte offset in the segment's file.
    pub(crate) const fn offset(self) -> u32 {
        self.0 as u32
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment(), self.offset())
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The number by which the log knows a stream, from 1, whatever its name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StreamNumber(pub(crate) u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_sort_by_segment_then_offset() {
        assert!(Position::new(1, u32::MAX) < Position::new(2, 0));
        assert!(Position::new(2, 64) < Position::new(2, 65));
        assert!(Position::ZERO < Position::new(1, 0));
    }

    #[test]
    fn a_position_keeps_both_parts() {
        let position = Position::new(u32::MAX, 7);
        assert_eq!((position.segment(), position.offset()), (u32::MAX, 7));
        assert_eq!(Position::from_u64(position.as_u64()), position);
        assert_eq!(position.to_string(), "4294967295:7");
    }
}
