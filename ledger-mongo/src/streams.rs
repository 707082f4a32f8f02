//! Streams as such: what they hold, their names.

use futures_util::TryStreamExt;
use ledger_core::{Error, Result, Stat, StreamName};
use mongodb::ClientSession;
use mongodb::bson::{Document, doc};
use mongodb::options::Hint;

use crate::checkpoints;
use crate::database::{Database, Question};
use crate::error::Failure;
use crate::head::{Head, HeadOf};
use crate::schema;
use crate::store::Opening;
use crate::transaction::{Change, Step};

impl Opening {
    /// The stream in numbers.
    pub(crate) async fn stat(&self, stream: &StreamName) -> Result<Stat<u64>> {
        let database = &self.database;
        let head = database.ask(HeadOf(stream.clone())).await?;
        let mut stat = Stat::empty(self.capabilities.durability);
        if let Some(head) = head {
            stat.first = head.oldest();
            stat.head = head.last();
            stat.count = (head.head + 1).saturating_sub(head.first);
            stat.bytes = head.bytes;
        }
        Ok(stat)
    }

    /// The names behind `after` of streams that hold entries.
    pub(crate) async fn list(
        &self,
        after: Option<&StreamName>,
        limit: usize,
    ) -> Result<Vec<StreamName>> {
        // Every name is greater than the empty text, because none is empty.
        let after = after.map_or("", StreamName::as_str).to_owned();
        self.database.ask(Names { after, limit }).await
    }

    /// Gives the stream another name, if it was ever appended to and the name is free.
    pub(crate) async fn rename(&self, from: &StreamName, to: &StreamName) -> Result<()> {
        let renaming = Renaming {
            from: from.clone(),
            to: to.clone(),
        };
        self.change(renaming).await?
    }
}

/// The question for names of streams that hold entries.
struct Names {
    after: String,
    limit: usize,
}

impl Question for Names {
    type Answer = Vec<StreamName>;

    async fn ask(&self, database: &Database) -> Result<Vec<StreamName>, Failure> {
        let holds_entries = doc! { "$lte": ["$first", "$head"] };
        let found = database
            .streams
            .find(doc! { "name": { "$gt": &self.after }, "$expr": holds_entries })
            .projection(doc! { "name": 1 })
            .sort(doc! { "name": 1 })
            .hint(Hint::Keys(schema::name_index()))
            .limit(i64::try_from(self.limit).unwrap_or(i64::MAX))
            .await?;
        found
            .map_err(Failure::from)
            .and_then(async |found| name_of(&found))
            .try_collect()
            .await
    }
}

fn name_of(found: &Document) -> Result<StreamName, Failure> {
    match found.get_str("name") {
        Ok(name) => Ok(StreamName::from(name)),
        Err(_) => Err(Failure::damage("a stream without a name")),
    }
}

/// A change of name.
struct Renaming {
    from: StreamName,
    to: StreamName,
}

impl Change for Renaming {
    type Answer = Result<()>;

    async fn run(
        &mut self,
        database: &Database,
        session: &mut ClientSession,
    ) -> Result<Step<Result<()>>, Failure> {
        let from = Head::lock(database, session, &self.from).await?;
        let Some(from) = from.filter(|from| from.head > 0) else {
            let stream = self.from.clone();
            return Ok(Step::GiveUp(Err(Error::StreamNotFound { stream })));
        };
        if self.from == self.to {
            return Ok(Step::GiveUp(Ok(())));
        }
        if let Some(to) = Head::lock(database, session, &self.to).await? {
            if to.head > 0 || checkpoints::has_any(database, session, to.sid).await? {
                let stream = self.to.clone();
                return Ok(Step::GiveUp(Err(Error::StreamExists { stream })));
            }
            let nobody = doc! { "_id": to.sid };
            database
                .streams
                .delete_one(nobody)
                .session(&mut *session)
                .await?;
        }
        let name = doc! { "$set": { "name": self.to.as_str() } };
        database
            .streams
            .update_one(doc! { "_id": from.sid }, name)
            .session(session)
            .await?;
        Ok(Step::Commit(Ok(())))
    }
}
