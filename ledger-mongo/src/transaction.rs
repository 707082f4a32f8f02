//! Runs a transaction until it is committed, given up, or out of time, as the drivers' specification says.
//!
//! A transaction that others took the ground from is run again as a whole; a commit whose answer got lost is sent again,
//! which is safe, until its answer comes. Only a commit without an answer leaves unknown what happened.

use std::future::Future;
use std::time::{Duration, Instant};

use mongodb::ClientSession;

use crate::database::Database;
use crate::error::Failure;
use crate::{orphans, random};

/// The first pause is up to this long, and each later one up to twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// Who finds the way barred for so long looks around for who does it, and again after as long.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// A server that was told to commit and says nothing for so long is asked again, perhaps another one by then.
const COMMIT_ANSWER_MAX: Duration = Duration::from_secs(5);

/// Giving up is polite, and no more than that: the server ends what is left open by itself.
const ABORT_MAX: Duration = Duration::from_secs(1);

/// What a transaction does.
pub(crate) trait Change: Send {
    /// What it answers.
    type Answer: Send;

    /// Does it all, from the beginning, and says how it is to end. Run again if the ground was taken from it.
    fn run(
        &mut self,
        database: &Database,
        session: &mut ClientSession,
    ) -> impl Future<Output = Result<Step<Self::Answer>, Failure>> + Send;
}

/// How a transaction ends.
pub(crate) enum Step<A> {
    /// With a commit, after which this is the answer.
    Commit(A),
    /// With nothing changed, and this answer.
    GiveUp(A),
    /// With nothing changed, and is to be run again at once. To be said once at the most.
    Again,
}

/// Runs `change` in transactions of its own, in the task of the caller, who must not be dropped.
pub(crate) async fn run<C: Change>(
    database: &Database,
    change: &mut C,
) -> Result<C::Answer, Failure> {
    let mut patience = Patience::new(database.place.transaction_timeout);
    loop {
        match attempt(database, change, &mut patience).await {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => {}
            Err(failure)
                if failure.is_transient()
                    && !failure.may_have_happened()
                    && !patience.is_over() =>
            {
                if failure.is_write_conflict() && patience.is_time_to_look_around() {
                    orphans::end(database).await;
                }
                patience.pause().await;
            }
            Err(failure) => return Err(failure),
        }
    }
}

async fn attempt<C: Change>(
    database: &Database,
    change: &mut C,
    patience: &mut Patience,
) -> Result<Option<C::Answer>, Failure> {
    let most = patience.most();
    let mut session = within(most, database.begin()).await?;
    let done = match within(most, change.run(database, &mut session)).await {
        Ok(Step::Commit(answer)) => commit(&mut session, patience).await.map(|()| Some(answer)),
        Ok(Step::GiveUp(answer)) => {
            abort(&mut session).await;
            Ok(Some(answer))
        }
        Ok(Step::Again) => {
            abort(&mut session).await;
            Ok(None)
        }
        Err(failure) => Err(failure),
    };
    if let Err(failure) = &done
        && !failure.has_ended_transaction()
    {
        orphans::leave(database, session);
    }
    done
}

async fn commit(session: &mut ClientSession, patience: &mut Patience) -> Result<(), Failure> {
    loop {
        let most = patience.most().min(COMMIT_ANSWER_MAX);
        let failure = match tokio::time::timeout(most, session.commit_transaction()).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => Failure::of_commit(error),
            Err(_) => Failure::no_answer(most, true),
        };
        if !failure.may_have_happened() || !failure.is_transient() || patience.is_over() {
            return Err(failure);
        }
        patience.pause().await;
    }
}

async fn abort(session: &mut ClientSession) {
    // Whatever comes of it, nothing was committed.
    let _ = tokio::time::timeout(ABORT_MAX, session.abort_transaction()).await;
}

/// Waits `most` for what changes nothing, or can still be undone.
pub(crate) async fn within<T>(
    most: Duration,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let done = tokio::time::timeout(most, work).await;
    done.unwrap_or_else(|_| Err(Failure::no_answer(most, false)))
}

/// Waits `most` for a change of one document, which is made or not when that has passed.
pub(crate) async fn within_reason<T>(
    most: Duration,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let done = tokio::time::timeout(most, work).await;
    done.unwrap_or_else(|_| Err(Failure::no_answer(most, true)))
}

/// The time that a call has, and how it waits between its attempts.
pub(crate) struct Patience {
    timeout: Duration,
    started: Instant,
    looked_around: Instant,
    pause: Duration,
}

impl Patience {
    pub(crate) fn new(timeout: Duration) -> Self {
        let now = Instant::now();
        Self {
            timeout,
            started: now,
            looked_around: now,
            pause: PAUSE,
        }
    }

    /// The most that one attempt may take: a server that stands still must leave time for another attempt.
    pub(crate) fn most(&self) -> Duration {
        self.timeout / 2
    }

    pub(crate) fn is_over(&self) -> bool {
        self.started.elapsed() >= self.timeout
    }

    fn is_time_to_look_around(&mut self) -> bool {
        let is_time = self.looked_around.elapsed() >= LOOK_AROUND;
        if is_time {
            self.looked_around = Instant::now();
        }
        is_time
    }

    /// Waits, longer each time, and never as long as another one who began at the same moment.
    pub(crate) async fn pause(&mut self) {
        tokio::time::sleep(self.pause.mul_f64(random::fraction())).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }
}
