//! How a log is opened: plain data, validated once.

use std::sync::Arc;
use std::time::Duration;

use ledger_core::{Clock, Durability, Error, Limits, Result, SystemClock};

/// The smallest segment that may be asked for: a few frames must fit, and a test wants many segments.
const SEGMENT_BYTES_MIN: u64 = 1 << 10;

/// The largest segment: an offset within one takes 32 bits.
const SEGMENT_BYTES_MAX: u64 = 2 << 30;

/// The smallest stage: one page.
const STAGE_BYTES_MIN: usize = 4 << 10;

/// The largest stage: what is staged is written to the log in one go.
const STAGE_BYTES_MAX: usize = 64 << 20;

/// The longest name that fits into a block of an index.
const NAME_BYTES_MAX: usize = 2 << 10;

/// The largest commit: it has to fit into a segment, behind others.
const FRAME_BYTES_MAX: usize = 1 << 30;

/// How a [`Log`](crate::Log) is opened.
///
/// ```
/// use ledger_core::Durability;
/// use ledger_file::FileOptions;
/// let options = FileOptions::default().with_durability(Durability::Process);
/// assert_eq!(options.segment_bytes_max, 64 << 20);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FileOptions {
    /// Where `recorded_at` comes from, and what expiry is measured by. Default: the machine's clock.
    pub clock: Arc<dyn Clock>,
    /// The sizes beyond which the log refuses. Default: those of [`Limits`].
    pub limits: Limits,
    /// Whether tags and annotations are refused. Default: false.
    pub append_only: bool,
    /// What an acknowledged append survives. [`Sync`](Durability::Sync) costs one flush of the disk for all appends
    /// that are under way together; [`Interval`](Durability::Interval) one flush each time it has passed;
    /// [`Process`](Durability::Process) none. [`Volatile`](Durability::Volatile) is refused. Default: `Sync`.
    pub durability: Durability,
    /// How large a segment file becomes, in bytes, before the next one is begun; 1 KiB to 2 GiB. Space comes back by
    /// whole segments, and what lies in the newest is read again after a crash. A commit that is larger gets a segment
    /// of its own. Default: 64 MiB.
    pub segment_bytes_max: u64,
    /// How many bytes are gathered in shared memory, where they survive the process, before they are written to a
    /// segment; 4 KiB to 64 MiB. Unused with `Sync`. Default: 256 KiB.
    pub stage_bytes: usize,
    /// Whether payloads are compressed, each by itself, when they are appended. Default: not.
    pub compression: Compression,
    /// Whether full segments are compressed: later and all of it, so that an append costs nothing more, and records that
    /// resemble each other become much smaller. Reading an entry then unpacks the 16 KiB around it, and is not mapped.
    /// With [`Inline`](Housekeeping::Inline) the append that fills a segment compresses it. Those that were compressed
    /// stay so when it is off again. Default: not.
    pub sealed_compression: Compression,
    /// Who does what can be done later. Default: a thread of the log's own.
    pub housekeeping: Housekeeping,
    /// How long the flush of a group may be put off for callers who have lately been there, and are not yet; with
    /// `Sync` only. A single caller never waits. Default: 60 us.
    pub group_wait: Duration,
    /// How much memory may remember the state of streams, in bytes. A stream that is not remembered costs a look into
    /// the indexes at its next append; one that is takes about 25 bytes and its name. If they are many, closing the log keeps them in a file of at most that size,
    /// which is read again once 64 streams had to be looked up. Default: 28 MiB.
    pub stream_cache_bytes: usize,
    /// Whether full segments and their indexes are read as mapped memory: no call of the system and no copy. Where no thread may wait,
    /// as in a future, that is what was read from the system's cache less than a second ago; the rest is asked for by calls. A disk
    /// that fails to deliver a page then ends the process with a signal, where a read would answer
    /// [`Engine`](ledger_core::Error::Engine). Default: true.
    pub mapped_reads: bool,
    /// Whether zeroes are written ahead also without a thread, by whoever appends: so that the simulation sees them.
    pub(crate) zeroes_inline: bool,
}

/// Whether something is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// It is stored as it is.
    #[default]
    Off,
    /// With LZ4, where that makes it smaller.
    Lz4,
}

/// Who does what can be done later: indexes of full segments, the next segment, the removal of dead ones, compression. A thread also
/// writes zeroes ahead of what is appended with [`Sync`](Durability::Sync), which makes each flush cheaper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Housekeeping {
    /// One thread of the log's own, so that no append waits for it.
    #[default]
    Thread,
    /// The append that fills a segment, before it answers. For programs without threads; not with
    /// [`Interval`](Durability::Interval), which nobody would keep.
    Inline,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            limits: Limits::default(),
            append_only: false,
            durability: Durability::Sync,
            segment_bytes_max: 64 << 20,
            stage_bytes: 256 << 10,
            compression: Compression::default(),
            sealed_compression: Compression::default(),
            housekeeping: Housekeeping::default(),
            group_wait: Duration::from_micros(60),
            stream_cache_bytes: 28 << 20,
            mapped_reads: true,
            zeroes_inline: false,
        }
    }
}

impl FileOptions {
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

    /// Makes acknowledged appends survive what `durability` says.
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Begins the next segment when one has `bytes`.
    pub fn with_segment_bytes_max(mut self, bytes: u64) -> Self {
        self.segment_bytes_max = bytes;
        self
    }

    /// Gathers up to `bytes` in shared memory.
    pub fn with_stage_bytes(mut self, bytes: usize) -> Self {
        self.stage_bytes = bytes;
        self
    }

    /// Compresses payloads.
    pub fn with_compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Compresses full segments.
    pub fn with_sealed_compression(mut self, compression: Compression) -> Self {
        self.sealed_compression = compression;
        self
    }

    /// Says who does what can be done later.
    pub fn with_housekeeping(mut self, housekeeping: Housekeeping) -> Self {
        self.housekeeping = housekeeping;
        self
    }

    /// Puts a flush off for others by up to `wait`.
    pub fn with_group_wait(mut self, wait: Duration) -> Self {
        self.group_wait = wait;
        self
    }

    /// Remembers the state of streams in up to `bytes` of memory.
    pub fn with_stream_cache_bytes(mut self, bytes: usize) -> Self {
        self.stream_cache_bytes = bytes;
        self
    }

    /// Says whether full segments are read as mapped memory.
    pub fn with_mapped_reads(mut self, mapped_reads: bool) -> Self {
        self.mapped_reads = mapped_reads;
        self
    }

    /// Refuses what no log can be opened with.
    pub(crate) fn validate(&self) -> Result<()> {
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes_max) {
            return invalid(format!(
                "a segment cannot have {} bytes",
                self.segment_bytes_max
            ));
        }
        if !(STAGE_BYTES_MIN..=STAGE_BYTES_MAX).contains(&self.stage_bytes) {
            return invalid(format!("a stage cannot have {} bytes", self.stage_bytes));
        }
        self.validate_limits()?;
        match self.durability {
            Durability::Sync | Durability::Process | Durability::Interval(_) => Ok(()),
            other => invalid(format!("a file log does not offer durability {other:?}")),
        }
    }
}

impl FileOptions {
    /// Refuses limits beyond what a frame, or a block of an index, can hold.
    fn validate_limits(&self) -> Result<()> {
        let (name, batch) = (self.limits.name_bytes_max, self.limits.batch_bytes_max);
        if name > NAME_BYTES_MAX {
            return invalid(format!("a name cannot have {name} bytes"));
        }
        let frame = batch.max(self.limits.checkpoint_bytes_max);
        if frame > FRAME_BYTES_MAX {
            return invalid(format!("what is written as one cannot have {frame} bytes"));
        }
        Ok(())
    }
}

impl FileOptions {
    /// Whether anybody writes zeroes ahead of the writer.
    pub(crate) fn writes_zeroes(&self) -> bool {
        self.housekeeping == Housekeeping::Thread || self.zeroes_inline
    }

    /// Refuses to promise syncs at intervals that no thread would make.
    pub(crate) fn check_intervals(&self) -> Result<()> {
        match (self.durability, self.housekeeping) {
            (Durability::Interval(_), Housekeeping::Inline) => {
                invalid("nobody would sync at intervals without a thread for it".into())
            }
            _ => Ok(()),
        }
    }
}

fn invalid<T>(reason: String) -> Result<T> {
    Err(Error::InvalidInput { reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(options: FileOptions) -> bool {
        matches!(options.validate(), Err(Error::InvalidInput { .. }))
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        let options = FileOptions::default();
        assert!(options.validate().is_ok());
        for bytes in [0, SEGMENT_BYTES_MIN - 1, SEGMENT_BYTES_MAX + 1] {
            assert!(is_refused(options.clone().with_segment_bytes_max(bytes)));
        }
        for bytes in [0, STAGE_BYTES_MIN - 1, STAGE_BYTES_MAX + 1] {
            assert!(is_refused(options.clone().with_stage_bytes(bytes)));
        }
    }

    #[test]
    fn limits_beyond_what_the_format_holds_are_refused() {
        let with = |change: fn(&mut Limits)| {
            let mut limits = Limits::default();
            change(&mut limits);
            is_refused(FileOptions::default().with_limits(limits))
        };
        assert!(with(|limits| limits.name_bytes_max = NAME_BYTES_MAX + 1));
        assert!(with(|limits| limits.batch_bytes_max = FRAME_BYTES_MAX + 1));
        assert!(with(
            |limits| limits.checkpoint_bytes_max = FRAME_BYTES_MAX + 1
        ));
        assert!(!with(|limits| limits.name_bytes_max = NAME_BYTES_MAX));
    }

    #[test]
    fn intervals_need_a_thread() {
        let options =
            FileOptions::default().with_durability(Durability::Interval(Duration::from_secs(1)));
        assert!(options.check_intervals().is_ok());
        let refused = options.with_housekeeping(Housekeeping::Inline);
        assert!(matches!(
            refused.check_intervals(),
            Err(Error::InvalidInput { .. })
        ));
    }

    #[test]
    fn a_log_on_disk_is_never_volatile() {
        assert!(is_refused(
            FileOptions::default().with_durability(Durability::Volatile)
        ));
    }
}
