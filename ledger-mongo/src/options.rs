//! How a store is opened: plain data, validated once.

use std::sync::Arc;
use std::time::Duration;

use ledger_core::{Clock, Error, Limits, Result};

/// The longest prefix: MongoDB allows 255 bytes for database and collection together.
const PREFIX_BYTES_MAX: usize = 40;

/// The longest name of a database, in bytes.
const DATABASE_BYTES_MAX: usize = 63;

/// What a document of 16 MiB holds beside all that can be around a payload.
const PAYLOAD_BYTES_MAX: usize = 15 << 20;

/// Keys of metadata and the like may not be so many that the documents around them fill an entry.
const METADATA_BYTES_MAX: usize = 256 << 10;

/// Names and keys stay small parts of indexes.
const KEY_BYTES_MAX: usize = 1_024;

/// What a transaction writes within its time, and the cache of a small server holds.
const BATCH_BYTES_MAX: usize = 64 << 20;
const BATCH_ENTRIES_MAX: usize = 100_000;

/// How a [`MongoStore`](crate::MongoStore) is opened.
///
/// ```
/// use ledger_mongo::MongoOptions;
/// let options = MongoOptions::default().with_database("events").with_collection_prefix("orders_");
/// assert_eq!(options.limits.payload_bytes_max, 15 << 20);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MongoOptions {
    /// Where `recorded_at` comes from, and what expiry is measured by. Default: none, which is the server's clock, the
    /// same for all processes, in whole milliseconds.
    pub clock: Option<Arc<dyn Clock>>,
    /// The sizes beyond which the store refuses. What is larger than MongoDB can hold is lowered to that, as
    /// `Capabilities` then tell: payloads and checkpoints to 15 MiB, metadata to 256 KiB, names and keys to 1,024 bytes,
    /// batches to 64 MiB and 100,000 entries. Default: those of [`Limits`], so lowered.
    pub limits: Limits,
    /// Whether tags and annotations are refused. Default: false.
    pub append_only: bool,
    /// The database. Default: the one that the URI names, or else `ledger`.
    pub database: Option<String>,
    /// What the names of all collections begin with: `[a-z_][a-z0-9_]{0,39}`. Default: `ledger_`.
    pub collection_prefix: String,
    /// Which optional indexes are made. Default: none.
    pub indexes: Indexes,
    /// How long a call looks for a server that it can use, unless the URI says. Default: 5 s.
    pub server_selection_timeout: Duration,
    /// How long a change may take, with all its repetitions, before it fails; a read may take as long. Keep it below the
    /// server's `transactionLifetimeLimitSeconds`. Default: 30 s.
    pub transaction_timeout: Duration,
    /// How long an append by another process can stay unnoticed by those who wait for it, as long as there is no change
    /// stream. While there is one, looking is only the second line and done twenty times as rarely. Default: 100 ms.
    pub poll_interval: Duration,
}

/// Optional indexes: each makes some reads quicker, and every append slower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Indexes {
    /// A wildcard index on JSON payloads, for queries of your own such as `{"payload.item": "book"}`.
    pub payload: bool,
    /// An index on tags, for filters.
    pub tags: bool,
    /// An index on metadata, for filters.
    pub metadata: bool,
}

impl Indexes {
    /// Indexes JSON payloads.
    pub fn with_payload(mut self) -> Self {
        self.payload = true;
        self
    }

    /// Indexes tags.
    pub fn with_tags(mut self) -> Self {
        self.tags = true;
        self
    }

    /// Indexes metadata.
    pub fn with_metadata(mut self) -> Self {
        self.metadata = true;
        self
    }
}

impl Default for MongoOptions {
    fn default() -> Self {
        Self {
            clock: None,
            limits: holdable(Limits::default()),
            append_only: false,
            database: None,
            collection_prefix: "ledger_".into(),
            indexes: Indexes::default(),
            server_selection_timeout: Duration::from_secs(5),
            transaction_timeout: Duration::from_secs(30),
            poll_interval: Duration::from_millis(100),
        }
    }
}

impl MongoOptions {
    /// Takes the time from `clock` instead of the server.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Refuses beyond `limits`, or what MongoDB can hold if that is less.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = holdable(limits);
        self
    }

    /// Refuses changes to entries.
    pub fn append_only(mut self) -> Self {
        self.append_only = true;
        self
    }

    /// Keeps the collections in `database`.
    pub fn with_database(mut self, database: impl Into<String>) -> Self {
        self.database = Some(database.into());
        self
    }

    /// Begins the names of collections with `prefix`.
    pub fn with_collection_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.collection_prefix = prefix.into();
        self
    }

    /// Makes optional indexes.
    pub fn with_indexes(mut self, indexes: Indexes) -> Self {
        self.indexes = indexes;
        self
    }

    /// Looks for a server up to `timeout`.
    pub fn with_server_selection_timeout(mut self, timeout: Duration) -> Self {
        self.server_selection_timeout = timeout;
        self
    }

    /// Lets a change take up to `timeout`.
    pub fn with_transaction_timeout(mut self, timeout: Duration) -> Self {
        self.transaction_timeout = timeout;
        self
    }

    /// Looks for appends of others every `interval`, unless there is a change stream.
    pub fn with_poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// Refuses what no store can be opened with.
    pub(crate) fn validate(&self) -> Result<()> {
        if !is_plain(&self.collection_prefix) {
            return invalid(format!(
                "{:?} cannot begin the name of a collection",
                self.collection_prefix
            ));
        }
        if self
            .database
            .as_deref()
            .is_some_and(|name| !is_database(name))
        {
            return invalid("that cannot be the name of a database".into());
        }
        if self.poll_interval.is_zero() || self.transaction_timeout.is_zero() {
            return invalid("a store needs time between two looks, and for a change".into());
        }
        Ok(())
    }
}

/// Lowers what is larger than MongoDB can hold.
fn holdable(mut limits: Limits) -> Limits {
    for (limit, max) in [
        (&mut limits.name_bytes_max, KEY_BYTES_MAX),
        (&mut limits.key_bytes_max, KEY_BYTES_MAX),
        (&mut limits.payload_bytes_max, PAYLOAD_BYTES_MAX),
        (&mut limits.checkpoint_bytes_max, PAYLOAD_BYTES_MAX),
        (&mut limits.metadata_bytes_max, METADATA_BYTES_MAX),
        (&mut limits.batch_bytes_max, BATCH_BYTES_MAX),
        (&mut limits.batch_entries_max, BATCH_ENTRIES_MAX),
    ] {
        *limit = max.min(*limit);
    }
    limits
}

fn is_plain(prefix: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_lowercase() || c == '_';
    prefix.starts_with(is_letter)
        && prefix.chars().all(|c| is_letter(c) || c.is_ascii_digit())
        && prefix.len() <= PREFIX_BYTES_MAX
}

fn is_database(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= DATABASE_BYTES_MAX
        && !name.contains([
            '/', '\\', '.', ' ', '"', '$', '*', '<', '>', ':', '|', '?', '\0',
        ])
}

fn invalid<T>(reason: String) -> Result<T> {
    Err(Error::InvalidInput { reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(options: MongoOptions) -> bool {
        matches!(options.validate(), Err(Error::InvalidInput { .. }))
    }

    #[test]
    fn only_plain_names_are_prefixes() {
        for bad in ["", "1a", "A", "a-b", "a.b", "a$", "ä", &"x".repeat(41)] {
            assert!(
                is_refused(MongoOptions::default().with_collection_prefix(bad)),
                "{bad:?}"
            );
        }
        assert!(!is_refused(
            MongoOptions::default().with_collection_prefix("x".repeat(40))
        ));
    }

    #[test]
    fn names_that_mongodb_refuses_are_refused() {
        for bad in ["", "a.b", "a$b", "a b", "a/b", "a\0b", &"x".repeat(64)] {
            assert!(
                is_refused(MongoOptions::default().with_database(bad)),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn limits_are_lowered_to_what_a_document_holds() {
        let mut limits = Limits::default();
        limits.payload_bytes_max = usize::MAX;
        limits.key_bytes_max = 7;
        let options = MongoOptions::default().with_limits(limits);
        assert_eq!(options.limits.payload_bytes_max, PAYLOAD_BYTES_MAX);
        assert_eq!(options.limits.key_bytes_max, 7);
    }
}
