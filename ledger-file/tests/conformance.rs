//! The contract's own tests, with each durability.

use std::time::Duration;

use ledger_core::{Durability, Result, async_trait};
use ledger_file::{Compression, FileOptions, FileStore};
use ledger_storetest::{Harness, Setup};
use tempfile::TempDir;

fn options(setup: Setup, durability: Durability) -> FileOptions {
    let mut options = FileOptions::default()
        .with_clock(setup.clock)
        .with_limits(setup.limits)
        .with_durability(durability);
    options.append_only = setup.append_only;
    options
}

macro_rules! harness {
    ($module:ident, $name:ident, $options:expr) => {
        struct $name(TempDir);

        #[async_trait]
        impl Harness for $name {
            type Store = FileStore;

            async fn fresh() -> Self {
                Self(tempfile::tempdir().expect("there is room for a directory"))
            }

            async fn open(&self, setup: Setup) -> Result<FileStore> {
                let options: fn(Setup) -> FileOptions = $options;
                FileStore::open_with(self.0.path().join("log"), options(setup)).await
            }
        }

        mod $module {
            ledger_storetest::suite!(super::$name);
        }
    };
}

harness!(sync, Sync, |setup| options(setup, Durability::Sync));
harness!(process, Process, |setup| options(
    setup,
    Durability::Process
));
// So small that most cases fill several segments, look things up in index files, and forget streams.
harness!(small_segments, SmallSegments, |setup| {
    options(setup, Durability::Interval(Duration::from_millis(5)))
        .with_segment_bytes_max(4 << 10)
        .with_stage_bytes(4 << 10)
        .with_stream_cache_bytes(8 << 10)
});
// The same, with everything compressed that can be.
harness!(packed_segments, PackedSegments, |setup| {
    options(setup, Durability::Process)
        .with_segment_bytes_max(4 << 10)
        .with_stage_bytes(4 << 10)
        .with_compression(Compression::Lz4)
        .with_sealed_compression(Compression::Lz4)
});
