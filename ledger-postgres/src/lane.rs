//! The work of one stream: which appends go together, and when.
//!
//! Few go all at once: those who were just answered are given the time to come back first. Many go in halves that take
//! turns. When one half is committed the other one is sent at once, and only then is the first one answered: so the
//! server has work while the callers prepare their next appends, and they have time while the server works. What is sent
//! of a half is made while the other one is under way.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::mem::take;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::future::{Either, select};
use ledger_core::{Result, StreamName};

use crate::append::Outcomes;
use crate::commit::{Answered, Group, Pending};
use crate::group::Groups;
use crate::relay::Relay;

/// A group ends with the entry, or with the byte of payload, that goes beyond this.
const GROUP_ENTRIES_MAX: usize = 2_000;
const GROUP_BYTES_MAX: usize = 4 << 20;

/// So many appends go in halves. Of fewer, what each group costs beside its entries weighs more.
const HALVES_MIN: usize = 100;

/// One half is not answered before the other one is sent, if at least one in so many of all is there to be sent.
const PARTS_MAX: usize = 8;

/// How often a lane lets other tasks run to see whether those who were just answered come back with more.
const TURNS_MAX: u32 = 16;

/// What waits in a lane.
pub(crate) struct Queue {
    pending: VecDeque<Pending>,
    /// The work of the lane.
    pub(crate) work: Arc<Relay>,
    /// Who is to be woken when there are so many.
    watcher: Option<(usize, Waker)>,
}

impl Queue {
    pub(crate) fn new(first: Pending, work: Arc<Relay>) -> Self {
        Self {
            pending: VecDeque::from([first]),
            work,
            watcher: None,
        }
    }

    /// Queues, and answers whom to wake.
    pub(crate) fn push(&mut self, pending: Pending) -> Option<Waker> {
        self.pending.push_back(pending);
        let count = self.pending.len();
        let (_, waker) = self.watcher.take_if(|(enough, _)| count >= *enough)?;
        Some(waker)
    }
}

/// The work of one stream.
pub(crate) struct Lane {
    groups: Arc<Groups>,
    stream: StreamName,
    /// How many appends there were when the last group was taken, those before it included who were not answered then.
    all: usize,
    /// How many of them cannot come back yet, because they are not answered.
    away: usize,
    /// Whether its queue is gone; there may be another lane of this stream by now.
    is_over: bool,
}

impl Lane {
    pub(crate) fn new(groups: Arc<Groups>, stream: StreamName) -> Self {
        Self {
            groups,
            stream,
            all: 0,
            away: 0,
            is_over: false,
        }
    }

    pub(crate) async fn run(mut self) {
        let (mut answered, mut ready) = (Answered::default(), None);
        while let Some(group) = self.next(ready, &mut answered).await {
            (answered, ready) = self.commit(group, answered).await;
        }
        answered.give();
    }

    /// The group that is ready, or one of what is queued. Those of the group before it are answered here, unless this one
    /// can go at once: no await may come before they are.
    async fn next(&mut self, ready: Option<Group>, answered: &mut Answered) -> Option<Group> {
        if ready.is_some() {
            return ready;
        }
        if !self.is_in_halves() {
            take(answered).give();
            // A leader who is alone is answered and gone without another wait.
            if self.away > 1 {
                self.gather().await;
            }
            self.away = 0;
        }
        self.next_group()
    }

    /// Whether there are so many that those who are queued go before those who are away are answered.
    fn is_in_halves(&self) -> bool {
        let queued = self.queued();
        let all = self.away + queued;
        all >= HALVES_MIN && queued >= all / PARTS_MAX
    }

    /// Gives those who were answered the time to come back, but waits for nothing.
    async fn gather(&self) {
        for _ in 0..TURNS_MAX {
            if self.queued() >= self.away {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Commits a group. Those of the one before it are answered as soon as this one is on its way, whatever becomes of it.
    async fn commit(&mut self, group: Group, before: Answered) -> (Answered, Option<Group>) {
        let groups = Arc::clone(&self.groups);
        let (answers, ready) = {
            let mut committing = pin!(groups.committer.commit(&group));
            let begun = poll_fn(|context| Poll::Ready(committing.as_mut().poll(context))).await;
            before.give();
            match begun {
                Poll::Ready(answers) => (answers, None),
                Poll::Pending => self.prepare_during(committing).await,
            }
        };
        (group.answered(answers), ready)
    }

    /// Makes the other half ready while one is being committed, if all of it comes back in time.
    async fn prepare_during<F>(&mut self, mut committing: Pin<&mut F>) -> (F::Output, Option<Group>)
    where
        F: Future<Output = Vec<Result<Outcomes>>>,
    {
        if self.all < HALVES_MIN {
            return (committing.await, None);
        }
        let enough = pin!(poll_fn(|context| self.poll_enough(context)));
        if let Either::Left((answers, _)) = select(committing.as_mut(), enough).await {
            return (answers, None);
        }
        let ready = self.next_group();
        if let Some(group) = &ready {
            self.groups.committer.prepare(group);
        }
        (committing.await, ready)
    }

    /// Ready when everybody is back who can be, or more than go together.
    fn poll_enough(&self, context: &Context<'_>) -> Poll<()> {
        let enough = (self.all - self.away).clamp(1, GROUP_ENTRIES_MAX);
        let mut lanes = self.groups.lock();
        let Some(queue) = lanes.get_mut(&self.stream) else {
            return Poll::Pending;
        };
        if queue.pending.len() >= enough {
            queue.watcher = None;
            return Poll::Ready(());
        }
        queue.watcher = Some((enough, context.waker().clone()));
        Poll::Pending
    }

    fn queued(&self) -> usize {
        self.groups
            .lock()
            .get(&self.stream)
            .map_or(0, |queue| queue.pending.len())
    }

    /// Takes the next group from the queue; if that is empty, the lane ends.
    fn next_group(&mut self) -> Option<Group> {
        let mut lanes = self.groups.lock();
        let queue = lanes.get_mut(&self.stream)?;
        self.all = self.away + queue.pending.len();
        let group = take_group(&mut queue.pending, share(self.all));
        if group.is_empty() {
            lanes.remove(&self.stream);
            self.is_over = true;
            return None;
        }
        self.away = group.len();
        Some(Group::new(group))
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

/// How many of `all` go together.
fn share(all: usize) -> usize {
    if all < HALVES_MIN {
        return all;
    }
    all.div_ceil(2)
}

fn take_group(queue: &mut VecDeque<Pending>, appends_max: usize) -> Vec<Pending> {
    let (mut entries, mut bytes) = (0, 0);
    let mut group = Vec::new();
    while group.len() < appends_max
        && let Some(pending) = queue.front()
    {
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
