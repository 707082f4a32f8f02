//! A ledger store in PostgreSQL, for services on more than one machine.
//!
//! [`PostgresStore`] keeps the whole contract of [`ledger_core::Store`] in a few tables of a database that other
//! programs may share. Any number of processes append to the same streams; what they append at the same time shares a
//! commit where it can. It runs on tokio, and is best used on the runtime that opened it.
//!
//! ```no_run
//! use ledger_core::{Batch, NewEntry, Payload, ReadOptions, Store};
//! use ledger_postgres::PostgresStore;
//!
//! # async fn example() -> ledger_core::Result<()> {
//! let store = PostgresStore::open("postgres://orders@db.example/orders").await?;
//! let placed = NewEntry::new(Payload::json(r#"{"item":"book"}"#)).dedup_key("evt-1");
//! store.append(Batch::new("orders", vec![placed])).await?;
//!
//! let page = store.read(&"orders".into(), &ReadOptions::new()).await?;
//! assert_eq!(page.entries[0].dedup_key.as_deref(), Some("evt-1"));
//! # Ok(())
//! # }
//! ```
//!
//! # Rooms
//! `options` and `store` are what users see. Behind them: `schema` installs the tables and the functions in them, `sql`
//! holds every statement, and `database` runs one, in a task of its own where it changes something; pages are read as an
//! `errand`, which goes on by itself. `group` gathers appends, `lane` says which of them go together and when, and
//! `commit` sends them and answers each; `plain` makes the plain case of one with a single statement, and `append` speaks
//! with the functions that make all others. `read`, `retention`, `marks`, `streams` and `checkpoints` are what else can
//! be asked for. `row`, `text` and `json` say how an entry lies in its table, and `watch` notices what other openings
//! commit.

mod append;
mod checkpoints;
mod commit;
mod database;
mod errand;
mod error;
mod group;
mod health;
mod json;
mod lane;
mod marks;
mod options;
mod plain;
#[cfg(test)]
mod plans;
mod read;
mod relay;
mod retention;
mod row;
mod schema;
mod sql;
mod store;
mod streams;
mod text;
mod unprepared;
mod watch;

pub use options::{Indexes, Migrations, PostgresOptions};
pub use sqlx_core;
pub use sqlx_postgres;
pub use store::PostgresStore;
