//! Checking a log, in a process that has written none of it.

use std::path::Path;

use crate::Result;
use crate::answer::Findings;
use crate::engine::Engine;
use crate::records::{Number, Records};

/// Opens a log and compares every record with what was appended.
pub(crate) fn verify<E: Engine>(dir: &Path, appended: &[u64], record_bytes: usize) -> Findings {
    let mut check = Check::new(appended, record_bytes);
    let scanned = scan::<E>(dir, &mut check);
    check.finish(scanned)
}

fn scan<E: Engine>(dir: &Path, check: &mut Check<'_>) -> Result<()> {
    let mut engine = E::open(dir, E::PROMISES[0])?;
    engine.scan(|record| check.see(record))?;
    engine.close()
}

/// Expects of each thread its records in order, whatever the order of the threads.
struct Check<'a> {
    appended: &'a [u64],
    made: Vec<Records>,
    next: Vec<u64>,
    wrong: u64,
}

impl<'a> Check<'a> {
    fn new(appended: &'a [u64], record_bytes: usize) -> Self {
        let threads = 0..appended.len();
        Self {
            appended,
            made: threads.map(|it| Records::new(record_bytes, it)).collect(),
            next: vec![0; appended.len()],
            wrong: 0,
        }
    }

    fn see(&mut self, record: &[u8]) {
        match self.place(record) {
            Some(thread) => self.next[thread] += 1,
            None => self.wrong += 1,
        }
    }

    /// The thread that has appended the record, if it is the one to come next.
    fn place(&mut self, record: &[u8]) -> Option<usize> {
        let number = Number::of(record)?;
        let next = *self.next.get(number.thread())?;
        let right = number.sequence() == next && self.made[number.thread()].one(next) == record;
        right.then_some(number.thread())
    }

    fn finish(self, scanned: Result<()>) -> Findings {
        let missing = |(appended, seen): (&u64, &u64)| appended.saturating_sub(*seen);
        Findings {
            right: self.next.iter().sum(),
            wrong: self.wrong,
            missing: self.appended.iter().zip(&self.next).map(missing).sum(),
            error: scanned.err().map(|error| error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(records: &[Vec<u8>]) -> Findings {
        let mut check = Check::new(&[2, 1], 16);
        for record in records {
            check.see(record);
        }
        check.finish(Ok(()))
    }

    fn written() -> Vec<Vec<u8>> {
        let mut made = [Records::new(16, 0), Records::new(16, 1)];
        [(0, 0), (1, 0), (0, 1)]
            .map(|(thread, sequence): (usize, _)| made[thread].one(sequence).to_vec())
            .to_vec()
    }

    #[test]
    fn what_was_appended_is_right() {
        assert!(findings(&written()).all_right());
    }

    #[test]
    fn a_missing_record_is_found() {
        assert_eq!(findings(&written()[..2]).missing, 1);
    }

    #[test]
    fn a_repeated_record_is_found() {
        let mut records = written();
        records.push(records[2].clone());
        assert_eq!(findings(&records).wrong, 1);
    }

    #[test]
    fn an_altered_record_is_found() {
        let mut records = written();
        records[1][12] ^= 1;
        let findings = findings(&records);
        assert_eq!((findings.wrong, findings.missing), (1, 1));
    }
}
