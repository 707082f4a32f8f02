//! Pages are ranges of an index, whatever the planner knows, or does not know, about the table.

use ledger_core::{Batch, Filter, NewEntry, Payload, ReadOptions, Store, Timestamp};
use ledger_testservers::{Postgres as Server, fresh_name};
use sqlx_core::arguments::Arguments as _;
use sqlx_core::query_scalar::query_scalar_with;
use sqlx_core::raw_sql::raw_sql;
use sqlx_core::row::Row;
use sqlx_core::sql_str::{AssertSqlSafe, SqlSafeStr};
use sqlx_postgres::{PgPool, Postgres};

use crate::read::arguments;
use crate::sql::Sql;
use crate::{PostgresOptions, PostgresStore};

const ROWS: usize = 40_000;

/// Fills a table that nobody analyses, so that the planner still takes it for an empty one.
async fn fill(store: &PostgresStore, pool: &PgPool, schema: &str) {
    let off = format!("ALTER TABLE {schema}.ledger_entries SET (autovacuum_enabled = off)");
    raw_sql(AssertSqlSafe(off))
        .execute(pool)
        .await
        .expect("autovacuum can be switched off");
    for start in (0..ROWS).step_by(10_000) {
        let entry = |n: usize| {
            let new = NewEntry::new(Payload::json("{}")).dedup_key(n.to_string());
            new.order_key(format!("o-{}", n % 500))
                .kind("K")
                .tag("t")
                .metadata("k", "v")
        };
        let entries = (start..start + 10_000).map(entry).collect();
        store
            .append(Batch::new("s", entries))
            .await
            .expect("the append succeeds");
    }
}

fn pages() -> Vec<ReadOptions<u64>> {
    let page = || ReadOptions::new().after(20_000).limit(100);
    let early = Timestamp::from_micros(0);
    vec![
        page(),
        page().descending(),
        page().descending().before(30_000),
        page().with_tombstones(),
        page().since(early),
        page().filter(Filter::new().order_key("o-7")),
        page().filter(Filter::new().order_key("o-7")).descending(),
        page().filter(Filter::new().order_key("o-7").kind("K")),
        page().filter(Filter::new().kind("K").tag("t").metadata("k", "v")),
    ]
}

/// The plan for these very arguments.
async fn custom_plan(pool: &PgPool, sql: &Sql, options: &ReadOptions<u64>) -> String {
    let statement = AssertSqlSafe(format!("EXPLAIN {}", sql.page(options).as_str())).into_sql_str();
    let arguments = arguments(&"s".into(), options, None).expect("the arguments can be sent");
    let lines = query_scalar_with::<Postgres, String, _>(statement, arguments)
        .fetch_all(pool)
        .await;
    lines.expect("the statement can be explained").join("\n")
}

/// The plan for whatever arguments, which is the one that connections keep.
async fn generic_plan(pool: &PgPool, sql: &Sql, options: &ReadOptions<u64>) -> String {
    let arguments = arguments(&"s".into(), options, None).expect("the arguments can be sent");
    let nulls = vec!["NULL"; arguments.len()].join(", ");
    let statements = format!(
        "SET plan_cache_mode = force_generic_plan; PREPARE page AS {}; EXPLAIN EXECUTE page({nulls}); \
         DEALLOCATE page; RESET plan_cache_mode",
        sql.page(options).as_str()
    );
    let rows = raw_sql(AssertSqlSafe(statements)).fetch_all(pool).await;
    let rows = rows.expect("the statement can be explained");
    let lines = rows.iter().map(|row| row.get_unchecked::<String, _>(0));
    lines.collect::<Vec<_>>().join("\n")
}

/// Checks the plans of all pages on the connections of `pool`.
async fn check(pool: &PgPool, sql: &Sql) {
    for options in pages() {
        for plan in [
            custom_plan(pool, sql, &options).await,
            generic_plan(pool, sql, &options).await,
        ] {
            let is_range = plan.contains("Index Scan")
                && !plan.contains("Sort")
                && !plan.contains("Seq Scan on ledger_entries");
            assert!(is_range, "{options:?}\n{plan}");
        }
    }
}

#[tokio::test]
async fn pages_are_ranges_of_an_index_without_statistics_and_with_stale_ones() {
    let Some(server) = Server::shared() else {
        return;
    };
    let options = PostgresOptions::default().with_schema(fresh_name());
    let pool = PgPool::connect(server.url())
        .await
        .expect("the server can be reached");
    let store = PostgresStore::open_with(server.url(), options.clone())
        .await
        .expect("the store opens");
    let sql = Sql::new(options.names());
    // Statistics of a table with one row.
    store
        .append(Batch::new("s", vec![NewEntry::new(Payload::json("{}"))]))
        .await
        .expect("it is appended");
    let schema = &options.schema;
    let analyze = AssertSqlSafe(format!("ANALYZE {schema}.ledger_entries"));
    raw_sql(analyze)
        .execute(&pool)
        .await
        .expect("it is analysed");
    fill(&store, &pool, schema).await;
    check(store.pool(), &sql).await;
    check(&pool, &sql).await;
}
