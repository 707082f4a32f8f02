//! What a store is put through to see whether it ever loses an entry.
//!
//! A test starts a [`Crew`]: processes of its own program in which a [`Worker`] lets four writers append and a reader
//! follow, all of them on one stream. While they work, the test takes the server away from under them, again and
//! again, and lets a [`Proxy`] swallow answers; the crew tries again until each append is acknowledged. In the end the
//! crew's [`Verdict`] holds what was acknowledged and what the readers saw against what is stored.
//!
//! Nothing here knows an engine: a worker is handed a store, of whatever kind.

mod crew;
mod proxy;
mod verdict;
mod word;
mod worker;

pub use crew::Crew;
pub use proxy::{Protocol, Proxy};
pub use verdict::Verdict;
pub use worker::Worker;

use ledger_core::{SharedStore, Stream};

/// Begins every dedup key, so that a proxy can tell an append from other requests.
pub const KEY_MARK: &str = "chaos-";

/// The stream that everybody works on. An entry's value is its dedup key.
type Hot = Stream<u64, String>;

fn hot(store: SharedStore<u64>) -> Hot {
    Stream::new(store, "hot")
}
