//! The crew: several processes of workers, and all that they say.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;
use std::{env, mem};

use futures_util::TryStreamExt;
use ledger_core::SharedStore;

use super::hot;
use super::verdict::{Found, Verdict};
use super::word::{Order, Word};
use super::worker::NUMBER;

/// A crew that says nothing for this long hangs.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Processes of workers. They are killed when it is dropped.
#[derive(Debug)]
pub struct Crew {
    processes: Vec<Process>,
    /// What is heard from which process; none when it has said its last word.
    words: Receiver<(usize, Option<Word>)>,
    acknowledged: Vec<Found>,
    unknown: usize,
}

impl Crew {
    /// Starts processes of this very program that run the test called `test` and no other, with `variables` added to
    /// their environment. There the test must hand its store to a [`Worker`](super::Worker).
    ///
    /// # Panics
    /// If they cannot be started.
    pub fn start(test: &str, processes: usize, variables: &[(&str, &str)]) -> Self {
        let (words, heard) = mpsc::channel();
        let start = |number| Process::start(number, test, variables, words.clone());
        Self {
            processes: (0..processes).map(start).collect(),
            words: heard,
            acknowledged: Vec::new(),
            unknown: 0,
        }
    }

    /// Waits until this many more entries have been acknowledged, not counting what was said already.
    ///
    /// # Panics
    /// If a worker fails, or all fall silent for a minute.
    pub fn wait_for(&mut self, acknowledgements: usize) {
        while let Ok(heard) = self.words.try_recv() {
            self.note(heard);
        }
        let enough = self.acknowledged.len() + acknowledgements;
        while self.acknowledged.len() < enough {
            self.hear();
        }
    }

    /// Lets the writers end and the readers catch up, and judges by what `store` holds then.
    ///
    /// # Panics
    /// If a worker fails, or all fall silent for a minute, or the store cannot be read.
    pub async fn finish(mut self, store: impl Into<SharedStore<u64>>) -> Verdict {
        self.order(Order::Stop);
        self.hear_until(|process| process.has_written);
        let stored = stored(store.into()).await;
        self.order(Order::ReadTo(stored.last().map_or(0, |(id, _)| *id)));
        self.hear_until(|process| process.has_ended);
        let seen = self
            .processes
            .iter_mut()
            .map(|process| mem::take(&mut process.seen));
        let seen = seen.collect::<Vec<_>>();
        let verdict = Verdict::new(&stored, &self.acknowledged, &seen);
        Verdict {
            unknown: self.unknown,
            ..verdict
        }
    }

    fn order(&mut self, order: Order) {
        for process in &mut self.processes {
            process.order(order);
        }
    }

    fn hear_until(&mut self, done: impl Fn(&Process) -> bool) {
        while !self.processes.iter().all(&done) {
            self.hear();
        }
    }

    fn hear(&mut self) {
        let heard = self.words.recv_timeout(SILENCE_MAX);
        self.note(heard.expect("somebody has something to say"));
    }

    fn note(&mut self, (number, word): (usize, Option<Word>)) {
        let process = &mut self.processes[number];
        match word {
            Some(Word::Acknowledged { key, id }) => self.acknowledged.push((id, key)),
            Some(Word::Seen { key, id }) => process.seen.push((id, key)),
            Some(Word::Unknown) => self.unknown += 1,
            Some(Word::Written) => process.has_written = true,
            None => process.end(),
        }
    }
}

async fn stored(store: SharedStore<u64>) -> Vec<Found> {
    let entries = hot(store).read().limit(1_000).walk();
    let found = entries
        .map_ok(|entry| (entry.id, entry.value))
        .try_collect();
    found.await.expect("what is stored can be read")
}

/// A process that runs a worker, and where it is.
#[derive(Debug)]
struct Process {
    child: Child,
    orders: ChildStdin,
    seen: Vec<Found>,
    has_written: bool,
    has_ended: bool,
}

impl Process {
    fn start(
        number: usize,
        test: &str,
        variables: &[(&str, &str)],
        words: Sender<(usize, Option<Word>)>,
    ) -> Self {
        let mut child = command(test, number, variables)
            .spawn()
            .expect("this program starts once more");
        let orders = child.stdin.take().expect("its input is a pipe");
        let said = child.stdout.take().expect("its output is a pipe");
        thread::spawn(move || listen(said, |word| words.send((number, word)).is_ok()));
        Self {
            child,
            orders,
            seen: Vec::new(),
            has_written: false,
            has_ended: false,
        }
    }

    fn order(&mut self, order: Order) {
        writeln!(self.orders, "{order}").expect("the worker listens");
    }

    /// Notes that the worker has said its last word.
    fn end(&mut self) {
        let status = self.child.wait().expect("the worker can be waited for");
        assert!(
            status.success() && self.has_written,
            "a worker failed: {status}"
        );
        self.has_ended = true;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended already cannot be killed, and need not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(test: &str, number: usize, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env::current_exe().expect("this program has a path"));
    command
        .args(["--exact", test, "--nocapture"])
        .env(NUMBER, number.to_string());
    command
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// Hands on every word of a worker, and that there are no more, for as long as somebody wants them.
fn listen(said: ChildStdout, hand_on: impl Fn(Option<Word>) -> bool) {
    let lines = BufReader::new(said).lines().map_while(Result::ok);
    let words = lines.filter_map(|line| line.parse().ok());
    for word in words.map(Some).chain([None]) {
        if !hand_on(word) {
            return;
        }
    }
}
