//! Our own log as a contestant: plain, and with an order key and a dedup key on every entry.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use ledger_core::{Durability, Outcome, StreamName};
use ledger_file::{FileOptions, Log, NewRecord, RecordRef};
use ledger_lap::{Engine, Number, Promise, Result};

/// How many order keys there are.
const ORDER_KEYS: u64 = 1_000;

/// Entries with nothing but their payload.
pub(crate) type Plain = Racing<false>;

/// Entries with an order key, one of a thousand, and a dedup key without a pattern.
pub(crate) type Keyed = Racing<true>;

/// A log, and what a thread that appends to it uses again and again.
pub(crate) struct Racing<const KEYED: bool> {
    log: Arc<Log>,
    stream: StreamName,
    keys: Keys,
    outcomes: Vec<Outcome<u64>>,
}

impl<const KEYED: bool> Racing<KEYED> {
    fn of(log: Arc<Log>) -> Self {
        Self {
            log,
            stream: "records".into(),
            keys: Keys::default(),
            outcomes: Vec::new(),
        }
    }

    /// Shows entries behind `after` until `count` are shown or there are no more.
    fn show(&self, after: u64, count: u64, visit: impl FnMut(&[u8])) -> Result<()> {
        let mut payloads = Payloads::new(after, count, visit);
        self.log
            .scan(&self.stream, after, |record| payloads.see(record))?;
        payloads.finish()
    }
}

/// Shows what records hold, until there were enough, or one is damaged.
pub(super) struct Payloads<F> {
    after: u64,
    count: u64,
    visit: F,
    damage: Option<ledger_core::Error>,
}

impl<F: FnMut(&[u8])> Payloads<F> {
    /// Of `count` records behind the id `after`.
    pub(super) fn new(after: u64, count: u64, visit: F) -> Self {
        Self {
            after,
            count,
            visit,
            damage: None,
        }
    }

    #[inline]
    pub(super) fn see(&mut self, record: RecordRef<'_>) -> ControlFlow<()> {
        match record.payload() {
            Ok(payload) => (self.visit)(&payload),
            Err(error) => self.damage = Some(error),
        }
        match record.id() - self.after < self.count && self.damage.is_none() {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    }

    pub(super) fn finish(self) -> Result<()> {
        self.damage.map_or(Ok(()), |error| Err(error.into()))
    }
}

impl<const KEYED: bool> Engine for Racing<KEYED> {
    const PROMISES: &'static [Promise] = &[Promise::Process, Promise::Disk];

    fn open(dir: &Path, promise: Promise) -> Result<Self> {
        Ok(Self::of(Arc::new(Log::open(dir, options(promise))?)))
    }

    fn fork(&self) -> Result<Self> {
        Ok(Self::of(Arc::clone(&self.log)))
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.append_batch(&[record])
    }

    fn append_batch(&mut self, records: &[&[u8]]) -> Result<()> {
        let records: Vec<_> = match KEYED {
            false => records.iter().map(|it| NewRecord::octets(it)).collect(),
            true => self.keys.with_keys(records)?,
        };
        let outcomes = &mut self.outcomes;
        Ok(self
            .log
            .append_records(&self.stream, &records, None, outcomes)?)
    }

    fn scan(&mut self, visit: impl FnMut(&[u8])) -> Result<()> {
        self.show(0, u64::MAX, visit)
    }

    fn read(&mut self, first: u64, count: usize, visit: impl FnMut(&[u8])) -> Result<()> {
        self.show(first, count as u64, visit)
    }

    fn close(self) -> Result<()> {
        Ok(self.log.close()?)
    }
}

/// The log's own options, with the durability that is raced.
pub(super) fn options(promise: Promise) -> FileOptions {
    FileOptions::default().with_durability(match promise {
        Promise::Process => Durability::Process,
        Promise::Disk => Durability::Sync,
    })
}

/// The keys of a batch, one behind the other.
#[derive(Default)]
struct Keys(Vec<u8>);

impl Keys {
    const DEDUP: usize = 16;
    const ORDER: usize = 4;
    const BOTH: usize = Self::DEDUP + Self::ORDER;

    /// Cheaper than a formatter, whose time would be taken for the log's.
    fn push_hex<const DIGITS: usize>(&mut self, number: u64) {
        let mut digits = [0; 16];
        digits[..8].copy_from_slice(&hex((number >> 32) as u32));
        digits[8..].copy_from_slice(&hex(number as u32));
        self.0.extend_from_slice(&digits[16 - DIGITS..]);
    }

    fn with_keys<'a>(&'a mut self, records: &[&'a [u8]]) -> Result<Vec<NewRecord<'a>>> {
        self.0.clear();
        for record in records {
            let number = Number::of(record).ok_or("a record without a number")?;
            let order_key = number.sequence() % ORDER_KEYS;
            self.push_hex::<{ Self::DEDUP }>(number.scrambled());
            self.push_hex::<{ Self::ORDER }>(order_key);
        }
        let keys = str::from_utf8(&self.0)?;
        let keyed = |(place, record): (usize, &&'a [u8])| {
            let (dedup_key, order_key) =
                keys[place * Self::BOTH..][..Self::BOTH].split_at(Self::DEDUP);
            NewRecord::octets(record)
                .dedup_key(dedup_key)
                .order_key(order_key)
        };
        Ok(records.iter().enumerate().map(keyed).collect())
    }
}

/// All digits at a time: each spread to a byte of its own, then moved to where digits or letters are.
fn hex(number: u32) -> [u8; 8] {
    let number = u64::from(number);
    let number = number & 0xFFFF | (number & 0xFFFF_0000) << 16;
    let number = number & 0x00FF_0000_00FF | (number & 0xFF00_0000_FF00) << 8;
    let digits = number & 0x000F_000F_000F_000F | (number & 0x00F0_00F0_00F0_00F0) << 4;
    let letters = (digits + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    let letter = u64::from(b'a' - b'0' - 10);
    (digits + 0x3030_3030_3030_3030 + letters * letter).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_a_formatter_writes_them() {
        for number in [0, 1, 0x9ABC_DEF0, 0x1234_5678, u32::MAX] {
            assert_eq!(hex(number), format!("{number:08x}").as_bytes());
        }
    }
}
