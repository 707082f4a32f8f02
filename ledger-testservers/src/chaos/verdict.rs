//! What came of the chaos.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

/// What went wrong, in numbers that should all be zero, and how much there was to go wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// How many entries were acknowledged.
    pub acknowledged: usize,
    /// How many entries are stored.
    pub stored: usize,
    /// How many appends ended in an unknown outcome and were made again.
    pub unknown: usize,
    /// The longest time in which nothing was acknowledged.
    pub longest_pause: Duration,
    /// Acknowledged entries that are not stored under the id they were acknowledged with.
    pub lost: usize,
    /// Ids from 1 to the head under which nothing is stored.
    pub gaps: usize,
    /// Entries that are stored more than once.
    pub doubled: usize,
    /// Entries that a reader did not see, all readers together.
    pub missed: usize,
    /// Entries that a reader saw again, out of order, or not as they are stored, all readers together.
    pub misread: usize,
}

/// A key and its id, as stored, acknowledged or seen.
pub(super) type Found = (u64, String);

/// What a reader saw, from the first entry on.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) entries: Vec<Found>,
    /// Whether the reader was killed, and cannot have seen everything.
    pub(super) is_cut_short: bool,
}

impl Verdict {
    /// Holds what was acknowledged, and what each reader saw, against what is stored in the order of ids.
    pub(super) fn new(stored: &[Found], acknowledged: &[Found], readers: &[Seen]) -> Self {
        let by_id: HashMap<u64, &str> =
            stored.iter().map(|(id, key)| (*id, key.as_str())).collect();
        let is_stored = |(id, key): &&Found| by_id.get(id) == Some(&key.as_str());
        let keys: HashSet<&str> = by_id.values().copied().collect();
        let head = stored.last().map_or(0, |(id, _)| *id) as usize;
        Self {
            acknowledged: acknowledged.len(),
            stored: stored.len(),
            unknown: 0,
            longest_pause: Duration::ZERO,
            lost: acknowledged
                .iter()
                .filter(|found| !is_stored(found))
                .count(),
            gaps: head - by_id.len(),
            doubled: stored.len() - keys.len(),
            missed: readers.iter().map(|seen| missed(stored, seen)).sum(),
            misread: readers.iter().map(|seen| misread(stored, seen)).sum(),
        }
    }

    /// Tells whether nothing went wrong.
    pub fn is_good(&self) -> bool {
        let Self {
            lost,
            gaps,
            doubled,
            missed,
            misread,
            ..
        } = self;
        [lost, gaps, doubled, missed, misread]
            .into_iter()
            .all(|wrong| *wrong == 0)
    }
}

fn missed(stored: &[Found], reader: &Seen) -> usize {
    let agreeing = agreeing(stored, reader);
    let seen: HashSet<&Found> = reader.entries[agreeing..].iter().collect();
    let last = reader.entries.last().map_or(0, |(id, _)| *id);
    let end = if reader.is_cut_short { last } else { u64::MAX };
    let due = stored[agreeing..].iter().filter(|(id, _)| *id <= end);
    due.filter(|found| !seen.contains(found)).count()
}

fn misread(stored: &[Found], reader: &Seen) -> usize {
    let agreeing = agreeing(stored, reader);
    let is_stored = |found: &&Found| {
        let place = stored.binary_search_by_key(&found.0, |(id, _)| *id);
        place.is_ok_and(|place| stored[place] == **found)
    };
    let rest = reader.entries[agreeing..].iter();
    let strangers = rest.filter(|found| !is_stored(found));
    let pairs = reader.entries[agreeing.saturating_sub(1)..].windows(2);
    let disorder = pairs.filter(|pair| pair[0].0 >= pair[1].0);
    strangers.count() + disorder.count()
}

/// How many entries, from the first one on, the reader saw as they are stored: all, unless something is wrong. Only the rest
/// is looked up, since hundreds of readers may have seen hundreds of thousands of entries each.
fn agreeing(stored: &[Found], reader: &Seen) -> usize {
    let pairs = stored.iter().zip(&reader.entries);
    pairs.take_while(|(stored, seen)| stored == seen).count()
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            acknowledged,
            stored,
            unknown,
            longest_pause,
            lost,
            gaps,
            doubled,
            missed,
            misread,
        } = self;
        write!(
            f,
            "{acknowledged} acknowledged, {stored} stored, {unknown} unknown outcomes, {longest_pause:.1?} at the longest without progress: "
        )?;
        write!(
            f,
            "lost {lost}, gaps {gaps}, doubled {doubled}, missed {missed}, misread {misread}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<const N: usize>(found: [(u64, &str); N]) -> Vec<Found> {
        found.map(|(id, key)| (id, key.to_owned())).into()
    }

    fn stored() -> Vec<Found> {
        found([(1, "a"), (2, "b"), (3, "c")])
    }

    fn seen(entries: Vec<Found>) -> Seen {
        Seen {
            entries,
            is_cut_short: false,
        }
    }

    fn seen_until_killed<const N: usize>(entries: [(u64, &str); N]) -> Seen {
        Seen {
            entries: found(entries),
            is_cut_short: true,
        }
    }

    #[test]
    fn what_agrees_is_good() {
        let verdict = Verdict::new(&stored(), &stored(), &[seen(stored()), seen(stored())]);
        assert!(verdict.is_good(), "{verdict}");
        assert_eq!((verdict.acknowledged, verdict.stored), (3, 3));
    }

    #[test]
    fn an_acknowledged_entry_that_is_elsewhere_or_nowhere_is_lost() {
        let acknowledged = found([(1, "a"), (3, "b"), (4, "d")]);
        let verdict = Verdict::new(&stored(), &acknowledged, &[]);
        assert_eq!(verdict.lost, 2);
        assert!(!verdict.is_good());
    }

    #[test]
    fn a_gap_is_found_also_at_the_beginning() {
        let verdict = Verdict::new(&found([(2, "a"), (4, "b")]), &[], &[]);
        assert_eq!(verdict.gaps, 2);
        assert!(!verdict.is_good());
    }

    #[test]
    fn an_entry_that_is_stored_twice_is_doubled() {
        let verdict = Verdict::new(&found([(1, "a"), (2, "a")]), &[], &[]);
        assert_eq!(verdict.doubled, 1);
        assert!(!verdict.is_good());
    }

    #[test]
    fn every_reader_must_see_everything() {
        let verdict = Verdict::new(
            &stored(),
            &[],
            &[seen(stored()), seen(found([(1, "a"), (3, "c")]))],
        );
        assert_eq!((verdict.missed, verdict.misread), (1, 0));
        assert!(!verdict.is_good());
    }

    #[test]
    fn what_is_seen_twice_or_late_or_wrong_is_misread() {
        for entries in [
            found([(1, "a"), (2, "b"), (2, "b"), (3, "c")]),
            found([(2, "b"), (1, "a"), (3, "c")]),
            found([(1, "a"), (2, "b"), (3, "c"), (4, "d")]),
        ] {
            let verdict = Verdict::new(&stored(), &[], &[seen(entries)]);
            assert_eq!((verdict.missed, verdict.misread), (0, 1));
            assert!(!verdict.is_good());
        }
    }

    #[test]
    fn a_killed_reader_must_have_seen_everything_up_to_then() {
        let verdict = |reader| Verdict::new(&stored(), &[], &[reader]);
        assert!(verdict(seen_until_killed([])).is_good());
        assert!(verdict(seen_until_killed([(1, "a"), (2, "b")])).is_good());
        assert_eq!(verdict(seen_until_killed([(2, "b")])).missed, 1);
    }
}
