//! The work that contestants share: payments of about 100 bytes, made before the clock starts and checked after it
//! stops.
//!
//! A payment is made from its number alone, and its dedup key from the round and the number, so that whatever was
//! written can be checked down to the last byte without being kept.

use ledger_core::{Batch, NewEntry, Payload};
use serde::{Deserialize, Serialize};

use crate::Result;

/// The entries of a batch, and of a page.
pub(crate) const BATCH: usize = 1_000;

/// An event whose JSON is about 100 bytes long, or padded to about 1 KiB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Payment {
    pub(crate) number: u64,
    pub(crate) account: String,
    pub(crate) currency: String,
    pub(crate) cents: i64,
    pub(crate) reference: String,
}

impl Payment {
    fn new(number: u64, payloads: Payloads) -> Self {
        Self {
            number,
            account: format!("ACC-{:07}", number % 10_007),
            currency: "EUR".into(),
            cents: 1_000_000 + number as i64,
            reference: format!("inv {number:08}{:.<1$}", "", payloads.padding()),
        }
    }
}

/// How long the JSON of a payment is, about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payloads {
    Bytes100,
    Bytes1024,
}

impl Payloads {
    /// How the titles of races say it.
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Bytes100 => "100 B",
            Self::Bytes1024 => "1 KiB",
        }
    }

    fn padding(self) -> usize {
        match self {
            Self::Bytes100 => 0,
            Self::Bytes1024 => 924,
        }
    }
}

/// Whether entries have dedup keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// 128 random bits as text, so that every one lands somewhere else in the index.
    Random,
    None,
}

impl Keys {
    /// How the titles of races say it.
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Random => "random dedup keys",
            Self::None => "no dedup keys",
        }
    }
}

/// The entries of one lap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    /// The round, which dedup keys differ by.
    pub(crate) round: u64,
    /// How many entries there are.
    pub(crate) count: usize,
    /// Whether they have dedup keys.
    pub(crate) keys: Keys,
    /// How long their payloads are.
    pub(crate) payloads: Payloads,
}

impl Work {
    /// The same with payloads of another length.
    pub(crate) fn with_payloads(self, payloads: Payloads) -> Self {
        Self { payloads, ..self }
    }

    /// Makes the entries, in order.
    pub(crate) fn entries(self) -> impl Iterator<Item = NewEntry<Payment>> {
        (0..self.count as u64).map(move |number| {
            let mut entry = NewEntry::new(Payment::new(number, self.payloads));
            entry.dedup_key = self.dedup_key(number);
            entry
        })
    }

    /// Makes the entries, dealt out in order into lots of `size`, the last one smaller if need be.
    pub(crate) fn lots(self, size: usize) -> Vec<Vec<NewEntry<Payment>>> {
        let mut entries = self.entries();
        let lots = self.count.div_ceil(size);
        (0..lots)
            .map(|_| entries.by_ref().take(size).collect())
            .collect()
    }

    /// Makes batches for `stream`, their payments encoded already.
    ///
    /// # Errors
    /// Those of the encoder.
    pub(crate) fn batches(self, stream: &str) -> Result<Vec<Batch<u64>>> {
        let encode = |entry: NewEntry<Payment>| {
            let payload = Payload::json(serde_json::to_vec(&entry.value)?);
            Ok(entry.map(|_payment| payload))
        };
        let batch = |lot: Vec<_>| {
            let entries = lot.into_iter().map(encode).collect::<Result<_>>()?;
            Ok(Batch::new(stream, entries))
        };
        self.lots(BATCH).into_iter().map(batch).collect()
    }

    fn dedup_key(self, number: u64) -> Option<String> {
        let random = |salt| scramble(scramble(number ^ salt) ^ self.round);
        (self.keys == Keys::Random).then(|| format!("{:016x}{:016x}", random(0), random(1 << 63)))
    }

    /// Checks how many entries were read.
    ///
    /// # Errors
    /// If it is another number than there are.
    pub(crate) fn expect_count(self, read: usize) -> Result<()> {
        match read == self.count {
            true => Ok(()),
            false => Err(format!("{read} of {} entries were read", self.count).into()),
        }
    }

    /// Begins to check what was written.
    pub(crate) fn check(self) -> Check {
        Check {
            work: self,
            seen: vec![false; self.count],
            checked: 0,
        }
    }
}

/// SplitMix64's output function: a different number for each number, with no pattern that an index would notice.
fn scramble(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Checks that ids are dense from 1, and that every entry of the work is there once and as it was made.
pub(crate) struct Check {
    work: Work,
    seen: Vec<bool>,
    checked: u64,
}

impl Check {
    /// Checks the next entry read back.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn entry(
        &mut self,
        id: u64,
        payment: &Payment,
        dedup_key: Option<&str>,
    ) -> Result<()> {
        self.checked += 1;
        if id != self.checked {
            return Err(format!("entry {id} is where {} should be", self.checked).into());
        }
        let number = payment.number;
        let as_made = *payment == Payment::new(number, self.work.payloads)
            && dedup_key == self.work.dedup_key(number).as_deref();
        match self.seen.get_mut(number as usize) {
            Some(seen) if as_made && !*seen => *seen = true,
            _ => return Err(format!("entry {id} is not as it was made, or there twice").into()),
        }
        Ok(())
    }

    /// Ends the check.
    ///
    /// # Errors
    /// How many entries are missing.
    pub(crate) fn finish(self) -> Result<()> {
        match self.seen.iter().filter(|seen| !**seen).count() {
            0 => Ok(()),
            missing => Err(format!("{missing} of {} entries are missing", self.work.count).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Work = Work {
        round: 1,
        count: 3,
        keys: Keys::Random,
        payloads: Payloads::Bytes100,
    };

    fn check(entries: impl IntoIterator<Item = (u64, NewEntry<Payment>)>) -> Result<()> {
        let mut check = WORK.check();
        for (id, entry) in entries {
            check.entry(id, &entry.value, entry.dedup_key.as_deref())?;
        }
        check.finish()
    }

    fn written() -> Vec<(u64, NewEntry<Payment>)> {
        (1..).zip(WORK.entries()).collect()
    }

    #[test]
    fn a_payment_is_about_100_bytes_of_json() {
        let bytes = |number| json(number, Payloads::Bytes100);
        assert_eq!(bytes(10_000), 100);
        assert!((96..=101).contains(&bytes(0)));
        assert!((96..=101).contains(&bytes(999_999)));
    }

    #[test]
    fn a_padded_payment_is_1_kib_of_json() {
        assert_eq!(json(10_000, Payloads::Bytes1024), 1_024);
    }

    fn json(number: u64, payloads: Payloads) -> usize {
        let payment = Payment::new(number, payloads);
        serde_json::to_vec(&payment).unwrap().len()
    }

    #[test]
    fn what_was_written_is_found_right_in_any_order() {
        check(written()).unwrap();
        check((1..).zip(WORK.entries().collect::<Vec<_>>().into_iter().rev())).unwrap();
    }

    #[test]
    fn a_missing_entry_is_found() {
        assert!(check(written().into_iter().take(2)).is_err());
    }

    #[test]
    fn an_entry_that_is_there_twice_is_found() {
        let mut entries = written();
        entries[2].1 = entries[0].1.clone();
        assert!(check(entries).is_err());
    }

    #[test]
    fn a_gap_is_found() {
        let mut entries = written();
        entries[2].0 = 4;
        assert!(check(entries).is_err());
    }

    #[test]
    fn a_changed_payload_or_key_is_found() {
        let mut entries = written();
        entries[1].1.value.cents += 1;
        assert!(check(entries).is_err());
        let mut entries = written();
        entries[1].1.dedup_key = None;
        assert!(check(entries).is_err());
    }

    #[test]
    fn lots_hold_all_entries_in_order() {
        let lots = WORK.lots(2);
        assert_eq!(lots.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(lots.concat(), WORK.entries().collect::<Vec<_>>());
    }
}
