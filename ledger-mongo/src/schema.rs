//! What a store needs in its database: four collections, their indexes, and the number of their format.
//!
//! Any number of openings may find it missing at once: every step may be repeated, and the format is written last, so
//! that where it is, everything is. The format is described in `docs/FORMAT.md`; change both in one commit.

use futures_util::TryStreamExt;
use ledger_core::{Error, Result};
use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use mongodb::options::IndexOptions;
use mongodb::results::{CollectionSpecification, CollectionType};

use crate::database::{Database, Question};
use crate::error::Failure;
use crate::health::Admin;
use crate::options::Indexes;

/// The format that this version writes.
const FORMAT: u32 = 1;

/// The documents of the collection `meta`.
const FORMAT_KEY: &str = "format";
pub(crate) const REVISION: &str = "revision";

/// MongoDB 5.0, which reads several collections at one moment.
const WIRE_VERSION_MIN: i32 = 13;

const STANDALONE: &str = "the server is a standalone one, which has no transactions: start it with `--replSet rs0` and run \
    `rs.initiate()` once, which makes it a replica set of one node";

pub(crate) fn name_index() -> Document {
    doc! { "name": 1 }
}

pub(crate) fn dedup_key_index() -> Document {
    doc! { "_id.s": 1, "dedup_key": 1 }
}

pub(crate) fn order_key_index() -> Document {
    doc! { "_id.s": 1, "order_key": 1, "_id.i": 1 }
}

pub(crate) fn expires_at_index() -> Document {
    doc! { "_id.s": 1, "expires_at": 1 }
}

pub(crate) fn tags_index() -> Document {
    doc! { "_id.s": 1, "tags": 1, "_id.i": 1 }
}

pub(crate) fn metadata_index() -> Document {
    doc! { "_id.s": 1, "metadata": 1, "_id.i": 1 }
}

fn payload_index() -> Document {
    doc! { "payload.$**": 1 }
}

/// Makes the database a store of today's format, unless it is one.
pub(crate) async fn prepare(database: &Database, indexes: Indexes) -> Result<()> {
    check_server(database).await?;
    match database.ask(Preparation(indexes)).await? {
        Prepared::Ready => Ok(()),
        Prepared::Newer(format) => Err(Error::FormatTooNew {
            place: database.place.name.clone(),
            found: format,
            supported: FORMAT,
        }),
        Prepared::Foreign(name) => Err(database.place.not_a_store(format!(
            "the collection {name} is there already, and not its own"
        ))),
    }
}

/// All that opening does to the database. It may be done again from the beginning.
struct Preparation(Indexes);

/// What came of it.
enum Prepared {
    Ready,
    /// The store is of a format that this version does not know.
    Newer(u32),
    /// Somebody else has a collection of this name.
    Foreign(String),
}

impl Question for Preparation {
    type Answer = Prepared;

    async fn ask(&self, database: &Database) -> Result<Prepared, Failure> {
        match format(database).await? {
            Some(format) if format > FORMAT => return Ok(Prepared::Newer(format)),
            Some(_) => {}
            None => {
                if let Some(name) = foreign(database).await? {
                    return Ok(Prepared::Foreign(name));
                }
                create(database).await?;
            }
        }
        make_optional_indexes(database, self.0).await?;
        Ok(Prepared::Ready)
    }
}

/// Refuses servers that cannot hold a store.
async fn check_server(database: &Database) -> Result<()> {
    let hello = database
        .ask(Admin(doc! { "hello": 1 }))
        .await?
        .unwrap_or_default();
    let is_router = hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
    if !is_router && !hello.contains_key("setName") {
        return Err(database.place.not_a_store(STANDALONE));
    }
    if hello.get_i32("maxWireVersion").unwrap_or(0) < WIRE_VERSION_MIN {
        return Err(database
            .place
            .not_a_store("the server is older than MongoDB 5.0"));
    }
    Ok(())
}

/// The format of the store that is there; none if there is none.
async fn format(database: &Database) -> Result<Option<u32>, Failure> {
    let found = database.meta.find_one(doc! { "_id": FORMAT_KEY }).await?;
    let Some(found) = found else { return Ok(None) };
    let format = found
        .get_i64("value")
        .ok()
        .and_then(|value| u32::try_from(value).ok());
    let format = format.filter(|format| *format > 0);
    format
        .map(Some)
        .ok_or_else(|| Failure::damage("the format of the store is no number"))
}

async fn create(database: &Database) -> Result<(), Failure> {
    create_collections(database).await?;
    create_indexes(database).await?;
    let format = doc! { "$setOnInsert": { "value": i64::from(FORMAT) } };
    let written = database.meta.update_one(doc! { "_id": FORMAT_KEY }, format);
    match written.upsert(true).await.map_err(Failure::from) {
        // Another opening was faster.
        Err(failure) if failure.is_duplicate_key() => Ok(()),
        written => written.map(drop),
    }
}

/// The name of a collection that somebody else keeps under a name of the store's.
async fn foreign(database: &Database) -> Result<Option<String>, Failure> {
    let ours = doc! { "name": { "$in": &names(database)[..] } };
    let listed = database.handle.list_collections().filter(ours).await?;
    let found: Vec<_> = listed.try_collect().await?;
    for collection in found {
        if !is_plain(&collection) || is_used(database, &collection.name).await? {
            return Ok(Some(collection.name));
        }
    }
    Ok(None)
}

/// Whether the collection is one that this crate could have made.
fn is_plain(collection: &CollectionSpecification) -> bool {
    let options = &collection.options;
    matches!(collection.collection_type, CollectionType::Collection)
        && options.collation.is_none()
        && options.capped != Some(true)
}

/// Whether the collection holds anything, and no other opening has made it a store in the meantime.
async fn is_used(database: &Database, name: &str) -> Result<bool, Failure> {
    let collection = database.handle.collection::<Document>(name);
    let any = collection.find_one(doc! {}).await?;
    Ok(any.is_some() && format(database).await?.is_none())
}

fn names(database: &Database) -> [&str; 4] {
    [
        database.streams.name(),
        database.entries.name(),
        database.checkpoints.name(),
        database.meta.name(),
    ]
}

async fn create_collections(database: &Database) -> Result<(), Failure> {
    for name in names(database) {
        match database
            .handle
            .create_collection(name)
            .await
            .map_err(Failure::from)
        {
            Err(failure) if failure.is_there_already() => {}
            made => made?,
        }
    }
    Ok(())
}

async fn create_indexes(database: &Database) -> Result<(), Failure> {
    let name = index(name_index(), IndexOptions::builder().unique(true).build());
    database.streams.create_index(name).await?;
    let some = |condition| {
        IndexOptions::builder()
            .partial_filter_expression(condition)
            .build()
    };
    let mut once = some(doc! { "dedup_key": { "$gt": "" } });
    once.unique = Some(true);
    let indexes = [
        index(dedup_key_index(), once),
        index(
            order_key_index(),
            some(doc! { "order_key": { "$exists": true } }),
        ),
        index(
            expires_at_index(),
            some(doc! { "expires_at": { "$exists": true } }),
        ),
    ];
    database.entries.create_indexes(indexes).await?;
    Ok(())
}

async fn make_optional_indexes(database: &Database, indexes: Indexes) -> Result<(), Failure> {
    let wanted = [
        (indexes.payload, payload_index()),
        (indexes.tags, tags_index()),
        (indexes.metadata, metadata_index()),
    ];
    for (is_wanted, keys) in wanted {
        if is_wanted {
            database
                .entries
                .create_index(index(keys, IndexOptions::default()))
                .await?;
        }
    }
    Ok(())
}

fn index(keys: Document, options: IndexOptions) -> IndexModel {
    IndexModel::builder().keys(keys).options(options).build()
}
