//! Marks: tags and annotations, the only parts of an entry that change.

use std::collections::{BTreeMap, BTreeSet};

use ledger_core::{Error, Limits, Result, StreamName, TextMap, merge_annotations};
use mongodb::ClientSession;
use mongodb::bson::{Bson, Document, RawDocument, doc};

use crate::database::Database;
use crate::error::Failure;
use crate::head::Head;
use crate::query::is_over;
use crate::reader::Elements;
use crate::row::{entry_id, pair, pairs};
use crate::store::Opening;
use crate::transaction::{Change, Step};

impl Opening {
    /// Replaces the entry's tags.
    pub(crate) async fn set_tags(
        &self,
        stream: &StreamName,
        id: u64,
        tags: BTreeSet<String>,
    ) -> Result<()> {
        let tags = tags.into_iter().collect::<Vec<_>>();
        self.mark(stream, id, Mark::Tags(tags)).await
    }

    /// Merges `changes` into the entry's annotations; a value of none deletes the key.
    pub(crate) async fn annotate(
        &self,
        stream: &StreamName,
        id: u64,
        changes: BTreeMap<String, Option<String>>,
    ) -> Result<()> {
        self.mark(stream, id, Mark::Annotations(changes)).await
    }

    async fn mark(&self, stream: &StreamName, id: u64, mark: Mark) -> Result<()> {
        let marking = Marking {
            stream: stream.clone(),
            id,
            mark,
            limits: self.limits().clone(),
        };
        self.change(marking).await?
    }
}

/// What is to be changed.
enum Mark {
    Tags(Vec<String>),
    Annotations(BTreeMap<String, Option<String>>),
}

/// A change of one entry. Appends to the stream do not disturb it, nor it them.
struct Marking {
    stream: StreamName,
    id: u64,
    mark: Mark,
    limits: Limits,
}

impl Change for Marking {
    type Answer = Result<()>;

    async fn run(
        &mut self,
        database: &Database,
        session: &mut ClientSession,
    ) -> Result<Step<Result<()>>, Failure> {
        let Some(head) = Head::find(database, Some(&mut *session), &self.stream).await? else {
            return Ok(Step::GiveUp(Err(self.not_found())));
        };
        let entry = doc! {
            "_id.s": head.sid, "_id": entry_id(head.sid, self.id), "expires_at": { "$not": is_over(head.now) },
        };
        let find = database.entries.find_one(entry.clone());
        let found = find
            .projection(doc! { "annotations": 1 })
            .session(&mut *session)
            .await?;
        let Some(found) = found else {
            return Ok(Step::GiveUp(Err(self.not_found())));
        };
        let mut changed = match self.changed(&found)? {
            Ok(changed) => changed,
            Err(refused) => return Ok(Step::GiveUp(Err(refused))),
        };
        changed.insert("updated_at", head.now.as_micros());
        database
            .entries
            .update_one(entry, doc! { "$set": changed })
            .session(session)
            .await?;
        Ok(Step::Commit(Ok(())))
    }
}

impl Marking {
    fn not_found(&self) -> Error {
        Error::EntryNotFound {
            stream: self.stream.clone(),
            id: self.id.to_string(),
        }
    }

    /// The fields as they are to be.
    fn changed(&self, found: &RawDocument) -> Result<Result<Document>, Failure> {
        match &self.mark {
            Mark::Tags(tags) => Ok(Ok(doc! { "tags": tags })),
            Mark::Annotations(changes) => {
                let mut annotations = annotations(found)?;
                merge_annotations(&mut annotations, changes);
                let is_allowed = self.limits.check_annotations(&annotations);
                let pairs: Vec<Bson> = annotations.iter().map(|it| pair(it).into()).collect();
                Ok(is_allowed.map(|()| doc! { "annotations": pairs }))
            }
        }
    }
}

fn annotations(found: &RawDocument) -> Result<TextMap, Failure> {
    let Some(stored) = Elements::of(found.as_bytes())?.get("annotations") else {
        return Ok(TextMap::new());
    };
    let stored = stored.as_array().and_then(pairs);
    stored.ok_or_else(|| Failure::damage("the annotations of an entry are no pairs"))
}
