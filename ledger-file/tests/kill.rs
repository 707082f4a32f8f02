//! A process that is killed at any moment loses nothing that it has acknowledged, whatever durability it promised.

#![expect(clippy::unwrap_used, reason = "what helps tests is a test")]

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{ChildStdout, Stdio};
use std::time::Duration;

use ledger_core::Durability;
use ledger_file::Log;
use support::diary;

/// How often each durability's process is killed: together, a thousand times.
const KILLS: u64 = 334;

/// Kills a keeper of the diary at `path` once it has acknowledged `commits`; answers the last number it acknowledged.
fn kill_after(commits: u64, test: &str, path: &Path) -> u64 {
    let mut command = support::play(test, "keep", path);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut last = 0;
    for _ in 0..commits {
        last = listen(&mut said).unwrap_or(last);
    }
    child.kill().unwrap();
    while let Some(number) = listen(&mut said) {
        last = number;
    }
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && output.status.code().is_none(),
        "{errors}"
    );
    last
}

/// The number of the next acknowledgement; none at the end. The last line of a killed process may be cut short.
fn listen(said: &mut BufReader<ChildStdout>) -> Option<u64> {
    let mut line = String::new();
    while said.read_line(&mut line).unwrap() > 0 {
        let number = line.strip_prefix(diary::SAID);
        if let Some(number) = number.and_then(|number| number.strip_suffix('\n')) {
            return Some(number.parse().unwrap());
        }
        line.clear();
    }
    None
}

fn nothing_is_lost(test: &str, durability: Durability) {
    if let Some((_, path)) = support::part() {
        diary::keep(&path, diary::options(durability)).unwrap();
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("log");
    let mut acknowledged = 0;
    for round in 0..KILLS {
        // From none at all, when it is killed while opening, to some segments full.
        let commits = (round * round * 7) % 60;
        acknowledged = kill_after(commits, test, &path).max(acknowledged);
        let log = Log::open(&path, diary::options(durability)).unwrap();
        acknowledged = diary::check(&log, acknowledged);
        // Every other time its end is left to the next keeper as it is, and is not a clean one.
        if round.is_multiple_of(2) {
            log.close().unwrap();
        }
    }
    assert!(acknowledged > KILLS, "the keepers did keep a diary");
}

#[test]
fn a_killed_process_loses_nothing_that_it_synced() {
    nothing_is_lost(
        "a_killed_process_loses_nothing_that_it_synced",
        Durability::Sync,
    );
}

#[test]
fn a_killed_process_loses_nothing_that_it_staged() {
    nothing_is_lost(
        "a_killed_process_loses_nothing_that_it_staged",
        Durability::Process,
    );
}

#[test]
fn a_killed_process_loses_nothing_between_two_syncs() {
    nothing_is_lost(
        "a_killed_process_loses_nothing_between_two_syncs",
        Durability::Interval(Duration::from_millis(3)),
    );
}
