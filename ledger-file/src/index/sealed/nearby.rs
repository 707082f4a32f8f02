//! Searching from where something should be, if it lies as evenly as hashes do.

/// How many of `fences` are `before`, which holds for a first part of them: looked for from `near` on, in steps that
/// double.
pub(super) fn rank(fences: &[u64], near: usize, before: impl Fn(u64) -> bool) -> usize {
    let (mut low, mut high, mut step) = (0, fences.len(), 1);
    let mut probe = near;
    while low <= probe && probe < high {
        let is_before = before(fences[probe]);
        match is_before {
            true => low = probe + 1,
            false => high = probe,
        }
        if low > 0 && high < fences.len() {
            break;
        }
        probe = match is_before {
            true => probe + step,
            false => probe.saturating_sub(step),
        };
        step *= 2;
    }
    low + fences[low..high].partition_point(|fence| before(*fence))
}

/// Where `fence` would be among `fences` if they were all as far from each other.
pub(super) fn expected(fences: &[u64], fence: u64) -> usize {
    match fences {
        [first, .., last] => share(fence, *first, *last, fences.len() as u64 - 1) as usize,
        _ => 0,
    }
}

/// How far `value` is on the way from `from` to `to`, of `steps`.
pub(super) fn share(value: u64, from: u64, to: u64, steps: u64) -> u64 {
    let way = u128::from(to.saturating_sub(from)).max(1);
    let gone = u128::from(value.saturating_sub(from)).min(way);
    (gone * u128::from(steps) / way) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_rank_is_found_from_anywhere(
            fences in proptest::collection::vec(prop_oneof![any::<u64>(), 0..20u64], 0..200),
            sought in prop_oneof![any::<u64>(), 0..20u64],
            near in 0..300usize,
        ) {
            let mut fences = fences;
            fences.sort_unstable();
            let by_halves = fences.partition_point(|fence| *fence < sought);
            prop_assert_eq!(rank(&fences, near, |fence| fence < sought), by_halves);
            let expected = expected(&fences, sought);
            prop_assert!(expected < fences.len().max(1));
            prop_assert_eq!(rank(&fences, expected, |fence| fence < sought), by_halves);
        }
    }
}
