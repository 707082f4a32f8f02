//! Statements that leave nothing prepared behind.
//!
//! A pooler that gives the server away after each transaction breaks what clients prepare: it may be gone when it is to
//! be run, or be what somebody else has prepared under the same name.

use sqlx_core::decode::Decode;
use sqlx_core::error::Error as SqlxError;
use sqlx_core::executor::Executor;
use sqlx_core::query::query_with_result;
use sqlx_core::raw_sql::raw_sql;
use sqlx_core::row::Row;
use sqlx_core::sql_str::SqlStr;
use sqlx_core::types::Type;
use sqlx_postgres::{PgConnection, PgRow, Postgres};

use crate::database::Arguments;

/// Asks for one value, in one round trip. Takes no arguments.
pub(crate) async fn value<T>(
    connection: &mut PgConnection,
    statement: SqlStr,
) -> Result<T, SqlxError>
where
    T: for<'r> Decode<'r, Postgres> + Type<Postgres>,
{
    raw_sql(statement).fetch_one(connection).await?.try_get(0)
}

/// Runs a statement in a transaction of its own, which keeps the server that it is prepared on: four round trips.
///
/// Whoever stops waiting leaves the transaction open.
pub(crate) async fn fetch_all(
    connection: &mut PgConnection,
    statement: SqlStr,
    arguments: Arguments,
) -> Result<Vec<PgRow>, SqlxError> {
    connection.execute("BEGIN").await?;
    let query = query_with_result::<Postgres, _>(statement, arguments).persistent(false);
    let rows = connection.fetch_all(query).await;
    let end = if rows.is_ok() { "COMMIT" } else { "ROLLBACK" };
    connection.execute(end).await?;
    rows
}

/// As [`fetch_all`], for a statement that answers one row.
pub(crate) async fn fetch_one(
    connection: &mut PgConnection,
    statement: SqlStr,
    arguments: Arguments,
) -> Result<PgRow, SqlxError> {
    let rows = fetch_all(connection, statement, arguments).await?;
    rows.into_iter().next().ok_or(SqlxError::RowNotFound)
}
