//! The ledger's side of the races: laps on a fresh store, read back through a store that was opened anew.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use futures_util::TryStreamExt;
use ledger_core::{Batch, NewEntry, ReadOptions, Stream};
use ledger_sqlite::SqliteStore;
use tokio::task::JoinSet;

use crate::Result;
use crate::arena::Arena;
use crate::race::Lap;
use crate::work::{BATCH, Payment, Work};

/// The stream that all work goes to.
pub(crate) const STREAM: &str = "payments";

/// The file of a store within its directory.
pub(crate) const FILE: &str = "ledger.sqlite";

/// Payments as an application sees them.
pub(crate) type Payments = Stream<u64, Payment>;

/// Opens the store in `dir`.
///
/// # Errors
/// Those of the store.
pub(crate) async fn open(dir: &Path) -> Result<Payments> {
    let store = SqliteStore::open(dir.join(FILE)).await?;
    Ok(Stream::new(store, STREAM))
}

/// Makes the file of an empty store in `dir`.
///
/// # Errors
/// Those of the store.
pub(crate) async fn make_file(dir: &Path) -> Result<()> {
    Ok(open(dir).await?.store().close().await?)
}

/// Lets `write` do its work on a fresh store; opening, closing and checking take no time of the lap.
///
/// # Errors
/// Those of the store, and what is wrong with what was written.
pub(crate) fn write_lap(
    arena: &Arena,
    work: Work,
    write: impl AsyncFnOnce(&Payments) -> Result<()>,
) -> Result<Lap> {
    let dir = arena.fresh_dir()?;
    arena.runtime.block_on(async {
        let payments = open(dir.path()).await?;
        let start = Instant::now();
        write(&payments).await?;
        let time = start.elapsed();
        payments.store().close().await?;

        let payments = open(dir.path()).await?;
        check(&payments, work).await?;
        payments.store().close().await?;
        let entries = work.count;
        Ok(Lap { entries, time })
    })
}

/// Appends everything in batches of 1,000.
///
/// # Errors
/// Those of the store.
pub(crate) async fn append_lots(
    payments: &Payments,
    lots: Vec<Vec<NewEntry<Payment>>>,
) -> Result<()> {
    for lot in lots {
        payments.append_all(lot).await?;
    }
    Ok(())
}

/// Appends each share in a task of its own, one entry at a time.
///
/// # Errors
/// Those of the store.
pub(crate) async fn append_shares(
    payments: &Payments,
    shares: Vec<Vec<NewEntry<Payment>>>,
) -> Result<()> {
    let mut tasks = JoinSet::new();
    for share in shares {
        let payments = payments.clone();
        tasks.spawn(async move { append_share(&payments, share).await });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// Appends one entry at a time.
///
/// # Errors
/// Those of the store.
pub(crate) async fn append_share(payments: &Payments, share: Vec<NewEntry<Payment>>) -> Result<()> {
    for entry in share {
        payments.append_all([entry]).await?;
    }
    Ok(())
}

/// Appends batches that are encoded already.
///
/// # Errors
/// Those of the store.
pub(crate) async fn append_batches(payments: &Payments, batches: Vec<Batch<u64>>) -> Result<()> {
    for batch in batches {
        payments.store().append(batch).await?;
    }
    Ok(())
}

/// Reads everything in pages of 1,000 payments, and answers how many there were.
///
/// # Errors
/// Those of the store.
pub(crate) async fn read_typed(payments: &Payments) -> Result<usize> {
    let (mut count, mut after) = (0, None);
    loop {
        let page = payments.read().after(after).limit(BATCH).await?;
        after = page.next;
        count += black_box(page.into_entries()?).len();
        if after.is_none() {
            return Ok(count);
        }
    }
}

/// Reads everything in pages of 1,000 payloads, and answers how many there were.
///
/// # Errors
/// Those of the store.
pub(crate) async fn read_raw(payments: &Payments) -> Result<usize> {
    let (mut count, mut options) = (0, ReadOptions::new().limit(BATCH));
    loop {
        let page = payments.store().read(payments.name(), &options).await?;
        options.after = page.next;
        count += black_box(page.entries).len();
        if options.after.is_none() {
            return Ok(count);
        }
    }
}

/// Checks every entry of the stream.
///
/// # Errors
/// Those of the store, and what is wrong with the first entry that is wrong.
pub(crate) async fn check(payments: &Payments, work: Work) -> Result<()> {
    let mut check = work.check();
    let mut entries = payments.read().walk();
    while let Some(entry) = entries.try_next().await? {
        check.entry(entry.id, &entry.value, entry.dedup_key.as_deref())?;
    }
    check.finish()
}
