//! Commits a group of appends as one call, and tells each what became of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledger_core::{Batch, Clock, Result, Timestamp};
use tokio::sync::oneshot;

use crate::append::{Bond, Call, Outcomes};
use crate::database::{Arguments, Database, Entered};
use crate::error::Failure;
use crate::plain::Plain;
use crate::sql::Sql;

/// An append that waits for its answer.
pub(crate) struct Pending {
    pub(crate) batch: Batch<u64>,
    pub(crate) answer: oneshot::Sender<Result<Outcomes>>,
    pub(crate) entered: Entered,
}

/// What all groups of a store are committed with.
pub(crate) struct Committer {
    pub(crate) database: Database,
    pub(crate) sql: Arc<Sql>,
    pub(crate) plain: Plain,
    pub(crate) clock: Option<Arc<dyn Clock>>,
}

/// Appends to one stream that are committed together.
pub(crate) struct Group {
    call: Call,
    waiting: Vec<(oneshot::Sender<Result<Outcomes>>, Entered)>,
    /// What is sent, if it was made beforehand; it can be sent once.
    prepared: Mutex<Option<Arguments>>,
}

impl Group {
    /// Makes a group; `pending` is not empty.
    pub(crate) fn new(pending: Vec<Pending>) -> Self {
        let (batches, waiting) = pending
            .into_iter()
            .map(|it| (it.batch, (it.answer, it.entered)))
            .unzip();
        Self {
            call: Call {
                batches,
                bond: Bond::Separate,
            },
            waiting,
            prepared: Mutex::default(),
        }
    }

    /// Says what became of each.
    pub(crate) fn answered(self, answers: Vec<Result<Outcomes>>) -> Answered {
        Answered(Some((self, answers)))
    }

    fn prepared(&self) -> MutexGuard<'_, Option<Arguments>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A group of which everything is known, but not yet told.
#[derive(Default)]
pub(crate) struct Answered(Option<(Group, Vec<Result<Outcomes>>)>);

impl Answered {
    /// Tells everybody.
    pub(crate) fn give(self) {
        let Some((group, answers)) = self.0 else {
            return;
        };
        for ((answer, _entered), outcomes) in group.waiting.into_iter().zip(answers) {
            // Whoever does not listen any more did not want to know.
            let _ = answer.send(outcomes);
        }
    }
}

impl Committer {
    /// Makes what is sent of a group, so that it can go at once.
    pub(crate) fn prepare(&self, group: &Group) {
        *group.prepared() = Some(group.call.arguments(self.now()));
    }

    /// Commits a group, and answers for each append in it.
    pub(crate) async fn commit(&self, group: &Group) -> Vec<Result<Outcomes>> {
        let call = &group.call;
        let prepared = || group.prepared().take();
        match self.try_call(call, prepared).await {
            Ok(answers) => answers,
            Err(failure) if failure.is_refusal() && call.batches.len() > 1 => {
                self.one_by_one(call).await
            }
            Err(failure) => self.fail_all(call.batches.len(), failure),
        }
    }

    /// What was wrong with one must not fail its neighbours.
    async fn one_by_one(&self, call: &Call) -> Vec<Result<Outcomes>> {
        let mut answers = Vec::new();
        for batch in &call.batches {
            let single = Call {
                batches: vec![batch.clone()],
                bond: Bond::Separate,
            };
            match self.try_call(&single, || None).await {
                Ok(answer) => answers.extend(answer),
                Err(failure) => answers.push(Err(self.database.place.write_error(failure))),
            }
        }
        answers
    }

    async fn try_call(
        &self,
        call: &Call,
        prepared: impl Fn() -> Option<Arguments> + Send + Sync,
    ) -> Result<Vec<Result<Outcomes>>, Failure> {
        let plain = self
            .plain
            .append(call, &self.database, &self.sql, self.now());
        if let Some(outcome) = plain.await? {
            return Ok(vec![outcome.map(|outcome| vec![outcome])]);
        }
        let arguments = || prepared().unwrap_or_else(|| call.arguments(self.now()));
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

    fn now(&self) -> Option<Timestamp> {
        self.clock.as_ref().map(|clock| clock.now())
    }
}
