//! Group commit: appends to a stream that arrive while one is being committed are committed as one.
//!
//! Each stream with appends under way has a lane: a queue, and a task that commits what is in it, again and again, until
//! it is empty. Each append keeps its own outcome. The task belongs to no caller: one who stops waiting stops nothing.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledger_core::{Batch, Result, StreamName};
use tokio::sync::oneshot;

use crate::append::{Append, Bond, Outcomes, Trust};
use crate::database::{Database, Entered};
use crate::error::Failure;
use crate::options::Indexes;
use crate::transaction;

/// A group ends with the entry, or with the byte of payload, that goes beyond this.
const GROUP_ENTRIES_MAX: usize = 2_000;
const GROUP_BYTES_MAX: usize = 4 << 20;

/// How often a lane lets other tasks run to see whether those who were just answered come back with more.
const TURNS_MAX: u32 = 16;

/// The lanes of all streams.
pub(crate) struct Groups {
    database: Database,
    indexes: Indexes,
    lanes: Mutex<HashMap<StreamName, VecDeque<Pending>>>,
}

/// An append that waits for its answer.
struct Pending {
    batch: Batch<u64>,
    answer: oneshot::Sender<Result<Outcomes>>,
    entered: Entered,
}

impl Groups {
    pub(crate) fn new(database: Database, indexes: Indexes) -> Arc<Self> {
        Arc::new(Self {
            database,
            indexes,
            lanes: Mutex::default(),
        })
    }

    /// Appends a batch that is not empty.
    pub(crate) async fn append(
        self: &Arc<Self>,
        batch: Batch<u64>,
        entered: Entered,
    ) -> Result<Outcomes> {
        let (answer, answered) = oneshot::channel();
        self.join(Pending {
            batch,
            answer,
            entered,
        });
        let answer = answered.await;
        answer.unwrap_or_else(|lost| Err(self.database.place.outcome_unknown(lost)))
    }

    /// Queues in the lane of the stream, or opens one.
    fn join(self: &Arc<Self>, pending: Pending) {
        let stream = pending.batch.stream.clone();
        let mut lanes = self.lock();
        if let Some(queue) = lanes.get_mut(&stream) {
            return queue.push_back(pending);
        }
        lanes.insert(stream.clone(), VecDeque::from([pending]));
        drop(lanes);
        let lane = Lane {
            groups: Arc::clone(self),
            stream,
            last_group: 1,
            trust: Trust::New,
            is_over: false,
        };
        tokio::spawn(lane.run());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamName, VecDeque<Pending>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The work of one stream.
struct Lane {
    groups: Arc<Groups>,
    stream: StreamName,
    /// How many appends the last group had, and are probably soon to come back.
    last_group: usize,
    /// Where one duplicate was, there are often more.
    trust: Trust,
    /// Whether its queue is gone; there may be another lane of this stream by now.
    is_over: bool,
}

impl Lane {
    async fn run(mut self) {
        loop {
            self.gather().await;
            let group = self.next_group();
            if group.is_empty() {
                return;
            }
            self.last_group = group.len();
            self.commit(group).await;
        }
    }

    /// Gives those who were answered the time to come back, but waits for nothing.
    async fn gather(&self) {
        for _ in 0..TURNS_MAX {
            let queued = self
                .groups
                .lock()
                .get(&self.stream)
                .map_or(0, VecDeque::len);
            if queued >= self.last_group {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Takes the next group from the queue; if that is empty, the lane ends.
    fn next_group(&mut self) -> Vec<Pending> {
        let mut lanes = self.groups.lock();
        let group = lanes
            .get_mut(&self.stream)
            .map_or_else(Vec::new, take_group);
        if group.is_empty() {
            lanes.remove(&self.stream);
            self.is_over = true;
        }
        group
    }

    async fn commit(&mut self, group: Vec<Pending>) {
        let (batches, waiting): (Vec<_>, Vec<_>) = group
            .into_iter()
            .map(|it| (it.batch, (it.answer, it.entered)))
            .unzip();
        let answers = self.answers(batches).await;
        self.trust = if answers.iter().any(has_duplicates) {
            Trust::LookUp
        } else {
            Trust::New
        };
        for ((answer, _entered), outcomes) in waiting.into_iter().zip(answers) {
            // Whoever does not listen any more did not want to know.
            let _ = answer.send(outcomes);
        }
    }

    async fn answers(&self, batches: Vec<Batch<u64>>) -> Vec<Result<Outcomes>> {
        let mut append = Append::new(batches, Bond::Separate, self.trust, self.groups.indexes);
        match transaction::run(&self.groups.database, &mut append).await {
            Ok(answers) => answers,
            Err(failure) if failure.is_refusal() && append.batches().len() > 1 => {
                self.one_by_one(append.into_batches()).await
            }
            Err(failure) => self.fail_all(append.batches().len(), &failure),
        }
    }

    /// What was wrong with one must not fail its neighbours.
    async fn one_by_one(&self, batches: Vec<Batch<u64>>) -> Vec<Result<Outcomes>> {
        let mut answers = Vec::new();
        for batch in batches {
            let mut append =
                Append::new(vec![batch], Bond::Separate, self.trust, self.groups.indexes);
            match transaction::run(&self.groups.database, &mut append).await {
                Ok(answer) => answers.extend(answer),
                Err(failure) => answers.push(Err(self.groups.database.place.error(failure))),
            }
        }
        answers
    }

    /// All of them share one failure.
    fn fail_all(&self, count: usize, failure: &Failure) -> Vec<Result<Outcomes>> {
        let error = || Err(self.groups.database.place.error(failure.clone()));
        (0..count).map(|_| error()).collect()
    }
}

/// A lane whose runtime ends takes its queue along, so that those in it learn that nobody will answer.
impl Drop for Lane {
    fn drop(&mut self) {
        if !self.is_over {
            let abandoned = self.groups.lock().remove(&self.stream);
            drop(abandoned);
        }
    }
}

fn has_duplicates(answer: &Result<Outcomes>) -> bool {
    let outcomes = answer.as_ref().map_or(&[][..], Vec::as_slice);
    outcomes.iter().any(|outcome| outcome.is_duplicate())
}

fn take_group(queue: &mut VecDeque<Pending>) -> Vec<Pending> {
    let (mut entries, mut bytes) = (0, 0);
    let mut group = Vec::new();
    while let Some(pending) = queue.front() {
        entries += pending.batch.entries.len();
        let payloads = pending
            .batch
            .entries
            .iter()
            .map(|entry| entry.value.bytes.len());
        bytes += payloads.sum::<usize>();
        let is_too_much = entries > GROUP_ENTRIES_MAX || bytes > GROUP_BYTES_MAX;
        if is_too_much && !group.is_empty() {
            break;
        }
        group.extend(queue.pop_front());
    }
    group
}
