//! Where a lap is run: a database of its own on the server of all races.

use ledger_core::Stream;
use ledger_mongo::mongodb::bson::doc;
use ledger_mongo::mongodb::{Client, Database};
use ledger_mongo::{MongoOptions, MongoStore};
use ledger_testservers::fresh_name;

use super::bare::Bare;
use crate::Result;
use crate::arena::Arena;
use crate::ledger::{Payments, STREAM};

/// A database with the collections of a store.
pub(crate) struct Site<'a> {
    url: &'a str,
    database: String,
}

impl<'a> Site<'a> {
    /// Makes one, its store empty.
    ///
    /// # Errors
    /// Those of the server and the store.
    pub(crate) async fn fresh(arena: &'a Arena) -> Result<Self> {
        let site = Self {
            url: arena.mongo()?.url(),
            database: fresh_name(),
        };
        site.open().await?.store().close().await?;
        Ok(site)
    }

    /// Opens the store.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn open(&self) -> Result<Payments> {
        let options = MongoOptions::default().with_database(&self.database);
        let store = MongoStore::open_with(self.url, options).await?;
        Ok(Stream::new(store, STREAM))
    }

    /// Connects as the baseline does.
    ///
    /// # Errors
    /// Those of the server.
    pub(crate) async fn connect(&self) -> Result<Bare> {
        Bare::new(&self.database().await?).await
    }

    /// Has the server write down what earlier laps left in memory, so that it does not do so during the next one.
    ///
    /// # Errors
    /// Those of the server.
    pub(crate) async fn settle(&self) -> Result<()> {
        let database = self.database().await?;
        let admin = database.client().database("admin");
        admin.run_command(doc! { "fsync": 1 }).await?;
        Ok(())
    }

    /// Removes the database.
    ///
    /// # Errors
    /// Those of the server.
    pub(crate) async fn remove(self) -> Result<()> {
        Ok(self.database().await?.drop().await?)
    }

    async fn database(&self) -> Result<Database> {
        let client = Client::with_uri_str(self.url).await?;
        Ok(client.database(&self.database))
    }
}
