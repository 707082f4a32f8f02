//! How a store is opened: plain data, validated once.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use ledger_core::{Clock, Durability, Error, Limits, Result, SystemClock};

/// The longest prefix: table and index names built from it stay within 63 bytes, as everywhere in ledger.
const PREFIX_BYTES_MAX: usize = 40;

/// How a [`SqliteStore`](crate::SqliteStore) is opened.
///
/// ```
/// use ledger_core::Durability;
/// use ledger_sqlite::SqliteOptions;
/// let options = SqliteOptions::default().with_durability(Durability::Process);
/// assert_eq!(options.table_prefix, "ledger_");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SqliteOptions {
    /// Where `recorded_at` comes from, and what expiry is measured by. Default: the machine's clock.
    pub clock: Arc<dyn Clock>,
    /// The sizes beyond which the store refuses. Default: those of [`Limits`].
    pub limits: Limits,
    /// Whether tags and annotations are refused. Default: false.
    pub append_only: bool,
    /// What the names of all tables and indexes begin with, so that several stores, or a store and an application,
    /// can share a file: `[a-z_][a-z0-9_]*`, up to 40 bytes, not `sqlite_`. Default: `ledger_`.
    pub table_prefix: String,
    /// [`Durability::Sync`] or [`Durability::Process`]; any other is refused. `Sync` costs one sync of the disk for
    /// each group of appends; `Process` costs none, and may lose the last appends with the power. Default: `Sync`.
    pub durability: Durability,
    /// How long a change waits while another process or connection is writing, before it fails with
    /// [`Busy`](ledger_core::Error::Busy). Default: 5 s.
    pub busy_timeout: Duration,
    /// How many reads can run at once: a thread and a connection with 8 MiB of cache each. A store in memory reads on
    /// its writing thread instead. Default: 2.
    pub reader_threads: NonZeroUsize,
    /// How long an append by another opening or process can stay unnoticed by those who wait for it. Looking costs a
    /// few microseconds, and only while somebody waits. Default: 20 ms.
    pub poll_interval: Duration,
    /// How many calls can be under way on the writing thread, and again on the reading ones; what is beyond waits
    /// without holding a thread. Default: 1,024.
    pub queue_length: NonZeroUsize,
    /// How large the database file may grow, in bytes, rounded down to pages; the write-ahead log beside it is not
    /// counted. Appends beyond fail with [`Full`](ledger_core::Error::Full). Default: no bound.
    pub file_bytes_max: Option<u64>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            limits: Limits::default(),
            append_only: false,
            table_prefix: "ledger_".into(),
            durability: Durability::Sync,
            busy_timeout: Duration::from_secs(5),
            reader_threads: NonZeroUsize::new(2).expect("2 is not 0"),
            poll_interval: Duration::from_millis(20),
            queue_length: NonZeroUsize::new(1_024).expect("1,024 is not 0"),
            file_bytes_max: None,
        }
    }
}

impl SqliteOptions {
    /// Takes the time from `clock`.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Refuses beyond `limits`.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Refuses changes to entries.
    pub fn append_only(mut self) -> Self {
        self.append_only = true;
        self
    }

    /// Begins the names of tables and indexes with `prefix`.
    pub fn with_table_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.table_prefix = prefix.into();
        self
    }

    /// Makes acknowledged appends survive what `durability` says.
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Waits for other writers up to `timeout`.
    pub fn with_busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// Reads on `threads` threads.
    pub fn with_reader_threads(mut self, threads: NonZeroUsize) -> Self {
        self.reader_threads = threads;
        self
    }

    /// Looks for appends of others every `interval`.
    pub fn with_poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// Bounds how many calls can be under way.
    pub fn with_queue_length(mut self, length: NonZeroUsize) -> Self {
        self.queue_length = length;
        self
    }

    /// Bounds the size of the file.
    pub fn with_file_bytes_max(mut self, bytes: u64) -> Self {
        self.file_bytes_max = Some(bytes);
        self
    }

    /// Refuses what no store can be opened with.
    pub(crate) fn validate(&self) -> Result<()> {
        if !is_prefix(&self.table_prefix) {
            return invalid(format!(
                "{:?} cannot begin the name of a table",
                self.table_prefix
            ));
        }
        match self.durability {
            Durability::Sync | Durability::Process => Ok(()),
            other => invalid(format!("SQLite does not offer durability {other:?}")),
        }
    }
}

fn is_prefix(text: &str) -> bool {
    let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let is_plain = text
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    starts_well && is_plain && text.len() <= PREFIX_BYTES_MAX && !text.starts_with("sqlite_")
}

fn invalid<T>(reason: String) -> Result<T> {
    Err(Error::InvalidInput { reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_prefixes() {
        for good in ["ledger_", "_", "a1_", &"x".repeat(PREFIX_BYTES_MAX)] {
            assert!(is_prefix(good), "{good:?}");
        }
        let long = "x".repeat(PREFIX_BYTES_MAX + 1);
        for bad in ["", "1a", "A", "a-b", "a\"b", "a b", "ä", "sqlite_x", &long] {
            assert!(!is_prefix(bad), "{bad:?}");
        }
    }

    #[test]
    fn durability_that_sqlite_does_not_have_is_refused() {
        let interval = Durability::Interval(Duration::from_secs(1));
        for durability in [interval, Durability::Volatile] {
            let options = SqliteOptions::default().with_durability(durability);
            assert!(matches!(
                options.validate(),
                Err(Error::InvalidInput { .. })
            ));
        }
    }
}
