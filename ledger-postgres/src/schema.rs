//! The tables and the functions in them, and how those of older formats become those of today.
//!
//! `docs/FORMAT.md` describes what they hold. A format is only ever left behind by a migration: each step is frozen once
//! it is released, and a new store runs all of them. All steps, and the new format number, are one transaction, and an
//! advisory lock lets one instance at a time do it.

use ledger_core::{Error, Result};
use sqlx_core::executor::Executor;
use sqlx_core::raw_sql::raw_sql;
use sqlx_postgres::{PgConnection, Postgres};

use crate::error::{Failure, Place};
use crate::options::{Migrations, PostgresOptions};
use crate::sql::Names;
use crate::unprepared;

/// What makes each format of the one before; the first makes an empty schema a store.
const MIGRATIONS: [&str; 2] = [include_str!("schema/1.sql"), include_str!("schema/2.sql")];

/// The format that this version writes.
pub(crate) const FORMAT: u32 = MIGRATIONS.len() as u32;

/// The columns of all tables, as all formats have them, in the order of the tables' names.
const COLUMNS: &str = "checkpoints: stream_id name revision value; \
    entries: stream_id id recorded_at updated_at expires_at schema_version kind order_key dedup_key content_type \
    payload payload_bytes metadata tags annotations; \
    meta: key value; \
    streams: stream_id head first bytes recorded_at name";

/// Of every table of the store that there is: its name without prefix, and its columns.
const FIND_COLUMNS: &str = "SELECT string_agg(t.line, '; ' ORDER BY t.line COLLATE \"C\") FROM ( \
    SELECT substr(c.relname, length('{prefix}') + 1) || ': ' || string_agg(a.attname, ' ' ORDER BY a.attnum) AS line \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid \
    WHERE n.nspname = '{schema}' AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped \
        AND c.relname IN ('{prefix}' || 'checkpoints', '{prefix}' || 'entries', '{prefix}' || 'meta', '{prefix}' || 'streams') \
    GROUP BY c.relname) t";

/// Sees to it that the store is there and of today's format.
pub(crate) async fn prepare(
    connection: &mut PgConnection,
    options: &PostgresOptions,
    place: &Place,
) -> Result<()> {
    let installing = Installing {
        connection,
        options,
        names: options.names(),
        place,
    };
    installing.prepare().await
}

/// The SQL that brings a store of format `found` (zero: none) to today's.
pub(crate) fn steps(options: &PostgresOptions, found: u32) -> String {
    let names = options.names();
    let mut sql = String::new();
    if found == 0 {
        sql += &format!("CREATE SCHEMA IF NOT EXISTS {};\n", names.schema());
    }
    let partition_by = options
        .partitions
        .map_or("", |_| " PARTITION BY HASH (stream_id)");
    for step in MIGRATIONS.iter().skip(found as usize) {
        sql += &names.fill(&step.replace("{partition_by}", partition_by));
    }
    if found == 0 {
        sql += &partitions(options, &names);
    }
    sql + &names.fill(&format!(
        "INSERT INTO @meta (key, value) VALUES ('format', {FORMAT}) \
         ON CONFLICT (key) DO UPDATE SET value = excluded.value;\n"
    )) + &indexes(options, &names)
}

fn partitions(options: &PostgresOptions, names: &Names) -> String {
    let count = options.partitions.map_or(0, std::num::NonZeroU32::get);
    let name = names.fill("@entries");
    (0..count)
        .map(|number| {
            format!(
                "CREATE TABLE {}_{number}\" PARTITION OF {name} FOR VALUES WITH (MODULUS {count}, REMAINDER {number});\n",
                name.trim_end_matches('"')
            )
        })
        .collect()
}

/// The optional indexes that are asked for.
fn indexes(options: &PostgresOptions, names: &Names) -> String {
    let wanted = options.indexes;
    [
        (
            wanted.payload,
            "%entries_payload ON @entries USING gin ((payload::jsonb) jsonb_path_ops)",
        ),
        (
            wanted.tags,
            "%entries_tags ON @entries USING gin (tags jsonb_path_ops)",
        ),
        (
            wanted.metadata,
            "%entries_metadata ON @entries USING gin (metadata jsonb_path_ops)",
        ),
    ]
    .into_iter()
    .filter(|(is_wanted, _)| *is_wanted)
    .map(|(_, index)| names.fill(&format!("CREATE INDEX IF NOT EXISTS {index};\n")))
    .collect()
}

struct Installing<'a> {
    connection: &'a mut PgConnection,
    options: &'a PostgresOptions,
    names: Names,
    place: &'a Place,
}

impl Installing<'_> {
    async fn prepare(mut self) -> Result<()> {
        self.refuse_other_encodings().await?;
        let found = self.check().await?;
        match self.options.migrations {
            _ if found == FORMAT && !self.wants_indexes() => Ok(()),
            Migrations::Run => self.migrate().await,
            Migrations::Never if found == FORMAT => Ok(()),
            Migrations::Never => Err(self.place.not_a_store(format!(
                "it has format {found} of {FORMAT}, and migrations are switched off: run the migration first"
            ))),
        }
    }

    fn wants_indexes(&self) -> bool {
        self.options.indexes != crate::options::Indexes::default()
    }

    /// Text would not hold all of Unicode.
    async fn refuse_other_encodings(&mut self) -> Result<()> {
        let encoding: String = self
            .scalar("SELECT current_setting('server_encoding')")
            .await?;
        if encoding == "UTF8" {
            return Ok(());
        }
        Err(self.place.not_a_store(format!(
            "its text is {encoding}: make a database WITH ENCODING 'UTF8' TEMPLATE template0"
        )))
    }

    /// Refuses what is no store, or one of a newer version. Changes nothing.
    ///
    /// Answers the format found; zero if there is no store with these names yet.
    async fn check(&mut self) -> Result<u32> {
        let find = FIND_COLUMNS
            .replace("{schema}", &self.options.schema)
            .replace("{prefix}", &self.options.table_prefix);
        let columns: Option<String> = self.scalar(&find).await?;
        match columns.as_deref() {
            None => Ok(0),
            Some(COLUMNS) => self.format().await,
            Some(_) => Err(self.place.not_a_store(format!(
                "tables of the names {}.{}.. belong to something else: choose another schema or prefix",
                self.options.schema, self.options.table_prefix
            ))),
        }
    }

    async fn format(&mut self) -> Result<u32> {
        let format: Option<i64> = self
            .scalar("SELECT max(value) FROM @meta WHERE key = 'format'")
            .await?;
        match format.map(u32::try_from) {
            Some(Ok(format @ 1..=FORMAT)) => Ok(format),
            Some(Ok(found)) if found > FORMAT => Err(Error::FormatTooNew {
                place: self.place.name.clone(),
                found,
                supported: FORMAT,
            }),
            _ => Err(self.place.not_a_store("it says no format")),
        }
    }

    /// Brings the tables to today's format, creating them if need be.
    async fn migrate(&mut self) -> Result<()> {
        self.execute("BEGIN").await?;
        let migrated = self.migrate_in_transaction().await;
        let end = if migrated.is_ok() {
            "COMMIT"
        } else {
            "ROLLBACK"
        };
        let ended = self.execute(end).await;
        migrated.and(ended)
    }

    async fn migrate_in_transaction(&mut self) -> Result<()> {
        self.execute("SET LOCAL lock_timeout = 0").await?;
        let lock = "SELECT true FROM pg_advisory_xact_lock(hashtextextended('@meta', 0))";
        let _locked: bool = self.scalar(lock).await?;
        // Looked at again under the lock: somebody else may have been faster.
        let found = self.check().await?;
        if found == FORMAT {
            let indexes = indexes(self.options, &self.names);
            return self.execute(&indexes).await;
        }
        let steps = steps(self.options, found);
        self.execute(&steps).await?;
        tracing::info!(
            place = self.place.name,
            from = found,
            to = FORMAT,
            "migrated"
        );
        Ok(())
    }

    async fn scalar<T>(&mut self, text: &str) -> Result<T>
    where
        T: for<'r> sqlx_core::decode::Decode<'r, Postgres> + sqlx_core::types::Type<Postgres>,
    {
        let statement = self.names.statement(text);
        let answer = unprepared::value(self.connection, statement).await;
        answer.map_err(|error| self.error(error))
    }

    async fn execute(&mut self, text: &str) -> Result<()> {
        let statement = self.names.statement(text);
        let done = self.connection.execute(raw_sql(statement)).await;
        done.map(drop).map_err(|error| self.error(error))
    }

    /// Opening again does no harm, so what is not known to have happened may be tried again.
    fn error(&self, error: sqlx_core::error::Error) -> Error {
        self.place.read_error(Failure::statement(error))
    }
}
