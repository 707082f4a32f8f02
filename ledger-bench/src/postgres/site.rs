//! Where a lap is run: a schema of its own on the server of all races.

use ledger_core::Stream;
use ledger_postgres::{PostgresOptions, PostgresStore};
use ledger_testservers::fresh_name;
use sqlx_core::connection::{ConnectOptions, Connection};
use sqlx_core::executor::Executor;
use sqlx_core::sql_str::AssertSqlSafe;
use sqlx_postgres::{PgConnectOptions, PgConnection};

use crate::Result;
use crate::arena::Arena;
use crate::ledger::{Payments, STREAM};

/// A schema with the tables of a store.
pub(crate) struct Site<'a> {
    url: &'a str,
    schema: String,
}

impl<'a> Site<'a> {
    /// Makes one, its store empty.
    ///
    /// # Errors
    /// Those of the server and the store.
    pub(crate) async fn fresh(arena: &'a Arena) -> Result<Self> {
        let site = Self {
            url: arena.postgres()?.url(),
            schema: fresh_name(),
        };
        site.open().await?.store().close().await?;
        Ok(site)
    }

    /// Opens the store.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn open(&self) -> Result<Payments> {
        let options = PostgresOptions::default().with_schema(&self.schema);
        let store = PostgresStore::open_with(self.url, options).await?;
        Ok(Stream::new(store, STREAM))
    }

    /// Opens a bare connection that finds the tables by their names.
    ///
    /// # Errors
    /// Those of the server.
    pub(crate) async fn connect(&self) -> Result<PgConnection> {
        let options: PgConnectOptions = self.url.parse()?;
        let search_path = [("search_path", &self.schema)];
        Ok(options.options(search_path).connect().await?)
    }

    /// Has the server write down what earlier laps left in memory, so that it does not do so during the next one.
    ///
    /// # Errors
    /// Those of the server.
    pub(crate) async fn settle(&self) -> Result<()> {
        let mut connection = self.connect().await?;
        connection.execute("CHECKPOINT").await?;
        Ok(connection.close().await?)
    }

    /// Has the server count what is in the tables, so that bare statements are planned well.
    ///
    /// # Errors
    /// Those of the server.
    pub(crate) async fn analyze(&self) -> Result<()> {
        let mut connection = self.connect().await?;
        connection.execute("VACUUM ANALYZE ledger_entries").await?;
        Ok(connection.close().await?)
    }

    /// Removes the schema and all that is in it.
    ///
    /// # Errors
    /// Those of the server.
    pub(crate) async fn remove(self) -> Result<()> {
        let mut connection = self.connect().await?;
        let drop_schema = format!("DROP SCHEMA {} CASCADE", self.schema);
        connection.execute(AssertSqlSafe(drop_schema)).await?;
        Ok(connection.close().await?)
    }
}
