//! Reading all of a stream in different ways, which see the same.

use std::array;
use std::iter::Cycle;
use std::ops::ControlFlow;

use ledger_core::{Filter, ReadOptions, Result};

use super::{ORDER_KEY, STREAM, Seen};
use crate::log::Log;

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
}

const WAYS: [Way; 4] = [Way::Page, Way::Backwards, Way::OfOrderKey, Way::Scan];

pub(super) type Ways = Cycle<array::IntoIter<Way, { WAYS.len() }>>;

/// One after the other, for ever.
pub(super) fn all_in_turn() -> Ways {
    WAYS.into_iter().cycle()
}

impl Way {
    pub(super) fn entries(self, log: &Log) -> Result<Vec<Seen>> {
        let all = ReadOptions::new().limit(1_000);
        let mut entries = match self {
            Self::Page => page(log, &all)?,
            Self::Backwards => page(log, &all.descending())?,
            Self::OfOrderKey => page(log, &all.filter(Filter::new().order_key(ORDER_KEY)))?,
            Self::Scan => scan(log)?,
        };
        if let Self::Backwards = self {
            entries.reverse();
        }
        Ok(entries)
    }
}

fn page(log: &Log, options: &ReadOptions<u64>) -> Result<Vec<Seen>> {
    let page = log.read(&STREAM.into(), options)?;
    let entries = page.entries.iter();
    Ok(entries
        .map(|entry| seen(entry.id, &entry.value.bytes))
        .collect())
}

fn scan(log: &Log) -> Result<Vec<Seen>> {
    let mut entries = Vec::new();
    log.scan(&STREAM.into(), 0, |record| {
        let payload = record.payload().expect("it is whole");
        entries.push(seen(record.id(), &payload));
        ControlFlow::Continue(())
    })?;
    Ok(entries)
}
