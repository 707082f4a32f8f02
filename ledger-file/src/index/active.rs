//! The index of what was last appended, in memory.
//!
//! Everything is pushed in the order of the log, and nothing is taken away: so a look-up that is bounded by an offset
//! sees what a look-up at the moment of that offset saw. The entries are counted by *ordinals* from 0; most of an
//! index speaks of those.

use std::collections::BTreeSet;
use std::ops::Range;

use ledger_core::Direction;
use smallvec::SmallVec;

use super::bins::Bins;
use super::change::{Change, ChangeKind, ChangeRow, Topic};
use super::column::Column;
use super::hash::{KeyHash, stream_tag};
use super::latest::Latest;
use super::names::Names;
use super::postings::{NUMBERS_MAX, Posting, Postings};
use super::runs::{Run, Runs};
use super::{Origin, Spot, Start, Stretch, Window};
use crate::format::{Position, StreamNumber};

/// The index of one segment from some offset to its end.
#[derive(Debug)]
pub(crate) struct ActiveIndex {
    pub(super) origin: Origin,
    /// Where each frame begins.
    pub(super) frames: Vec<u32>,
    /// Where each entry begins, by its ordinal.
    pub(super) offsets: Column<u32>,
    /// Entries of one stream that follow each other, by their first ordinal. They leave no ordinal out.
    runs: Runs,
    pub(super) runs_by_stream: Postings,
    /// The ordinals of each order key.
    pub(super) order_keys: Postings,
    /// The ordinal of each dedup key.
    pub(super) dedup_keys: Bins,
    /// The records about each name of a stream.
    pub(super) name_records: Latest,
    /// The records about each checkpoint.
    pub(super) checkpoint_records: Latest,
    pub(super) changes: BTreeSet<ChangeRow>,
    /// The ordinals of the entries that have an `expires_at`.
    pub(super) expiring: Vec<u32>,
    pub(super) names: Names,
    pub(super) checkpoint_names: Names,
    highest_stream: StreamNumber,
    /// How much there was when it was looked at whether it is full.
    looked_at: usize,
}

/// What an index remembers of an entry beside its place.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EntryKeys {
    /// Its dedup key, unless that is empty.
    pub(crate) dedup: Option<KeyHash>,
    /// Its order key.
    pub(crate) order: Option<KeyHash>,
    /// Whether it has an `expires_at`.
    pub(crate) expires: bool,
}

// Pushing.
impl ActiveIndex {
    /// What it is of.
    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    /// Where what it is of begins.
    pub(crate) fn start(&self) -> Position {
        Position::new(self.origin.segment, self.origin.from)
    }

    /// An empty index of what will be behind `origin`.
    pub(crate) fn new(origin: Origin) -> Self {
        Self {
            origin,
            frames: Vec::new(),
            offsets: Column::default(),
            runs: Runs::default(),
            runs_by_stream: Postings::default(),
            order_keys: Postings::default(),
            dedup_keys: Bins::default(),
            name_records: Latest::default(),
            checkpoint_records: Latest::default(),
            changes: BTreeSet::new(),
            expiring: Vec::new(),
            names: Names::default(),
            checkpoint_names: Names::default(),
            highest_stream: StreamNumber(0),
            looked_at: 0,
        }
    }

    /// An empty index of what will be behind `origin`, with room for half of what is here: what comes next is most often
    /// like what came before, and tables that grow but once are hardly moved. When they do, these here are gone.
    pub(crate) fn next(&self, origin: Origin) -> Self {
        Self {
            frames: Vec::with_capacity(self.frames.len()),
            runs_by_stream: self.runs_by_stream.with_same_room(),
            order_keys: self.order_keys.with_same_room(),
            dedup_keys: self.dedup_keys.with_same_room(),
            ..Self::new(origin)
        }
    }

    /// Says that a frame begins at `offset`; what is pushed next is in it.
    pub(crate) fn push_frame(&mut self, offset: u32) {
        self.frames.push(offset);
    }

    /// Says that the entries pushed next are those of `stream` from `first_id` on, in the record at `record`.
    pub(crate) fn push_run(&mut self, stream: StreamNumber, first_id: u64, record: u32) {
        self.see(stream);
        let ordinal = self.entries();
        if let Some(last) = self.runs.last()
            && last.stream == stream
            && last.first_id + u64::from(ordinal - last.ordinal) == first_id
        {
            return;
        }
        let runs = &self.runs;
        let is_same = |run: u32| {
            runs.get(run as usize)
                .is_some_and(|run| run.stream == stream)
        };
        self.runs_by_stream
            .push(stream_tag(stream), runs.len() as u32, is_same);
        self.runs.push(Run {
            stream,
            first_id,
            ordinal,
            record,
        });
    }

    /// Says that entries with these keys are pushed next, each with [`push_offset`](Self::push_offset): one kind of keys after
    /// the other, so that what they need of memory is loaded for many at the same time.
    pub(crate) fn push_keys(&mut self, keys: &[EntryKeys]) {
        let first = self.entries();
        let numbered = || (first..).zip(keys);
        let dedup_key = |(ordinal, keys): (u32, &EntryKeys)| Some((keys.dedup?.0, ordinal));
        for (tag, ordinal) in numbered().filter_map(dedup_key) {
            self.dedup_keys.push(tag, ordinal);
        }
        for (ordinal, keys) in numbered() {
            self.push_order_key(ordinal, *keys);
            self.push_expiry(ordinal, *keys);
        }
    }

    /// Adds the entry at `offset` to the run begun last.
    #[inline]
    pub(crate) fn push_entry(&mut self, offset: u32, keys: EntryKeys) {
        let ordinal = self.entries();
        if let Some(KeyHash(tag)) = keys.dedup {
            self.dedup_keys.push(tag, ordinal);
        }
        self.push_order_key(ordinal, keys);
        self.push_expiry(ordinal, keys);
        self.push_offset(offset);
    }

    /// Adds the entry at `offset`, whose keys were pushed if it has any, to the run begun last.
    #[inline]
    pub(crate) fn push_offset(&mut self, offset: u32) {
        self.offsets.push(offset);
    }

    #[inline]
    fn push_order_key(&mut self, ordinal: u32, keys: EntryKeys) {
        if let Some(KeyHash(tag)) = keys.order {
            self.order_keys.push_only(tag, ordinal);
        }
    }

    #[inline]
    fn push_expiry(&mut self, ordinal: u32, keys: EntryKeys) {
        if keys.expires {
            self.expiring.push(ordinal);
        }
    }

    /// Says that the record at `offset` gives `name` to `stream`.
    pub(crate) fn push_name(
        &mut self,
        KeyHash(tag): KeyHash,
        name: &str,
        stream: StreamNumber,
        offset: u32,
    ) {
        self.see(stream);
        self.name_records.push(tag, offset);
        self.names.insert(tag, NO_STREAM, name);
    }

    /// Says that the record at `offset` frees a name.
    pub(crate) fn push_freed_name(&mut self, KeyHash(tag): KeyHash, offset: u32) {
        self.name_records.push(tag, offset);
    }

    /// Says that the record at `offset` is the checkpoint `name` of `stream`.
    pub(crate) fn push_checkpoint(
        &mut self,
        KeyHash(tag): KeyHash,
        stream: StreamNumber,
        name: &str,
        offset: u32,
    ) {
        self.see(stream);
        self.checkpoint_records.push(tag, offset);
        self.checkpoint_names.insert(tag, stream, name);
    }

    /// Says that the record at `offset` is about `change` of `stream`.
    pub(crate) fn push_change(&mut self, stream: StreamNumber, change: Change, offset: u32) {
        self.see(stream);
        self.changes.insert(change.row(stream, offset));
    }

    fn see(&mut self, stream: StreamNumber) {
        self.highest_stream = self.highest_stream.max(stream);
    }
}

/// What names of streams are kept under.
pub(super) const NO_STREAM: StreamNumber = StreamNumber(0);

// How much there is.
impl ActiveIndex {
    /// How many entries were pushed.
    pub(crate) fn entries(&self) -> u32 {
        self.offsets.len() as u32
    }

    /// With so many entries it is full, apart from room for one commit.
    const ENTRIES_MAX: u32 = NUMBERS_MAX - ENTRIES_OF_A_COMMIT;

    /// It is full before it takes more memory than this. There are two for a while: one that is written to a file, and
    /// the next.
    const HEAP_BYTES_MAX: usize = 17 << 20;

    /// Whether it should take no more entries: the segment ends here. That is looked at now and then: to look costs about
    /// as much as to note an entry, and there is room for more than comes between two looks.
    pub(crate) fn is_full(&mut self) -> bool {
        let many = (self.entries() as usize + self.changes.len()) / ENTRIES_BETWEEN_LOOKS;
        let there = many + self.frames.len() / FRAMES_BETWEEN_LOOKS;
        std::mem::replace(&mut self.looked_at, there) != there && self.has_no_room()
    }

    fn has_no_room(&self) -> bool {
        let bytes = || self.heap_bytes() + self.growth_bytes(GROWTH_ENTRIES);
        self.entries() >= Self::ENTRIES_MAX || bytes() > Self::HEAP_BYTES_MAX
    }

    /// How much memory its tables may take more, before there are so many `entries` more.
    fn growth_bytes(&self, entries: usize) -> usize {
        self.runs_by_stream.growth_bytes(entries)
            + self.order_keys.growth_bytes(entries)
            + self.dedup_keys.growth_bytes(entries)
            + self.name_records.growth_bytes(entries)
    }

    /// The highest number of a stream that was seen; zero if there was none.
    pub(crate) fn highest_stream(&self) -> StreamNumber {
        self.highest_stream
    }

    /// The memory that it holds, in bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        let plain = (self.frames.capacity() + self.expiring.capacity()) * size_of::<u32>();
        plain
            + self.offsets.heap_bytes()
            + self.runs.heap_bytes()
            + self.runs_by_stream.heap_bytes()
            + self.order_keys.heap_bytes()
            + self.dedup_keys.heap_bytes()
            + self.name_records.heap_bytes()
            + self.checkpoint_records.heap_bytes()
            + self.changes.len() * size_of::<ChangeRow>()
            + self.names.heap_bytes()
            + self.checkpoint_names.heap_bytes()
    }
}

/// More entries than one frame can have: room that is left for it.
const ENTRIES_OF_A_COMMIT: u32 = 1 << 28;

/// As many entries as most frames have.
const GROWTH_ENTRIES: usize = 10_000;

/// How many entries, or frames of a few, come between two looks at the memory.
const ENTRIES_BETWEEN_LOOKS: usize = 1_000;
const FRAMES_BETWEEN_LOOKS: usize = 32;

/// Candidates of one look-up: hardly ever more than one.
pub(super) type Candidates = SmallVec<[u32; CANDIDATES]>;

/// How many are told at once of records that are made again and again: the newest is most often the one.
pub(super) const CANDIDATES: usize = 4;

fn newest(records: &Latest, KeyHash(tag): KeyHash, bound: u32, skipped: usize) -> Candidates {
    let offsets = records.get(tag).filter(|offset| *offset < bound);
    offsets.skip(skipped).take(CANDIDATES).collect()
}

// Looking.
impl ActiveIndex {
    /// Which entries of `stream` lie where: those in `window` that begin before `bound`.
    pub(super) fn stretches(
        &self,
        stream: StreamNumber,
        window: &Window,
        bound: u32,
        out: &mut Vec<Stretch>,
    ) {
        let end = self.ordinal_at(bound);
        let runs = self.runs_of(stream);
        let within = |run: u32| self.run(run, end);
        match window.direction {
            Direction::Ascending => {
                let runs = runs.behind(|run| within(run).ids().end <= window.ids.start);
                self.take(runs.map(within), window, out);
            }
            Direction::Descending => {
                let is_before = |run: Run| run.ordinal < end && run.first_id < window.ids.end;
                let runs = runs.back_before(|run| is_before(self.run_at(run)));
                self.take(runs.map(within), window, out);
            }
        }
    }

    /// Which entries of `stream` have an order key with the hash: those in `window`, before `bound`.
    pub(super) fn order_key(
        &self,
        stream: StreamNumber,
        KeyHash(tag): KeyHash,
        window: &Window,
        bound: u32,
        out: &mut Vec<Spot>,
    ) {
        let posting = self.order_keys.get(tag, |_| true);
        if posting.last().is_none() {
            return;
        }
        let end = self.ordinal_at(bound);
        let (start, end) = (
            self.ordinal_of(stream, window.ids.start, end),
            self.ordinal_of(stream, window.ids.end, end),
        );
        let spot = |ordinal| self.spot(stream, ordinal);
        match window.direction {
            Direction::Ascending => {
                let ordinals = posting.behind(|ordinal| ordinal < start);
                let ordinals = ordinals.take_while(|ordinal| *ordinal < end);
                out.extend(ordinals.filter_map(spot).take(window.limit));
            }
            Direction::Descending => {
                let ordinals = posting.back_before(|ordinal| ordinal < end);
                let ordinals = ordinals.take_while(|ordinal| *ordinal >= start);
                out.extend(ordinals.filter_map(spot).take(window.limit));
            }
        }
    }

    /// The ordinals of some dedup keys before `bound`, each with the index of its hash.
    pub(super) fn dedup_keys(
        &self,
        hashes: &[KeyHash],
        some: impl Iterator<Item = usize>,
        bound: u32,
    ) -> Vec<(usize, u32)> {
        let some = some.map(|index| (index, hashes[index].0));
        let mut found = self.dedup_keys.get_all(some);
        if !found.is_empty() {
            let end = self.ordinal_at(bound);
            found.retain(|(_, ordinal)| *ordinal < end);
        }
        found
    }

    /// The offsets of records about the name of a stream before `bound`, newest first: some behind the newest `skipped`.
    pub(super) fn name_records(&self, hash: KeyHash, bound: u32, skipped: usize) -> Candidates {
        newest(&self.name_records, hash, bound, skipped)
    }

    /// The offsets of records about a checkpoint before `bound`, newest first: some behind the newest `skipped`.
    pub(super) fn checkpoint_records(
        &self,
        hash: KeyHash,
        bound: u32,
        skipped: usize,
    ) -> Candidates {
        newest(&self.checkpoint_records, hash, bound, skipped)
    }

    /// The entry of `stream` with that ordinal; none if the ordinal belongs to another stream.
    pub(super) fn spot(&self, stream: StreamNumber, ordinal: u32) -> Option<Spot> {
        let behind = self.runs.behind(ordinal);
        let run = self.runs.get(behind.checked_sub(1)?)?;
        (run.stream == stream).then(|| Spot {
            id: run.first_id + u64::from(ordinal - run.ordinal),
            position: self.position(self.offsets[ordinal as usize]),
            record: (ordinal == run.ordinal).then(|| self.position(run.record)),
        })
    }

    /// The newest entry of `stream` before `bound`.
    pub(super) fn newest_entry(&self, stream: StreamNumber, bound: u32) -> Option<Spot> {
        let end = self.ordinal_at(bound);
        let runs = self.runs_of(stream);
        let run = runs.back_before(|run| self.run_at(run).ordinal < end);
        let run = self.run({ run }.next()?, end);
        self.spot(stream, run.ordinals.end - 1)
    }

    /// The first id of `stream`; none if it has no entry here.
    pub(super) fn first_id(&self, stream: StreamNumber) -> Option<u64> {
        let run = self.runs_of(stream).iter().next()?;
        Some(self.run_at(run).first_id)
    }

    /// What was said about entries of `stream` before `bound`.
    pub(super) fn entry_changes(
        &self,
        stream: StreamNumber,
        ids: &Range<u64>,
        bound: u32,
        out: &mut Vec<(u64, ChangeKind, Position)>,
    ) {
        for kind in [ChangeKind::Mark, ChangeKind::Purge] {
            let rows = ChangeRow::range(stream, Topic::of(kind), ids.clone());
            let rows = self.changes.range(rows).filter(|row| row.offset < bound);
            out.extend(rows.map(|row| (row.id, kind, self.position(row.offset))));
        }
    }

    /// What was said last about `change` of `stream` before `bound`.
    pub(super) fn newest_change(
        &self,
        stream: StreamNumber,
        change: Change,
        bound: u32,
    ) -> Option<Position> {
        let (from, to) = (change.row(stream, 0), change.row(stream, bound));
        let mut rows = self.changes.range(from..to);
        Some(self.position(rows.next_back()?.offset))
    }

    /// The entries of `stream` in `window` that have an `expires_at`, before `bound`; always the oldest.
    pub(super) fn expiring(
        &self,
        stream: StreamNumber,
        window: &Window,
        bound: u32,
        out: &mut Vec<Spot>,
    ) {
        let end = self.ordinal_at(bound);
        let (start, end) = (
            self.ordinal_of(stream, window.ids.start, end),
            self.ordinal_of(stream, window.ids.end, end),
        );
        let from = self.expiring.partition_point(|ordinal| *ordinal < start);
        let to = self.expiring.partition_point(|ordinal| *ordinal < end);
        let ordinals = self.expiring[from..to.max(from)].iter();
        let spots = ordinals.filter_map(|ordinal| self.spot(stream, *ordinal));
        out.extend(spots.take(window.limit));
    }

    /// The frame that holds what is at `offset`.
    pub(super) fn frame(&self, offset: u32) -> Option<u32> {
        let behind = self.frames.partition_point(|frame| *frame <= offset);
        self.frames[..behind].last().copied()
    }

    pub(super) fn position(&self, offset: u32) -> Position {
        Position::new(self.origin.segment, offset)
    }
}

/// A run as far as it is visible.
#[derive(Debug)]
struct VisibleRun {
    first_id: u64,
    ordinals: Range<u32>,
    record: u32,
}

impl VisibleRun {
    fn ids(&self) -> Range<u64> {
        self.first_id..self.first_id + self.ordinals.len() as u64
    }
}

impl ActiveIndex {
    /// The runs of a stream, as indices into `runs`.
    pub(super) fn runs_of(&self, stream: StreamNumber) -> Posting<'_> {
        let is_it = |run: u32| self.run_at(run).stream == stream;
        self.runs_by_stream.get(stream_tag(stream), is_it)
    }

    /// The run with that index, and how many entries it has.
    pub(super) fn run_and_count(&self, index: u32) -> (Run, u32) {
        let run = self.run_at(index);
        let next = self.runs.get(index as usize + 1);
        let end = next.map_or(self.entries(), |next| next.ordinal);
        (run, end - run.ordinal)
    }

    fn run_at(&self, index: u32) -> Run {
        let run = self.runs.get(index as usize);
        run.expect("a run that is listed was pushed")
    }

    /// How many ordinals begin before the offset `bound`.
    fn ordinal_at(&self, bound: u32) -> u32 {
        match self.offsets.last() {
            Some(last) if *last >= bound => {
                self.offsets.partition_point(|offset| *offset < bound) as u32
            }
            _ => self.entries(),
        }
    }

    /// The ordinal of the first entry of `stream` with an id of at least `id`; `end` if there is none before that.
    fn ordinal_of(&self, stream: StreamNumber, id: u64, end: u32) -> u32 {
        let runs = self.runs_of(stream);
        let mut runs = runs.behind(|run| self.run(run, end).ids().end <= id);
        let Some(run) = runs.next().map(|run| self.run(run, end)) else {
            return end;
        };
        let before = id.saturating_sub(run.first_id) as u32;
        (run.ordinals.start + before).min(end)
    }

    /// The run with that index, up to the ordinal `end`.
    fn run(&self, index: u32, end: u32) -> VisibleRun {
        let (run, count) = self.run_and_count(index);
        let behind = run.ordinal + count;
        VisibleRun {
            first_id: run.first_id,
            ordinals: run.ordinal..behind.min(end).max(run.ordinal),
            record: run.record,
        }
    }

    /// Takes the entries in `window` out of `runs`.
    fn take(
        &self,
        runs: impl Iterator<Item = VisibleRun>,
        window: &Window,
        out: &mut Vec<Stretch>,
    ) {
        let mut left = window.limit as u64;
        for run in runs {
            let clipped = window.clip(run.ids(), left);
            if clipped.is_empty() {
                break;
            }
            left -= clipped.end - clipped.start;
            let before = (clipped.start - run.first_id) as u32;
            out.push(Stretch {
                id: clipped.start,
                count: (clipped.end - clipped.start) as u32,
                start: match before {
                    0 => Start::Record(self.position(run.record)),
                    _ => {
                        let ordinal = run.ordinals.start + before;
                        Start::Entry(self.position(self.offsets[ordinal as usize]))
                    }
                },
            });
        }
    }
}
