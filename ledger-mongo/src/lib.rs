//! A ledger store in MongoDB, from one node to a sharded cluster.
//!
//! [`MongoStore`] keeps the whole contract of [`ledger_core::Store`] in four collections of a database that other programs
//! may share, with JSON payloads as documents that can be queried. Any number of processes append to the same streams;
//! what they append at the same time shares a commit where it can. It runs on tokio, and is best used on the runtime that
//! opened it. It needs MongoDB 5.0 or later as a replica set, of which one node will do, or a sharded cluster.
//!
//! ```no_run
//! use ledger_core::{Batch, NewEntry, Payload, ReadOptions, Store};
//! use ledger_mongo::MongoStore;
//!
//! # async fn example() -> ledger_core::Result<()> {
//! let store = MongoStore::open("mongodb://orders@db.example/orders").await?;
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
//! `options` and `store` are what users see. Behind them: `schema` makes the collections, `database` asks them, and
//! `transaction` runs what changes them until its outcome is known. `group` gathers appends, `append` decides them with the
//! `evidence` it finds, and `insert` writes them; `head` is the one document of each stream that all changes begin with.
//! `read` and `query`, `retention`, `marks`, `streams` and `checkpoints` are what else can be asked for. `row`, `json` and
//! `document` say how an entry lies in its collection, and `watch` notices what other openings commit.

mod append;
mod checkpoints;
mod database;
mod document;
mod error;
mod evidence;
mod group;
mod head;
mod health;
mod insert;
mod json;
mod known;
mod marks;
mod options;
mod orphans;
#[cfg(test)]
mod plans;
mod query;
mod random;
mod read;
mod reader;
mod retention;
mod row;
mod schema;
mod store;
mod streams;
mod transaction;
mod watch;
mod word;

pub use mongodb;
pub use options::{Indexes, MongoOptions};
pub use store::MongoStore;
