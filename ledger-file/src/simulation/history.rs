//! Random histories: calls that meet each other's entries, keys, names and limits often.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ledger_core::{
    Batch, Bytes, Clock, Condition, Filter, ManualClock, MemoryStore, NewEntry, Payload, Retention,
    StreamName, Timestamp,
};

use super::Random;
use super::call::{Call, Presented};
use super::subject::{Care, Subject};

/// The names that streams have. Few, so that calls meet; one that would be trouble in a path.
pub(crate) const STREAMS: [&str; 5] = ["orders", "../ö/%s\n", "c", "d", "e"];

pub(crate) const ORDER_KEYS: [&str; 4] = ["o-1", "o-2", "o-3", ""];
pub(crate) const CHECKPOINTS: [&str; 3] = ["billing", "é", "mail"];
const KINDS: [&str; 3] = ["placed", "paid", "shipped"];

/// What histories are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Theme {
    /// Every call there is, and few dedup keys, which meet often.
    Calls,
    /// Appends to several streams above all, with a dedup key on each entry: so many that the sets of recent keys come to their end.
    DedupKeys,
}

/// Invents the next call, knowing what the model holds.
#[derive(Debug)]
pub(crate) struct Author<'a> {
    pub(crate) theme: Theme,
    pub(crate) random: Random,
    pub(crate) model: &'a MemoryStore,
    pub(crate) clock: &'a ManualClock,
}

impl Author<'_> {
    pub(crate) fn next_call(&mut self) -> Call {
        let choice = match self.theme {
            Theme::Calls => self.random.below(100),
            Theme::DedupKeys if self.random.one_in(10) => 56 + self.random.below(44),
            Theme::DedupKeys => 30 + self.random.below(26),
        };
        match choice {
            0..38 => Call::Append(vec![self.batch()]),
            38..48 => Call::Append((0..=self.random.below(4)).map(|_| self.batch()).collect()),
            48..56 => Call::AppendMany(self.batches()),
            56..62 => Call::Trim(self.stream(), self.id()),
            62..65 => Call::Retain(self.stream(), self.retention()),
            65..68 => Call::PurgeExpired(self.stream()),
            68..72 => Call::SetTags(self.stream(), self.id(), self.tags()),
            72..76 => Call::Annotate(self.stream(), self.id(), self.changes()),
            76..79 => Call::Rename(self.stream(), self.stream()),
            79..85 => self.save_checkpoint(),
            85..87 => Call::DeleteCheckpoint(self.stream(), self.checkpoint(), Presented::Current),
            87..92 => Call::Tick(self.random.below(2_000) as i64 - 500),
            92..94 => Call::Maintain(Care::Sync),
            94..96 => Call::Maintain(Care::Tidy),
            96..98 => Call::Maintain(Care::Compact),
            _ => Call::Maintain(Care::Reopen),
        }
    }

    fn stream(&mut self) -> StreamName {
        // The first one is used most, so that some streams are long.
        let index = self
            .random
            .index(STREAMS.len())
            .min(self.random.index(STREAMS.len()));
        STREAMS[index].into()
    }

    /// An id that is likely to be near the newest ones of some stream.
    fn id(&mut self) -> u64 {
        let stream = self.stream();
        let stat = Subject::stat(self.model, &stream).expect("the model answers");
        let head = stat.head.unwrap_or(0);
        head.saturating_add(1).saturating_sub(self.random.below(8))
    }

    fn batches(&mut self) -> Vec<Batch<u64>> {
        let mut batches: Vec<Batch<u64>> = Vec::new();
        for _ in 0..=self.random.below(3) {
            let batch = self.batch();
            if batches.iter().all(|other| other.stream != batch.stream) {
                batches.push(batch);
            }
        }
        batches
    }

    fn batch(&mut self) -> Batch<u64> {
        let count = match self.random.below(10) {
            0 => self.random.below(12),
            1..4 => 3,
            _ => 1,
        };
        let entries = (0..count).map(|_| self.entry()).collect();
        let batch = Batch::new(self.stream(), entries);
        match self.theme == Theme::Calls && self.random.one_in(3) {
            true => batch.when(self.condition()),
            false => batch,
        }
    }

    fn condition(&mut self) -> Condition<u64> {
        let id = self.id();
        match self.random.below(5) {
            0 => Condition::head_is(id),
            1 => Condition::stream_is_empty(),
            2 => Condition::last_of(*self.random.pick(&ORDER_KEYS), id),
            3 => Condition::none_after(Filter::new().kind(*self.random.pick(&KINDS)), id),
            _ => Condition::none_after(Filter::new().order_key(*self.random.pick(&ORDER_KEYS)), id),
        }
    }

    fn entry(&mut self) -> NewEntry {
        let mut entry = NewEntry::new(self.payload());
        if self.random.one_in(2) {
            entry = entry.order_key(*self.random.pick(&ORDER_KEYS));
        }
        if self.theme == Theme::DedupKeys || self.random.one_in(2) {
            entry = entry.dedup_key(format!("evt-{}", self.dedup_key()));
        }
        if self.random.one_in(3) {
            entry = entry.kind(*self.random.pick(&KINDS));
        }
        if self.random.one_in(6) {
            entry = entry.metadata("user", "ann").metadata("", "");
        }
        if self.random.one_in(6) {
            entry = entry.tag("hot").schema_version(2);
        }
        if self.random.one_in(5) {
            entry = entry.expires_at(self.soon());
        }
        if self.random.one_in(20) {
            entry = entry.dedup_key("");
        }
        entry
    }

    fn dedup_key(&mut self) -> u64 {
        if self.theme == Theme::Calls {
            return self.random.below(24);
        }
        let appended = self.appended();
        // Most are new, or were appended a moment ago.
        match self.random.one_in(4) {
            true => self.random.below(appended + 1),
            false => appended + self.random.below(24),
        }
    }

    /// How many entries were appended to all streams.
    fn appended(&self) -> u64 {
        let stat = |name: &&str| Subject::stat(self.model, &(*name).into());
        let head = |name| stat(name).expect("the model answers").head;
        STREAMS.iter().filter_map(head).sum()
    }

    fn payload(&mut self) -> Payload {
        let len = match self.random.below(30) {
            0 => 0,
            1 => 1_500,
            2 => 700,
            3..10 => self.random.below(200),
            _ => self.random.below(40),
        };
        let start = self.random.next() as u8;
        let bytes: Vec<u8> = (0..len).map(|n| start.wrapping_add(n as u8)).collect();
        match self.random.one_in(2) {
            true => Payload::json(bytes),
            false => Payload::octets(bytes),
        }
    }

    fn soon(&mut self) -> Timestamp {
        let micros = self.clock.now().as_micros();
        Timestamp::from_micros(micros + self.random.below(4_000) as i64)
    }

    fn retention(&mut self) -> Retention {
        match self.random.below(3) {
            0 => Retention::new().entries_max(self.random.below(12)),
            1 => Retention::new().bytes_max(self.random.below(600)),
            _ => Retention::new().age_max(Duration::from_micros(self.random.below(3_000))),
        }
    }

    fn tags(&mut self) -> BTreeSet<String> {
        (0..self.random.below(3))
            .map(|n| format!("tag-{n}"))
            .collect()
    }

    fn changes(&mut self) -> BTreeMap<String, Option<String>> {
        let value = (!self.random.one_in(3)).then(|| format!("v{}", self.random.below(9)));
        BTreeMap::from([(format!("note-{}", self.random.below(2)), value)])
    }

    fn checkpoint(&mut self) -> String {
        (*self.random.pick(&CHECKPOINTS)).into()
    }

    fn save_checkpoint(&mut self) -> Call {
        let value = Bytes::from(vec![self.random.next() as u8; self.random.index(60)]);
        let presented = match self.random.one_in(4) {
            true => Presented::Absent,
            false => Presented::Current,
        };
        Call::SaveCheckpoint(self.stream(), self.checkpoint(), value, presented)
    }
}
