//! The texts that can be listed: names of streams, and names of checkpoints.

use std::collections::BinaryHeap;

use super::table::Table;
use crate::format::StreamNumber;

/// Names, each in some stream and there once. All in one arena: a million streams can come into being in a segment.
#[derive(Debug, Default)]
pub(super) struct Names {
    bytes: String,
    rows: Vec<Row>,
    by_tag: Table,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    stream: StreamNumber,
    start: u32,
    len: u32,
}

impl Names {
    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.rows.capacity() * size_of::<Row>() + self.by_tag.heap_bytes()
    }

    /// Adds a name with its hash, if it is not there.
    pub(super) fn insert(&mut self, tag: u32, stream: StreamNumber, name: &str) {
        let is_it = |row: u32| self.get(self.rows[row as usize]) == (stream, name);
        if self.by_tag.get(tag).any(is_it) {
            return;
        }
        self.by_tag.insert(tag, self.rows.len() as u32);
        self.rows.push(Row {
            stream,
            start: self.bytes.len() as u32,
            len: name.len() as u32,
        });
        self.bytes.push_str(name);
    }

    /// The first `limit` names of `stream` behind `after`, in byte order. Looks at all of them.
    pub(super) fn list(
        &self,
        stream: StreamNumber,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<&str> {
        let mut first = BinaryHeap::with_capacity(limit.min(self.rows.len()) + 1);
        for (other, name) in self.rows.iter().map(|row| self.get(*row)) {
            if other == stream && after.is_none_or(|after| name > after) {
                first.push(name);
            }
            if first.len() > limit {
                first.pop();
            }
        }
        first.into_sorted_vec()
    }

    /// All names, in the order of their streams and their bytes.
    pub(super) fn sorted(&self) -> Vec<(StreamNumber, &str)> {
        let mut names: Vec<_> = self.rows.iter().map(|row| self.get(*row)).collect();
        names.sort_unstable();
        names
    }

    fn get(&self, row: Row) -> (StreamNumber, &str) {
        let start = row.start as usize;
        (row.stream, &self.bytes[start..start + row.len as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_in_order_once_and_by_stream() {
        let mut names = Names::default();
        let (one, two) = (StreamNumber(1), StreamNumber(2));
        // All under one tag: told apart by their bytes and streams.
        for (stream, name) in [
            (one, "c"),
            (one, "a"),
            (two, "b"),
            (one, "é"),
            (one, "a"),
            (one, "b"),
        ] {
            names.insert(5, stream, name);
        }
        assert_eq!(names.list(one, None, 9), ["a", "b", "c", "é"]);
        assert_eq!(names.list(one, Some("a"), 2), ["b", "c"]);
        assert_eq!(names.list(two, None, 9), ["b"]);
        assert_eq!(names.sorted().len(), 5);
    }
}
