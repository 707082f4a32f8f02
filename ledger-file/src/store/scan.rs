//! Showing a stream out of a future, without owning its entries: what the system has cached is shown as it lies in the log, and
//! the rest as a thread that may wait has copied it.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::Poll;

use blocking::unblock;
use ledger_core::{Result, StreamName};

use super::FileStore;
use crate::disk::Patience;
use crate::log::{Progress, RecordRef};

/// How many bytes of entries are shown before other tasks get their turn, and the rest of the last one.
const TURN_BYTES: usize = 512 << 10;

impl FileStore {
    /// Shows `each` the entries of a stream behind the id `after` (0: all), up to what was its head at the first poll, until
    /// it says to stop. Answers the last id that was shown.
    ///
    /// This is [`Log::scan`](crate::Log::scan) for tasks, and the quickest way to read much: nothing is owned, so nothing is
    /// allocated. `each` runs on the thread that polls, and must not wait for anything; after every 512 KiB of entries, or 32,768
    /// of them, other tasks get their turn. Expired entries are passed over, as are those that are trimmed or purged meanwhile,
    /// and marks are not applied; [`read`](ledger_core::Store::read) applies them.
    ///
    /// ```
    /// # use std::ops::ControlFlow;
    /// # async fn bytes(store: &ledger_file::FileStore) -> ledger_core::Result<usize> {
    /// let mut bytes = 0;
    /// let mut damage = None;
    /// store
    ///     .scan(&"orders".into(), 0, |record| match record.payload() {
    ///         Ok(payload) => {
    ///             bytes += payload.len();
    ///             ControlFlow::Continue(())
    ///         }
    ///         Err(error) => {
    ///             damage = Some(error);
    ///             ControlFlow::Break(())
    ///         }
    ///     })
    ///     .await?;
    /// damage.map_or(Ok(bytes), Err)
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the files.
    pub async fn scan(
        &self,
        stream: &StreamName,
        after: u64,
        mut each: impl FnMut(RecordRef<'_>) -> ControlFlow<()>,
    ) -> Result<Option<u64>> {
        let mut progress = Progress::behind(after);
        while self.turn(stream, &mut progress, &mut each).await? {
            others_first().await;
        }
        Ok(progress.last())
    }

    /// Shows some of what is left; tells whether there may be more.
    async fn turn(
        &self,
        stream: &StreamName,
        progress: &mut Progress,
        each: &mut impl FnMut(RecordRef<'_>) -> ControlFlow<()>,
    ) -> Result<bool> {
        let mut turn = Turn::new(each);
        let log = &self.0.log;
        let shown = log.ask_now(|| {
            log.scan_with(stream, progress, Patience::Now, |record| turn.show(record))
        })?;
        let flow = match shown {
            Some(flow) => flow,
            None => {
                let (log, stream, so_far) = (Arc::clone(log), stream.clone(), *progress);
                let fetched = unblock(move || log.fetch(&stream, so_far)).await?;
                fetched.show(progress, |record| turn.show_all(record))?
            }
        };
        Ok(flow.is_break() && !turn.is_over)
    }
}

/// What is shown in one go.
struct Turn<'a, F> {
    each: &'a mut F,
    bytes_left: usize,
    /// Whether `each` has said to stop.
    is_over: bool,
}

impl<'a, F: FnMut(RecordRef<'_>) -> ControlFlow<()>> Turn<'a, F> {
    fn new(each: &'a mut F) -> Self {
        Self {
            each,
            bytes_left: TURN_BYTES,
            is_over: false,
        }
    }

    /// Shows an entry, until there were enough.
    #[inline]
    fn show(&mut self, record: RecordRef<'_>) -> ControlFlow<()> {
        self.bytes_left = self.bytes_left.saturating_sub(record.raw().len());
        self.show_all(record)?;
        match self.bytes_left {
            0 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }

    /// Shows an entry.
    #[inline]
    fn show_all(&mut self, record: RecordRef<'_>) -> ControlFlow<()> {
        let flow = (self.each)(record);
        self.is_over = flow.is_break();
        flow
    }
}

/// Lets the runtime's other tasks go first.
async fn others_first() {
    let mut have_been = false;
    poll_fn(|context| {
        if have_been {
            return Poll::Ready(());
        }
        have_been = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::mpsc;
    use std::task::{Context, Wake, Waker};

    use ledger_core::{ReadOptions, Store};

    use super::*;
    use crate::log::not_waiting::{cold_log, without_waiting};

    /// Polls a future to its end on this thread, which waits for nothing but to be woken.
    fn polled<T>(future: impl Future<Output = T>) -> T {
        struct Bell(mpsc::Sender<()>);
        impl Wake for Bell {
            fn wake(self: Arc<Self>) {
                // Nobody listens any more once the future has ended.
                let _ = self.0.send(());
            }
        }
        let (ring, rung) = mpsc::channel();
        let waker = Waker::from(Arc::new(Bell(ring)));
        let mut future = pin!(future);
        loop {
            let mut context = Context::from_waker(&waker);
            match without_waiting(|| future.as_mut().poll(&mut context)) {
                Poll::Ready(value) => return value,
                Poll::Pending => rung.recv().unwrap(),
            }
        }
    }

    #[test]
    fn what_is_not_cached_is_read_on_another_thread_than_the_one_that_polls() {
        let (log, _place, entries) = cold_log();
        let store = FileStore::over(Arc::new(log), None, None);
        let stream = StreamName::from("s");
        let mut shown = 0;
        let scan = store.scan(&stream, 0, |_| {
            shown += 1;
            ControlFlow::Continue(())
        });
        assert_eq!(polled(scan).unwrap(), Some(entries));
        assert_eq!(shown, entries);
        let options = ReadOptions::new().after(entries / 2).limit(100);
        assert_eq!(
            polled(store.read(&stream, &options)).unwrap().entries.len(),
            100
        );
    }
}
