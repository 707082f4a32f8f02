//! Ascending offsets in few bits: what differs from a straight line.
//!
//! Up to [`GROUP`] offsets share a row: where a line begins that none of them is below, how far it rises, and for each
//! offset how far it is above, in as many bits as the highest needs. Records of one size take next to nothing, and
//! any offset is found without those before it.

use super::layout::Fields;

/// The offsets of a row.
pub(super) const GROUP: usize = 128;

/// One row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group<'a> {
    /// Where the line begins.
    start: i64,
    /// How much further the line is at the last offset.
    rise: u32,
    /// How many offsets there are; at least one.
    count: u8,
    /// How many bits each takes.
    bits: u8,
    packed: &'a [u8],
}

/// Appends the row of `offsets`, ascending, at least one and at most [`GROUP`] of them.
pub(super) fn put(offsets: &[u32], bytes: &mut Vec<u8>) {
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    let mut group = Group {
        start: 0,
        rise: last - first,
        count: offsets.len() as u8,
        bits: 0,
        packed: &[],
    };
    let above = |index: usize| i64::from(offsets[index]) - group.line(index);
    let lowest = (0..offsets.len()).map(above).min().unwrap_or_default();
    let highest = (0..offsets.len()).map(above).max().unwrap_or_default();
    let rest = |index: usize| (above(index) - lowest) as u64;
    let bits = u64::BITS - ((highest - lowest) as u64).leading_zeros();
    let packed = pack((0..offsets.len()).map(rest), bits);
    (group.start, group.bits) = (lowest, bits as u8);
    group.put_head(bytes);
    bytes.extend_from_slice(&packed);
}

fn pack(values: impl Iterator<Item = u64>, bits: u32) -> Vec<u8> {
    let mut packed = Vec::new();
    let (mut word, mut filled) = (0u64, 0);
    for value in values {
        word |= value << filled;
        filled += bits;
        while filled >= 8 {
            packed.push(word as u8);
            word >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        packed.push(word as u8);
    }
    packed
}

impl<'a> Group<'a> {
    /// Reads the row at the front of `bytes`.
    ///
    /// # Errors
    /// It is cut off, or no row at all.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let mut fields = Fields(bytes);
        let (start, rise) = (fields.u64()? as i64, fields.u32()?);
        let [count, bits] = fields.array()?;
        let packed_bytes = (usize::from(count) * usize::from(bits)).div_ceil(8);
        let packed = fields.0.get(..packed_bytes);
        let packed = packed.ok_or("a packed row is cut off")?;
        if count == 0 || usize::from(count) > GROUP || bits > 33 {
            return Err("a packed row makes no sense");
        }
        Ok(Self {
            start,
            rise,
            count,
            bits,
            packed,
        })
    }

    /// How many offsets there are.
    pub(super) fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// The offset at `index`; none behind the last.
    pub(super) fn get(&self, index: usize) -> Option<u32> {
        if index >= self.len() {
            return None;
        }
        let offset = self.line(index).wrapping_add(self.rest(index) as i64);
        u32::try_from(offset).ok()
    }

    /// The greatest offset that is not greater than `offset`.
    pub(super) fn floor(&self, offset: u32) -> Option<u32> {
        self.get(self.behind(offset)?.checked_sub(1)?)
    }

    /// The greatest offset that is not greater than `offset`, and the least that is.
    pub(super) fn beside(&self, offset: u32) -> Option<(u32, Option<u32>)> {
        let behind = self.behind(offset)?;
        Some((self.get(behind.checked_sub(1)?)?, self.get(behind)))
    }

    /// How many offsets are not greater than `offset`.
    fn behind(&self, offset: u32) -> Option<usize> {
        let (mut low, mut high) = self.around(offset);
        while low < high {
            let middle = (low + high) / 2;
            match self.get(middle)? <= offset {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        Some(low)
    }

    /// Up to where offsets are surely not greater than `offset`, and from where on they surely are: none is below the
    /// line, nor above it by more than its bits can say.
    fn around(&self, offset: u32) -> (usize, usize) {
        let (steps, rise) = (i64::from(self.count.max(2)) - 1, i64::from(self.rise));
        let index_at = |height: i64| {
            let height = height.clamp(0, u32::MAX.into());
            (height * steps)
                .checked_div(rise)
                .map(|index| index as usize)
        };
        let above_start = i64::from(offset).saturating_sub(self.start);
        let highest = (1i64 << self.bits) - 1;
        let low = index_at(above_start.saturating_sub(highest));
        let high = index_at(above_start.saturating_add(1)).map_or(self.len(), |high| high + 1);
        match above_start >= highest {
            true => (low.unwrap_or(0).min(self.len()), high.min(self.len())),
            false => (0, high.min(self.len())),
        }
    }

    fn line(&self, index: usize) -> i64 {
        let steps = i64::from(self.count.max(2)) - 1;
        self.start
            .wrapping_add(i64::from(self.rise) * index as i64 / steps)
    }

    fn rest(&self, index: usize) -> u64 {
        let bits = usize::from(self.bits);
        let start = index * bits;
        let bytes = &self.packed[start / 8..];
        let mut word = [0; 8];
        let taken = bytes.len().min(word.len());
        word[..taken].copy_from_slice(&bytes[..taken]);
        (u64::from_le_bytes(word) >> (start % 8)) & ((1 << bits) - 1)
    }

    fn put_head(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.start.to_le_bytes());
        bytes.extend_from_slice(&self.rise.to_le_bytes());
        bytes.extend_from_slice(&[self.count, self.bits]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(offsets: &[u32]) -> usize {
        let mut bytes = Vec::new();
        put(offsets, &mut bytes);
        let row_bytes = bytes.len();
        bytes.push(0xFF);
        let group = Group::read(&bytes).unwrap();
        assert_eq!(group.len(), offsets.len());
        let read = (0..offsets.len()).map(|index| group.get(index).unwrap());
        assert!(read.eq(offsets.iter().copied()));
        assert_eq!(group.get(offsets.len()), None);
        row_bytes
    }

    #[test]
    fn records_of_one_size_take_no_bits() {
        let offsets: Vec<u32> = (0..128).map(|n| 64 + n * 103).collect();
        assert_eq!(round_trip(&offsets), 14);
    }

    #[test]
    fn the_widest_offsets_come_back() {
        round_trip(&[0]);
        round_trip(&[u32::MAX]);
        round_trip(&[0, 1, u32::MAX]);
        round_trip(&[0, u32::MAX - 1, u32::MAX]);
        let far_end: Vec<u32> = (0..127).chain([u32::MAX]).collect();
        round_trip(&far_end);
        let far_start: Vec<u32> = [0].into_iter().chain(u32::MAX - 126..=u32::MAX).collect();
        round_trip(&far_start);
    }

    proptest! {
        #[test]
        fn ascending_offsets_come_back(
            offsets in proptest::collection::btree_set(any::<u32>(), 1..GROUP),
            asked in any::<u32>(),
        ) {
            let offsets: Vec<u32> = offsets.into_iter().collect();
            round_trip(&offsets);
            let mut bytes = Vec::new();
            put(&offsets, &mut bytes);
            let group = Group::read(&bytes).unwrap();
            let floor = offsets.iter().copied().rfind(|offset| *offset <= asked);
            prop_assert_eq!(group.floor(asked), floor);
            let above = offsets.iter().copied().find(|offset| *offset > asked);
            prop_assert_eq!(group.beside(asked), floor.map(|floor| (floor, above)));
        }

        #[test]
        fn any_bytes_are_a_row_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200), index in 0..200usize) {
            if let Ok(group) = Group::read(&bytes) {
                group.get(index);
                group.floor(index as u32);
                group.beside(index as u32);
            }
        }
    }
}
