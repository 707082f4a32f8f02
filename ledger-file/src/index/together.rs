//! Questions about many hashes, which are asked in groups: what is looked at for a whole group can be waited for at once.

use super::hash::KeyHash;

/// How many are asked about together at most.
pub(super) const TOGETHER: usize = u64::BITS as usize;

/// The indices of the hashes about which `maybe` says so. It is asked about up to [`TOGETHER`] of them at a time, and answers with
/// a bit for each, the lowest for the first.
#[inline]
pub(super) fn select(
    hashes: &[KeyHash],
    maybe: impl Fn(&[KeyHash]) -> u64,
) -> impl Iterator<Item = usize> {
    let groups = hashes.chunks(TOGETHER).zip((0..).step_by(TOGETHER));
    groups.flat_map(move |(group, first)| ones(maybe(group)).map(move |index| first + index))
}

/// Which bits are set, lowest first.
#[inline]
pub(super) fn ones(bits: u64) -> impl Iterator<Item = usize> {
    let some = |bits: u64| (bits != 0).then_some(bits);
    let all = std::iter::successors(some(bits), move |bits| some(bits & (bits - 1)));
    all.map(|bits| bits.trailing_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_bit_one_bit_and_all_bits_are_told() {
        assert_eq!(ones(0).count(), 0);
        assert!(ones(1).eq([0]) && ones(1 << 63).eq([63]));
        assert!(ones(u64::MAX).eq(0..TOGETHER));
    }

    proptest! {
        #[test]
        fn those_that_may_be_there_are_selected_in_their_order(
            hashes in proptest::collection::vec(any::<u32>().prop_map(KeyHash), 0..300), modulus in 1..20u32,
        ) {
            let is_there = |hash: &KeyHash| hash.0.is_multiple_of(modulus);
            let maybe = |group: &[KeyHash]| {
                assert!(group.len() <= TOGETHER);
                let bits = group.iter().zip(0..);
                bits.fold(0, |all, (hash, bit)| all | u64::from(is_there(hash)) << bit)
            };
            let selected = (0..hashes.len()).filter(|index| is_there(&hashes[*index]));
            prop_assert!(select(&hashes, maybe).eq(selected));
        }
    }
}
