//! Work that whoever began it does himself, until it gets a task of its own.
//!
//! Doing it in place saves handing it to a task and back, which costs more than all else that the client does for one
//! append. It changes hands at once when somebody else depends on it, or when the one who began it goes away: so
//! nobody waits for how another one's future is polled.

use std::mem::replace;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

/// What is to be done, whoever does it.
type Work = BoxFuture<'static, ()>;

/// Work that can change hands.
pub(crate) struct Relay {
    stage: Mutex<Stage>,
}

/// Where the work is.
enum Stage {
    /// Here, until the one who does it is woken.
    Resting(Work, Waker),
    /// In the hands of the one who polls it in this moment.
    InHand,
    /// As [`InHand`](Self::InHand), and to have a task if that poll does not finish it.
    Wanted,
    /// It is done, or a task has it.
    Gone,
}

impl Relay {
    pub(crate) fn new(work: impl Future<Output = ()> + Send + 'static) -> Self {
        let resting = Stage::Resting(Box::pin(work), Waker::noop().clone());
        Self {
            stage: Mutex::new(resting),
        }
    }

    /// Goes on with the work. Ready when there is nothing left to do for the one who asks: it is done, or a task has it.
    ///
    /// It is not polled under the lock, because it may meet others who want it.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        let Some(mut work) = self.take_in_hand() else {
            return Poll::Ready(());
        };
        if work.as_mut().poll(context).is_ready() {
            *self.stage() = Stage::Gone;
            return Poll::Ready(());
        }
        let mut stage = self.stage();
        if matches!(*stage, Stage::Wanted) {
            *stage = Stage::Gone;
            drop(stage);
            tokio::spawn(work);
            return Poll::Ready(());
        }
        *stage = Stage::Resting(work, context.waker().clone());
        Poll::Pending
    }

    /// Gives the work a task on `runtime`, unless it is done or has one.
    pub(crate) fn hand_over(&self, runtime: &Handle) {
        let mut stage = self.stage();
        match replace(&mut *stage, Stage::Gone) {
            Stage::Resting(work, waker) => {
                drop(stage);
                runtime.spawn(work);
                waker.wake();
            }
            Stage::InHand | Stage::Wanted => *stage = Stage::Wanted,
            Stage::Gone => {}
        }
    }

    fn take_in_hand(&self) -> Option<Work> {
        let mut stage = self.stage();
        match replace(&mut *stage, Stage::InHand) {
            Stage::Resting(work, _) => Some(work),
            elsewhere => {
                *stage = elsewhere;
                None
            }
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::sync::Arc;

    use tokio::sync::oneshot;

    use super::*;

    fn poll(relay: &Relay) -> Poll<()> {
        relay.poll(&mut Context::from_waker(Waker::noop()))
    }

    /// Work that is done when the sender says so, and then says so itself.
    fn work() -> (Relay, oneshot::Sender<()>, oneshot::Receiver<()>) {
        let (go, gone) = oneshot::channel();
        let (done, is_done) = oneshot::channel();
        let relay = Relay::new(async {
            gone.await.expect("somebody says go");
            done.send(()).expect("somebody listens");
        });
        (relay, go, is_done)
    }

    #[test]
    fn whoever_began_the_work_finishes_it_without_a_runtime() {
        let (relay, go, mut is_done) = work();
        assert_eq!(poll(&relay), Poll::Pending);
        go.send(()).unwrap();
        assert_eq!(poll(&relay), Poll::Ready(()));
        is_done.try_recv().unwrap();
    }

    #[tokio::test]
    async fn work_that_is_handed_over_goes_on_while_nobody_polls() {
        let (relay, go, is_done) = work();
        assert_eq!(poll(&relay), Poll::Pending);
        relay.hand_over(&Handle::current());
        go.send(()).unwrap();
        is_done.await.unwrap();
        assert_eq!(poll(&relay), Poll::Ready(()));
    }

    #[tokio::test]
    async fn whoever_waits_in_vain_for_work_that_is_handed_over_is_woken() {
        let relay = Arc::new(Relay::new(pending()));
        let leader = Arc::clone(&relay);
        let waiting = tokio::spawn(poll_fn(move |context| leader.poll(context)));
        tokio::task::yield_now().await;
        relay.hand_over(&Handle::current());
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn work_that_is_wanted_while_it_is_polled_is_handed_over_behind_that_poll() {
        let relay = Arc::new_cyclic(|relay: &std::sync::Weak<Relay>| {
            let relay = relay.clone();
            Relay::new(async move {
                relay
                    .upgrade()
                    .expect("it is polled")
                    .hand_over(&Handle::current());
                tokio::task::yield_now().await;
            })
        });
        assert_eq!(poll(&relay), Poll::Ready(()));
    }
}
