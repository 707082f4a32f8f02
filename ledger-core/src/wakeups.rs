//! Wakes followers of a stream, inside one process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use event_listener::{Event, EventListener};

use crate::name::StreamName;

/// The followers that wait for a stream to grow. For stores: one per opened store.
///
/// A waiter first listens, then looks whether what it waits for is already there, then awaits; so no wake-up is lost.
/// A stream nobody listens to costs nothing.
#[derive(Debug, Default)]
pub struct Wakeups {
    streams: Mutex<HashMap<StreamName, Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    event: Arc<Event>,
    listeners: usize,
}

/// A place among those who are woken. Dropping it gives the place back.
#[derive(Debug)]
pub struct Listener<'a> {
    wakeups: &'a Wakeups,
    stream: StreamName,
    listening: EventListener,
}

impl Wakeups {
    /// Makes a set without any waiters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins to listen: every later wake-up of the stream ends the wait.
    pub fn listen(&self, stream: &StreamName) -> Listener<'_> {
        let mut streams = self.lock();
        let waiting = streams.entry(stream.clone()).or_default();
        waiting.listeners += 1;
        Listener {
            wakeups: self,
            stream: stream.clone(),
            listening: waiting.event.listen(),
        }
    }

    /// Wakes all who listen to `stream`.
    pub fn wake(&self, stream: &StreamName) {
        let event = self
            .lock()
            .get(stream)
            .map(|waiting| Arc::clone(&waiting.event));
        event.into_iter().for_each(notify);
    }

    /// Wakes all who listen to anything: the store was closed, or somebody else has written.
    pub fn wake_all(&self) {
        let events: Vec<_> = self
            .lock()
            .values()
            .map(|waiting| Arc::clone(&waiting.event))
            .collect();
        events.into_iter().for_each(notify);
    }

    /// Tells whether nobody listens.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// A panic cannot leave the map half changed, so its poison means nothing.
    fn lock(&self) -> MutexGuard<'_, HashMap<StreamName, Waiting>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the listeners' wakers, which may do anything, dropping listeners included: never under the lock.
fn notify(event: Arc<Event>) {
    event.notify(usize::MAX);
}

impl Listener<'_> {
    /// Waits for the wake-up; returns at once if it came since [`Wakeups::listen`].
    pub async fn wait(mut self) {
        (&mut self.listening).await;
    }
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        let mut streams = self.wakeups.lock();
        let Some(waiting) = streams.get_mut(&self.stream) else {
            return;
        };
        waiting.listeners -= 1;
        if waiting.listeners == 0 {
            streams.remove(&self.stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll(future: impl Future<Output = ()>) -> Poll<()> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_wake_up_between_listening_and_waiting_is_not_lost() {
        let wakeups = Wakeups::new();
        let listener = wakeups.listen(&"s".into());
        wakeups.wake(&"s".into());
        assert_eq!(poll(listener.wait()), Poll::Ready(()));
    }

    #[test]
    fn only_the_named_stream_is_woken() {
        let wakeups = Wakeups::new();
        let listener = wakeups.listen(&"s".into());
        wakeups.wake(&"other".into());
        assert_eq!(poll(listener.wait()), Poll::Pending);
    }

    #[test]
    fn a_dropped_listener_frees_its_place() {
        let wakeups = Wakeups::new();
        let (one, two) = (wakeups.listen(&"s".into()), wakeups.listen(&"s".into()));
        drop(one);
        assert!(!wakeups.is_empty());
        drop(two);
        assert!(wakeups.is_empty());
    }
}
