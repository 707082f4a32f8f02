//! Everything that anybody can see of a store, to be compared.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use ledger_core::{Bytes, Entry, Filter, ReadOptions, Result, StreamName};

use super::history::{ORDER_KEYS, STREAMS};
use super::subject::{ALL, Subject};

/// What a store shows at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Observed {
    listed: Vec<StreamName>,
    streams: BTreeMap<&'static str, ObservedStream>,
}

/// What it shows of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ObservedStream {
    entries: Vec<Entry<u64>>,
    tombstones: Vec<u64>,
    first: Option<u64>,
    head: Option<u64>,
    count: u64,
    bytes: u64,
    checkpoints: BTreeMap<String, Bytes>,
}

impl Observed {
    /// Looks at everything.
    pub(crate) fn of(subject: &impl Subject) -> Result<Self> {
        let look = |name: &&'static str| Ok((*name, ObservedStream::of(subject, &(*name).into())?));
        Ok(Self {
            listed: subject.list()?,
            streams: STREAMS.iter().map(look).collect::<Result<_>>()?,
        })
    }

    /// Looks at `subject`, which shows `self`, in the ways that go through an index; tells what is wrong.
    pub(crate) fn check_indexes(&self, subject: &impl Subject) -> Result<(), String> {
        for (name, stream) in &self.streams {
            for key in ORDER_KEYS {
                let filter = Filter::new().order_key(key);
                let options = ReadOptions::new().filter(filter).limit(ALL).descending();
                let page = subject.read(&(*name).into(), &options);
                let found = page.map_err(|error| error.to_string())?.entries;
                let of_key = |entry: &&Entry<u64>| entry.order_key.as_deref() == Some(key);
                if !found.iter().eq(stream.entries.iter().rev().filter(of_key)) {
                    return Err(format!("reading order key {key:?} of {name:?}: {found:#?}"));
                }
            }
        }
        Ok(())
    }

    /// Looks for what cannot be in what a repair has left of a store that showed the `moments`: an entry that was never
    /// there, or a gap.
    pub(crate) fn check_left_of(&self, moments: &[Arc<Self>]) -> Result<(), String> {
        let entries = |moment: &Arc<Self>| {
            let streams: Vec<_> = moment.streams.values().cloned().collect();
            streams.into_iter().flat_map(|stream| stream.entries)
        };
        let known: Vec<_> = moments.iter().flat_map(entries).map(nameless).collect();
        for (name, stream) in &self.streams {
            if !stream.ids().into_iter().eq(stream.range()) {
                return Err(format!("{name:?} has a gap: {stream:?}"));
            }
            let unknown = |entry: &&Entry<u64>| !known.contains(&nameless((*entry).clone()));
            if let Some(entry) = stream.entries.iter().find(unknown) {
                return Err(format!("{name:?} never had {entry:#?}"));
            }
        }
        Ok(())
    }

    /// Looks for entries of `newest` that are not there, and not `lost` either. The last ones of each stream, up to
    /// `unspoken_max`, may be lost without a trace.
    pub(crate) fn check_rest_of(
        &self,
        newest: &Self,
        lost: impl Fn(&str, u64) -> bool,
        unspoken_max: u64,
    ) -> Result<(), String> {
        for (name, stream) in &newest.streams {
            let left = &self.streams[name];
            let head = left.head.unwrap_or(0);
            if head + unspoken_max < stream.head.unwrap_or(0) {
                return Err(format!("{name:?} ends at {head}, not {:?}", stream.head));
            }
            let ids = stream.entries.iter().map(|entry| entry.id);
            for id in ids.filter(|id| *id <= head) {
                let is_there = left.entries.iter().any(|entry| entry.id == id);
                if !is_there && !lost(name, id) {
                    return Err(format!(
                        "{name:?} has lost {id}, and nobody says so: {left:?}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// The head of each stream that has one.
    pub(crate) fn heads(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let streams = self.streams.iter();
        streams.filter_map(|(name, stream)| Some((*name, stream.head?)))
    }

    /// The first thing that is not the same, in words.
    pub(crate) fn difference(&self, other: &Self) -> String {
        if self.listed != other.listed {
            return format!("lists {:?}, not {:?}", self.listed, other.listed);
        }
        for (name, stream) in &self.streams {
            if *stream != other.streams[name] {
                return format!("{name:?}: {}", stream.difference(&other.streams[name]));
            }
        }
        "none".into()
    }
}

/// An entry, whatever its stream is called.
fn nameless(mut entry: Entry<u64>) -> Entry<u64> {
    entry.stream = "nameless".into();
    entry
}

impl ObservedStream {
    /// The ids of what is there, and of what was.
    fn ids(&self) -> Vec<u64> {
        let entries = self.entries.iter().map(|entry| entry.id);
        let mut ids: Vec<_> = entries.chain(self.tombstones.iter().copied()).collect();
        ids.sort_unstable();
        ids
    }

    /// The ids that it says it has.
    fn range(&self) -> Range<u64> {
        match (self.first, self.head) {
            (Some(first), Some(head)) => first..head + 1,
            _ => 0..0,
        }
    }

    fn difference(&self, other: &Self) -> String {
        let same = self.entries.iter().zip(&other.entries);
        if let Some((entry, expected)) = same.clone().find(|(entry, expected)| entry != expected) {
            return format!("{entry:#?}\nnot {expected:#?}");
        }
        let brief = |stream: &Self| Self {
            entries: stream.entries[same.len()..].to_vec(),
            ..stream.clone()
        };
        let (mine, theirs) = (brief(self), brief(other));
        format!(
            "behind {} equal entries {mine:?}\nnot {theirs:?}",
            same.len()
        )
    }

    fn of(subject: &impl Subject, name: &StreamName) -> Result<Self> {
        let page = subject.read(name, &ReadOptions::new().limit(ALL).with_tombstones())?;
        let stat = subject.stat(name)?;
        let load = |checkpoint: String| {
            let found = subject.load_checkpoint(name, &checkpoint)?;
            let value = found.map(|checkpoint| checkpoint.value).unwrap_or_default();
            Ok((checkpoint, value))
        };
        let checkpoints = subject.list_checkpoints(name)?.into_iter().map(load);
        Ok(Self {
            entries: page.entries,
            tombstones: page.tombstones,
            first: stat.first,
            head: stat.head,
            count: stat.count,
            bytes: stat.bytes,
            checkpoints: checkpoints.collect::<Result<_>>()?,
        })
    }
}
