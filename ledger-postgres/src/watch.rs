//! Notices what other openings commit.
//!
//! One connection of the process listens for notifications and wakes those who wait for a stream. Notifications are
//! only hints: every waiter also looks by itself, often as long as they are not known to arrive, rarely once they are.
//! That they arrive is known from probes, empty notifications that this room sends to itself. So what swallows them costs
//! nothing but the more frequent looks. Behind a pooler that gives the server away after each transaction nobody listens
//! at all: the notifications would go to whoever has the server next, and break what he is doing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ledger_core::{Listener, StreamName, Wakeups};
use sqlx_core::error::Error as SqlxError;
use sqlx_core::executor::Executor;
use sqlx_core::sql_str::{SqlSafeStr, SqlStr};
use sqlx_postgres::{PgConnection, PgListener, PgPool, PgPoolOptions};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::database::Database;
use crate::sql::Sql;
use crate::text::unescaped;
use crate::unprepared;

/// How much rarer looks are while notifications arrive.
const TRUST: u32 = 20;

/// How long a probe may take, and how long after a failure to try again.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// How often it is looked whether one connection is one server. A pooler may give the same one again by chance.
const LOOKS: usize = 8;

/// How often it is made sure that notifications still arrive, or still do not.
const PROBE_INTERVAL: Duration = Duration::from_secs(30);

/// Those who wait, and the task that wakes them.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    poll_interval: Duration,
    task: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    database: Database,
    sql: Arc<Sql>,
    wakeups: Wakeups,
    /// Whether the last probe arrived.
    hears: AtomicBool,
}

impl Watch {
    /// Begins with the first who waits.
    pub(crate) fn new(database: Database, sql: Arc<Sql>, poll_interval: Duration) -> Self {
        let shared = Shared {
            database,
            sql,
            wakeups: Wakeups::new(),
            hears: AtomicBool::new(false),
        };
        Self {
            shared: Arc::new(shared),
            poll_interval,
            task: Mutex::default(),
        }
    }

    /// Takes a place among those who are woken for `stream`.
    pub(crate) fn listen(&self, stream: &StreamName) -> Listener<'_> {
        self.start();
        self.shared.wakeups.listen(stream)
    }

    /// Waits until woken, or until it is time to look.
    pub(crate) async fn wait(&self, listener: Listener<'_>) {
        let hears = self.shared.hears.load(Ordering::Relaxed);
        let factor = if hears { TRUST } else { 1 };
        // Either way the caller looks.
        let _ = tokio::time::timeout(self.poll_interval * factor, listener.wait()).await;
    }

    pub(crate) fn wake(&self, stream: &StreamName) {
        self.shared.wakeups.wake(stream);
    }

    /// Ends listening, and wakes all who wait.
    pub(crate) fn stop(&self) {
        if let Some(task) = self.task().take() {
            task.abort();
        }
        self.shared.wakeups.wake_all();
    }

    /// Starts the task, or starts it again if the runtime that it was on has ended.
    fn start(&self) {
        if self.shared.database.has_pooler {
            return;
        }
        let mut task = self.task();
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            *task = Some(tokio::spawn(Arc::clone(&self.shared).listen_forever()));
        }
    }

    fn task(&self) -> std::sync::MutexGuard<'_, Option<JoinHandle<()>>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    async fn listen_forever(self: Arc<Self>) {
        loop {
            let pause = match self.listen().await {
                Ok(()) => PROBE_INTERVAL,
                Err(error) => {
                    tracing::debug!(place = self.database.place.name, %error, "not listening, polling");
                    PROBE_TIMEOUT
                }
            };
            self.hears.store(false, Ordering::Relaxed);
            // What was missed in between is found by looking.
            self.wakeups.wake_all();
            tokio::time::sleep(pause).await;
        }
    }

    /// Listens on a connection of its own until that breaks, or as long as it hears probes.
    async fn listen(&self) -> Result<(), SqlxError> {
        let options = self.database.pool.connect_options();
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .connect_lazy_with((*options).clone());
        let channel = self.sql.channel.clone();
        let channel: String = unprepared::value(&mut *pool.acquire().await?, channel).await?;
        if self.shares_servers(&pool).await? {
            return Ok(());
        }
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen(&channel).await?;
        loop {
            self.probe(self.sql.probe.clone()).await?;
            if !self
                .hear_until(&mut listener, Instant::now() + PROBE_TIMEOUT, true)
                .await?
            {
                return Ok(());
            }
            self.hears.store(true, Ordering::Relaxed);
            self.hear_until(&mut listener, Instant::now() + PROBE_INTERVAL, false)
                .await?;
        }
    }

    /// Whether a pooler stands before the server and shares its connections: then one here gets another server now and
    /// then, or two have the same.
    async fn shares_servers(&self, pool: &PgPool) -> Result<bool, SqlxError> {
        let mut one = pool.acquire().await?;
        let mut other = self.database.pool.acquire().await?;
        let first = backend(&mut one).await?;
        for _ in 0..LOOKS {
            if backend(&mut other).await? == first || backend(&mut one).await? != first {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn probe(&self, statement: SqlStr) -> Result<(), SqlxError> {
        self.database.pool.execute(statement).await.map(drop)
    }

    /// Wakes whom notifications name, until `deadline` or, if `for_probe`, until a probe arrives. Tells whether one did.
    async fn hear_until(
        &self,
        listener: &mut PgListener,
        deadline: Instant,
        for_probe: bool,
    ) -> Result<bool, SqlxError> {
        while let Ok(heard) = timeout_at(deadline, listener.try_recv()).await {
            let Some(notification) = heard? else {
                return Err(SqlxError::Protocol(
                    "the listening connection was lost".into(),
                ));
            };
            match notification.payload() {
                "" if for_probe => return Ok(true),
                "" => {}
                stream => self.wakeups.wake(&StreamName::from(&*unescaped(stream))),
            }
        }
        Ok(false)
    }
}

/// The server process that answers.
async fn backend(connection: &mut PgConnection) -> Result<i32, SqlxError> {
    unprepared::value(connection, "SELECT pg_backend_pid()".into_sql_str()).await
}

#[cfg(test)]
mod tests {
    use ledger_testservers::{PgBouncer, Postgres};
    use sqlx_postgres::PgConnectOptions;

    use super::*;
    use crate::PostgresOptions;

    async fn shares_servers(url: &str) -> bool {
        let options = PostgresOptions::default().without_session_settings();
        let connect: PgConnectOptions = url.parse().expect("it is a URL");
        let database = Database::new(connect, &options);
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .connect_lazy_with((*database.pool.connect_options()).clone());
        let sql = Arc::new(Sql::new(options.names()));
        let watch = Watch::new(database, sql, options.poll_interval);
        let shares = watch.shared.shares_servers(&pool).await;
        shares.expect("the server answers")
    }

    #[tokio::test]
    async fn a_pooler_that_shares_servers_is_found_out() {
        let Some(server) = Postgres::private() else {
            return;
        };
        let Some(pooler) = PgBouncer::in_front_of(&server) else {
            return;
        };
        assert!(!shares_servers(server.url()).await);
        assert!(shares_servers(&server.url_by_way_of(pooler.address())).await);
    }
}
