//! A typed, append-only event log.
//!
//! A [`Store`] is one log database that holds many streams of bytes: a file, a schema in Postgres, or, in this crate,
//! memory. A [`Stream`] puts an application's own event type above it. Whatever the backend, the same holds:
//!
//! - Ids are dense from 1 in each stream, and a reader who has seen id N never finds a new entry at or below N later.
//! - A batch is appended wholly or not at all, and the answer tells for each entry whether it was
//!   [appended](Outcome::Appended) or is a [duplicate](Outcome::Duplicate) of which one.
//! - A [`Condition`] is checked and the batch written as one step.
//! - Following gives history, then live, without a gap or a repeat.
//!
//! ```
//! use futures_util::TryStreamExt;
//! use ledger_core::{Condition, Error, MemoryStore, Stream};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! enum OrderEvent { Placed { cents: u64 }, Paid, Cancelled }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> ledger_core::Result<()> {
//! let orders: Stream<u64, OrderEvent> = Stream::new(MemoryStore::new(), "orders");
//! orders.append(OrderEvent::Placed { cents: 995 }).order_key("o-1").dedup_key("evt-1").await?;
//!
//! // Two processes decide on the same state; one of them loses, and nothing of it is written.
//! let seen = Condition::last_of("o-1", Some(1));
//! orders.append(OrderEvent::Paid).order_key("o-1").when(seen.clone()).await?;
//! let lost = orders.append(OrderEvent::Cancelled).order_key("o-1").when(seen).await;
//! assert!(matches!(lost, Err(Error::Conflict { .. })));
//!
//! let history: Vec<_> = orders.read().order_key("o-1").walk().map_ok(|entry| entry.value).try_collect().await?;
//! assert_eq!(history, [OrderEvent::Placed { cents: 995 }, OrderEvent::Paid]);
//! # Ok(()) }
//! ```
//!
//! The crate knows no async runtime and no database. To write a backend, implement [`Store`] and run the suite of
//! `ledger-storetest` on it; [`Limits`], [`Condition::check`], [`Page::new`] and [`Wakeups`] are there to help.

mod batch;
mod capabilities;
mod checkpoint;
mod clock;
mod codec;
mod condition;
mod entry;
mod error;
mod filter;
mod id;
mod limits;
mod memory;
mod name;
mod payload;
mod read;
mod retention;
mod schema;
mod sparse;
mod stat;
mod store;
mod stream;
mod timestamp;
mod wakeups;

pub use async_trait::async_trait;
pub use bytes::Bytes;

pub use batch::{Batch, Outcome, Receipt};
pub use capabilities::{Capabilities, Durability};
pub use checkpoint::{Checkpoint, Revision};
pub use clock::{Clock, ManualClock, SystemClock};
pub use codec::{Codec, Json, TreeCodec};
pub use condition::{Condition, Evidence};
pub use entry::{Entry, NewEntry, TextMap, merge_annotations};
pub use error::{Action, BoxError, Error, Result};
pub use filter::Filter;
pub use id::Id;
pub use limits::{FILTER_KEYS_MAX, Limits};
pub use memory::{MemoryOptions, MemoryStore};
pub use name::StreamName;
pub use payload::{ContentType, Payload};
pub use read::{Direction, Page, READ_LIMIT_DEFAULT, ReadOptions, check_limit};
pub use retention::Retention;
pub use schema::{FieldMapper, Upcaster};
pub use sparse::{Collection, Sparse};
pub use stat::{Health, Stat};
pub use store::{SharedStore, Store};
pub use stream::{Append, AppendAll, Follow, Read, Stream, StreamBuilder};
pub use timestamp::Timestamp;
pub use wakeups::{Listener, Wakeups};
