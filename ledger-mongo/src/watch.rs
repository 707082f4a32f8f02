//! Notices what other openings commit.
//!
//! One change stream of the process watches the head documents and wakes those who wait for a stream. It is only a hint:
//! every waiter also looks by itself, often as long as there is no change stream, rarely while there is one. Where the
//! user may not watch, or the oplog has gone on without us, nothing is lost but the quickness.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::TryStreamExt;
use ledger_core::{Listener, StreamName, Wakeups};
use mongodb::bson::{Document, doc};
use mongodb::change_stream::event::ChangeStreamEvent;
use mongodb::error::Error as DriverError;
use mongodb::options::FullDocumentType;
use tokio::task::JoinHandle;

use crate::database::Database;

/// How much rarer looks are while there is a change stream.
const TRUST: u32 = 20;

/// How long after a failure to watch again.
const PAUSE: Duration = Duration::from_secs(1);

/// Those who wait, and the task that wakes them.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    poll_interval: Duration,
    task: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    database: Database,
    wakeups: Wakeups,
    /// Whether there is a change stream.
    sees: AtomicBool,
}

impl Watch {
    /// Begins with the first who waits.
    pub(crate) fn new(database: Database, poll_interval: Duration) -> Self {
        let shared = Shared {
            database,
            wakeups: Wakeups::new(),
            sees: AtomicBool::new(false),
        };
        Self {
            shared: Arc::new(shared),
            poll_interval,
            task: Mutex::default(),
        }
    }

    /// Takes a place among those who are woken for `stream`.
    pub(crate) fn listen(&self, stream: &StreamName) -> Listener<'_> {
        self.start();
        self.shared.wakeups.listen(stream)
    }

    /// Waits until woken, or until it is time to look.
    pub(crate) async fn wait(&self, listener: Listener<'_>) {
        let sees = self.shared.sees.load(Ordering::Relaxed);
        let factor = if sees { TRUST } else { 1 };
        // Either way the caller looks.
        let _ = tokio::time::timeout(self.poll_interval * factor, listener.wait()).await;
    }

    pub(crate) fn wake(&self, stream: &StreamName) {
        self.shared.wakeups.wake(stream);
    }

    /// Ends watching, and wakes all who wait.
    pub(crate) fn stop(&self) {
        if let Some(task) = self.task().take() {
            task.abort();
        }
        self.shared.wakeups.wake_all();
    }

    /// Starts the task, or starts it again if the runtime that it was on has ended.
    fn start(&self) {
        let mut task = self.task();
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            *task = Some(tokio::spawn(Arc::clone(&self.shared).watch_forever()));
        }
    }

    fn task(&self) -> std::sync::MutexGuard<'_, Option<JoinHandle<()>>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    async fn watch_forever(self: Arc<Self>) {
        loop {
            if let Err(error) = self.watch().await {
                tracing::debug!(place = self.database.place.name, %error, "not watching, polling");
            }
            self.sees.store(false, Ordering::Relaxed);
            self.wakeups.wake_all();
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Watches until the change stream breaks. The driver takes up by itself what can be taken up again.
    async fn watch(&self) -> Result<(), DriverError> {
        let grown =
            doc! { "$match": { "operationType": { "$in": ["insert", "update", "replace"] } } };
        let mut changes = self
            .database
            .streams
            .watch()
            .pipeline([grown])
            .full_document(FullDocumentType::UpdateLookup)
            .await?;
        self.sees.store(true, Ordering::Relaxed);
        // What was committed before it began is found by looking.
        self.wakeups.wake_all();
        while let Some(change) = changes.try_next().await? {
            self.wake(&change);
        }
        Ok(())
    }

    fn wake(&self, change: &ChangeStreamEvent<Document>) {
        let stream = change.full_document.as_ref();
        // A document that is gone again was renamed over; its followers look by themselves.
        if let Some(Ok(name)) = stream.map(|stream| stream.get_str("name")) {
            self.wakeups.wake(&StreamName::from(name));
        }
    }
}
