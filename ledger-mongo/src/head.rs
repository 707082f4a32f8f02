//! The head document of a stream: how far it has come, and the lock of those who take it further.
//!
//! Every transaction that changes a stream writes this document first. Of two such transactions MongoDB lets one commit
//! and tells the other to start again, so ids become visible in their order, without gaps, whoever appends.

use ledger_core::{StreamName, Timestamp};
use mongodb::ClientSession;
use mongodb::action::FindOne;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{ReadConcern, ReturnDocument};

use crate::database::{Database, Question};
use crate::error::Failure;
use crate::random;
use crate::row::stored;

/// A stream in numbers, at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// The stream's number, which stays when it is renamed.
    pub(crate) sid: i64,
    /// The last id given out; 0 if none was, and then there is no such stream to anybody.
    pub(crate) head: u64,
    /// The first id that is still there; `head + 1` if none is.
    pub(crate) first: u64,
    /// Bytes of all payloads that are still there.
    pub(crate) bytes: u64,
    /// The time of the entry at `head`.
    pub(crate) recorded_at: Option<Timestamp>,
    /// Whether any entry ever had a time to expire at. If not, nobody need look for expired ones.
    pub(crate) expires: bool,
    /// The time of the look.
    pub(crate) now: Timestamp,
}

/// The question for a stream in numbers.
pub(crate) struct HeadOf(pub(crate) StreamName);

impl Question for HeadOf {
    type Answer = Option<Head>;

    async fn ask(&self, database: &Database) -> Result<Option<Head>, Failure> {
        Head::find(database, None, &self.0).await
    }
}

/// By how much a stream is to grow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Growth {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    pub(crate) expires: bool,
}

impl Head {
    /// Looks at the stream; none if nobody ever touched it. With a session, as of its transaction.
    pub(crate) async fn find(
        database: &Database,
        session: Option<&mut ClientSession>,
        stream: &StreamName,
    ) -> Result<Option<Self>, Failure> {
        let mut find = Self::question(database, stream);
        if let Some(session) = session {
            find = find.session(session);
        }
        find.await?.map(|found| Self::read(&found)).transpose()
    }

    /// As [`find`](Self::find), as of the moment of a session that reads one state: see [`Database::look`].
    pub(crate) async fn find_then(
        database: &Database,
        session: &mut ClientSession,
        stream: &StreamName,
    ) -> Result<Option<Self>, Failure> {
        let find = Self::question(database, stream).read_concern(ReadConcern::snapshot());
        let found = find.session(session).await?;
        found.map(|found| Self::read(&found)).transpose()
    }

    fn question<'a>(database: &'a Database, stream: &StreamName) -> FindOne<'a, Document> {
        let find = database.streams.find_one(doc! { "name": stream.as_str() });
        find.projection(shown(database))
    }

    /// Locks the stream and lets it grow, all at once; it comes into being if need be. Tells how it is then.
    pub(crate) async fn advance(
        database: &Database,
        session: &mut ClientSession,
        stream: &StreamName,
        growth: Growth,
    ) -> Result<Self, Failure> {
        let found = database
            .streams
            .find_one_and_update(
                doc! { "name": stream.as_str() },
                vec![grown(database, growth)],
            )
            .upsert(true)
            .return_document(ReturnDocument::After)
            .projection(shown(database))
            .session(session)
            .await?;
        found.as_ref().map_or_else(|| Err(lost()), Self::read)
    }

    /// Locks the stream as it is; none if nobody ever touched it.
    pub(crate) async fn lock(
        database: &Database,
        session: &mut ClientSession,
        stream: &StreamName,
    ) -> Result<Option<Self>, Failure> {
        let found = database
            .streams
            .find_one_and_update(
                doc! { "name": stream.as_str() },
                doc! { "$inc": { "touched": 1_i64 } },
            )
            .projection(shown(database))
            .session(session)
            .await?;
        found.map(|found| Self::read(&found)).transpose()
    }

    /// Writes the numbers of a stream that is locked.
    pub(crate) async fn settle(
        &self,
        database: &Database,
        session: &mut ClientSession,
    ) -> Result<(), Failure> {
        let settled = doc! {
            "head": stored(self.head), "first": stored(self.first), "bytes": stored(self.bytes),
            "recorded_at": self.recorded_at.map(Timestamp::as_micros), "expires": self.expires,
        };
        database
            .streams
            .update_one(doc! { "_id": self.sid }, doc! { "$set": settled })
            .session(session)
            .await?;
        Ok(())
    }

    /// The last id given out, as the contract tells it.
    pub(crate) fn last(&self) -> Option<u64> {
        (self.head > 0).then_some(self.head)
    }

    /// The first id that is still there, as the contract tells it.
    pub(crate) fn oldest(&self) -> Option<u64> {
        (self.first <= self.head).then_some(self.first)
    }

    /// The time for the next entries.
    pub(crate) fn next_time(&self) -> Timestamp {
        self.recorded_at.map_or(self.now, |last| last.max(self.now))
    }

    fn read(found: &Document) -> Result<Self, Failure> {
        let number = |field| found.get_i64(field).map_err(|_| unexpected(field));
        let count = |field| number(field).map(i64::unsigned_abs);
        Ok(Self {
            sid: number("_id")?,
            head: count("head")?,
            first: count("first")?,
            bytes: count("bytes")?,
            recorded_at: number("recorded_at").ok().map(Timestamp::from_micros),
            expires: found.get_bool("expires").unwrap_or(false),
            now: Timestamp::from_micros(number("now")?),
        })
    }
}

/// The fields that are looked at, and the time.
fn shown(database: &Database) -> Document {
    let now = match database.now_expression() {
        Bson::Int64(now) => doc! { "$literal": now }.into(),
        expression => expression,
    };
    doc! { "head": 1, "first": 1, "bytes": 1, "recorded_at": 1, "expires": 1, "now": now }
}

/// The stage of an update that lets a stream grow, or come into being.
fn grown(database: &Database, growth: Growth) -> Document {
    let plus = |field: &str, more: u64| {
        doc! { "$add": [{ "$ifNull": [format!("${field}"), 0_i64] }, stored(more)] }
    };
    let mut set = doc! {
        "_id": { "$ifNull": ["$_id", random::number()] },
        "head": plus("head", growth.entries),
        "first": { "$ifNull": ["$first", 1_i64] },
        "bytes": plus("bytes", growth.bytes),
        "touched": plus("touched", 1),
    };
    if growth.entries > 0 {
        set.insert(
            "recorded_at",
            doc! { "$max": ["$recorded_at", database.now_expression()] },
        );
    }
    if growth.expires {
        set.insert("expires", true);
    }
    doc! { "$set": set }
}

fn lost() -> Failure {
    Failure::damage("a stream was gone in the midst of a transaction")
}

fn unexpected(field: &str) -> Failure {
    Failure::damage(format!(
        "the field {field} of a stream is not what it should be"
    ))
}
