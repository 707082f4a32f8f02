//! The thread that writes: everything that waits is committed as one group, and each change keeps its own answer.
//!
//! A change that is refused has written nothing, so it does not touch its neighbours. If SQLite fails, the group is
//! rolled back and its members are tried one by one. No answer is given before the commit, because a refusal too may
//! rest on what a neighbour wrote.
//!
//! While the group is being worked on, others may join it, up to as many as there were lately: 64 tasks that append
//! one entry each share one sync of the disk, and a lone one never waits for company.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;
use ledger_core::{Error, Result, StreamName};
use rusqlite::{Connection, ErrorCode};

use crate::error::{Breakage, Failure};
use crate::opening::Context;
use crate::queue::{Consumer, Queue};
use crate::readers::Question;
use crate::session::Session;

/// Entries after which a group is closed, so that nobody waits for long.
const GROUP_ENTRIES_MAX: usize = 10_000;

/// How long a group stays open for those who were in the last one.
const GATHER: Duration = Duration::from_micros(60);

/// How long the thread looks for work before it sleeps: about as long as it would take to wake it up.
const SPIN: Duration = Duration::from_micros(60);

/// What the writing thread is sent.
pub(crate) enum Job {
    Change(Box<dyn Change>),
    /// Of a store in memory, which has no other thread.
    Question(Question),
    /// The last one: finish everything, close, answer.
    Close(oneshot::Sender<Result<()>>),
}

/// Something that changes the store.
pub(crate) trait Change: Send {
    /// Whether nobody waits for its answer any more.
    fn is_abandoned(&self) -> bool;

    /// How many entries it appends, or is worth.
    fn weight(&self) -> usize;

    /// Does it, in an open transaction; done again after a rollback.
    ///
    /// # Errors
    /// The transaction has to be rolled back. A refusal is no error: it is kept as the answer.
    fn run(&mut self, session: &mut Session<'_>) -> Result<(), Breakage>;

    /// Answers: what [`run`](Change::run) said, if that is committed.
    fn finish(self: Box<Self>, committed: Result<()>);
}

/// A change made of a function, with a place for its answer.
pub(crate) struct Request<T, W> {
    pub(crate) work: W,
    pub(crate) weight: usize,
    pub(crate) answer: Option<Result<T>>,
    pub(crate) reply: oneshot::Sender<Result<T>>,
}

impl<T, W> Change for Request<T, W>
where
    T: Send,
    W: FnMut(&mut Session<'_>) -> Result<T, Failure> + Send,
{
    fn is_abandoned(&self) -> bool {
        self.reply.is_canceled()
    }

    fn weight(&self) -> usize {
        self.weight
    }

    fn run(&mut self, session: &mut Session<'_>) -> Result<(), Breakage> {
        self.answer = Some(match (self.work)(session) {
            Ok(answer) => Ok(answer),
            Err(Failure::Refusal(refusal)) => Err(refusal),
            Err(Failure::Breakage(breakage)) => return Err(breakage),
        });
        Ok(())
    }

    fn finish(self: Box<Self>, committed: Result<()>) {
        let Self { answer, reply, .. } = *self;
        let answer = committed.and_then(|()| answer.expect("what is committed was run"));
        // Nobody may be waiting any more; the change is made all the same.
        let _ = reply.send(answer);
    }
}

/// What the thread has.
pub(crate) struct Writer {
    pub(crate) context: Arc<Context>,
    pub(crate) connection: Connection,
    inbox: Inbox,
    /// How many changes were in the last group.
    lately: usize,
}

/// Why a group was not committed.
enum Setback {
    /// It could not be begun: nobody was run.
    NotBegun(Breakage),
    /// All is undone.
    RolledBack(Breakage),
    /// It is undone now, but may be there after a crash.
    Unknown(Arc<rusqlite::Error>),
}

impl Writer {
    pub(crate) fn new(context: Arc<Context>, connection: Connection) -> Self {
        Self {
            context,
            connection,
            inbox: Inbox::default(),
            lately: 1,
        }
    }

    /// Works until the queue is closed and empty; answers who wants to know when all is closed.
    pub(crate) fn run(&mut self) -> Option<oneshot::Sender<Result<()>>> {
        let context = Arc::clone(&self.context);
        let _consumer = Consumer(&context.jobs);
        while self.inbox.wait(&context.jobs) {
            for question in self.inbox.questions.drain(..) {
                question(&self.connection);
            }
            self.commit_group();
        }
        self.inbox.closing.take()
    }

    fn commit_group(&mut self) {
        if self.inbox.changes.is_empty() {
            return;
        }
        let mut group = Vec::new();
        let outcome = self.attempt(&mut group, self.lately);
        self.lately = group.len();
        match outcome {
            Err(Setback::RolledBack(breakage)) if group.len() > 1 => {
                let error = self.context.place.error(breakage);
                tracing::warn!(%error, "a group of changes failed; they are tried one by one");
                group.into_iter().for_each(|change| self.commit_one(change));
            }
            outcome => self.answer(group, outcome),
        }
    }

    fn commit_one(&mut self, change: Box<dyn Change>) {
        let others = std::mem::take(&mut self.inbox.changes);
        self.inbox.changes.push_back(change);
        let mut group = Vec::new();
        // Nobody else is waited for, not even if this one is abandoned.
        let outcome = self.attempt(&mut group, 0);
        self.inbox.changes = others;
        self.answer(group, outcome);
    }

    /// Runs and commits what is in the inbox, moving it to `group`.
    fn attempt(
        &mut self,
        group: &mut Vec<Box<dyn Change>>,
        lately: usize,
    ) -> Result<Vec<StreamName>, Setback> {
        if let Err(error) = execute(&self.connection, "BEGIN IMMEDIATE") {
            group.extend(self.inbox.changes.drain(..));
            return Err(Setback::NotBegun(error.into()));
        }
        let news = self
            .run_all(group, lately)
            .map_err(Setback::RolledBack)
            .and_then(|news| self.commit().map(|()| news));
        if news.is_err() && !self.connection.is_autocommit() {
            // If this fails as well, so will the next BEGIN.
            let _ = execute(&self.connection, "ROLLBACK");
        }
        news
    }

    fn run_all(
        &mut self,
        group: &mut Vec<Box<dyn Change>>,
        lately: usize,
    ) -> Result<Vec<StreamName>, Breakage> {
        let context = &self.context;
        let mut session = context.session(&self.connection);
        let mut weight = 0;
        loop {
            while weight < GROUP_ENTRIES_MAX
                && let Some(mut change) = self.inbox.next()
            {
                let ran = change.run(&mut session);
                weight += change.weight();
                group.push(change);
                ran?;
                self.check_transaction()?;
            }
            let is_complete = weight >= GROUP_ENTRIES_MAX || group.len() >= lately;
            if is_complete || !self.inbox.gather(&context.jobs) {
                return Ok(session.finish()?);
            }
        }
    }

    /// On some failures SQLite itself rolls back; what came then would be committed by itself, piece by piece.
    fn check_transaction(&self) -> Result<(), Breakage> {
        if self.connection.is_autocommit() {
            return Err(Breakage::Lost);
        }
        Ok(())
    }

    fn commit(&self) -> Result<(), Setback> {
        execute(&self.connection, "COMMIT").map_err(setback_of_commit)
    }

    fn answer(&self, group: Vec<Box<dyn Change>>, outcome: Result<Vec<StreamName>, Setback>) {
        match outcome {
            Ok(news) => {
                group.into_iter().for_each(|change| change.finish(Ok(())));
                news.iter()
                    .for_each(|stream| self.context.wakeups.wake(stream));
            }
            Err(setback) => {
                for change in group {
                    change.finish(Err(self.error(&setback)));
                }
            }
        }
    }

    fn error(&self, setback: &Setback) -> Error {
        let place = &self.context.place;
        match setback {
            Setback::NotBegun(breakage) | Setback::RolledBack(breakage) => {
                place.error(breakage.clone())
            }
            Setback::Unknown(source) => place.outcome_unknown(Arc::clone(source)),
        }
    }
}

/// What a failed commit leaves behind.
///
/// With no space, no lock and no permission, nothing was written that a later opening would take for a commit. After
/// any other failure, above all of the sync, the whole commit may be in the log.
fn setback_of_commit(error: rusqlite::Error) -> Setback {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::ReadOnly) => {
            Setback::RolledBack(error.into())
        }
        _ => Setback::Unknown(Arc::new(error)),
    }
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

/// What was taken from the queue and not yet done.
#[derive(Default)]
struct Inbox {
    jobs: VecDeque<Job>,
    changes: VecDeque<Box<dyn Change>>,
    questions: Vec<Question>,
    closing: Option<oneshot::Sender<Result<()>>>,
}

impl Inbox {
    /// Waits until there is something to do. False: there never will be.
    fn wait(&mut self, queue: &Queue<Job>) -> bool {
        if !self.changes.is_empty() || !self.questions.is_empty() {
            return true;
        }
        let is_more = queue.pop_all(&mut self.jobs, SPIN);
        self.sort();
        is_more
    }

    /// Waits a moment for more changes.
    fn gather(&mut self, queue: &Queue<Job>) -> bool {
        queue.pop_soon(&mut self.jobs, GATHER);
        self.sort();
        !self.changes.is_empty()
    }

    fn sort(&mut self) {
        for job in self.jobs.drain(..) {
            match job {
                Job::Change(change) => self.changes.push_back(change),
                Job::Question(question) => self.questions.push(question),
                Job::Close(reply) => self.closing = Some(reply),
            }
        }
    }

    /// The next change that somebody waits for.
    fn next(&mut self) -> Option<Box<dyn Change>> {
        loop {
            let change = self.changes.pop_front()?;
            if !change.is_abandoned() {
                return Some(change);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    fn failed_with(code: i32) -> Setback {
        setback_of_commit(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
    }

    #[test]
    fn a_commit_that_found_no_space_did_not_happen() {
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_BUSY, ffi::SQLITE_READONLY] {
            assert!(
                matches!(failed_with(code), Setback::RolledBack(_)),
                "{code}"
            );
        }
    }

    #[test]
    fn a_commit_that_could_not_be_synced_may_have_happened() {
        for code in [
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_IOERR_WRITE,
            ffi::SQLITE_NOMEM,
        ] {
            assert!(matches!(failed_with(code), Setback::Unknown(_)), "{code}");
        }
    }
}
