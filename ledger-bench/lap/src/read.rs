//! Opening and reading a filled log, against the clock.

use std::path::Path;
use std::time::Instant;

use crate::answer::Measured;
use crate::engine::Engine;
use crate::records::{Number, scramble};
use crate::task::{Opening, Order, Read};
use crate::{Result, memory};

/// Opens a filled log.
pub(crate) fn reopen<E: Engine>(dir: &Path, opening: Opening) -> Result<Measured> {
    if opening == Opening::Again {
        E::open(dir, E::PROMISES[0])?.close()?;
    }
    memory::forget_peak();
    let start = Instant::now();
    let engine = E::open(dir, E::PROMISES[0])?;
    let time = start.elapsed();
    let memory_peak_kib = memory::peak_kib()?;
    engine.close()?;
    Ok(Measured {
        records: vec![1],
        time,
        memory_peak_kib,
    })
}

/// Reads from a filled log; opening it takes no time.
pub(crate) fn read<E: Engine>(dir: &Path, task: Read) -> Result<Measured> {
    let mut engine = E::open(dir, E::PROMISES[0])?;
    memory::forget_peak();
    let start = Instant::now();
    let records = match task.order {
        Order::All => all(&mut engine, task.volume.records)?,
        Order::Random { length, reads } => here_and_there(&mut engine, task, length, reads)?,
    };
    let time = start.elapsed();
    let memory_peak_kib = memory::peak_kib()?;
    engine.close()?;
    Ok(Measured {
        records: vec![records],
        time,
        memory_peak_kib,
    })
}

fn all<E: Engine>(engine: &mut E, records: u64) -> Result<u64> {
    let mut expected = Expected::new(0);
    engine.scan(|record| expected.see(record))?;
    expected.finish(records)
}

fn here_and_there<E: Engine>(
    engine: &mut E,
    task: Read,
    length: usize,
    reads: usize,
) -> Result<u64> {
    let places = task.volume.records - length as u64 + 1;
    let mut seen = 0;
    for number in 0..reads as u64 {
        let first = scramble(number) % places;
        let mut expected = Expected::new(first);
        engine.read(first, length, |record| expected.see(record))?;
        seen += expected.finish(length as u64)?;
    }
    Ok(seen)
}

/// Sees to it, cheaply, that the records asked for come, in order: whole contents are checked outside the time.
struct Expected {
    first: u64,
    next: u64,
    right: bool,
}

impl Expected {
    fn new(first: u64) -> Self {
        Self {
            first,
            next: first,
            right: true,
        }
    }

    fn see(&mut self, record: &[u8]) {
        self.right &= Number::of(record) == Some(Number::new(0, self.next));
        self.next += 1;
    }

    fn finish(self, count: u64) -> Result<u64> {
        let seen = self.next - self.first;
        match self.right && seen == count {
            true => Ok(seen),
            false => Err(format!("{seen} records were shown for {count}, or not in order").into()),
        }
    }
}
