//! A typed, append-only event log.

mod batch;
mod capabilities;
mod checkpoint;
mod clock;
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
mod stat;
mod store;
mod timestamp;
mod wakeups;

pub use async_trait::async_trait;
pub use bytes::Bytes;

pub use batch::{Batch, Outcome, Receipt};
pub use capabilities::{Capabilities, Durability};
pub use checkpoint::{Checkpoint, Revision};
pub use clock::{Clock, ManualClock, SystemClock};
pub use condition::{Condition, Evidence};
pub use entry::{Entry, NewEntry, TextMap};
pub use error::{Action, BoxError, Error, Result};
pub use filter::Filter;
pub use id::Id;
pub use limits::{FILTER_KEYS_MAX, Limits};
pub use memory::{MemoryOptions, MemoryStore};
pub use name::StreamName;
pub use payload::{ContentType, Payload};
pub use read::{Direction, Page, READ_LIMIT_DEFAULT, ReadOptions};
pub use retention::Retention;
pub use stat::{Health, Stat};
pub use store::{SharedStore, Store};
pub use timestamp::Timestamp;
pub use wakeups::{Listener, Wakeups};
