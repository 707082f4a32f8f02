//! What the server is like: how durable, how well, how reached.

use std::time::Instant;

use ledger_core::{Durability, Health, Result};
use mongodb::bson::{Document, doc};

use crate::database::{Database, Question};
use crate::error::Failure;

/// The engine that keeps nothing.
const IN_MEMORY: &str = "inMemory";

/// What commits survive. A server that does not tell is taken to be what servers are: durable.
pub(crate) async fn durability(database: &Database) -> Result<Durability> {
    Ok(match storage_engine(database).await?.as_deref() {
        Some(IN_MEMORY) => Durability::Volatile,
        _ => Durability::Sync,
    })
}

/// Does a round trip, and tells what weakens the store.
pub(crate) async fn health(database: &Database) -> Result<Health> {
    let started = Instant::now();
    let build = database.ask(Admin(doc! { "buildInfo": 1 })).await?;
    let round_trip = started.elapsed();
    let version = build
        .as_ref()
        .and_then(|build| build.get_str("version").ok());
    let engine = format!("MongoDB {}", version.unwrap_or("of unknown version"));
    let mut health = Health::new(engine, round_trip);
    let configuration = database.ask(Admin(doc! { "replSetGetConfig": 1 })).await?;
    let configuration = configuration
        .as_ref()
        .and_then(|it| it.get_document("config").ok());
    let engine = storage_engine(database).await?;
    health.warnings = warnings(engine.as_deref(), configuration);
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
async fn storage_engine(database: &Database) -> Result<Option<String>> {
    let parts = doc! {
        "serverStatus": 1, "repl": 0, "metrics": 0, "locks": 0, "wiredTiger": 0, "tcmalloc": 0, "network": 0,
    };
    let status = database.ask(Admin(parts)).await?;
    let engine = status
        .as_ref()
        .and_then(|status| status.get_document("storageEngine").ok());
    Ok(engine
        .and_then(|engine| engine.get_str("name").ok())
        .map(str::to_owned))
}

/// A question for the server. What it refuses to tell is not known.
pub(crate) struct Admin(pub(crate) Document);

impl Question for Admin {
    type Answer = Option<Document>;

    async fn ask(&self, database: &Database) -> Result<Option<Document>, Failure> {
        let admin = database.handle.client().database("admin");
        match admin
            .run_command(self.0.clone())
            .await
            .map_err(Failure::from)
        {
            Err(failure) if failure.is_refusal() => Ok(None),
            answer => answer.map(Some),
        }
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
