//! What the server is like: how durable, how well, how reached.

use std::time::Instant;

use ledger_core::{Durability, Health, Result};
use mongodb::bson::{Document, doc};

use crate::database::Database;
use crate::error::Failure;

/// The engine that keeps nothing.
const IN_MEMORY: &str = "inMemory";

/// What commits survive. A server that does not tell is taken to be what servers are: durable.
pub(crate) async fn durability(database: &Database) -> Result<Durability> {
    let engine = database.ask(|| storage_engine(database)).await?;
    Ok(match engine.as_deref() {
        Some(IN_MEMORY) => Durability::Volatile,
        _ => Durability::Sync,
    })
}

/// Does a round trip, and tells what weakens the store.
pub(crate) async fn health(database: &Database) -> Result<Health> {
    let started = Instant::now();
    let build = database
        .ask(async || Ok(database.handle.run_command(doc! { "buildInfo": 1 }).await?))
        .await?;
    let version = build.get_str("version").unwrap_or("of unknown version");
    let mut health = Health::new(format!("MongoDB {version}"), started.elapsed());
    let engine = database.ask(|| storage_engine(database)).await?;
    let configuration = database.ask(|| configuration(database)).await?;
    health.warnings = warnings(engine.as_deref(), configuration.as_ref());
    Ok(health)
}

fn warnings(engine: Option<&str>, configuration: Option<&Document>) -> Vec<String> {
    let journals = configuration
        .and_then(|it| it.get_bool("writeConcernMajorityJournalDefault").ok())
        .unwrap_or(true);
    let members = configuration.and_then(|it| it.get_array("members").ok());
    [
        (
            engine == Some(IN_MEMORY),
            "the storage engine is inMemory: a restart of the server loses everything",
        ),
        (
            !journals,
            "writeConcernMajorityJournalDefault is off: a crash of a majority can roll back what readers have seen",
        ),
        (
            members.is_some_and(|members| members.len() == 1),
            "the replica set has one member: what its disk loses is lost",
        ),
    ]
    .into_iter()
    .filter(|(applies, _)| *applies)
    .map(|(_, warning)| warning.into())
    .collect()
}

/// The name of the storage engine, if the user may know it.
async fn storage_engine(database: &Database) -> Result<Option<String>, Failure> {
    let parts = doc! {
        "serverStatus": 1, "repl": 0, "metrics": 0, "locks": 0, "wiredTiger": 0, "tcmalloc": 0, "network": 0,
    };
    let status = known(run_admin(database, parts).await)?;
    let engine = status
        .as_ref()
        .and_then(|status| status.get_document("storageEngine").ok());
    Ok(engine
        .and_then(|engine| engine.get_str("name").ok())
        .map(str::to_owned))
}

/// The replica set's configuration, if the user may know it and there is one.
async fn configuration(database: &Database) -> Result<Option<Document>, Failure> {
    let answer = known(run_admin(database, doc! { "replSetGetConfig": 1 }).await)?;
    Ok(answer.and_then(|answer| answer.get_document("config").ok().cloned()))
}

async fn run_admin(database: &Database, command: Document) -> Result<Document, Failure> {
    let admin = database.handle.client().database("admin");
    Ok(admin.run_command(command).await?)
}

/// What a server refuses to tell is not known.
fn known(answer: Result<Document, Failure>) -> Result<Option<Document>, Failure> {
    match answer {
        Err(failure) if failure.is_refusal() => Ok(None),
        answer => answer.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_durable_set_of_three_has_no_warnings() {
        let configuration =
            doc! { "members": [1, 2, 3], "writeConcernMajorityJournalDefault": true };
        assert_eq!(warnings(Some("wiredTiger"), Some(&configuration)), [""; 0]);
        assert_eq!(warnings(None, None), [""; 0]);
    }

    #[test]
    fn what_weakens_a_store_is_told() {
        let configuration = doc! { "members": [1], "writeConcernMajorityJournalDefault": false };
        assert_eq!(warnings(Some(IN_MEMORY), Some(&configuration)).len(), 3);
    }
}
