//! What the tests of this folder share: a server, and a database of its own for each test.

#![allow(dead_code, reason = "each test uses a part of it")]

use ledger_core::{Batch, NewEntry, Payload};
use ledger_mongo::mongodb::bson::{Document, doc};
use ledger_mongo::mongodb::{Client, ClientSession, Collection, Database};
use ledger_mongo::{MongoOptions, MongoStore};
use ledger_testservers::{Mongo, fresh_name};

/// A database on the server that all tests share.
pub(crate) struct Place {
    pub(crate) database: String,
    pub(crate) url: String,
    pub(crate) admin: Client,
}

/// Begins a test; none if there is no server here, which has then been said.
pub(crate) async fn place() -> Option<Place> {
    Some(place_on(Mongo::shared()?).await)
}

/// Begins a test on `server`.
pub(crate) async fn place_on(server: &Mongo) -> Place {
    let admin = Client::with_uri_str(server.url()).await;
    Place {
        database: fresh_name(),
        url: server.url().to_owned(),
        admin: admin.expect("the URL is one"),
    }
}

impl Place {
    pub(crate) fn options(&self) -> MongoOptions {
        MongoOptions::default().with_database(&self.database)
    }

    pub(crate) async fn open(&self) -> MongoStore {
        self.open_with(self.options()).await
    }

    pub(crate) async fn open_with(&self, options: MongoOptions) -> MongoStore {
        MongoStore::open_with(&self.url, options)
            .await
            .expect("the store opens")
    }

    /// The database, as somebody sees it who knows nothing of the store.
    pub(crate) fn database(&self) -> Database {
        self.admin.database(&self.database)
    }

    pub(crate) fn collection(&self, name: &str) -> Collection<Document> {
        self.database().collection(name)
    }

    /// The URL of the server, for one of the database's users.
    pub(crate) fn url_as(&self, user: &str, password: &str) -> String {
        let hosts = self.url.trim_start_matches("mongodb://");
        let hosts = hosts.rsplit('@').next().expect("there is a last part");
        format!(
            "mongodb://{user}:{password}@{hosts}&authSource={}",
            self.database
        )
    }

    /// Makes a user who has `role` and no other.
    pub(crate) async fn user(&self, name: &str, password: &str, role: Document) {
        self.database()
            .run_command(doc! { "createUser": name, "pwd": password, "roles": [role] })
            .await
            .expect("the user is made");
    }
}

/// A transaction of the caller's.
pub(crate) async fn begin(store: &MongoStore) -> ClientSession {
    let client = store.database().client();
    let mut session = client.start_session().await.expect("a session starts");
    let begun = session.start_transaction().await;
    begun.expect("a transaction begins");
    session
}

pub(crate) fn entry(text: &str) -> NewEntry {
    NewEntry::new(Payload::octets(text.to_owned()))
}

pub(crate) fn keyed(key: &str) -> NewEntry {
    entry(key).dedup_key(key)
}

pub(crate) fn batch(stream: &str, entries: impl IntoIterator<Item = NewEntry>) -> Batch<u64> {
    Batch::new(stream, entries.into_iter().collect())
}
