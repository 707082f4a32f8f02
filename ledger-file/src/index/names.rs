//! The texts that can be listed: names of streams, and names of checkpoints.

use std::collections::BinaryHeap;

use super::table::Table;
use crate::format::StreamNumber;

/// Names, each in some stream and there once. All in one arena: a million streams can come into being in a segment.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// For each its stream (8 bytes), its length (4), and itself.
    bytes: Vec<u8>,
    /// Where each begins in `bytes`.
    by_tag: Table,
}

impl Names {
    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.by_tag.heap_bytes()
    }

    /// Adds a name with its hash, if it is not there.
    pub(super) fn insert(&mut self, tag: u32, stream: StreamNumber, name: &str) {
        let is_it = |start: u32| self.get(start) == (stream, name.as_bytes());
        if self.by_tag.get(tag).any(is_it) {
            return;
        }
        self.by_tag.insert(tag, self.bytes.len() as u32);
        self.bytes.extend_from_slice(&stream.0.to_le_bytes());
        let len = name.len() as u32;
        self.bytes.extend_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
    }

    /// The first `limit` names of `stream` behind `after`, in byte order. Looks at all of them.
    pub(super) fn list(
        &self,
        stream: StreamNumber,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<&str> {
        let mut first = BinaryHeap::new();
        let after = after.map(str::as_bytes);
        for (other, name) in self.starts().map(|start| self.get(start)) {
            if other == stream && after.is_none_or(|after| name > after) {
                first.push(name);
            }
            if first.len() > limit {
                first.pop();
            }
        }
        let text = |name| std::str::from_utf8(name).expect("names are text");
        first.into_sorted_vec().into_iter().map(text).collect()
    }

    /// Where all names begin, in the order of their streams and their bytes.
    pub(super) fn sorted(&self) -> Vec<u32> {
        let mut starts: Vec<u32> = self.starts().collect();
        starts.sort_unstable_by_key(|start| self.get(*start));
        starts
    }

    fn starts(&self) -> impl Iterator<Item = u32> + '_ {
        self.by_tag.pairs().map(|(_, start)| start)
    }

    /// The name that begins at `start`, and its stream.
    pub(super) fn get(&self, start: u32) -> (StreamNumber, &[u8]) {
        let head = &self.bytes[start as usize..];
        let (stream, head) = head.split_first_chunk().expect("a name has a stream");
        let (len, head) = head.split_first_chunk().expect("a name has a length");
        let name = &head[..u32::from_le_bytes(*len) as usize];
        (StreamNumber(u64::from_le_bytes(*stream)), name)
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
