//! A ledger store in a SQLite file.
//!
//! [`SqliteStore`] keeps the whole contract of [`ledger_core::Store`] in one file that other programs may open, read
//! with SQL and append to at the same time. It needs no async runtime: the work is done by a few threads of its own.
//!
//! ```
//! use ledger_core::{Batch, NewEntry, Payload, ReadOptions, Store};
//! use ledger_sqlite::SqliteStore;
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("orders.db");
//! let store = SqliteStore::open(path).await?;
//! let placed = NewEntry::new(Payload::json(r#"{"item":"book"}"#)).dedup_key("evt-1");
//! store.append(Batch::new("orders", vec![placed])).await?;
//!
//! let page = store.read(&"orders".into(), &ReadOptions::new()).await?;
//! assert_eq!(page.entries[0].dedup_key.as_deref(), Some("evt-1"));
//! store.close().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Rooms
//! `options`, `store` and `transaction` are what users see. Behind them:
//! - an `opening` holds the threads together; `connection` and `schema` say how files are opened and migrated;
//! - `writer` commits groups of changes and `readers` answers questions, both fed by a `queue`; `watch` notices what
//!   other openings commit;
//! - a `session` is one transaction of changes; `append`, `retention`, `marks`, `streams` and `checkpoints` are what
//!   can be done in it, and `evidence` is what appends are decided by;
//! - `read` makes pages, with `merge` for several order keys; `row` and `position` say how an entry lies in its table,
//!   and `sql` holds every statement.

mod append;
mod checkpoints;
mod connection;
mod error;
mod evidence;
mod marks;
mod merge;
mod opening;
mod options;
mod position;
mod queue;
mod read;
mod readers;
mod retention;
mod row;
mod schema;
mod session;
mod sql;
mod store;
mod streams;
mod transaction;
mod watch;
mod writer;

pub use options::SqliteOptions;
pub use rusqlite;
pub use store::SqliteStore;
