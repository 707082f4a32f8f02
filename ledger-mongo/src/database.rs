//! The collections of a store, and how they are asked.
//!
//! Reads are majority reads from the primary, so that every process sees what was acknowledged to any; writes are
//! acknowledged by a majority of journals. What changes something runs in a task of its own: a caller who stops waiting
//! stops nothing.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use ledger_core::{Clock, Error, Result, Timestamp};
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::options::{
    Acknowledgment, ClientOptions, DatabaseOptions, ReadConcern, ReadPreference, SelectionCriteria,
    WriteConcern,
};
use mongodb::{Client, ClientSession, Collection};
use tokio::sync::OwnedRwLockReadGuard;

use crate::error::{Failure, Place};
use crate::known::Known;
use crate::options::MongoOptions;
use crate::transaction::{self, Change, Patience, within};

/// What is asked without changing anything.
pub(crate) trait Question: Send + Sync + 'static {
    /// What it answers.
    type Answer: Send + 'static;

    /// Asks it once.
    fn ask(
        &self,
        database: &Database,
    ) -> impl Future<Output = Result<Self::Answer, Failure>> + Send;
}

/// Proof that the store is open; held until the change is made.
pub(crate) type Entered = OwnedRwLockReadGuard<()>;

/// The database of a store whose URI and options name none.
const DATABASE: &str = "ledger";

/// A database with the collections of one store.
#[derive(Clone)]
pub(crate) struct Database {
    pub(crate) handle: mongodb::Database,
    /// One document for each stream.
    pub(crate) streams: Collection<Document>,
    pub(crate) entries: Collection<RawDocumentBuf>,
    pub(crate) checkpoints: Collection<Document>,
    /// The format, and what is counted for the whole store.
    pub(crate) meta: Collection<Document>,
    pub(crate) place: Place,
    pub(crate) clock: Option<Arc<dyn Clock>>,
    pub(crate) known: Known,
    /// Whether the client is the caller's, and stays open when the store is closed.
    is_borrowed: bool,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place.name)
    }
}

impl Database {
    /// A client for the store alone. Connects in the background.
    pub(crate) async fn new(uri: &str, options: &MongoOptions) -> Result<Self> {
        // What is wrong with the URI is not told in detail, because a part of it is a password.
        let mut connect = ClientOptions::parse(uri)
            .await
            .map_err(|_| Error::InvalidInput {
                reason: "the URI of the MongoDB server is not one, or it needs the feature `srv`"
                    .into(),
            })?;
        if connect.server_selection_timeout.is_none() {
            connect.server_selection_timeout = Some(options.server_selection_timeout);
        }
        let name = options
            .database
            .clone()
            .or(connect.default_database.clone());
        let name = name.unwrap_or_else(|| DATABASE.into());
        let place = place(&connect, &name, options);
        let client = Client::with_options(connect).map_err(|error| place.error(error.into()))?;
        Ok(Self::of(
            client.database_with_options(&name, concerns()),
            place,
            options,
            false,
        ))
    }

    /// The caller's database.
    pub(crate) fn borrowed(database: &mongodb::Database, options: &MongoOptions) -> Self {
        let name = options.database.as_deref().unwrap_or(database.name());
        let handle = database.client().database_with_options(name, concerns());
        let place = Place {
            name: format!("mongodb database {name}, {}", options.collection_prefix),
            transaction_timeout: options.transaction_timeout,
        };
        Self::of(handle, place, options, true)
    }

    fn of(
        handle: mongodb::Database,
        place: Place,
        options: &MongoOptions,
        is_borrowed: bool,
    ) -> Self {
        let name = |of: &str| format!("{}{of}", options.collection_prefix);
        Self {
            streams: handle.collection(&name("streams")),
            entries: handle.collection(&name("entries")),
            checkpoints: handle.collection(&name("checkpoints")),
            meta: handle.collection(&name("meta")),
            handle,
            place,
            clock: options.clock.clone(),
            known: Known::default(),
            is_borrowed,
        }
    }

    /// Begins a transaction.
    pub(crate) async fn begin(&self) -> Result<ClientSession, Failure> {
        let mut session = self.handle.client().start_session().await?;
        session
            .start_transaction()
            .read_concern(ReadConcern::snapshot())
            .write_concern(durable())
            .await?;
        Ok(session)
    }

    /// Begins reading one state of everything: that of the first read.
    ///
    /// Each read must say [`ReadConcern::snapshot`] itself. The driver does so only where it finds no other concern, and the
    /// collections bring theirs along: then each read would see a state of its own, the second perhaps that of a new
    /// primary, which knows less at first than the old one did.
    pub(crate) async fn look(&self) -> Result<ClientSession, Failure> {
        let client = self.handle.client();
        Ok(client.start_session().snapshot(true).await?)
    }

    /// Makes `change` in a task of its own.
    pub(crate) async fn change<C>(&self, entered: Entered, mut change: C) -> Result<C::Answer>
    where
        C: Change + 'static,
        C::Answer: 'static,
    {
        let this = self.clone();
        self.finish(entered, async move {
            transaction::run(&this, &mut change).await
        })
        .await
    }

    /// Does `work`, which changes something, in a task of its own, [as questions](Self::ask).
    pub(crate) async fn finish<T: Send + 'static>(
        &self,
        entered: Entered,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T> {
        let task = tokio::spawn(async move {
            let _entered = entered;
            work.await
        });
        match task.await {
            Ok(answer) => answer.map_err(|failure| self.place.error(failure)),
            Err(lost) => Err(self.place.outcome_unknown(lost)),
        }
    }

    /// Asks what changes nothing, again if the server is going, coming, or busy.
    ///
    /// In a task of its own, for who drops the future, or does not poll it any more. The driver gives connections, and
    /// turns at its locks, to those who wait for them, one after the other: to one who never takes it, and everybody behind
    /// waits as well. One who is gone it passes over, but looks for the next only when something else happens: a few
    /// hundred dropped reads would hold up everybody for minutes.
    pub(crate) async fn ask<Q: Question>(&self, question: Q) -> Result<Q::Answer> {
        let this = self.clone();
        let task = tokio::spawn(async move {
            let mut patience = Patience::new(this.place.transaction_timeout / 2);
            loop {
                match within(patience.most(), question.ask(&this)).await {
                    Err(failure) if failure.is_transient() && !patience.is_over() => {
                        patience.pause().await;
                    }
                    answer => return answer,
                }
            }
        });
        match task.await {
            Ok(answer) => answer.map_err(|failure| self.place.error(failure)),
            // It panicked, or its runtime has ended.
            Err(lost) => Err(self.place.unavailable(lost)),
        }
    }

    /// The program's time, if it brings one.
    pub(crate) fn now(&self) -> Option<Timestamp> {
        self.clock.as_ref().map(|clock| clock.now())
    }

    /// The time in microseconds, as an expression: the program's, or the server's.
    pub(crate) fn now_expression(&self) -> Bson {
        match self.now() {
            Some(now) => Bson::Int64(now.as_micros()),
            None => doc! { "$multiply": [{ "$toLong": "$$NOW" }, 1_000_i64] }.into(),
        }
    }

    /// Closes the store's client, or leaves it to the caller whose it is.
    ///
    /// Nobody waits for readers, who may never come back for the rest of their page.
    pub(crate) fn close(&self) {
        if !self.is_borrowed {
            let client = self.handle.client().clone();
            tokio::spawn(async move { client.shutdown().immediate(true).await });
        }
    }
}

fn durable() -> WriteConcern {
    WriteConcern::builder()
        .w(Acknowledgment::Majority)
        .journal(true)
        .build()
}

fn concerns() -> DatabaseOptions {
    DatabaseOptions::builder()
        .read_concern(ReadConcern::majority())
        .write_concern(durable())
        .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
        .build()
}

/// Names the store that `connect` leads to.
fn place(connect: &ClientOptions, database: &str, options: &MongoOptions) -> Place {
    let user = connect.credential.as_ref();
    let user = user.and_then(|credential| credential.username.as_deref());
    let user = user.map_or_else(String::new, |user| format!("{user}@"));
    let hosts: Vec<_> = connect.hosts.iter().map(ToString::to_string).collect();
    Place {
        name: format!("mongodb://{user}{}/{database}", hosts.join(",")),
        transaction_timeout: options.transaction_timeout,
    }
}
