//! Several order keys read as one: each has its own range of the index, in order, and these are merged.
//!
//! SQLite itself would sort, or read all that the stream holds.

use std::ops::RangeInclusive;

use ledger_core::{Direction, ReadOptions};

use crate::error::Failure;
use crate::read::Reading;
use crate::streams::{StreamRow, limit_of};

/// The positions of the entries of some order keys, chunk by chunk.
pub(crate) struct Merge<'a> {
    reading: &'a Reading<'a>,
    stream_id: i64,
    order_keys: Vec<&'a str>,
    direction: Direction,
    /// What is not yet merged; empty when its low end is above its high end.
    low: i64,
    high: i64,
}

impl<'a> Merge<'a> {
    pub(crate) fn new(
        reading: &'a Reading<'a>,
        stream: &StreamRow,
        ids: RangeInclusive<u64>,
        options: &'a ReadOptions<u64>,
    ) -> Self {
        let mut order_keys: Vec<_> = options
            .filter
            .order_keys
            .iter()
            .map(String::as_str)
            .collect();
        order_keys.sort_unstable();
        order_keys.dedup();
        Self {
            reading,
            stream_id: stream.stream_id,
            order_keys,
            direction: options.direction,
            low: stream.position(*ids.start()),
            high: stream.position(*ids.end()),
        }
    }

    /// The next positions, at most `limit`; none when there are no more.
    pub(crate) fn next_chunk(&mut self, limit: usize) -> Result<Vec<i64>, Failure> {
        if self.low > self.high {
            return Ok(Vec::new());
        }
        let mut positions = Vec::new();
        for key in &self.order_keys {
            self.of_key(key, limit, &mut positions)?;
        }
        match self.direction {
            Direction::Ascending => positions.sort_unstable(),
            Direction::Descending => positions.sort_unstable_by(|a, b| b.cmp(a)),
        }
        positions.truncate(limit);
        if let Some(last) = positions.last() {
            self.go_on_behind(*last);
        }
        Ok(positions)
    }

    fn of_key(&self, key: &str, limit: usize, positions: &mut Vec<i64>) -> Result<(), Failure> {
        let sql = match self.direction {
            Direction::Ascending => &self.reading.sql.ascending_of_key,
            Direction::Descending => &self.reading.sql.descending_of_key,
        };
        let mut statement = self.reading.connection.prepare_cached(sql)?;
        let parameters = (self.stream_id, key, self.low, self.high, limit_of(limit));
        for position in statement.query_map(parameters, |row| row.get(0))? {
            positions.push(position?);
        }
        Ok(())
    }

    fn go_on_behind(&mut self, position: i64) {
        match self.direction {
            Direction::Ascending => self.low = position + 1,
            Direction::Descending => self.high = position - 1,
        }
    }
}
