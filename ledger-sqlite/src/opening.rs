//! One opening of a store, from its first connection to its last: what its threads share, and how calls reach them.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_channel::oneshot;
use ledger_core::{Capabilities, Clock, Durability, Error, Result, Timestamp, Wakeups};
use rusqlite::Connection;

use crate::connection::{self, Location};
use crate::error::{Failure, Place};
use crate::options::SqliteOptions;
use crate::queue::Queue;
use crate::readers::{self, Question};
use crate::session::Session;
use crate::sql::Sql;
use crate::watch::{self, Bell};
use crate::writer::{Job, Request, Writer};

/// What the clones of a handle share. The threads do not, and so learn when the last handle is gone.
pub(crate) struct Opening(pub(crate) Arc<Context>);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.jobs.close();
        self.0.close_others();
    }
}

/// What the handles and the threads of one opening share.
pub(crate) struct Context {
    pub(crate) place: Place,
    pub(crate) sql: Sql,
    pub(crate) capabilities: Capabilities,
    pub(crate) wakeups: Wakeups,
    pub(crate) bell: Bell,
    pub(crate) poll_interval: Duration,
    /// For the thread that writes.
    pub(crate) jobs: Queue<Job>,
    /// For the threads that read, if there are any.
    pub(crate) questions: Queue<Question>,
    clock: Arc<dyn Clock>,
    has_readers: bool,
}

/// Opens the store at `location` on a thread of its own, which stays to write.
pub(crate) async fn open(location: Location, options: SqliteOptions) -> Result<Opening> {
    options.validate()?;
    let context = Arc::new(Context::new(&location, &options));
    let place = context.place.clone();
    let (reply, opened) = oneshot::channel();
    start("ledger-sqlite-writer", &place, move || {
        serve(&context, &location, &options, reply);
    })?;
    opened.await.unwrap_or_else(|_| Err(place.reader_lost()))
}

/// The life of the writing thread: opens, works, closes what it opened.
fn serve(
    context: &Arc<Context>,
    location: &Location,
    options: &SqliteOptions,
    reply: oneshot::Sender<Result<Opening>>,
) {
    let opened = connection::open_writer(location, options, &context.sql, &context.place)
        .and_then(|connection| Ok((connection, start_others(context, location, options)?)));
    let (connection, others) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            context.close_others();
            // Nobody waits for it any more if this fails, here and below.
            let _ = reply.send(Err(error));
            return;
        }
    };
    tracing::debug!(place = context.place.name, "opened");
    let _ = reply.send(Ok(Opening(Arc::clone(context))));
    let mut writer = Writer::new(Arc::clone(context), connection);
    let closing = writer.run();
    context.close_others();
    for thread in others {
        if thread.join().is_err() {
            tracing::error!(place = context.place.name, "a thread panicked");
        }
    }
    let closed = close(writer.connection).map_err(|error| context.place.error(error));
    tracing::debug!(place = context.place.name, "closed");
    if let Some(closing) = closing {
        let _ = closing.send(closed);
    }
}

/// Copies the write-ahead log into the file, as far as nobody else stands in the way, and lets go of it.
fn close(connection: Connection) -> Result<(), Failure> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    connection.close().map_err(|(_, error)| error.into())
}

/// Starts the threads that read and the one that watches. A store in memory has no readers: there, reading and
/// writing exclude each other anyway.
fn start_others(
    context: &Arc<Context>,
    location: &Location,
    options: &SqliteOptions,
) -> Result<Vec<JoinHandle<()>>> {
    let place = &context.place;
    let connect = || connection::open_reader(location, options).map_err(|error| place.error(error));
    let mut threads = Vec::new();
    if context.has_readers {
        for _ in 0..options.reader_threads.get() {
            let (context, connection) = (Arc::clone(context), connect()?);
            let run = move || readers::run(&context, &connection);
            threads.push(start("ledger-sqlite-reader", place, run)?);
        }
    }
    let (context, connection) = (Arc::clone(context), connect()?);
    let run = move || watch::run(&context, &connection);
    threads.push(start("ledger-sqlite-watch", place, run)?);
    Ok(threads)
}

fn start(name: &str, place: &Place, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    thread::Builder::new()
        .name(name.into())
        .spawn(run)
        .map_err(|error| Error::Unavailable {
            place: place.name.clone(),
            source: error.into(),
        })
}

impl Context {
    fn new(location: &Location, options: &SqliteOptions) -> Self {
        let durability = match location {
            Location::File(_) => options.durability,
            Location::Memory(_) => Durability::Volatile,
        };
        let mut capabilities = Capabilities::full(durability);
        capabilities.limits = options.limits.clone();
        capabilities.marks = !options.append_only;
        let queue_length = options.queue_length.get();
        Self {
            place: Place {
                name: location.name(),
                busy_timeout: options.busy_timeout,
            },
            sql: Sql::new(&options.table_prefix),
            capabilities,
            wakeups: Wakeups::new(),
            bell: Bell::default(),
            poll_interval: options.poll_interval,
            jobs: Queue::new(queue_length),
            questions: Queue::new(queue_length),
            clock: Arc::clone(&options.clock),
            has_readers: location.is_file(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A session in the transaction that is open on `connection`.
    pub(crate) fn session<'a>(&'a self, connection: &'a Connection) -> Session<'a> {
        Session::new(connection, &self.sql, &self.place, &*self.clock)
    }

    /// Has `work`, which is worth `weight` entries, done and committed.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        weight: usize,
        work: impl FnMut(&mut Session<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let request = Request {
            work,
            weight,
            answer: None,
            reply,
        };
        self.jobs.push(Job::Change(Box::new(request))).await?;
        answer
            .await
            .unwrap_or_else(|_| Err(self.place.writer_lost()))
    }

    /// Has `question` answered by a thread that reads.
    pub(crate) async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        question: impl FnOnce(&Connection, &Self) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let context = Arc::clone(self);
        let question: Question = Box::new(move |connection| {
            if !reply.is_canceled() {
                let answer = question(connection, &context);
                let _ = reply.send(answer.map_err(|failure| context.place.error(failure)));
            }
        });
        if self.has_readers {
            self.questions.push(question).await?;
        } else {
            self.jobs.push(Job::Question(question)).await?;
        }
        answer
            .await
            .unwrap_or_else(|_| Err(self.place.reader_lost()))
    }

    /// Finishes what was begun and closes.
    pub(crate) async fn close(&self) -> Result<()> {
        let (reply, closed) = oneshot::channel();
        if !self.jobs.close_with(Job::Close(reply)) {
            return Err(Error::Closed);
        }
        self.close_others();
        closed
            .await
            .unwrap_or_else(|_| Err(self.place.writer_lost()))
    }

    /// Ends the threads that do not write, and everybody's waiting.
    fn close_others(&self) {
        self.questions.close();
        self.bell.close();
        self.wakeups.wake_all();
    }
}
