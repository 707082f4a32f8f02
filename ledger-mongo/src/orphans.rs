//! Transactions that are left open: because a program was killed, or did not get through to the server.
//!
//! MongoDB does not end a transaction whose client has gone: it waits for a minute, `transactionLifetimeLimitSeconds`. For
//! so long nobody else could append to the stream that was being appended to. So whoever finds the way barred for a while
//! looks for such transactions and ends them, which needs no privilege as long as all programs are the same user.
//!
//! A transaction whose client is still connected is never touched, however long it stands still. Through the routers of a
//! sharded cluster nobody can tell, and all have to wait.
//!
//! So a program that is alive ends what it leaves behind itself: nobody else would.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::ClientSession;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{DatabaseOptions, ReadConcern, ReadPreference, SelectionCriteria};

use crate::database::Database;
use crate::error::Failure;
use crate::transaction::{Patience, within};

/// A client may lose a connection and go on with another one. It would not take as long.
const IDLE_MIN: Duration = Duration::from_secs(1);

/// Nobody waits any longer for this, which helps only sometimes.
const LOOK_MAX: Duration = Duration::from_secs(2);

/// The server ends a transaction by itself after so long, and nobody need be told to do it any more.
const LIFETIME: Duration = Duration::from_secs(60);

/// Has the server end the transaction of `session`, if it is still open there, as soon as it can be reached. Nobody
/// waits for that. What was committed stays so.
///
/// The session is held until then, lest it is killed when it is used again.
pub(crate) fn leave(database: &Database, session: ClientSession) {
    let database = database.clone();
    tokio::spawn(async move {
        let mut patience = Patience::new(LIFETIME);
        loop {
            let sessions = vec![session.id().clone().into()];
            match within(patience.most(), kill(&database, sessions)).await {
                Err(failure) if failure.is_transient() && !patience.is_over() => {
                    patience.pause().await;
                }
                Err(failure) => break tracing::debug!(?failure, "could not end a transaction"),
                Ok(()) => break,
            }
        }
    });
}

/// Ends the transactions of clients that have gone, if there are any and it may.
pub(crate) async fn end(database: &Database) {
    match within(LOOK_MAX, find_and_end(database)).await {
        Ok(0) => {}
        Ok(ended) => tracing::warn!(
            ended,
            "ended transactions that a killed program has left open"
        ),
        // It was worth trying; the server ends them too, later.
        Err(failure) => tracing::debug!(
            ?failure,
            "could not look for transactions that were left open"
        ),
    }
}

async fn find_and_end(database: &Database) -> Result<usize, Failure> {
    let admin = admin(database);
    let everything = doc! { "allUsers": false, "idleConnections": true, "idleSessions": true };
    let found = admin.aggregate([doc! { "$currentOp": everything }]).await?;
    let sessions = orphans(&found.try_collect::<Vec<_>>().await?);
    let count = sessions.len();
    if count > 0 {
        kill(database, sessions).await?;
    }
    Ok(count)
}

async fn kill(database: &Database, sessions: Vec<Bson>) -> Result<(), Failure> {
    let kill = doc! { "killSessions": sessions };
    admin(database).run_command(kill).await?;
    Ok(())
}

/// Where transactions are told of, with what such questions ask for, whatever the URI says.
fn admin(database: &Database) -> mongodb::Database {
    let on_the_primary = DatabaseOptions::builder()
        .read_concern(ReadConcern::local())
        .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
        .build();
    let client = database.handle.client();
    client.database_with_options("admin", on_the_primary)
}

/// The sessions among `found` that have a transaction, and no client any more.
fn orphans(found: &[Document]) -> Vec<Bson> {
    let connection = |it: &Document| it.get("connectionId").and_then(number);
    let is_session = |it: &&Document| it.get_str("type").is_ok_and(|kind| kind == "idleSession");
    let (sessions, operations): (Vec<_>, Vec<_>) = found.iter().partition(is_session);
    let alive: HashSet<_> = operations.into_iter().filter_map(connection).collect();
    let abandoned = sessions.into_iter().filter(|session| {
        is_idle(session) && connection(session).is_some_and(|client| !alive.contains(&client))
    });
    abandoned.filter_map(session_id).collect()
}

/// Whether the session has a transaction in which nothing happens.
fn is_idle(session: &Document) -> bool {
    let idle = session.get_document("transaction").ok();
    let idle = idle
        .and_then(|it| it.get("timeInactiveMicros"))
        .and_then(number);
    idle.is_some_and(|micros| u128::from(micros.unsigned_abs()) >= IDLE_MIN.as_micros())
}

/// The session as the command that ends it takes it.
fn session_id(session: &Document) -> Option<Bson> {
    let id = session.get_document("lsid").ok()?.get("id")?;
    Some(doc! { "id": id.clone() }.into())
}

/// MongoDB uses the smallest type that a number fits in.
fn number(value: &Bson) -> Option<i64> {
    value.as_i64().or(value.as_i32().map(i64::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(id: i32) -> Document {
        doc! { "type": "op", "connectionId": id }
    }

    fn transaction(id: i64, idle_micros: i64) -> Document {
        doc! {
            "type": "idleSession", "connectionId": id, "lsid": { "id": format!("session {id}"), "uid": "me" },
            "transaction": { "timeInactiveMicros": idle_micros },
        }
    }

    #[test]
    fn an_idle_transaction_whose_client_has_gone_is_an_orphan() {
        let found = [connection(1), transaction(2, 1_000_000)];
        assert_eq!(orphans(&found), [Bson::from(doc! { "id": "session 2" })]);
    }

    #[test]
    fn one_whose_client_is_there_or_that_was_just_at_work_is_none() {
        let found = [
            connection(1),
            transaction(1, i64::MAX),
            transaction(2, 999_999),
        ];
        assert_eq!(orphans(&found), []);
    }

    #[test]
    fn a_session_without_a_transaction_is_none() {
        let session = doc! { "type": "idleSession", "connectionId": 2, "lsid": { "id": 7 } };
        assert_eq!(orphans(&[session]), []);
    }
}
