//! Checkpoints: small values beside a stream, changed by compare-and-set.
//!
//! A checkpoint that exists is changed by one command, which disturbs no append. One that comes into being, and with it
//! perhaps its stream, is made in a transaction that locks the stream, so that no renaming can lose it.

use futures_util::TryStreamExt;
use ledger_core::{Bytes, Checkpoint, Error, Result, Revision, StreamName};
use mongodb::ClientSession;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, doc};
use mongodb::options::{ReturnDocument, WriteConcern};

use crate::database::{Database, Question};
use crate::error::Failure;
use crate::head::{Growth, Head};
use crate::row::stored;
use crate::schema;
use crate::store::Opening;
use crate::transaction::{Change, Step, within_reason};

impl Opening {
    /// Loads a checkpoint.
    pub(crate) async fn load_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
    ) -> Result<Option<Checkpoint>> {
        self.database.ask(Load(Wanted::new(stream, name))).await
    }

    /// Saves a checkpoint that still is at revision `expected`.
    pub(crate) async fn save_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
        value: Bytes,
        expected: Option<Revision>,
    ) -> Result<Revision> {
        let wanted = Wanted::new(stream, name);
        let found = match expected {
            None => self.change(Creation { wanted, value }).await?,
            Some(expected) => {
                let database = self.database.clone();
                let most = database.place.transaction_timeout;
                let work = async move { save(&database, &wanted, value, expected).await };
                self.finish(within_reason(most, work)).await?
            }
        };
        found.map_err(|found| conflict(stream, name, expected, found))
    }

    /// Deletes a checkpoint that still is at revision `expected`.
    pub(crate) async fn delete_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
        expected: Revision,
    ) -> Result<()> {
        let (database, wanted) = (self.database.clone(), Wanted::new(stream, name));
        let most = database.place.transaction_timeout;
        let work = async move { delete(&database, &wanted, expected).await };
        let found = self.finish(within_reason(most, work)).await?;
        found
            .map(drop)
            .map_err(|found| conflict(stream, name, Some(expected), found))
    }

    /// The names of a stream's checkpoints behind `after`.
    pub(crate) async fn list_checkpoints(
        &self,
        stream: &StreamName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        let names = Names {
            stream: stream.clone(),
            after: after.unwrap_or("").to_owned(),
            limit,
        };
        self.database.ask(names).await
    }
}

/// The revision a checkpoint was brought to, or else the one it is at.
type Changed = Result<Revision, Option<Revision>>;

/// Which checkpoint.
struct Wanted {
    stream: StreamName,
    name: String,
}

impl Wanted {
    fn new(stream: &StreamName, name: &str) -> Self {
        Self {
            stream: stream.clone(),
            name: name.to_owned(),
        }
    }
}

fn conflict(
    stream: &StreamName,
    name: &str,
    expected: Option<Revision>,
    found: Option<Revision>,
) -> Error {
    Error::CheckpointConflict {
        stream: stream.clone(),
        name: name.into(),
        expected,
        found,
    }
}

fn checkpoint_id(sid: i64, name: &str) -> Document {
    doc! { "s": sid, "name": name }
}

/// The `_id`s of the checkpoints of a stream whose names come behind `after`; every name comes behind the empty text.
fn ids_behind(sid: i64, after: &str) -> Document {
    doc! { "$gt": checkpoint_id(sid, after), "$lt": { "s": sid, "name": Bson::MaxKey } }
}

/// Whether the stream has any checkpoint.
pub(crate) async fn has_any(
    database: &Database,
    session: &mut ClientSession,
    sid: i64,
) -> Result<bool, Failure> {
    let found = database
        .checkpoints
        .find_one(doc! { "_id": ids_behind(sid, "") });
    Ok(found.session(session).await?.is_some())
}

/// The question for a checkpoint.
struct Load(Wanted);

impl Question for Load {
    type Answer = Option<Checkpoint>;

    async fn ask(&self, database: &Database) -> Result<Option<Checkpoint>, Failure> {
        let Some(head) = Head::find(database, None, &self.0.stream).await? else {
            return Ok(None);
        };
        let id = checkpoint_id(head.sid, &self.0.name);
        let found = database.checkpoints.find_one(doc! { "_id": id }).await?;
        let Some(found) = found else { return Ok(None) };
        let value = found.get_binary_generic("value");
        let value = value.map_err(|_| unexpected("value"))?;
        Ok(Some(Checkpoint {
            value: Bytes::copy_from_slice(value),
            revision: revision(&found)?,
        }))
    }
}

async fn save(
    database: &Database,
    wanted: &Wanted,
    value: Bytes,
    expected: Revision,
) -> Result<Changed, Failure> {
    let Some(head) = Head::find(database, None, &wanted.stream).await? else {
        return Ok(Err(None));
    };
    let next = next_revision(database).await?;
    let is_expected = doc! { "$eq": ["$revision", stored(expected.0)] };
    let or = |new: Bson, old: &str| doc! { "$cond": [&is_expected, { "$literal": new }, old] };
    let update = doc! { "$set": {
        "value": or(binary(&value), "$value"), "revision": or(stored(next.0).into(), "$revision"),
    } };
    let before = database
        .checkpoints
        .find_one_and_update(
            doc! { "_id": checkpoint_id(head.sid, &wanted.name) },
            vec![update],
        )
        .projection(doc! { "revision": 1 })
        .await
        .map_err(Failure::of_write)?;
    let found = before.as_ref().map(revision).transpose()?;
    Ok(if found == Some(expected) {
        Ok(next)
    } else {
        Err(found)
    })
}

async fn delete(
    database: &Database,
    wanted: &Wanted,
    expected: Revision,
) -> Result<Changed, Failure> {
    let Some(head) = Head::find(database, None, &wanted.stream).await? else {
        return Ok(Err(None));
    };
    let id = checkpoint_id(head.sid, &wanted.name);
    let deleted = database
        .checkpoints
        .delete_one(doc! { "_id": &id, "revision": stored(expected.0) })
        .await
        .map_err(Failure::of_write)?;
    if deleted.deleted_count > 0 {
        return Ok(Ok(expected));
    }
    let found = database.checkpoints.find_one(doc! { "_id": id }).await?;
    Ok(Err(found.as_ref().map(revision).transpose()?))
}

/// A checkpoint that is to come into being.
struct Creation {
    wanted: Wanted,
    value: Bytes,
}

impl Change for Creation {
    type Answer = Changed;

    async fn run(
        &mut self,
        database: &Database,
        session: &mut ClientSession,
    ) -> Result<Step<Changed>, Failure> {
        let Wanted { stream, name } = &self.wanted;
        let head = Head::advance(database, session, stream, Growth::default()).await?;
        let id = checkpoint_id(head.sid, name);
        let found = database.checkpoints.find_one(doc! { "_id": &id });
        if let Some(found) = found.session(&mut *session).await? {
            return Ok(Step::GiveUp(Err(Some(revision(&found)?))));
        }
        let next = next_revision(database).await?;
        let checkpoint =
            doc! { "_id": id, "revision": stored(next.0), "value": binary(&self.value) };
        database
            .checkpoints
            .insert_one(checkpoint)
            .session(session)
            .await?;
        Ok(Step::Commit(Ok(next)))
    }
}

/// One count for the whole store, so that no deletion or renaming brings a revision back. A number that is then not
/// needed is lost, which is no harm; and whatever is made durable later takes the count along.
async fn next_revision(database: &Database) -> Result<Revision, Failure> {
    let counted = database
        .meta
        .find_one_and_update(
            doc! { "_id": schema::REVISION },
            doc! { "$inc": { "value": 1_i64 } },
        )
        .upsert(true)
        .return_document(ReturnDocument::After)
        .write_concern(WriteConcern::nodes(1))
        .await?;
    let value = counted.and_then(|counted| counted.get_i64("value").ok());
    let value = value.ok_or_else(|| Failure::damage("revisions are not counted"))?;
    Ok(Revision(value.unsigned_abs()))
}

/// The question for names of checkpoints.
struct Names {
    stream: StreamName,
    after: String,
    limit: usize,
}

impl Question for Names {
    type Answer = Vec<String>;

    async fn ask(&self, database: &Database) -> Result<Vec<String>, Failure> {
        let Some(head) = Head::find(database, None, &self.stream).await? else {
            return Ok(Vec::new());
        };
        let found = database
            .checkpoints
            .find(doc! { "_id": ids_behind(head.sid, &self.after) })
            .projection(doc! { "_id": 1 })
            .sort(doc! { "_id": 1 })
            .limit(i64::try_from(self.limit).unwrap_or(i64::MAX))
            .await?;
        found
            .map_err(Failure::from)
            .and_then(async |found| name_of(&found))
            .try_collect()
            .await
    }
}

fn name_of(found: &Document) -> Result<String, Failure> {
    let id = found.get_document("_id").map_err(|_| unexpected("_id"))?;
    let name = id.get_str("name").map_err(|_| unexpected("_id"))?;
    Ok(name.to_owned())
}

fn binary(value: &Bytes) -> Bson {
    Bson::Binary(Binary {
        subtype: BinarySubtype::Generic,
        bytes: value.to_vec(),
    })
}

fn revision(found: &Document) -> Result<Revision, Failure> {
    let revision = found
        .get_i64("revision")
        .map_err(|_| unexpected("revision"))?;
    Ok(Revision(revision.unsigned_abs()))
}

fn unexpected(field: &str) -> Failure {
    Failure::damage(format!(
        "the field {field} of a checkpoint is not what it should be"
    ))
}
