//! Our own log as a contestant: plain, and with an order key and a dedup key on every entry.

use std::fmt::Write;
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

    fn prepare(&mut self, thread: usize, records: u64) {
        if KEYED {
            self.keys = Keys::new(thread, records);
        }
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.append_batch(&[record])
    }

    fn append_batch(&mut self, records: &[&[u8]]) -> Result<()> {
        let records: Vec<_> = match KEYED {
            false => records.iter().map(|it| NewRecord::octets(it)).collect(),
            true => self.keys.beside(records)?,
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

/// The keys of all records of a thread, in their order.
#[derive(Default)]
struct Keys(String);

impl Keys {
    const DEDUP: usize = 16;
    const ORDER: usize = 4;
    const BOTH: usize = Self::DEDUP + Self::ORDER;

    fn new(thread: usize, records: u64) -> Self {
        let mut keys = String::with_capacity(records as usize * Self::BOTH);
        for number in (0..records).map(|sequence| Number::new(thread, sequence)) {
            let order_key = number.sequence() % ORDER_KEYS;
            let written = write!(keys, "{:016x}{order_key:04x}", number.scrambled());
            written.expect("a string takes everything");
        }
        Self(keys)
    }

    /// Records that follow each other, with their keys.
    fn beside<'a>(&'a self, records: &[&'a [u8]]) -> Result<Vec<NewRecord<'a>>> {
        let first = records.first().and_then(|record| Number::of(record));
        let first = first.ok_or("a record without a number")?.sequence() as usize;
        let range = first * Self::BOTH..(first + records.len()) * Self::BOTH;
        let keys = self.0.get(range).ok_or("a record that was not prepared")?;
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
