//! Entries of one stream that follow each other, in the order of the log.

use super::column::Column;
use crate::format::StreamNumber;

/// Entries of one stream with ids and ordinals that follow each other. It ends where the next begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) stream: StreamNumber,
    pub(super) first_id: u64,
    pub(super) ordinal: u32,
    /// Where its first record begins.
    pub(super) record: u32,
}

/// Runs by their number, ascending by ordinal: each in sixteen bytes, if its stream and id are not very high.
#[derive(Debug, Default)]
pub(super) struct Runs {
    narrow: Column<Narrow>,
    /// The stream and the first id of runs of which the narrow form says that they are [`WIDE`], with the run's number.
    wide: Vec<(u32, StreamNumber, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Narrow {
    stream: u32,
    first_id: u32,
    ordinal: u32,
    record: u32,
}

const WIDE: u32 = u32::MAX;

impl Runs {
    pub(super) fn len(&self) -> usize {
        self.narrow.len()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.narrow.heap_bytes() + self.wide.capacity() * size_of::<(u32, StreamNumber, u64)>()
    }

    pub(super) fn push(&mut self, run: Run) {
        let narrow = |number: u64| u32::try_from(number).unwrap_or(WIDE);
        let (mut stream, first_id) = (narrow(run.stream.0), narrow(run.first_id));
        if stream == WIDE || first_id == WIDE {
            stream = WIDE;
            let number = self.len() as u32;
            self.wide.push((number, run.stream, run.first_id));
        }
        self.narrow.push(Narrow {
            stream,
            first_id,
            ordinal: run.ordinal,
            record: run.record,
        });
    }

    pub(super) fn get(&self, index: usize) -> Option<Run> {
        let narrow = self.narrow.get(index)?;
        let (stream, first_id) = match narrow.stream {
            WIDE => self.wide(index)?,
            stream => (StreamNumber(stream.into()), narrow.first_id.into()),
        };
        Some(Run {
            stream,
            first_id,
            ordinal: narrow.ordinal,
            record: narrow.record,
        })
    }

    #[cold]
    fn wide(&self, index: usize) -> Option<(StreamNumber, u64)> {
        let place = self
            .wide
            .binary_search_by_key(&index, |(number, ..)| *number as usize);
        let (_, stream, first_id) = self.wide.get(place.ok()?)?;
        Some((*stream, *first_id))
    }

    pub(super) fn last(&self) -> Option<Run> {
        self.get(self.len().checked_sub(1)?)
    }

    /// How many runs begin with the ordinal `ordinal` or before it.
    pub(super) fn behind(&self, ordinal: u32) -> usize {
        self.narrow.partition_point(|run| run.ordinal <= ordinal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_come_back_however_high_their_numbers_are() {
        let highs = [
            0,
            1,
            u64::from(WIDE) - 1,
            WIDE.into(),
            u64::from(WIDE) + 1,
            u64::MAX,
        ];
        let pairs = highs
            .into_iter()
            .flat_map(|high| highs.map(|other| (high, other)));
        let of = |(ordinal, (stream, first_id))| Run {
            stream: StreamNumber(stream),
            first_id,
            ordinal,
            record: u32::MAX - ordinal,
        };
        let expected: Vec<Run> = (0..).zip(pairs).map(of).collect();
        let mut runs = Runs::default();
        for run in &expected {
            runs.push(*run);
            assert_eq!(runs.last(), Some(*run));
        }
        let got: Vec<Run> = (0..runs.len())
            .filter_map(|index| runs.get(index))
            .collect();
        assert_eq!(got, expected);
        assert_eq!((runs.get(expected.len()), runs.behind(3)), (None, 4));
    }
}
