//! Searching from where something should be, if it lies as evenly as hashes do.

use std::convert::Infallible;
use std::ops::Range;

/// The part of `places` in which the first that is not `before` is, or their end: looked for from `near` on, in steps that
/// begin with `step` and double.
pub(super) fn around<E>(
    places: Range<usize>,
    near: usize,
    mut step: usize,
    mut before: impl FnMut(usize) -> Result<bool, E>,
) -> Result<Range<usize>, E> {
    let Range { mut start, mut end } = places;
    let mut probe = near;
    while start <= probe && probe < end {
        let is_before = before(probe)?;
        match is_before {
            true => start = probe + 1,
            false => end = probe,
        }
        if start > places.start && end < places.end {
            break;
        }
        probe = match is_before {
            true => probe + step,
            false => probe.saturating_sub(step),
        };
        step *= 2;
    }
    Ok(start..end)
}

/// The first of `places` that is not `before`, which holds for a first part of them, or their end: looked for from `near` on.
pub(super) fn first_from<E>(
    places: Range<usize>,
    near: usize,
    mut before: impl FnMut(usize) -> Result<bool, E>,
) -> Result<usize, E> {
    let Range { mut start, mut end } = around(places, near, 1, &mut before)?;
    while start < end {
        let middle = start + (end - start) / 2;
        match before(middle)? {
            true => start = middle + 1,
            false => end = middle,
        }
    }
    Ok(start)
}

/// How many of `fences` are `before`, which holds for a first part of them: looked for from `near` on.
pub(super) fn rank(fences: &[u64], near: usize, before: impl Fn(u64) -> bool) -> usize {
    let is_before = |place: usize| Ok::<_, Infallible>(before(fences[place]));
    let Ok(part) = around(0..fences.len(), near, 1, is_before);
    part.start + fences[part].partition_point(|fence| before(*fence))
}

/// Where `fence` would be among `fences` if they were all as far from each other.
pub(super) fn expected(fences: &[u64], fence: u64) -> usize {
    match fences {
        [first, .., last] => share(fence, *first, *last, fences.len() as u64 - 1) as usize,
        _ => 0,
    }
}

/// How far `value` is on the way from `from` to `to`, of `steps`: about, because it is only where a search begins, and to
/// divide exactly takes as long as the search.
pub(super) fn share(value: u64, from: u64, to: u64, steps: u64) -> u64 {
    let way = to.saturating_sub(from).max(1) as f64;
    let gone = value.saturating_sub(from) as f64;
    ((gone / way).min(1.0) * steps as f64) as u64
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
            let is_before = |place: usize| Ok::<_, Infallible>(fences[place] < sought);
            prop_assert_eq!(first_from(0..fences.len(), near, is_before), Ok(by_halves));
            let expected = expected(&fences, sought);
            prop_assert!(expected < fences.len().max(1));
            prop_assert_eq!(rank(&fences, expected, |fence| fence < sought), by_halves);
        }
    }
}
