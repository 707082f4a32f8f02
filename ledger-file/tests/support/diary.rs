//! A log whose contents follow from how long it is, so that whatever is left of it can be checked: a process keeps it
//! until it is stopped in some violent way, saying how far it has got, and another looks whether that is true.

use std::io::Write;
use std::ops::RangeInclusive;
use std::path::Path;

use ledger_core::{Batch, Durability, Entry, Error, NewEntry, Outcome, Payload, ReadOptions};
use ledger_file::{FileOptions, Log};

/// The stream whose entries are numbered.
const NUMBERS: &str = "numbers";
/// The stream that notes the last number of each commit, in the same commit.
const COMMITS: &str = "commits";
const CHECKPOINT: &str = "progress";
/// How many numbers are kept, roughly.
const KEPT: u64 = 400;

/// What a keeper says after each commit, followed by the last number in it.
pub(crate) const SAID: &str = "acknowledged ";

/// Small segments, so that there is much to be done besides appending.
pub(crate) fn options(durability: Durability) -> FileOptions {
    FileOptions::default()
        .with_durability(durability)
        .with_segment_bytes_max(16 << 10)
        .with_stage_bytes(8 << 10)
}

/// Keeps the diary at `path`, saying how far it has got, until something fails; answers what.
pub(crate) fn keep(path: &Path, options: FileOptions) -> Result<(), Error> {
    let log = Log::open(path, options)?;
    loop {
        let last = commit(&log)?;
        // Whoever listened is gone: so is the reason to go on.
        let line = format!("{SAID}{last}\n");
        if std::io::stdout().write_all(line.as_bytes()).is_err() {
            return Ok(());
        }
    }
}

/// Makes the next commit, and what belongs to it; answers its last number.
pub(crate) fn commit(log: &Log) -> Result<u64, Error> {
    let head = head(log, NUMBERS)?;
    let last = head + 1 + head % 5;
    let numbers = Batch::new(NUMBERS, (head + 1..=last).map(entry).collect());
    let noted = Batch::new(COMMITS, vec![NewEntry::new(octets(last))]);
    let receipts = log.append_many(vec![numbers, noted])?;
    assert!(receipts[0].ids().eq(head + 1..=last), "{receipts:?}");
    if last.is_multiple_of(7) {
        let known = log.load_checkpoint(&NUMBERS.into(), CHECKPOINT)?;
        let revision = known.map(|checkpoint| checkpoint.revision);
        let value = last.to_le_bytes();
        log.save_checkpoint(&NUMBERS.into(), CHECKPOINT, &value, revision)?;
    }
    if last.is_multiple_of(13) {
        log.trim(&NUMBERS.into(), last.saturating_sub(KEPT))?;
        let commits = self::head(log, COMMITS)?;
        log.trim(&COMMITS.into(), commits.saturating_sub(KEPT))?;
    }
    Ok(last)
}

/// Makes the next `count` commits.
pub(crate) fn commit_often(log: &Log, count: usize) {
    for _ in 0..count {
        commit(log).unwrap();
    }
}

/// Checks that `log` holds what a diary of its length holds, and all that was acknowledged; answers its last number.
pub(crate) fn check(log: &Log, acknowledged: u64) -> u64 {
    let stat = log.stat(&NUMBERS.into()).unwrap();
    let head = stat.head.unwrap_or(0);
    assert!(
        head >= acknowledged,
        "{acknowledged} is lost, the last is {head}"
    );
    let first = stat.first.unwrap_or(head + 1);
    assert!(first == 1 || first <= head + 1 - KEPT.min(head));
    check_numbers(log, first..=head);
    check_commits(log, head);
    check_progress(log, head);
    check_keys(log, head);
    head
}

fn check_numbers(log: &Log, numbers: RangeInclusive<u64>) {
    let options = ReadOptions::new().limit(usize::MAX >> 1);
    let entries = log.read(&NUMBERS.into(), &options).unwrap().entries;
    assert!(entries.iter().map(|entry| entry.id).eq(numbers));
    entries.iter().for_each(check_number);
}

fn check_number(found: &Entry<u64>) {
    let expected = entry(found.id);
    assert_eq!(found.value, expected.value, "{}", found.id);
    assert_eq!(found.order_key, expected.order_key);
    assert_eq!(found.dedup_key, expected.dedup_key);
}

/// The two streams of each commit are there together.
fn check_commits(log: &Log, head: u64) {
    let options = ReadOptions::new().descending().limit(1);
    let newest = log.read(&COMMITS.into(), &options).unwrap().entries;
    let noted = newest.first().map_or(0, |entry| number(&entry.value.bytes));
    assert_eq!(noted, head, "half of a commit");
}

fn check_progress(log: &Log, head: u64) {
    let found = log.load_checkpoint(&NUMBERS.into(), CHECKPOINT).unwrap();
    let progress = found.map_or(0, |checkpoint| number(&checkpoint.value));
    assert!(progress <= head && progress.is_multiple_of(7));
}

/// The newest numbers are known by their keys: appending them again gives their ids.
fn check_keys(log: &Log, head: u64) {
    let newest = head.saturating_sub(20).max(1)..=head;
    let again: Vec<_> = newest.clone().map(entry).collect();
    let receipt = log.append(Batch::new(NUMBERS, again)).unwrap();
    let known = newest.map(Outcome::Duplicate);
    assert!(receipt.outcomes.into_iter().eq(known));
}

fn head(log: &Log, stream: &str) -> Result<u64, Error> {
    Ok(log.stat(&stream.into())?.head.unwrap_or(0))
}

fn entry(number: u64) -> NewEntry {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(8 + (number * 31 % 150) as usize, number as u8);
    NewEntry::new(Payload::octets(bytes))
        .order_key(format!("key-{}", number % 7))
        .dedup_key(number.to_string())
}

fn octets(number: u64) -> Payload {
    Payload::octets(number.to_le_bytes().to_vec())
}

fn number(bytes: &[u8]) -> u64 {
    let first: [u8; 8] = bytes[..8].try_into().expect("eight bytes");
    u64::from_le_bytes(first)
}
