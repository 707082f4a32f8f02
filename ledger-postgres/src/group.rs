//! Group commit: appends to a stream that arrive while one is being committed are committed as one.
//!
//! Each stream with appends under way has a lane: a queue, and the work of committing what is in it, again and again,
//! until it is empty. Each append keeps its own outcome. The work belongs to no caller: one who stops waiting stops nothing.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledger_core::{Batch, Clock, Result, StreamName, Timestamp};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::append::{Bond, Call, Outcomes};
use crate::database::{Database, Entered};
use crate::error::Failure;
use crate::plain::Plain;
use crate::relay::Relay;
use crate::sql::Sql;

/// A group ends with the entry, or with the byte of payload, that goes beyond this.
const GROUP_ENTRIES_MAX: usize = 2_000;
const GROUP_BYTES_MAX: usize = 4 << 20;

/// How often a lane lets other tasks run to see whether those who were just answered come back with more.
const TURNS_MAX: u32 = 16;

/// The lanes of all streams.
pub(crate) struct Groups {
    database: Database,
    sql: Arc<Sql>,
    plain: Plain,
    clock: Option<Arc<dyn Clock>>,
    lanes: Mutex<Lanes>,
}

type Lanes = HashMap<StreamName, Queue>;

/// What waits in a lane.
struct Queue {
    pending: VecDeque<Pending>,
    /// The work of the lane.
    work: Arc<Relay>,
}

/// An append that waits for its answer.
struct Pending {
    batch: Batch<u64>,
    answer: oneshot::Sender<Result<Outcomes>>,
    entered: Entered,
}

impl Groups {
    pub(crate) fn new(
        database: Database,
        sql: Arc<Sql>,
        clock: Option<Arc<dyn Clock>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            database,
            sql,
            plain: Plain::default(),
            clock,
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
        let leader = self.join(Pending {
            batch,
            answer,
            entered,
        });
        if let Some(leader) = leader {
            // The answer is not awaited meanwhile: a leader who answers himself would wake himself, for nothing.
            poll_fn(|context| leader.work.poll(context)).await;
        }
        let answer = answered.await;
        answer.unwrap_or_else(|lost| Err(self.database.place.outcome_unknown(lost)))
    }

    /// Queues in the lane of the stream, or opens one and leads it.
    ///
    /// A leader does the work of the lane himself, until a second append comes: then the lane gets its task.
    fn join(self: &Arc<Self>, pending: Pending) -> Option<Leader> {
        let mut lanes = self.lock();
        let Some(queue) = lanes.get_mut(&pending.batch.stream) else {
            return Some(self.open(&mut lanes, pending));
        };
        queue.pending.push_back(pending);
        let work = Arc::clone(&queue.work);
        drop(lanes);
        work.hand_over(&Handle::current());
        None
    }

    fn open(self: &Arc<Self>, lanes: &mut Lanes, pending: Pending) -> Leader {
        let stream = pending.batch.stream.clone();
        let lane = Lane {
            groups: Arc::clone(self),
            stream: stream.clone(),
            last_group: 1,
            is_over: false,
        };
        let work = Arc::new(Relay::new(lane.run()));
        let queue = Queue {
            pending: VecDeque::from([pending]),
            work: Arc::clone(&work),
        };
        lanes.insert(stream, queue);
        Leader {
            work,
            runtime: Handle::current(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Option<Timestamp> {
        self.clock.as_ref().map(|clock| clock.now())
    }

    async fn commit(&self, group: Vec<Pending>) {
        let (batches, waiting): (Vec<_>, Vec<_>) = group
            .into_iter()
            .map(|it| (it.batch, (it.answer, it.entered)))
            .unzip();
        let call = Call {
            batches,
            bond: Bond::Separate,
        };
        let answers = self.answers(call).await;
        for ((answer, _entered), outcomes) in waiting.into_iter().zip(answers) {
            // Whoever does not listen any more did not want to know.
            let _ = answer.send(outcomes);
        }
    }

    async fn answers(&self, call: Call) -> Vec<Result<Outcomes>> {
        match self.try_call(&call).await {
            Ok(answers) => answers,
            Err(failure) if failure.is_refusal() && call.batches.len() > 1 => {
                self.one_by_one(call).await
            }
            Err(failure) => self.fail_all(call.batches.len(), failure),
        }
    }

    /// What was wrong with one must not fail its neighbours.
    async fn one_by_one(&self, call: Call) -> Vec<Result<Outcomes>> {
        let mut answers = Vec::new();
        for batch in call.batches {
            let single = Call {
                batches: vec![batch],
                bond: Bond::Separate,
            };
            match self.try_call(&single).await {
                Ok(answer) => answers.extend(answer),
                Err(failure) => answers.push(Err(self.database.place.write_error(failure))),
            }
        }
        answers
    }

    async fn try_call(&self, call: &Call) -> Result<Vec<Result<Outcomes>>, Failure> {
        let plain = self
            .plain
            .append(call, &self.database, &self.sql, self.now());
        if let Some(outcome) = plain.await? {
            return Ok(vec![outcome.map(|outcome| vec![outcome])]);
        }
        let arguments = || call.arguments(self.now());
        let row = self
            .database
            .change_here(call.statement(&self.sql), arguments)
            .await?;
        let answers = call.answers(&row, &self.database.place);
        Ok(answers.unwrap_or_else(|error| {
            let reason = error.to_string();
            let damage = || Err(self.database.place.damage(reason.clone()));
            call.batches.iter().map(|_| damage()).collect()
        }))
    }

    /// All of them share one failure.
    fn fail_all(&self, count: usize, failure: Failure) -> Vec<Result<Outcomes>> {
        (0..count)
            .map(|_| Err(self.database.place.write_error(failure.clone())))
            .collect()
    }
}

/// The caller who opened a lane.
struct Leader {
    work: Arc<Relay>,
    runtime: Handle,
}

/// A leader who stops waiting leaves what is not finished to a task.
impl Drop for Leader {
    fn drop(&mut self) {
        self.work.hand_over(&self.runtime);
    }
}

/// The work of one stream.
struct Lane {
    groups: Arc<Groups>,
    stream: StreamName,
    /// How many appends the last group had, and are probably soon to come back.
    last_group: usize,
    /// Whether its queue is gone; there may be another lane of this stream by now.
    is_over: bool,
}

impl Lane {
    async fn run(mut self) {
        loop {
            // A leader who is alone is answered and gone without another wait.
            if self.last_group > 1 {
                self.gather().await;
            }
            let group = self.next_group();
            if group.is_empty() {
                return;
            }
            self.last_group = group.len();
            self.groups.commit(group).await;
        }
    }

    /// Gives those who were answered the time to come back, but waits for nothing.
    async fn gather(&self) {
        for _ in 0..TURNS_MAX {
            let queued = self.queued();
            if queued >= self.last_group {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    fn queued(&self) -> usize {
        self.groups
            .lock()
            .get(&self.stream)
            .map_or(0, |queue| queue.pending.len())
    }

    /// Takes the next group from the queue; if that is empty, the lane ends.
    fn next_group(&mut self) -> Vec<Pending> {
        let mut lanes = self.groups.lock();
        let Some(queue) = lanes.get_mut(&self.stream) else {
            return Vec::new();
        };
        let group = take_group(&mut queue.pending);
        if group.is_empty() {
            lanes.remove(&self.stream);
            self.is_over = true;
        }
        group
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

fn take_group(queue: &mut VecDeque<Pending>) -> Vec<Pending> {
    let (mut entries, mut bytes) = (0, 0);
    let mut group = Vec::new();
    while let Some(pending) = queue.front() {
        entries += pending.batch.entries.len();
        bytes += pending
            .batch
            .entries
            .iter()
            .map(|entry| entry.value.bytes.len())
            .sum::<usize>();
        let is_too_much = entries > GROUP_ENTRIES_MAX || bytes > GROUP_BYTES_MAX;
        if is_too_much && !group.is_empty() {
            break;
        }
        group.extend(queue.pop_front());
    }
    group
}
