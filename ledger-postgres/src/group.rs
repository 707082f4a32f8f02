//! Group commit: appends to a stream that arrive while one is being committed are committed as one.
//!
//! Each stream with appends under way has a lane: a queue, and the work of committing what is in it, again and again,
//! until it is empty. Each append keeps its own outcome. The work belongs to no caller: one who stops waiting stops nothing.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledger_core::{Batch, Clock, Result, StreamName};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::append::Outcomes;
use crate::commit::{Committer, Pending};
use crate::database::{Database, Entered};
use crate::lane::{Lane, Queue};
use crate::plain::Plain;
use crate::relay::Relay;
use crate::sql::Sql;

/// The lanes of all streams.
pub(crate) struct Groups {
    pub(crate) committer: Committer,
    lanes: Mutex<Lanes>,
}

/// What waits in each lane.
pub(crate) type Lanes = HashMap<StreamName, Queue>;

impl Groups {
    pub(crate) fn new(
        database: Database,
        sql: Arc<Sql>,
        clock: Option<Arc<dyn Clock>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            committer: Committer {
                database,
                sql,
                plain: Plain::default(),
                clock,
            },
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
        answer.unwrap_or_else(|lost| Err(self.committer.database.place.outcome_unknown(lost)))
    }

    /// Queues in the lane of the stream, or opens one and leads it.
    ///
    /// A leader does the work of the lane himself, until a second append comes: then the lane gets its task.
    fn join(self: &Arc<Self>, pending: Pending) -> Option<Leader> {
        let mut lanes = self.lock();
        let Some(queue) = lanes.get_mut(&pending.batch.stream) else {
            return Some(self.open(&mut lanes, pending));
        };
        let watcher = queue.push(pending);
        let work = Arc::clone(&queue.work);
        drop(lanes);
        work.hand_over(&Handle::current());
        if let Some(watcher) = watcher {
            watcher.wake();
        }
        None
    }

    fn open(self: &Arc<Self>, lanes: &mut Lanes, pending: Pending) -> Leader {
        let stream = pending.batch.stream.clone();
        let lane = Lane::new(Arc::clone(self), stream.clone());
        let work = Arc::new(Relay::new(lane.run()));
        lanes.insert(stream, Queue::new(pending, Arc::clone(&work)));
        Leader {
            work,
            runtime: Handle::current(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
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
