//! Futures that are finished even if nobody waits for them any more.
//!
//! The driver's pool hands out connections one after the other, also to those who stopped waiting for one, and looks for
//! the next only when something else happens: a few hundred dropped reads would hold up everybody for minutes. So no
//! future of the driver is dropped half-way.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

/// Runs in the caller's task, which saves handing it over, and in one of its own once the caller has gone.
pub(crate) struct Finish<T: Send + 'static> {
    /// None when it is done.
    work: Option<BoxFuture<'static, T>>,
    /// Where to go on; none before it was begun.
    runtime: Option<Handle>,
}

impl<T: Send + 'static> Finish<T> {
    pub(crate) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self {
            work: Some(work.boxed()),
            runtime: None,
        }
    }
}

impl<T: Send + 'static> Future for Finish<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        self.runtime.get_or_insert_with(Handle::current);
        let work = self
            .work
            .as_mut()
            .expect("it is not polled when it is done");
        let answer = work.poll_unpin(context);
        if answer.is_ready() {
            self.work = None;
        }
        answer
    }
}

impl<T: Send + 'static> Drop for Finish<T> {
    fn drop(&mut self) {
        if let (Some(work), Some(runtime)) = (self.work.take(), &self.runtime) {
            runtime.spawn(work.map(drop));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_was_begun_is_finished_without_its_caller() {
        let (go, waiting) = oneshot::channel::<()>();
        let (done, told) = oneshot::channel();
        let mut finish = Finish::new(async move {
            waiting.await.expect("it is told to go");
            done.send(7).expect("somebody listens");
        });
        let polled = finish.poll_unpin(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        drop(finish);
        go.send(()).unwrap();
        assert_eq!(told.await, Ok(7));
    }

    #[tokio::test]
    async fn what_was_never_begun_is_not() {
        let (done, told) = oneshot::channel();
        drop(Finish::new(async move { done.send(7) }));
        assert!(told.await.is_err());
    }
}
