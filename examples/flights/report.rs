//! Counting, checking and printing.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fmt::{self, Debug};
use std::time::Duration;

use ledger_core::{Entry, Receipt};

use crate::event::FlightEvent;

/// What a stream of flights amounts to.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) entries: u64,
    pub(crate) kinds: BTreeMap<String, u64>,
    pub(crate) aircraft: HashMap<String, u64>,
    pub(crate) without_aircraft: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, entry: Entry<u64, FlightEvent>) {
        self.entries += 1;
        *self.kinds.entry(entry.value.kind().to_owned()).or_default() += 1;
        match entry.order_key {
            Some(aircraft) => *self.aircraft.entry(aircraft).or_default() += 1,
            None => self.without_aircraft += 1,
        }
    }

    /// The aircraft with the most entries, the first by name among equals, and how many it has.
    pub(crate) fn busiest(&self) -> Option<(&str, u64)> {
        let entries_then_name =
            |(name, entries): &(&String, &u64)| (**entries, std::cmp::Reverse(name.to_string()));
        let (name, entries) = self.aircraft.iter().max_by_key(entries_then_name)?;
        Some((name, *entries))
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, entries) in &self.kinds {
            write!(f, "{} {kind}, ", thousands(*entries))?;
        }
        write!(
            f,
            "{} aircraft, {} entries without one",
            thousands(self.aircraft.len() as u64),
            thousands(self.without_aircraft)
        )
    }
}

/// What became of the events of one run over the input.
#[derive(Default)]
pub(crate) struct Import {
    pub(crate) appended: u64,
    pub(crate) duplicates: u64,
    pub(crate) took: Duration,
}

impl Import {
    pub(crate) fn add(&mut self, receipt: &Receipt<u64>) {
        let appended = receipt.appended() as u64;
        self.appended += appended;
        self.duplicates += receipt.outcomes.len() as u64 - appended;
    }
}

impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events = self.appended + self.duplicates;
        write!(
            f,
            "{} new, {} there already, {}",
            thousands(self.appended),
            thousands(self.duplicates),
            rate(events, self.took)
        )
    }
}

/// Fails, naming `what`, if a figure is not as it must be.
pub(crate) fn check<F: PartialEq + Debug>(
    what: &str,
    found: F,
    expected: F,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what}: found {found:?}, expected {expected:?}").into())
}

/// Entries a second, in words.
pub(crate) fn rate(entries: u64, took: Duration) -> String {
    format!(
        "{} entries/s",
        thousands((entries as f64 / took.as_secs_f64()) as u64)
    )
}

/// A number with a comma behind each thousand.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The most memory that this process has held so far, in MB of a million bytes; none where the system does not tell.
pub(crate) fn peak_memory_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024 / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000), "1,000");
        assert_eq!(thousands(665_297), "665,297");
        assert_eq!(thousands(12_345_678), "12,345,678");
    }

    #[test]
    fn a_figure_that_is_off_is_named() {
        assert!(check("entries", 5, 5).is_ok());
        assert_eq!(
            check("entries", 4, 5).unwrap_err().to_string(),
            "entries: found 4, expected 5"
        );
    }

    #[test]
    fn the_busiest_aircraft_is_the_first_by_name_among_equals() {
        let aircraft =
            [("N2", 3), ("N1", 3), ("N0", 1)].map(|(name, entries)| (name.to_owned(), entries));
        let tally = Tally {
            aircraft: aircraft.into(),
            ..Tally::default()
        };
        assert_eq!(tally.busiest(), Some(("N1", 3)));
    }
}
