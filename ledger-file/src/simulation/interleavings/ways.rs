//! Reading all of a stream in different ways, which see the same.

use std::array;
use std::iter::Cycle;
use std::ops::ControlFlow;

use ledger_core::{Filter, Page, ReadOptions, Result, StreamName};

use super::{ORDER_KEY, STREAM, Seen, hurried};
use crate::log::{Log, RecordRef};

fn seen(id: u64, payload: &[u8]) -> Seen {
    (id, String::from_utf8_lossy(payload).trim_end().to_owned())
}

/// How a stream can be read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    Page,
    Backwards,
    OfOrderKey,
    Scan,
    HurriedPage,
    HurriedScan,
}

const WAYS: [Way; 6] = [
    Way::Page,
    Way::HurriedScan,
    Way::Backwards,
    Way::HurriedPage,
    Way::OfOrderKey,
    Way::Scan,
];

pub(super) type Ways = Cycle<array::IntoIter<Way, { WAYS.len() }>>;

/// One after the other, for ever.
pub(super) fn all_in_turn() -> Ways {
    WAYS.into_iter().cycle()
}

impl Way {
    pub(super) fn entries(self, log: &Log) -> Result<Vec<Seen>> {
        self.entries_of(STREAM, log)
    }

    pub(super) fn entries_of(self, stream: &str, log: &Log) -> Result<Vec<Seen>> {
        let (stream, all) = (stream.into(), ReadOptions::new().limit(1_000));
        let of_key = || Filter::new().order_key(ORDER_KEY);
        let page = |options| Ok(entries(log.read(&stream, &options)?));
        let mut entries = match self {
            Self::Page => page(all)?,
            Self::Backwards => page(all.descending())?,
            Self::OfOrderKey => page(all.filter(of_key()))?,
            Self::Scan => scan(log, &stream)?,
            Self::HurriedPage => entries(hurried::read(log, &stream, &all)?),
            Self::HurriedScan => scan_hurriedly(log, &stream)?,
        };
        if let Self::Backwards = self {
            entries.reverse();
        }
        Ok(entries)
    }
}

fn entries(page: Page<u64>) -> Vec<Seen> {
    let entries = page.entries.iter();
    entries
        .map(|entry| seen(entry.id, &entry.value.bytes))
        .collect()
}

fn scan(log: &Log, stream: &StreamName) -> Result<Vec<Seen>> {
    let mut entries = Vec::new();
    log.scan(stream, 0, |record| note(record, &mut entries))?;
    Ok(entries)
}

fn scan_hurriedly(log: &Log, stream: &StreamName) -> Result<Vec<Seen>> {
    let mut entries = Vec::new();
    hurried::scan(log, stream, |record| note(record, &mut entries))?;
    Ok(entries)
}

fn note(record: RecordRef<'_>, entries: &mut Vec<Seen>) -> ControlFlow<()> {
    let payload = record.payload().expect("it is whole");
    entries.push(seen(record.id(), &payload));
    ControlFlow::Continue(())
}
