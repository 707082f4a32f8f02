//! What conditions are decided by: the stream as the transaction found it, and what the same group already appended.
//!
//! Core decides with one look-up after the other, at once; a database answers later. So a look-up that is not yet
//! answered is noted, the decision is broken off, and taken again when the answer is there. There are three at the most.

use std::collections::HashMap;

use ledger_core::{Condition, Entry, Error, Filter, ReadOptions, Result, StreamName};
use mongodb::ClientSession;
use mongodb::bson::{RawDocument, doc};
use mongodb::options::Hint;

use crate::database::Database;
use crate::error::Failure;
use crate::head::Head;
use crate::options::Indexes;
use crate::query::{Query, read_id};
use crate::row::damaged;
use crate::schema;

/// A stream inside a transaction.
pub(crate) struct Stream<'a> {
    pub(crate) name: &'a StreamName,
    /// As the transaction found it.
    pub(crate) head: &'a Head,
    /// What was appended to it since, and is not yet written.
    pub(crate) fresh: &'a [Entry<u64, ()>],
    /// The last id given out, to one of those too.
    pub(crate) last: u64,
    pub(crate) indexes: Indexes,
}

/// A look-up in what the transaction found. The filter is always that of the condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Question {
    /// The newest entry that the filter chooses, if its id is not less than this.
    Newest(u64),
    /// This entry, if a read would return it.
    Visible(u64),
}

type Answers = HashMap<Question, Option<u64>>;

impl Stream<'_> {
    /// Decides `condition`.
    pub(crate) async fn decide(
        &self,
        database: &Database,
        session: &mut ClientSession,
        condition: &Condition<u64>,
    ) -> Result<Result<()>, Failure> {
        let mut answers = Answers::new();
        loop {
            let mut evidence = Evidence {
                stream: self,
                answers: &answers,
                open: None,
            };
            let decision = condition.check(self.name, &mut evidence);
            let Some(question) = evidence.open else {
                return Ok(decision);
            };
            let answer = self
                .ask(database, session, question, &condition.filter)
                .await?;
            answers.insert(question, answer);
        }
    }

    async fn ask(
        &self,
        database: &Database,
        session: &mut ClientSession,
        question: Question,
        filter: &Filter,
    ) -> Result<Option<u64>, Failure> {
        let (ids, filter) = match question {
            Question::Newest(from) => (from.max(self.head.first)..=self.head.head, filter.clone()),
            Question::Visible(id) => (id..=id, Filter::new()),
        };
        if ids.is_empty() {
            return Ok(None);
        }
        let options = ReadOptions::new().filter(filter).descending();
        let query = Query::of(self.head, &ids, &options, self.indexes);
        let hint = query.hint();
        let found = database
            .entries
            .find_one(query.filter)
            .sort(query.sort)
            .hint(hint)
            .projection(doc! { "_id": 1 })
            .session(session)
            .await?;
        found.as_deref().map(read_id).transpose()
    }

    fn fresh(&self, id: u64) -> Option<&Entry<u64, ()>> {
        let position = self.fresh.binary_search_by_key(&id, |entry| entry.id);
        self.fresh.get(position.ok()?)
    }
}

/// The look-ups that are answered, and the one that is not.
struct Evidence<'a> {
    stream: &'a Stream<'a>,
    answers: &'a Answers,
    open: Option<Question>,
}

impl Evidence<'_> {
    fn answer(&mut self, question: Question) -> Result<Option<u64>> {
        if let Some(answer) = self.answers.get(&question) {
            return Ok(*answer);
        }
        self.open = Some(question);
        // Breaks the decision off. Nobody sees it.
        Err(Error::Unsupported {
            ability: "deciding without an answer",
        })
    }
}

impl ledger_core::Evidence<u64> for Evidence<'_> {
    fn newest(&mut self, filter: &Filter, from: Option<u64>) -> Result<Option<u64>> {
        let now = self.stream.head.now;
        let mut fresh = self.stream.fresh.iter().rev();
        let newest = fresh.find(|entry| !entry.is_expired(now) && filter.matches(entry));
        match newest {
            Some(entry) => Ok(Some(entry.id).filter(|id| Some(*id) >= from)),
            None => self.answer(Question::Newest(from.unwrap_or(0))),
        }
    }

    fn head(&mut self) -> Result<Option<u64>> {
        Ok((self.stream.last > 0).then_some(self.stream.last))
    }

    fn is_gone(&mut self, id: u64) -> Result<bool> {
        if !(1..=self.stream.last).contains(&id) {
            return Ok(false);
        }
        match self.stream.fresh(id) {
            Some(entry) => Ok(entry.is_expired(self.stream.head.now)),
            None if id < self.stream.head.first => Ok(true),
            None => Ok(self.answer(Question::Visible(id))?.is_none()),
        }
    }
}

/// Who holds a dedup key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder {
    pub(crate) id: u64,
    pub(crate) bytes: u64,
    pub(crate) is_expired: bool,
}

/// How many keys are looked up at once: no more than a command can hold.
const KEYS_MAX: usize = 4_000;

/// Looks up who holds any of `keys` in the stream.
pub(crate) async fn holders(
    database: &Database,
    session: &mut ClientSession,
    head: &Head,
    keys: &[&str],
) -> Result<HashMap<String, Holder>, Failure> {
    let mut holders = HashMap::new();
    for keys in keys.chunks(KEYS_MAX) {
        let filter = doc! { "_id.s": head.sid, "dedup_key": { "$in": keys } };
        let mut found = database
            .entries
            .find(filter)
            .projection(doc! { "dedup_key": 1, "bytes": 1, "expires_at": 1 })
            .hint(Hint::Keys(schema::dedup_key_index()))
            .session(&mut *session)
            .await?;
        while found.advance(session).await? {
            let found = found.current();
            let key = found.get_str("dedup_key").map_err(damaged)?;
            holders.insert(key.to_owned(), Holder::read(found, head)?);
        }
    }
    Ok(holders)
}

impl Holder {
    fn read(found: &RawDocument, head: &Head) -> Result<Self, Failure> {
        let expires_at = found.get_i64("expires_at").ok();
        Ok(Self {
            id: read_id(found)?,
            bytes: found
                .get_i32("bytes")
                .map_or(0, |bytes| u64::from(bytes.unsigned_abs())),
            is_expired: expires_at.is_some_and(|time| time <= head.now.as_micros()),
        })
    }
}
