//! How a store is opened: plain data, validated once.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use ledger_core::{Clock, Error, Limits, Result};

use crate::schema;
use crate::sql::Names;

/// Postgres cuts names off behind this.
const IDENTIFIER_BYTES_MAX: usize = 63;

/// The longest prefix: every name built from it stays within [`IDENTIFIER_BYTES_MAX`].
const PREFIX_BYTES_MAX: usize = 40;

/// An entry of an index holds two keys of this size even if each of their bytes must be escaped.
const KEY_BYTES_MAX: usize = 1_024;

/// One value, and one message, of Postgres is smaller than 1 GiB; a value of this size can still be escaped and cast.
const BYTES_MAX: usize = 256 << 20;

/// How a [`PostgresStore`](crate::PostgresStore) is opened.
///
/// ```
/// use ledger_postgres::PostgresOptions;
/// let options = PostgresOptions::default().with_schema("events").with_connections_max(4);
/// assert_eq!(options.table_prefix, "ledger_");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PostgresOptions {
    /// Where `recorded_at` comes from, and what expiry is measured by. Default: none, which is the server's clock, the
    /// same for all processes.
    pub clock: Option<Arc<dyn Clock>>,
    /// The sizes beyond which the store refuses. Names and keys can be raised to 1,024 bytes, payloads and batches to
    /// 256 MiB. Default: those of [`Limits`].
    pub limits: Limits,
    /// Whether tags and annotations are refused. Default: false.
    pub append_only: bool,
    /// The schema that holds the tables; made if it does not exist: `[a-z_][a-z0-9_]{0,62}`. Default: `public`.
    pub schema: String,
    /// What the names of all tables, indexes and functions begin with: `[a-z_][a-z0-9_]{0,39}`. Default: `ledger_`.
    pub table_prefix: String,
    /// Whether opening creates and migrates the tables. Default: it does.
    pub migrations: Migrations,
    /// Into how many partitions a new store divides its entries, by stream. Worth it for hundreds of millions of
    /// entries; cannot be changed later. Default: none.
    pub partitions: Option<NonZeroU32>,
    /// Which optional indexes are made. Default: none.
    pub indexes: Indexes,
    /// How many connections the store opens at the most, one for notifications not counted. Default: 10.
    pub connections_max: u32,
    /// How long a call waits for a connection, before it fails with [`Busy`](ledger_core::Error::Busy), or
    /// [`Unavailable`](ledger_core::Error::Unavailable) if none can be made. Default: 5 s.
    pub acquire_timeout: Duration,
    /// How long a statement may run. The client waits a few seconds longer for the answer. Default: 30 s.
    pub statement_timeout: Duration,
    /// How long an append waits for another one to the same stream to commit. Default: 10 s.
    pub lock_timeout: Duration,
    /// How long an append by another process can stay unnoticed by those who wait for it, as long as notifications are
    /// not known to arrive. Once they are, looking is only the second line and done twenty times as rarely.
    /// Default: 100 ms.
    pub poll_interval: Duration,
    /// Whether connections are set up with the timeouts above. A pooler such as PgBouncer may refuse such settings; they
    /// then belong to the role, see `docs/postgres.md`. Default: true.
    pub session_settings: bool,
    /// Whether connections lead to a pooler that gives the server away after each transaction, and breaks what is
    /// prepared: PgBouncer in transaction mode, before version 1.21 or without `max_prepared_statements`. Every statement
    /// then costs four round trips in place of one. Default: false.
    pub transaction_pooler: bool,
}

/// Whether opening a store may change the schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Migrations {
    /// Creates what is missing and brings older formats forward. Several instances may do so at once.
    #[default]
    Run,
    /// Changes nothing; a store that is missing, or of an older format, is an error. For those who run
    /// [`PostgresOptions::migration_sql`] themselves.
    Never,
}

/// Optional indexes: each makes some reads quicker, and every append slower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Indexes {
    /// A GIN index on JSON payloads, for queries by SQL with `payload::jsonb @> ..`.
    pub payload: bool,
    /// A GIN index on tags, for filters and for `tags @> ..`.
    pub tags: bool,
    /// A GIN index on metadata, for filters and for `metadata @> ..`.
    pub metadata: bool,
}

impl Indexes {
    /// Indexes JSON payloads.
    pub fn with_payload(mut self) -> Self {
        self.payload = true;
        self
    }

    /// Indexes tags.
    pub fn with_tags(mut self) -> Self {
        self.tags = true;
        self
    }

    /// Indexes metadata.
    pub fn with_metadata(mut self) -> Self {
        self.metadata = true;
        self
    }
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            clock: None,
            limits: Limits::default(),
            append_only: false,
            schema: "public".into(),
            table_prefix: "ledger_".into(),
            migrations: Migrations::default(),
            partitions: None,
            indexes: Indexes::default(),
            connections_max: 10,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(10),
            poll_interval: Duration::from_millis(100),
            session_settings: true,
            transaction_pooler: false,
        }
    }
}

impl PostgresOptions {
    /// Takes the time from `clock` instead of the server.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Refuses beyond `limits`.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Refuses changes to entries.
    pub fn append_only(mut self) -> Self {
        self.append_only = true;
        self
    }

    /// Keeps the tables in `schema`.
    pub fn with_schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = schema.into();
        self
    }

    /// Begins the names of tables, indexes and functions with `prefix`.
    pub fn with_table_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.table_prefix = prefix.into();
        self
    }

    /// Says whether opening may change the schema.
    pub fn with_migrations(mut self, migrations: Migrations) -> Self {
        self.migrations = migrations;
        self
    }

    /// Divides the entries of a new store into `partitions`.
    pub fn with_partitions(mut self, partitions: NonZeroU32) -> Self {
        self.partitions = Some(partitions);
        self
    }

    /// Makes optional indexes.
    pub fn with_indexes(mut self, indexes: Indexes) -> Self {
        self.indexes = indexes;
        self
    }

    /// Opens no more than `connections`.
    pub fn with_connections_max(mut self, connections: u32) -> Self {
        self.connections_max = connections;
        self
    }

    /// Waits for a connection up to `timeout`.
    pub fn with_acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = timeout;
        self
    }

    /// Lets a statement run up to `timeout`.
    pub fn with_statement_timeout(mut self, timeout: Duration) -> Self {
        self.statement_timeout = timeout;
        self
    }

    /// Waits for other appends to the same stream up to `timeout`.
    pub fn with_lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// Looks for appends of others every `interval`, unless notifications arrive.
    pub fn with_poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// Leaves the settings of sessions to the role or the pooler.
    pub fn without_session_settings(mut self) -> Self {
        self.session_settings = false;
        self
    }

    /// Reaches the server through a pooler that breaks what is prepared, and refuses the settings of sessions too.
    pub fn behind_transaction_pooler(mut self) -> Self {
        self.transaction_pooler = true;
        self.without_session_settings()
    }

    /// The SQL that makes an empty database a store of today's format, for those who run migrations themselves.
    ///
    /// It is one transaction. Run as the owner of the tables, then open with [`Migrations::Never`].
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the schema or the prefix is not a plain name.
    pub fn migration_sql(&self) -> Result<String> {
        self.validate()?;
        Ok(self.transaction_from(0))
    }

    /// The SQL that brings a store of an older format, `found`, to today's, for those who run migrations themselves.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] as for [`migration_sql`](Self::migration_sql), and if there is no older format of this number.
    pub fn upgrade_sql(&self, found: u32) -> Result<String> {
        self.validate()?;
        if !(1..schema::FORMAT).contains(&found) {
            return invalid(format!("there is no format {found} to upgrade from"));
        }
        Ok(self.transaction_from(found))
    }

    fn transaction_from(&self, found: u32) -> String {
        format!("BEGIN;\n{}COMMIT;\n", schema::steps(self, found))
    }

    pub(crate) fn names(&self) -> Names {
        Names::new(&self.schema, &self.table_prefix)
    }

    /// Refuses what no store can be opened with.
    pub(crate) fn validate(&self) -> Result<()> {
        if !is_plain(&self.schema, IDENTIFIER_BYTES_MAX) {
            return invalid(format!("{:?} cannot be the name of a schema", self.schema));
        }
        if !is_plain(&self.table_prefix, PREFIX_BYTES_MAX) {
            return invalid(format!(
                "{:?} cannot begin the name of a table",
                self.table_prefix
            ));
        }
        if self.connections_max == 0 || self.poll_interval.is_zero() {
            return invalid("a store needs a connection, and time between two looks".into());
        }
        let Limits {
            name_bytes_max,
            key_bytes_max,
            payload_bytes_max,
            metadata_bytes_max,
            batch_bytes_max,
            checkpoint_bytes_max,
            ..
        } = &self.limits;
        let keys = [name_bytes_max, key_bytes_max];
        let values = [
            payload_bytes_max,
            metadata_bytes_max,
            batch_bytes_max,
            checkpoint_bytes_max,
        ];
        if keys.iter().any(|max| **max > KEY_BYTES_MAX)
            || values.iter().any(|max| **max > BYTES_MAX)
        {
            return invalid("the limits are beyond what Postgres can hold".into());
        }
        Ok(())
    }
}

fn is_plain(text: &str, bytes_max: usize) -> bool {
    let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let is_plain = text
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    starts_well && is_plain && text.len() <= bytes_max && !text.starts_with("pg_")
}

fn invalid<T>(reason: String) -> Result<T> {
    Err(Error::InvalidInput { reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(options: PostgresOptions) -> bool {
        matches!(options.validate(), Err(Error::InvalidInput { .. }))
    }

    #[test]
    fn only_plain_names_are_schemas_and_prefixes() {
        let default = PostgresOptions::default;
        for bad in [
            "",
            "1a",
            "A",
            "a-b",
            "a\"b",
            "a b",
            "ä",
            "pg_x",
            &"x".repeat(64),
        ] {
            assert!(is_refused(default().with_schema(bad)), "{bad:?}");
            assert!(is_refused(default().with_table_prefix(bad)), "{bad:?}");
        }
        assert!(!is_refused(default().with_schema("x".repeat(63))));
        assert!(is_refused(default().with_table_prefix("x".repeat(41))));
    }

    #[test]
    fn limits_beyond_what_postgres_holds_are_refused() {
        let mut limits = Limits::default();
        limits.key_bytes_max = KEY_BYTES_MAX + 1;
        assert!(is_refused(PostgresOptions::default().with_limits(limits)));
    }

    #[test]
    fn the_printed_migration_is_one_transaction() {
        let sql = PostgresOptions::default()
            .with_table_prefix("mine_")
            .migration_sql()
            .unwrap();
        assert!(sql.starts_with("BEGIN;") && sql.ends_with("COMMIT;\n"));
        assert!(sql.contains(r#"CREATE TABLE "public"."mine_entries""#));
    }

    #[test]
    fn only_older_formats_are_upgraded_from() {
        let options = PostgresOptions::default();
        assert!(options.upgrade_sql(0).is_err());
        assert!(options.upgrade_sql(schema::FORMAT).is_err());
        let sql = options.upgrade_sql(1).unwrap();
        assert!(sql.starts_with("BEGIN;") && sql.ends_with("COMMIT;\n"));
        assert!(!sql.contains("CREATE TABLE"));
    }
}
