//! The crew: several processes of workers, and all that they say.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, mem};

use futures_util::TryStreamExt;
use ledger_core::SharedStore;

use super::hot;
use super::verdict::{Found, Seen, Verdict};
use super::word::{Order, Word};
use super::worker::NUMBER;

/// A crew that is waited for, and gets no further for this long, hangs. Faults that pass may hold up everybody for much
/// of a minute: half of one was seen with MongoDB, whose servers go on waiting for a frozen one that they copy from.
const STANDSTILL_MAX: Duration = Duration::from_secs(180);

/// How many of the last errors a crew that hangs is quoted with.
const QUOTED_ERRORS: usize = 20;

/// Processes of workers. They are killed when it is dropped.
#[derive(Debug)]
pub struct Crew {
    job: Job,
    /// Those that were killed included.
    processes: Vec<Process>,
    words: Receiver<Heard>,
    acknowledged: Vec<Found>,
    /// When an entry was last acknowledged, or the crew began.
    last_acknowledged: Instant,
    longest_pause: Duration,
    unknown: usize,
    /// The last errors.
    excused: VecDeque<String>,
}

/// A word of a process.
#[derive(Debug)]
struct Heard {
    number: usize,
    at: Instant,
    /// None when the process has said its last word.
    word: Option<Word>,
}

impl Crew {
    /// Starts processes of this very program that run the test called `test` and no other, with `variables` added to
    /// their environment. There the test must hand its store to a [`Worker`](super::Worker).
    ///
    /// # Panics
    /// If they cannot be started.
    pub fn start(test: &str, processes: usize, variables: &[(&str, &str)]) -> Self {
        let (told, words) = mpsc::channel();
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        let job = Job {
            test: test.into(),
            variables: variables.collect(),
            told,
        };
        Self {
            processes: (0..processes)
                .map(|number| Process::start(number, &job))
                .collect(),
            job,
            words,
            acknowledged: Vec::new(),
            last_acknowledged: Instant::now(),
            longest_pause: Duration::ZERO,
            unknown: 0,
            excused: VecDeque::new(),
        }
    }

    /// Kills a process as `kill -9` does, in the midst of its appends, and starts another one in its place.
    ///
    /// # Panics
    /// If it has failed before, or the other one cannot be started.
    pub fn replace_one(&mut self) {
        let alive = self.processes.iter_mut().find(|process| !process.is_killed);
        alive
            .expect("every process that was killed got a successor")
            .kill();
        self.processes
            .push(Process::start(self.processes.len(), &self.job));
    }

    /// Waits until this many more entries have been acknowledged, not counting what was said already.
    ///
    /// # Panics
    /// If a worker fails, or none gets any further for three minutes.
    pub fn wait_for(&mut self, acknowledgements: usize) {
        while let Ok(heard) = self.words.try_recv() {
            self.note(heard);
        }
        let enough = self.acknowledged.len() + acknowledgements;
        self.hear_until(|crew| crew.acknowledged.len() >= enough);
    }

    /// Lets the writers end and the readers catch up, and judges by what `store` holds then.
    ///
    /// # Panics
    /// If a worker fails, or none gets any further for three minutes, or the store cannot be read.
    pub async fn finish(mut self, store: impl Into<SharedStore<u64>>) -> Verdict {
        self.order(Order::Stop);
        self.hear_until(|crew| crew.are_all(|it| it.has_written || it.is_killed));
        let stored = stored(store.into()).await;
        self.order(Order::ReadTo(stored.last().map_or(0, |(id, _)| *id)));
        self.hear_until(|crew| crew.are_all(|it| it.has_ended));
        let readers = self.readers();
        let verdict = Verdict::new(&stored, &self.acknowledged, &readers);
        Verdict {
            unknown: self.unknown,
            longest_pause: self.longest_pause,
            ..verdict
        }
    }

    /// What each reader saw. One that was killed is not blamed for what it saw no more.
    fn readers(&mut self) -> Vec<Seen> {
        let seen = |process: &mut Process| Seen {
            entries: mem::take(&mut process.seen),
            is_cut_short: process.is_killed,
        };
        self.processes.iter_mut().map(seen).collect()
    }

    fn order(&mut self, order: Order) {
        for process in self
            .processes
            .iter_mut()
            .filter(|process| !process.is_killed)
        {
            process.order(order);
        }
    }

    fn are_all(&self, done: impl Fn(&Process) -> bool) -> bool {
        self.processes.iter().all(done)
    }

    fn hear_until(&mut self, done: impl Fn(&Self) -> bool) {
        let mut moved = Instant::now();
        while !done(self) {
            let left = STANDSTILL_MAX.saturating_sub(moved.elapsed());
            let Ok(heard) = self.words.recv_timeout(left) else {
                panic!("the crew gets no further: {:#?}", self.excused);
            };
            if heard.is_progress() {
                moved = Instant::now();
            }
            self.note(heard);
        }
    }

    fn note(&mut self, Heard { number, at, word }: Heard) {
        let process = &mut self.processes[number];
        match word {
            Some(Word::Acknowledged { key, id }) => {
                let pause = at.saturating_duration_since(self.last_acknowledged);
                self.longest_pause = self.longest_pause.max(pause);
                self.last_acknowledged = at;
                self.acknowledged.push((id, key));
            }
            Some(Word::Seen { key, id }) => process.seen.push((id, key)),
            Some(Word::Unknown) => self.unknown += 1,
            Some(Word::Excused(error)) => {
                self.excused.truncate(QUOTED_ERRORS - 1);
                let pause = at.saturating_duration_since(self.last_acknowledged);
                self.excused
                    .push_front(format!("process {number}, after {pause:.1?}: {error}"));
            }
            Some(Word::Written) => process.has_written = true,
            None => process.end(),
        }
    }
}

impl Heard {
    /// Whether more is done than before, and not only tried.
    fn is_progress(&self) -> bool {
        !matches!(self.word, Some(Word::Unknown | Word::Excused(_)))
    }
}

async fn stored(store: SharedStore<u64>) -> Vec<Found> {
    let entries = hot(store).read().limit(1_000).walk();
    let found = entries
        .map_ok(|entry| (entry.id, entry.value))
        .try_collect();
    found.await.expect("what is stored can be read")
}

/// What every process is started for.
#[derive(Debug)]
struct Job {
    test: String,
    variables: Vec<(String, String)>,
    /// Where its words go.
    told: Sender<Heard>,
}

impl Job {
    fn command(&self, number: usize) -> Command {
        let mut command = Command::new(env::current_exe().expect("this program has a path"));
        command.args(["--exact", &self.test, "--nocapture"]);
        command
            .env(NUMBER, number.to_string())
            .envs(self.variables.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }
}

/// A process that runs a worker, and where it is.
#[derive(Debug)]
struct Process {
    child: Child,
    orders: ChildStdin,
    seen: Vec<Found>,
    has_written: bool,
    has_ended: bool,
    is_killed: bool,
}

impl Process {
    fn start(number: usize, job: &Job) -> Self {
        let mut child = job
            .command(number)
            .spawn()
            .expect("this program starts once more");
        let orders = child.stdin.take().expect("its input is a pipe");
        let said = child.stdout.take().expect("its output is a pipe");
        let words = job.told.clone();
        let hand_on = move |word| {
            let at = Instant::now();
            words.send(Heard { number, at, word }).is_ok()
        };
        thread::spawn(move || listen(said, hand_on));
        Self {
            child,
            orders,
            seen: Vec::new(),
            has_written: false,
            has_ended: false,
            is_killed: false,
        }
    }

    fn kill(&mut self) {
        self.is_killed = true;
        self.child.kill().expect("the worker can be killed");
    }

    fn order(&mut self, order: Order) {
        writeln!(self.orders, "{order}").expect("the worker listens");
    }

    /// Notes that the worker has said its last word.
    fn end(&mut self) {
        let status = self.child.wait().expect("the worker can be waited for");
        let is_good = self.is_killed || status.success() && self.has_written;
        assert!(is_good, "a worker failed: {status}");
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
