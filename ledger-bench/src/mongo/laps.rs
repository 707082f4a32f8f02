//! The laps, of both sides: each is timed in a schema of its own and checked through a store that was opened anew.

use std::time::{Duration, Instant};

use super::bare::Bare;
use super::site::Site;
use crate::Result;
use crate::arena::Arena;
use crate::ledger::{self, Payments};
use crate::race::Lap;
use crate::work::Work;

/// Lets `write` do its work on a fresh store.
///
/// # Errors
/// Those of the store, and what is wrong with what was written.
pub(crate) fn write<F>(arena: &Arena, work: Work, write: impl FnOnce(Payments) -> F) -> Result<Lap>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    arena.runtime.block_on(async {
        let site = Site::fresh(arena).await?;
        let payments = site.open().await?;
        site.settle().await?;
        let ((), time) = time(write(payments.clone())).await?;
        payments.store().close().await?;
        finish(site, work, time).await
    })
}

/// Lets `write` do its work by hand on fresh collections.
///
/// # Errors
/// Those of the server, and what is wrong with what was written.
pub(crate) fn write_bare<F>(arena: &Arena, work: Work, write: impl FnOnce(Bare) -> F) -> Result<Lap>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    arena.runtime.block_on(async {
        let site = Site::fresh(arena).await?;
        let bare = site.connect().await?;
        site.settle().await?;
        let ((), time) = time(write(bare)).await?;
        site.connect().await?.move_head(work.count).await?;
        finish(site, work, time).await
    })
}

/// Lets `read` read everything that is at `site`.
///
/// # Errors
/// Those of the store, and what is wrong with what was read.
pub(crate) fn read<F>(
    arena: &Arena,
    site: &Site<'_>,
    work: Work,
    read: impl FnOnce(Payments) -> F,
) -> Result<Lap>
where
    F: Future<Output = Result<usize>> + Send + 'static,
{
    arena.runtime.block_on(async {
        let payments = site.open().await?;
        let (entries, time) = time(read(payments.clone())).await?;
        work.expect_count(entries)?;
        ledger::check(&payments, work).await?;
        payments.store().close().await?;
        Ok(Lap { entries, time })
    })
}

/// Lets `read` read everything that is at `site` by hand.
///
/// # Errors
/// Those of the server, and what is wrong with what was read.
pub(crate) fn read_bare<F>(
    arena: &Arena,
    site: &Site<'_>,
    work: Work,
    read: impl FnOnce(Bare) -> F,
) -> Result<Lap>
where
    F: Future<Output = Result<usize>> + Send + 'static,
{
    arena.runtime.block_on(async {
        let bare = site.connect().await?;
        let (entries, time) = time(read(bare)).await?;
        work.expect_count(entries)?;
        Ok(Lap { entries, time })
    })
}

/// Lets a worker of the runtime do the work, as in a service: the thread that waits here is none, and each of its wakings
/// would count.
async fn time<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<(T, Duration)> {
    let timed = async {
        let start = Instant::now();
        let done = work.await?;
        Ok((done, start.elapsed()))
    };
    tokio::spawn(timed).await?
}

/// Checks what was written at `site`, and removes it.
async fn finish(site: Site<'_>, work: Work, time: Duration) -> Result<Lap> {
    let payments = site.open().await?;
    ledger::check(&payments, work).await?;
    payments.store().close().await?;
    site.remove().await?;
    let entries = work.count;
    Ok(Lap { entries, time })
}
