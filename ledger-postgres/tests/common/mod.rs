//! What the tests of this folder share: a server, and a schema of its own for each test.

#![allow(dead_code, reason = "each test uses a part of it")]

use ledger_core::{Batch, NewEntry, Payload};
use ledger_postgres::sqlx_core::raw_sql::raw_sql;
use ledger_postgres::sqlx_core::sql_str::AssertSqlSafe;
use ledger_postgres::sqlx_postgres::{PgConnectOptions, PgPool};
use ledger_postgres::{PostgresOptions, PostgresStore};
use ledger_testservers::{Postgres, fresh_name};

/// A schema on the server that all tests share.
pub(crate) struct Place {
    pub(crate) schema: String,
    pub(crate) url: &'static str,
    pub(crate) admin: PgPool,
}

/// Begins a test; none if there is no server here, which has then been said.
pub(crate) async fn place() -> Option<Place> {
    let url = Postgres::shared()?.url();
    let admin = PgPool::connect(url)
        .await
        .expect("the server can be reached");
    Some(Place {
        schema: fresh_name(),
        url,
        admin,
    })
}

impl Place {
    pub(crate) fn options(&self) -> PostgresOptions {
        PostgresOptions::default().with_schema(&self.schema)
    }

    pub(crate) async fn open(&self) -> PostgresStore {
        self.open_with(self.options()).await
    }

    pub(crate) async fn open_with(&self, options: PostgresOptions) -> PostgresStore {
        PostgresStore::open_with(self.url, options)
            .await
            .expect("the store opens")
    }

    /// Runs SQL of the test's own, with `@` for the schema.
    pub(crate) async fn run(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.replace('@', &self.schema));
        raw_sql(sql)
            .execute(&self.admin)
            .await
            .expect("the statement runs");
    }

    /// How to connect to `database` as `user`.
    pub(crate) fn connect_as(
        &self,
        user: &str,
        password: &str,
        database: &str,
    ) -> PgConnectOptions {
        let options = self.admin.connect_options();
        (*options)
            .clone()
            .username(user)
            .password(password)
            .database(database)
    }

    /// Makes a role that may log in, and nothing else.
    pub(crate) async fn role(&self) -> String {
        let role = fresh_name();
        self.run(&format!("CREATE ROLE {role} LOGIN PASSWORD 'pw'"))
            .await;
        role
    }

    pub(crate) fn database(&self) -> String {
        self.admin
            .connect_options()
            .get_database()
            .unwrap_or("postgres")
            .to_owned()
    }
}

pub(crate) fn entry(text: &str) -> NewEntry {
    NewEntry::new(Payload::octets(text.to_owned()))
}

pub(crate) fn keyed(key: &str) -> NewEntry {
    entry(key).dedup_key(key)
}

pub(crate) fn batch(stream: &str, entries: impl IntoIterator<Item = NewEntry>) -> Batch<u64> {
    Batch::new(stream, entries.into_iter().collect())
}
