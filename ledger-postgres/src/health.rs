//! What the server is like: how durable, how well, how reached.

use std::time::{Duration, Instant};

use ledger_core::{Durability, Health, Result};
use sqlx_core::raw_sql::raw_sql;
use sqlx_core::sql_str::SqlSafeStr;
use sqlx_postgres::{PgConnection, PgRow};

use crate::database::Database;
use crate::error::{Failure, Place};
use crate::row::get;
use crate::sql::Sql;
use crate::unprepared;

/// The settings that say what a commit survives.
#[derive(Clone, Debug, Default)]
struct Settings {
    version: String,
    synchronous_commit: String,
    fsync: String,
    full_page_writes: String,
    is_replica: bool,
    /// In milliseconds.
    wal_writer_delay: i64,
}

impl Settings {
    fn read(row: &PgRow, place: &Place) -> Result<Self> {
        Ok(Self {
            version: get(row, 0, place)?,
            synchronous_commit: get(row, 1, place)?,
            fsync: get(row, 2, place)?,
            full_page_writes: get(row, 3, place)?,
            is_replica: get(row, 4, place)?,
            wal_writer_delay: get(row, 5, place)?,
        })
    }

    /// A server that does not wait for its disk has written what is three rounds of its log writer old.
    fn durability(&self) -> Durability {
        if self.fsync == "off" {
            return Durability::Process;
        }
        if self.synchronous_commit == "off" {
            let delay = Duration::from_millis(self.wal_writer_delay.unsigned_abs());
            return Durability::Interval(delay.saturating_mul(3));
        }
        Durability::Sync
    }

    fn warnings(&self) -> Vec<String> {
        [
            (
                self.synchronous_commit == "off",
                "synchronous_commit is off: a crash of the server can lose the last appends",
            ),
            (
                self.fsync == "off",
                "fsync is off: a loss of power can destroy the database",
            ),
            (
                self.full_page_writes == "off",
                "full_page_writes is off: a loss of power can damage pages",
            ),
            (
                self.is_replica,
                "the server is a replica: it can be read, not appended to",
            ),
        ]
        .into_iter()
        .filter(|(applies, _)| *applies)
        .map(|(_, warning)| warning.into())
        .collect()
    }
}

/// What commits over `connection` survive.
pub(crate) async fn durability(
    connection: &mut PgConnection,
    sql: &Sql,
    place: &Place,
) -> Result<Durability> {
    let row = raw_sql(sql.health.clone()).fetch_one(connection).await;
    let row = row.map_err(|error| place.read_error(Failure::statement(error)))?;
    Ok(Settings::read(&row, place)?.durability())
}

/// Does a round trip, and tells what weakens the store.
pub(crate) async fn health(database: &Database, sql: &Sql) -> Result<Health> {
    let place = &database.place;
    let started = Instant::now();
    let settings = database
        .ask(
            sql.health.clone(),
            || Ok(Default::default()),
            Settings::default,
            |settings, row| {
                *settings = Settings::read(&row, place)?;
                Ok(())
            },
        )
        .await?;
    let mut health = Health::new(
        format!("PostgreSQL {}", settings.version),
        started.elapsed(),
    );
    health.warnings = settings.warnings();
    Ok(health)
}

/// Logs a warning if passwords and payloads cross a network in the clear.
pub(crate) async fn warn_if_plain(
    connection: &mut PgConnection,
    database: &Database,
) -> Result<()> {
    let place = &database.place;
    let is_plain = "SELECT NOT coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) \
        AND coalesce(NOT inet_server_addr() <<= ANY (ARRAY['127.0.0.0/8', '::1/128']::inet[]), false)";
    let is_plain = unprepared::value::<bool>(connection, is_plain.into_sql_str()).await;
    if is_plain.map_err(|error| place.read_error(Failure::statement(error)))? {
        tracing::warn!(
            place = place.name,
            "the connection is not encrypted, and not to this machine"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(synchronous_commit: &str, fsync: &str) -> Settings {
        Settings {
            synchronous_commit: synchronous_commit.into(),
            fsync: fsync.into(),
            wal_writer_delay: 200,
            ..Settings::default()
        }
    }

    #[test]
    fn a_server_that_waits_for_its_disk_is_durable_without_warnings() {
        let settings = settings("on", "on");
        assert_eq!(settings.durability(), Durability::Sync);
        assert_eq!(settings.warnings(), [""; 0]);
    }

    #[test]
    fn a_server_that_does_not_wait_says_what_it_can_lose() {
        let off = settings("off", "on");
        assert_eq!(
            off.durability(),
            Durability::Interval(Duration::from_millis(600))
        );
        assert_eq!(off.warnings().len(), 1);
        let broken = settings("on", "off");
        assert_eq!(broken.durability(), Durability::Process);
        assert_eq!(broken.warnings().len(), 1);
    }
}
