//! Which pages of a file the system had in its cache a moment ago: they can be looked at where they are mapped by whoever must not
//! wait, without asking the system again.
//!
//! A page that was read a moment ago is as good as the memory of the program itself: the system takes either away only when
//! it has nothing left that was not used for longer, and then a thread waits for it, as it would for a page of the program's code.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::sync::plain::OnceLock;

/// For how long a page counts that was seen.
const MOMENT: Duration = Duration::from_secs(1);

/// What is taken for a page. The system's own are no smaller.
const PAGE_BYTES: u64 = 4096;

/// How many pages share a word.
const BITS: u64 = u64::BITS as u64;

/// The pages that were seen.
#[derive(Debug, Default)]
pub(crate) struct Cached(OnceLock<Pages>);

#[derive(Debug)]
struct Pages {
    /// What times are counted from.
    start: Instant,
    /// When the first page was seen of those that are noted, in nanoseconds; `NONE` while they are being forgotten.
    since: AtomicU64,
    /// A bit for each page.
    seen: Box<[AtomicU64]>,
}

/// No page counts.
const NONE: u64 = u64::MAX;

impl Cached {
    /// Notes that the bytes of `range` were just read without waiting, in a file of at most `bytes_max`.
    pub(crate) fn note(&self, range: Range<u64>, bytes_max: u64) {
        self.note_at(range, bytes_max, Instant::now());
    }

    /// Whether all bytes of `range` were noted a moment ago.
    #[inline]
    pub(crate) fn has(&self, range: Range<u64>) -> bool {
        self.0
            .get()
            .is_some_and(|pages| pages.have(range, Instant::now()))
    }

    fn note_at(&self, range: Range<u64>, bytes_max: u64, now: Instant) {
        let pages = self.0.get_or_init(|| Pages::new(bytes_max, now));
        if pages.count_at(now) || pages.forget(now) {
            for (word, bits) in words(range) {
                if let Some(seen) = pages.seen.get(word) {
                    seen.fetch_or(bits, Ordering::Relaxed);
                }
            }
        }
    }
}

impl Pages {
    fn new(bytes_max: u64, now: Instant) -> Self {
        let words = bytes_max.div_ceil(PAGE_BYTES * BITS);
        Self {
            start: now,
            since: AtomicU64::new(0),
            seen: (0..words).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    #[inline]
    fn have(&self, range: Range<u64>, now: Instant) -> bool {
        // In this order: what is noted behind a time that counts was noted since.
        self.count_at(now)
            && words(range).all(|(word, bits)| {
                let seen = self.seen.get(word);
                seen.is_some_and(|seen| seen.load(Ordering::Relaxed) & bits == bits)
            })
    }

    /// Whether those that are noted count at `now`.
    #[inline]
    fn count_at(&self, now: Instant) -> bool {
        let since = self.since.load(Ordering::Acquire);
        since != NONE && self.time(now).saturating_sub(since) < MOMENT.as_nanos() as u64
    }

    /// Forgets those that do not count any more, unless somebody else is at it.
    fn forget(&self, now: Instant) -> bool {
        let since = self.since.swap(NONE, Ordering::AcqRel);
        if since == NONE {
            return false;
        }
        self.seen
            .iter()
            .for_each(|seen| seen.store(0, Ordering::Relaxed));
        self.since.store(self.time(now), Ordering::Release);
        true
    }

    fn time(&self, now: Instant) -> u64 {
        let time = now.saturating_duration_since(self.start).as_nanos();
        u64::try_from(time).map_or(NONE - 1, |time| time.min(NONE - 1))
    }
}

/// The words that the pages of `range` are in, and their bits there.
fn words(range: Range<u64>) -> impl Iterator<Item = (usize, u64)> {
    let pages = range.start / PAGE_BYTES..range.end.div_ceil(PAGE_BYTES);
    (pages.start / BITS..pages.end.div_ceil(BITS)).map(move |word| {
        let first = pages.start.saturating_sub(word * BITS);
        let end = (pages.end - word * BITS).min(BITS);
        let behind_end = u64::MAX.checked_shl(end as u32).unwrap_or(0);
        (word as usize, (u64::MAX << first) & !behind_end)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE_BYTES: u64 = 1 << 20;

    fn noted(range: Range<u64>) -> (Cached, Instant) {
        let (cached, now) = (Cached::default(), Instant::now());
        cached.note_at(range, FILE_BYTES, now);
        (cached, now)
    }

    fn has_at(cached: &Cached, range: Range<u64>, now: Instant) -> bool {
        cached.0.get().is_some_and(|pages| pages.have(range, now))
    }

    #[test]
    fn what_was_seen_counts_for_a_moment_and_then_only_what_was_seen_since() {
        let (cached, start) = noted(0..100);
        let late = start + MOMENT - Duration::from_nanos(1);
        assert!(has_at(&cached, 50..4096, late), "the page is the same");
        assert!(!has_at(&cached, 50..4097, late), "that one was never seen");
        cached.note_at(8192..8193, FILE_BYTES, late);
        let later = start + MOMENT;
        assert!(!has_at(&cached, 0..1, later));
        assert!(
            !has_at(&cached, 8192..8193, later),
            "it is forgotten with the others"
        );
        cached.note_at(4096..4097, FILE_BYTES, later);
        assert!(has_at(&cached, 4096..8192, later));
        assert!(!has_at(&cached, 0..1, later) && !has_at(&cached, 8192..8193, later));
    }

    #[test]
    fn nothing_counts_while_somebody_forgets() {
        let (cached, now) = noted(0..100);
        let pages = cached.0.get().unwrap();
        pages.since.store(NONE, Ordering::Relaxed);
        cached.note_at(0..100, FILE_BYTES, now);
        assert!(!has_at(&cached, 0..100, now));
    }

    #[test]
    fn nothing_counts_that_was_never_asked_for_or_lies_behind_the_file() {
        assert!(!Cached::default().has(0..1));
        let (cached, now) = noted(FILE_BYTES..u64::from(u32::MAX));
        assert!(!has_at(&cached, FILE_BYTES..FILE_BYTES + 1, now));
    }

    proptest! {
        #[test]
        fn bytes_count_if_each_of_their_pages_was_seen(
            seen in proptest::collection::vec((0..FILE_BYTES, 1..300_000u64), 0..4),
            asked in (0..FILE_BYTES, 1..300_000u64),
        ) {
            let within = |(start, len): (u64, u64)| start..(start + len).min(FILE_BYTES);
            let pages = |range: Range<u64>| range.start / PAGE_BYTES..=(range.end - 1) / PAGE_BYTES;
            let (cached, now) = (Cached::default(), Instant::now());
            seen.iter().for_each(|seen| cached.note_at(within(*seen), FILE_BYTES, now));
            let was_seen = |page| seen.iter().any(|seen| pages(within(*seen)).contains(&page));
            let expected = pages(within(asked)).all(was_seen);
            prop_assert_eq!(has_at(&cached, within(asked), now), expected);
        }
    }
}
