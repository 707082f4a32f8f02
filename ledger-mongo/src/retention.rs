//! Removing: trims and retention from the old end, purges of what has expired.
//!
//! A transaction must not grow without bounds, so a large removal is several, each of which leaves a whole stream behind:
//! the head document always tells the first entry that is there.

use ledger_core::{Result, Retention, StreamName, Timestamp};
use mongodb::ClientSession;
use mongodb::bson::doc;
use mongodb::options::Hint;

use crate::database::Database;
use crate::error::Failure;
use crate::head::Head;
use crate::query::{is_over, read_id};
use crate::row::{PURGED, damaged, entry_id};
use crate::schema;
use crate::store::Opening;
use crate::transaction::{self, Change, Step};

/// The most that one transaction removes or purges.
const STEP: usize = 5_000;

impl Opening {
    /// Removes what has an id up to `through`, and tells how many that were.
    pub(crate) async fn trim(&self, stream: &StreamName, through: u64) -> Result<u64> {
        self.remove(stream, Bounds::through(through)).await
    }

    /// Removes from the old end what `retention` does not keep, and tells how many that were.
    pub(crate) async fn retain(&self, stream: &StreamName, retention: &Retention) -> Result<u64> {
        self.remove(stream, Bounds::of(retention)).await
    }

    async fn remove(&self, stream: &StreamName, bounds: Bounds) -> Result<u64> {
        let remove = Remove {
            stream: stream.clone(),
            bounds,
        };
        let database = self.database.clone();
        self.finish(async move { step_by_step(&database, remove).await })
            .await
    }

    /// Makes tombstones of what has expired, and tells how many were made.
    pub(crate) async fn purge_expired(&self, stream: &StreamName) -> Result<u64> {
        let purge = Purge {
            stream: stream.clone(),
        };
        let database = self.database.clone();
        self.finish(async move { step_by_step(&database, purge).await })
            .await
    }
}

/// Runs `step` until there is no more to do, and tells how much that was.
async fn step_by_step(
    database: &Database,
    mut step: impl Change<Answer = u64>,
) -> Result<u64, Failure> {
    let mut all = 0;
    loop {
        let done = transaction::run(database, &mut step).await?;
        all += done;
        if done < STEP as u64 {
            return Ok(all);
        }
    }
}

/// What is too much.
struct Bounds {
    through: u64,
    retention: Retention,
}

impl Bounds {
    fn through(through: u64) -> Self {
        Self {
            through,
            retention: Retention::new(),
        }
    }

    fn of(retention: &Retention) -> Self {
        Self {
            through: 0,
            retention: retention.clone(),
        }
    }

    /// Whether the oldest entry of the stream goes.
    fn exclude(&self, oldest: &Oldest, head: &Head) -> bool {
        let is_beyond = |max: Option<u64>, size| max.is_some_and(|max| size > max);
        let age_max = self.retention.age_max;
        oldest.id <= self.through
            || age_max.is_some_and(|age| oldest.recorded_at < head.now.saturating_sub(age))
            || is_beyond(self.retention.entries_max, head.head + 1 - head.first)
            || is_beyond(self.retention.bytes_max, head.bytes)
    }
}

/// The oldest entry of a stream.
struct Oldest {
    id: u64,
    recorded_at: Timestamp,
    bytes: u64,
}

/// One step of a removal.
struct Remove {
    stream: StreamName,
    bounds: Bounds,
}

impl Change for Remove {
    type Answer = u64;

    async fn run(
        &mut self,
        database: &Database,
        session: &mut ClientSession,
    ) -> Result<Step<u64>, Failure> {
        let Some(mut head) = Head::lock(database, session, &self.stream).await? else {
            return Ok(Step::GiveUp(0));
        };
        let first = head.first;
        for oldest in oldest(database, session, &head).await? {
            if !self.bounds.exclude(&oldest, &head) {
                break;
            }
            head.first = oldest.id + 1;
            head.bytes = head.bytes.saturating_sub(oldest.bytes);
        }
        if head.first == first {
            return Ok(Step::GiveUp(0));
        }
        head.settle(database, session).await?;
        let ids = doc! { "$gte": entry_id(head.sid, 0), "$lt": entry_id(head.sid, head.first) };
        database
            .entries
            .delete_many(doc! { "_id.s": head.sid, "_id": ids })
            .hint(Hint::Keys(doc! { "_id": 1 }))
            .session(session)
            .await?;
        Ok(Step::Commit(head.first - first))
    }
}

/// The oldest entries of the stream, so many that one step has enough of them.
async fn oldest(
    database: &Database,
    session: &mut ClientSession,
    head: &Head,
) -> Result<Vec<Oldest>, Failure> {
    let ids =
        doc! { "$gte": entry_id(head.sid, head.first), "$lte": entry_id(head.sid, head.head) };
    let mut found = database
        .entries
        .find(doc! { "_id.s": head.sid, "_id": ids })
        .projection(doc! { "recorded_at": 1, "bytes": 1 })
        .sort(doc! { "_id": 1 })
        .hint(Hint::Keys(doc! { "_id": 1 }))
        .limit(STEP as i64)
        .session(&mut *session)
        .await?;
    let mut oldest = Vec::new();
    while found.advance(session).await? {
        let found = found.current();
        let recorded_at = found.get_i64("recorded_at").map_err(damaged)?;
        oldest.push(Oldest {
            id: read_id(found)?,
            recorded_at: Timestamp::from_micros(recorded_at),
            bytes: bytes_of(found)?,
        });
    }
    Ok(oldest)
}

fn bytes_of(document: &mongodb::bson::RawDocument) -> Result<u64, Failure> {
    let bytes = document.get_i32("bytes").map_err(damaged)?;
    Ok(u64::from(bytes.unsigned_abs()))
}

/// One step of a purge.
struct Purge {
    stream: StreamName,
}

impl Change for Purge {
    type Answer = u64;

    async fn run(
        &mut self,
        database: &Database,
        session: &mut ClientSession,
    ) -> Result<Step<u64>, Failure> {
        let head = Head::lock(database, session, &self.stream).await?;
        let Some(mut head) = head.filter(|head| head.expires) else {
            return Ok(Step::GiveUp(0));
        };
        let (ids, bytes) = expired(database, session, &head).await?;
        if ids.is_empty() {
            return Ok(Step::GiveUp(0));
        }
        purge(database, session, head.sid, &ids).await?;
        head.bytes = head.bytes.saturating_sub(bytes);
        head.settle(database, session).await?;
        Ok(Step::Commit(ids.len() as u64))
    }
}

/// Entries that have expired and are not yet purged, and the bytes of their payloads.
async fn expired(
    database: &Database,
    session: &mut ClientSession,
    head: &Head,
) -> Result<(Vec<u64>, u64), Failure> {
    let mut expired = is_over(head.now);
    expired.insert("$gt", PURGED);
    let mut found = database
        .entries
        .find(doc! { "_id.s": head.sid, "expires_at": expired })
        .projection(doc! { "bytes": 1 })
        .hint(Hint::Keys(schema::expires_at_index()))
        .limit(STEP as i64)
        .session(&mut *session)
        .await?;
    let (mut ids, mut bytes) = (Vec::new(), 0);
    while found.advance(session).await? {
        ids.push(read_id(found.current())?);
        bytes += bytes_of(found.current())?;
    }
    Ok((ids, bytes))
}

/// Makes tombstones of entries.
pub(crate) async fn purge(
    database: &Database,
    session: &mut ClientSession,
    sid: i64,
    ids: &[u64],
) -> Result<(), Failure> {
    let ids: Vec<_> = ids.iter().map(|id| entry_id(sid, *id)).collect();
    let tombstone = doc! { "$replaceWith": {
        "_id": "$_id", "recorded_at": "$recorded_at", "bytes": { "$literal": 0 },
        "expires_at": { "$literal": PURGED },
    } };
    database
        .entries
        .update_many(
            doc! { "_id.s": sid, "_id": { "$in": ids } },
            vec![tombstone],
        )
        .session(session)
        .await?;
    Ok(())
}
