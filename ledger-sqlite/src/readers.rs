//! The threads that read, each on a connection of its own, all fed by one queue.

use std::time::Duration;

use rusqlite::Connection;

use crate::opening::Context;
use crate::queue::Consumer;

/// How long a thread looks for the next question before it sleeps. Short: there are several of them.
const SPIN: Duration = Duration::from_micros(20);

/// Something that reads, and answers by itself.
pub(crate) type Question = Box<dyn FnOnce(&Connection) + Send>;

/// Answers questions until their queue is closed and empty.
pub(crate) fn run(context: &Context, connection: &Connection) {
    let _consumer = Consumer(&context.questions);
    while let Some(question) = context.questions.pop(SPIN) {
        question(connection);
    }
}
