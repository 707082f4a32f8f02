//! Runs statements on pooled connections.
//!
//! What changes something runs in a task of its own, as one statement that is its own transaction: a caller who stops
//! waiting stops nothing, and no connection goes back to the pool inside a transaction. Every wait is bounded.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use ledger_core::{Error, Result};
use sqlx_core::connection::ConnectOptions;
use sqlx_core::error::{BoxDynError, Error as SqlxError};
use sqlx_core::executor::Executor;
use sqlx_core::pool::PoolConnection;
use sqlx_core::query::query_with_result;
use sqlx_core::sql_str::SqlStr;
use sqlx_postgres::{
    PgArguments, PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgRow, Postgres,
};
use tokio::sync::OwnedRwLockReadGuard;

use crate::error::{Failure, Place};
use crate::options::PostgresOptions;
use crate::unprepared;

/// What a statement is given, or why it cannot be.
pub(crate) type Arguments = Result<PgArguments, BoxDynError>;

/// Proof that the store is open; held until the change is made.
pub(crate) type Entered = OwnedRwLockReadGuard<()>;

/// How often a transaction is run that others keep taking the ground from.
const ATTEMPTS_MAX: u32 = 5;

/// A connection unused for this long may have died, and is tried first.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// The server gives up before the client does, so that the client usually knows what happened.
const ANSWER_GRACE: Duration = Duration::from_secs(5);

/// A database, and how long to wait for it.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pub(crate) pool: PgPool,
    pub(crate) place: Place,
    /// Whether the pool is the caller's, and stays open when the store is closed.
    pub(crate) is_borrowed: bool,
    /// Whether nothing prepared outlives its transaction.
    pub(crate) has_pooler: bool,
    warm: Arc<Warm>,
}

/// The connection that was used last, kept out of the pool: the pool tests each connection that comes back to it, which
/// would be one more round trip for each statement.
#[derive(Debug, Default)]
struct Warm {
    connection: Mutex<Option<(PoolConnection<Postgres>, Instant)>>,
    /// How many wait for the pool, which they would do in vain while the last connection is kept here.
    waiting: AtomicUsize,
}

impl Warm {
    /// The connection, if it was used just now; a cold one goes back to the pool.
    fn take(&self) -> Option<PoolConnection<Postgres>> {
        let (connection, used) = self.lock().take()?;
        (used.elapsed() < IDLE_MAX).then_some(connection)
    }

    /// Keeps a connection, unless somebody waits for one.
    fn keep(&self, connection: PoolConnection<Postgres>) {
        let before = self.lock().replace((connection, Instant::now()));
        drop(before);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            let given_up = self.lock().take();
            drop(given_up);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<(PoolConnection<Postgres>, Instant)>> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits for the pool.
struct Waiting<'a>(&'a Warm);

impl<'a> Waiting<'a> {
    fn new(warm: &'a Warm) -> Self {
        warm.waiting.fetch_add(1, Ordering::SeqCst);
        Self(warm)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Database {
    /// A pool for the store alone. Connects to nothing yet.
    pub(crate) fn new(connect: PgConnectOptions, options: &PostgresOptions) -> Self {
        let place = place(&connect, options);
        let pool = PgPoolOptions::new()
            .max_connections(options.connections_max)
            .acquire_timeout(options.acquire_timeout)
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > IDLE_MAX {
                        sqlx_core::connection::Connection::ping(connection).await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(prepared(connect, options));
        Self {
            pool,
            place,
            is_borrowed: false,
            has_pooler: options.transaction_pooler,
            warm: Arc::default(),
        }
    }

    /// The caller's pool.
    pub(crate) fn borrowed(pool: PgPool, options: &PostgresOptions) -> Self {
        let mut place = place(&pool.connect_options(), options);
        place.acquire_timeout = pool.options().get_acquire_timeout();
        Self {
            pool,
            place,
            is_borrowed: true,
            has_pooler: options.transaction_pooler,
            warm: Arc::default(),
        }
    }

    /// Runs a statement that changes something and answers one row, in a task of its own.
    pub(crate) async fn change<F>(
        &self,
        entered: Entered,
        statement: SqlStr,
        arguments: F,
    ) -> Result<PgRow>
    where
        F: Fn() -> Arguments + Send + Sync + 'static,
    {
        let this = self.clone();
        let task = tokio::spawn(async move {
            let _entered = entered;
            this.change_here(statement, arguments).await
        });
        match task.await {
            Ok(answer) => answer.map_err(|failure| self.place.write_error(failure)),
            Err(lost) => Err(self.place.outcome_unknown(lost)),
        }
    }

    /// As [`change`](Self::change), in the task of the caller, who must not be dropped.
    pub(crate) async fn change_here<F>(
        &self,
        statement: SqlStr,
        arguments: F,
    ) -> Result<PgRow, Failure>
    where
        F: Fn() -> Arguments + Send + Sync,
    {
        let mut connection = self.acquire().await?;
        let mut answer = self
            .run(&mut connection, statement.clone(), arguments())
            .await;
        for _ in 1..ATTEMPTS_MAX {
            if !answer.as_ref().is_err_and(Failure::is_serialization) {
                break;
            }
            tokio::task::yield_now().await;
            answer = self
                .run(&mut connection, statement.clone(), arguments())
                .await;
        }
        if answer.is_ok() {
            self.release(connection);
        }
        answer
    }

    async fn run(
        &self,
        connection: &mut PoolConnection<Postgres>,
        statement: SqlStr,
        arguments: Arguments,
    ) -> Result<PgRow, Failure> {
        let answer = async {
            if self.has_pooler {
                return unprepared::fetch_one(connection, statement, arguments).await;
            }
            let query = query_with_result::<Postgres, _>(statement, arguments);
            connection.fetch_one(query).await
        };
        let answer = self.in_time(answer).await;
        close_if_lost(connection, &answer);
        answer
    }

    async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, SqlxError>>,
    ) -> Result<T, Failure> {
        let patience = self.patience();
        match tokio::time::timeout(patience, answer).await {
            Ok(answer) => answer.map_err(Failure::statement),
            Err(_) => Err(Failure::NoAnswer(patience)),
        }
    }

    /// Asks for rows, and hands each to `take` as it comes in. A question whose connection broke is asked once more,
    /// from the beginning: `start` makes what the rows are collected in.
    pub(crate) async fn ask<T>(
        &self,
        statement: SqlStr,
        arguments: impl Fn() -> Arguments,
        start: impl Fn() -> T,
        take: impl Fn(&mut T, PgRow) -> Result<()>,
    ) -> Result<T> {
        let first = self
            .ask_once(statement.clone(), arguments(), start(), &take)
            .await;
        match first {
            Err(Refusal::Failure(failure)) if failure.is_lost_connection() => {
                self.ask_once(statement, arguments(), start(), &take).await
            }
            answer => answer,
        }
        .map_err(|refusal| match refusal {
            Refusal::Failure(failure) => self.place.read_error(failure),
            Refusal::Error(error) => error,
        })
    }

    async fn ask_once<T>(
        &self,
        statement: SqlStr,
        arguments: Arguments,
        mut collected: T,
        take: &impl Fn(&mut T, PgRow) -> Result<()>,
    ) -> Result<T, Refusal> {
        if self.has_pooler {
            for row in self.ask_unprepared(statement, arguments).await? {
                take(&mut collected, row)?;
            }
            return Ok(collected);
        }
        let mut connection = self.acquire().await?;
        let patience = self.patience();
        let answer = async {
            let mut rows = connection.fetch(query_with_result::<Postgres, _>(statement, arguments));
            while let Some(row) = rows.try_next().await.map_err(Failure::statement)? {
                take(&mut collected, row)?;
            }
            Ok(())
        };
        let answer = tokio::time::timeout(patience, answer).await;
        let answer = answer.unwrap_or_else(|_| Err(Failure::NoAnswer(patience).into()));
        match &answer {
            Ok(()) => self.release(connection),
            Err(Refusal::Failure(failure)) if failure.is_lost_connection() => {
                connection.close_on_drop()
            }
            Err(_) => {}
        }
        answer.map(|()| collected)
    }

    /// In a task of its own, which ends the transaction also if the caller stops waiting.
    async fn ask_unprepared(
        &self,
        statement: SqlStr,
        arguments: Arguments,
    ) -> Result<Vec<PgRow>, Failure> {
        let this = self.clone();
        let task = tokio::spawn(async move {
            let mut connection = this.acquire().await?;
            let answer = unprepared::fetch_all(&mut connection, statement, arguments);
            let answer = this.in_time(answer).await;
            close_if_lost(&mut connection, &answer);
            if answer.is_ok() {
                this.release(connection);
            }
            answer
        });
        task.await
            .unwrap_or_else(|_| Err(Failure::statement(SqlxError::WorkerCrashed)))
    }

    /// A connection, within the time allowed.
    pub(crate) async fn acquire(&self) -> Result<PoolConnection<Postgres>, Failure> {
        if let Some(connection) = self.warm.take() {
            return Ok(connection);
        }
        let _waiting = Waiting::new(&self.warm);
        // Looked at again: whoever kept one before could not know that somebody waits.
        if let Some(connection) = self.warm.take() {
            return Ok(connection);
        }
        // Boxed, so that those who find a connection, which is nearly all, carry no room for this one's state about.
        Box::pin(self.pool.acquire())
            .await
            .map_err(|error| match error {
                SqlxError::PoolTimedOut if self.is_exhausted() => {
                    Failure::Exhausted(Arc::new(error))
                }
                error => Failure::not_connected(error),
            })
    }

    /// Gives back a connection that is ready for the next statement.
    fn release(&self, connection: PoolConnection<Postgres>) {
        if !self.is_borrowed && !self.pool.is_closed() {
            self.warm.keep(connection);
        }
    }

    /// Closes the store's connections, or leaves them to the caller whose pool it is.
    ///
    /// Nobody waits for readers, who may never come back for the rest of their page.
    pub(crate) fn close(&self) {
        if !self.is_borrowed {
            let pool = self.pool.clone();
            tokio::spawn(async move { pool.close().await });
            drop(self.warm.take());
        }
    }

    /// Whether the pool is as large as it gets. If not, waiting for a connection was waiting for the server.
    fn is_exhausted(&self) -> bool {
        self.pool.size() >= self.pool.options().get_max_connections() && self.pool.num_idle() == 0
    }

    /// One connection of its own, made at once, so that the server says why if there can be none.
    pub(crate) async fn connect(&self) -> Result<PgConnection> {
        let options = self.pool.connect_options();
        let connecting = tokio::time::timeout(self.place.acquire_timeout, options.connect()).await;
        let connected = connecting.unwrap_or(Err(SqlxError::PoolTimedOut));
        connected.map_err(|error| self.place.write_error(Failure::not_connected(error)))
    }

    fn patience(&self) -> Duration {
        self.place.statement_timeout.saturating_add(ANSWER_GRACE)
    }
}

/// Why a question has no answer: the database's reason, or that of the one who looked at a row.
enum Refusal {
    Failure(Failure),
    Error(Error),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

fn close_if_lost<T>(connection: &mut PoolConnection<Postgres>, answer: &Result<T, Failure>) {
    if answer.as_ref().is_err_and(Failure::is_lost_connection) {
        connection.close_on_drop();
    }
}

fn place(connect: &PgConnectOptions, options: &PostgresOptions) -> Place {
    Place {
        name: Place::address(connect),
        acquire_timeout: options.acquire_timeout,
        statement_timeout: options.statement_timeout,
        lock_timeout: options.lock_timeout,
    }
}

/// Statements are not logged, because what they carry is the user's. Pages are read by ranges of an index: a planner
/// without statistics must not think that sorting a whole table is as good, nor one that does not see how small a limit
/// is that a page is work for several. So one plan does for all pages of a kind: making it anew for each would take
/// longer than reading it.
fn prepared(connect: PgConnectOptions, options: &PostgresOptions) -> PgConnectOptions {
    let connect = connect.disable_statement_logging();
    if !options.session_settings {
        // This one, too, would be a setting that a pooler does not know.
        return connect.extra_float_digits(None);
    }
    let millis = |time: Duration| time.as_millis().to_string();
    connect.options([
        ("statement_timeout", millis(options.statement_timeout)),
        ("lock_timeout", millis(options.lock_timeout)),
        (
            "idle_in_transaction_session_timeout",
            millis(options.statement_timeout),
        ),
        ("enable_seqscan", "off".into()),
        ("enable_bitmapscan", "off".into()),
        ("plan_cache_mode", "force_generic_plan".into()),
        ("max_parallel_workers_per_gather", "0".into()),
        ("jit", "off".into()),
    ])
}
