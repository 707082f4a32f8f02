//! Several processes on one file, and processes that are killed.

#![expect(clippy::unwrap_used, reason = "what helps tests is a test")]
#![cfg(unix)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use ledger_core::{Batch, Entry, NewEntry, Outcome, Payload, ReadOptions, Store};
use ledger_sqlite::SqliteStore;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    (directory, path)
}

fn runtime() -> Runtime {
    Runtime::new().unwrap()
}

async fn append(store: &SqliteStore, key: String) -> Outcome<u64> {
    let entry = NewEntry::new(Payload::json("{}")).dedup_key(key);
    let receipt = store.append(Batch::new("s", vec![entry])).await.unwrap();
    receipt.outcomes[0]
}

/// Reads the whole stream, and checks that its ids are dense and no key is there twice.
async fn sound_history(store: &SqliteStore) -> Vec<Entry<u64>> {
    let options = ReadOptions::new().limit(usize::MAX);
    let entries = store.read(&"s".into(), &options).await.unwrap().entries;
    assert!(
        entries
            .iter()
            .map(|entry| entry.id)
            .eq(1..=entries.len() as u64)
    );
    let keys: BTreeSet<_> = entries.iter().map(|entry| &entry.dedup_key).collect();
    assert_eq!(keys.len(), entries.len());
    entries
}

fn start(test: &str, part: impl ToString, path: &Path) -> Child {
    let mut command = support::play(&support::program(), test, part, path);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

#[test]
fn many_processes_append_at_once() {
    const PROCESSES: u64 = 4;
    const APPENDS: u64 = 150;
    if let Some((part, path)) = support::part() {
        return runtime().block_on(async {
            let store = SqliteStore::open(path).await.unwrap();
            for number in 0..APPENDS {
                let outcome = append(&store, format!("{part}-{number}")).await;
                assert!(!outcome.is_duplicate());
            }
        });
    }
    let (_directory, path) = place();
    let test = "many_processes_append_at_once";
    let children: Vec<_> = (0..PROCESSES)
        .map(|part| start(test, part, &path))
        .collect();
    for child in children {
        support::assert_played(&child.wait_with_output().unwrap());
    }
    runtime().block_on(async {
        let store = SqliteStore::open(path).await.unwrap();
        let entries = sound_history(&store).await;
        assert_eq!(entries.len() as u64, PROCESSES * APPENDS);
    });
}

#[test]
fn an_append_of_another_process_ends_a_wait() {
    if let Some((part, path)) = support::part() {
        return runtime().block_on(async {
            let store = SqliteStore::open(path).await.unwrap();
            append(&store, part).await;
        });
    }
    let (_directory, path) = place();
    runtime().block_on(async {
        let store = SqliteStore::open(&path).await.unwrap();
        append(&store, "first".into()).await;
        let waiting = store.clone();
        let wait = tokio::spawn(async move { waiting.wait(&"s".into(), Some(1)).await });
        tokio::task::yield_now().await;
        let child = start("an_append_of_another_process_ends_a_wait", "second", &path);
        wait.await.unwrap().unwrap();
        assert_eq!(sound_history(&store).await.len(), 2);
        support::assert_played(&child.wait_with_output().unwrap());
    });
}

/// Appends keys from `first` on, eight at a time, and says so of each, until it is killed.
async fn append_until_killed(path: PathBuf, first: u64) {
    const TASKS: u64 = 8;
    let store = SqliteStore::open(path).await.unwrap();
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let store = store.clone();
        tasks.spawn(async move {
            for key in (first + task..).step_by(TASKS as usize) {
                let id = append(&store, key.to_string()).await.id();
                let line = format!("appended {key} {id}\n");
                std::io::stdout().write_all(line.as_bytes()).unwrap();
            }
        });
    }
    tasks.join_next().await;
}

/// Takes down what a child says that it appended.
fn take_down(line: &str, appended: &mut BTreeMap<u64, u64>) {
    let Some(pair) = line.strip_prefix("appended ") else {
        return;
    };
    // The last line of a killed process may be cut short.
    let Some((key, id)) = pair
        .strip_suffix('\n')
        .and_then(|pair| pair.split_once(' '))
    else {
        return;
    };
    let (key, id) = (key.parse().unwrap(), id.parse().unwrap());
    let before = *appended.entry(key).or_insert(id);
    assert_eq!(before, id, "key {key} was appended twice");
}

#[test]
fn nothing_acknowledged_is_lost_when_processes_are_killed() {
    const KILLS: u64 = 8;
    const APPENDS: usize = 150;
    if let Some((part, path)) = support::part() {
        return runtime().block_on(append_until_killed(path, part.parse().unwrap()));
    }
    let (_directory, path) = place();
    let test = "nothing_acknowledged_is_lost_when_processes_are_killed";
    let mut appended = BTreeMap::new();
    for _ in 0..KILLS {
        // Some keys once more: the answers that were lost, and some that were not.
        let first = appended
            .keys()
            .max()
            .map_or(0, |last: &u64| last.saturating_sub(30));
        let wanted = appended.len() + APPENDS;
        let mut child = start(test, first, &path);
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while lines.read_line(&mut line).unwrap() > 0 {
            take_down(&line, &mut appended);
            line.clear();
            if appended.len() == wanted {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(appended.len() >= wanted, "the child ended by itself");
    }
    runtime().block_on(async {
        let store = SqliteStore::open(path).await.unwrap();
        let entries = sound_history(&store).await;
        for (key, id) in appended {
            let entry = &entries[id as usize - 1];
            assert_eq!(entry.dedup_key, Some(key.to_string()));
        }
    });
}
