//! Work that is begun in place, and goes on by itself.
//!
//! Whoever reads ahead begins a question, and asks for the answer when it is wanted. A connection must not wait for that: the
//! caller may be waiting for one, to append what it makes of an entry, and all connections may be with such callers.

use std::future::{Future, poll_fn};
use std::task::Poll;

use tokio::task::{JoinError, JoinHandle};

/// Polls `work` once, which sends what it has to say; unless it is done then, a task goes on with it until the caller is
/// dropped.
///
/// # Errors
/// The task is lost.
pub(crate) async fn run<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, JoinError> {
    let mut work = Box::pin(work);
    match poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => (&mut Errand(tokio::spawn(work)).0).await,
    }
}

/// A task that ends with whoever waits for it.
struct Errand<T>(JoinHandle<T>);

impl<T> Drop for Errand<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use tokio::sync::oneshot;

    use super::*;

    fn begin(work: std::pin::Pin<&mut impl Future>) {
        let begun = work.poll(&mut Context::from_waker(Waker::noop()));
        assert!(begun.is_pending());
    }

    #[tokio::test]
    async fn an_errand_is_done_while_nobody_polls() {
        let (go, gone) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let mut errand = pin!(run(async {
            gone.await.unwrap();
            done.send(()).unwrap();
            7
        }));
        begin(errand.as_mut());
        go.send(()).unwrap();
        is_done.await.unwrap();
        assert_eq!(errand.await.unwrap(), 7);
    }

    #[tokio::test]
    async fn an_errand_that_nobody_waits_for_any_more_ends() {
        let (kept, is_kept) = oneshot::channel::<()>();
        let mut errand = Box::pin(run(async {
            let _kept = kept;
            pending::<()>().await;
        }));
        begin(errand.as_mut());
        drop(errand);
        is_kept.await.unwrap_err();
    }

    #[test]
    fn what_is_done_at_once_needs_no_runtime() {
        let done = pin!(run(async { 7 })).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(done, Poll::Ready(Ok(7))));
    }
}
