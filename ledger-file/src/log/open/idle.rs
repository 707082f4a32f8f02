//! Whether nobody has written to a log since a reader looked at all of it: its lock alone tells.
//!
//! Whoever writes takes the lock first, and writes into its file that it did, which changes the time of that file. But the clock of a
//! file system ticks slowly: who looks in the same tick as a writer comes and goes would not see the next one that comes in it. So a
//! time counts only if it was still the same a while later, and everything was looked at then. (Git's index has the same trouble, and
//! the same remedy: "racy git".)

use std::time::{Duration, Instant};

use crate::disk::Changed;

/// For how long the time of the lock's file must have been the same: the slowest clocks tick every other second.
const SETTLED: Duration = Duration::from_secs(3);

/// When everything is looked at once more, whatever the lock's file says: a clock may be set back to the very same time.
const LOOK: Duration = Duration::from_secs(1);

/// What was seen when everything was looked at, and nobody held the lock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Idle {
    changed: Changed,
    /// When that was seen first.
    since: Instant,
    /// When it was seen last, before everything was looked at.
    looked: Instant,
}

impl Idle {
    /// What is known when everything was looked at behind `looked`, when `changed` was seen, after what was known `before`.
    pub(super) fn after(before: Option<Self>, changed: Changed, looked: Instant) -> Self {
        let same = before.filter(|before| before.changed == changed);
        Self {
            changed,
            since: same.map_or(looked, |same| same.since),
            looked,
        }
    }

    /// As if the time of the lock's file had been the same for long.
    #[cfg(test)]
    pub(super) fn settle(&mut self) {
        self.since = self.looked.checked_sub(SETTLED).expect("a late clock");
    }

    /// Whether nobody has written since, if the lock's file says `changed` at `now`.
    pub(super) fn holds(&self, changed: Changed, now: Instant) -> bool {
        self.changed == changed
            && self.looked.saturating_duration_since(self.since) >= SETTLED
            && now.saturating_duration_since(self.looked) < LOOK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Changed = Changed::at(1, 0);
    const OTHER: Changed = Changed::at(1, 1);

    #[test]
    fn a_time_holds_once_it_was_the_same_for_a_while_and_everything_was_looked_at_then() {
        let start = Instant::now();
        let idle = Idle::after(None, ONE, start);
        let later = start + SETTLED;
        assert!(!idle.holds(ONE, start) && !idle.holds(ONE, later));
        let early = Idle::after(Some(idle), ONE, later - Duration::from_nanos(1));
        assert!(!early.holds(ONE, later));
        let settled = Idle::after(Some(early), ONE, later);
        assert!(settled.holds(ONE, later));
        assert!(!settled.holds(OTHER, later));
        assert!(!Idle::after(Some(settled), OTHER, later).holds(OTHER, later));
    }

    #[test]
    fn everything_is_looked_at_once_more_whatever_the_lock_says() {
        let start = Instant::now();
        let looked = start + SETTLED;
        let idle = Idle::after(Some(Idle::after(None, ONE, start)), ONE, looked);
        assert!(idle.holds(ONE, looked + LOOK - Duration::from_nanos(1)));
        assert!(!idle.holds(ONE, looked + LOOK));
    }
}
