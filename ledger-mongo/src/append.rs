//! Appends: one transaction, whatever is in it.
//!
//! The head document of each stream is advanced first, which keeps all others away until the commit. Then every entry is
//! decided in this process: a duplicate and a conflict write nothing, and none of them disturbs its neighbours.
//!
//! At first nobody is asked who holds the dedup keys: they are usually new, and the unique index finds out if they are
//! not. Then nothing was written, and the transaction is run once more with the holders looked up before.

use std::collections::{BTreeMap, HashMap};

use ledger_core::{Batch, Entry, NewEntry, Outcome, Result, Timestamp};
use mongodb::ClientSession;

use crate::database::Database;
use crate::error::Failure;
use crate::evidence::{Holder, Stream, holders};
use crate::head::{Growth, Head};
use crate::insert::Insert;
use crate::options::Indexes;
use crate::retention::purge;
use crate::transaction::{Change, Step};

/// What became of one batch.
pub(crate) type Outcomes = Vec<Outcome<u64>>;

/// How the batches of one call belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bond {
    /// All are appended or none; each goes to a stream of its own.
    Together,
    /// Each on its own; all go to the same stream.
    Separate,
}

/// Whether dedup keys are taken to be new until the unique index says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    New,
    LookUp,
}

/// An append of batches of which none is empty.
pub(crate) struct Append {
    batches: Vec<Batch<u64>>,
    bond: Bond,
    pub(crate) trust: Trust,
    indexes: Indexes,
}

impl Append {
    pub(crate) fn new(
        batches: Vec<Batch<u64>>,
        bond: Bond,
        trust: Trust,
        indexes: Indexes,
    ) -> Self {
        Self {
            batches,
            bond,
            trust,
            indexes,
        }
    }

    pub(crate) fn batches(&self) -> &[Batch<u64>] {
        &self.batches
    }

    pub(crate) fn into_batches(self) -> Vec<Batch<u64>> {
        self.batches
    }

    /// Does it all inside of a transaction, and tells whether anything was written. Without trust, a failed condition
    /// writes nothing but the lock.
    pub(crate) async fn write(
        &self,
        database: &Database,
        session: &mut ClientSession,
    ) -> Result<(Vec<Result<Outcomes>>, bool), Failure> {
        let mut drafts = self.drafts(database, session).await?;
        let mut answers = self.decide(database, session, &mut drafts).await?;
        if self.trust == Trust::New && answers.iter().any(Result::is_err) {
            // Perhaps it conflicts, perhaps all of it is there already.
            for draft in &mut drafts {
                draft.start_again();
                draft.look_up(database, session).await?;
            }
            answers = self.decide(database, session, &mut drafts).await?;
        }
        let is_refused = self.bond == Bond::Together && answers.iter().any(Result::is_err);
        if is_refused || drafts.iter().all(|draft| draft.fresh.is_empty()) {
            return Ok((answers, false));
        }
        self.write_drafts(database, session, drafts).await?;
        Ok((answers, true))
    }

    /// Locks the streams, in the order of their names.
    async fn drafts(
        &self,
        database: &Database,
        session: &mut ClientSession,
    ) -> Result<Vec<Draft<'_>>, Failure> {
        let mut by_stream = BTreeMap::<_, Vec<_>>::new();
        for batch in &self.batches {
            by_stream.entry(&batch.stream).or_default().push(batch);
        }
        let mut drafts = Vec::new();
        for batches in by_stream.into_values() {
            drafts.push(Draft::open(database, session, batches, self).await?);
        }
        Ok(drafts)
    }

    async fn decide<'a>(
        &'a self,
        database: &Database,
        session: &mut ClientSession,
        drafts: &mut [Draft<'a>],
    ) -> Result<Vec<Result<Outcomes>>, Failure> {
        let mut answers = Vec::new();
        for batch in &self.batches {
            let mut draft = drafts
                .iter_mut()
                .filter(|draft| draft.batches[0].stream == batch.stream);
            let draft = draft.next().expect("each stream has its draft");
            answers.push(draft.decide(database, session, batch).await?);
        }
        Ok(answers)
    }

    async fn write_drafts(
        &self,
        database: &Database,
        session: &mut ClientSession,
        drafts: Vec<Draft<'_>>,
    ) -> Result<(), Failure> {
        let mut insert = Insert::new(database);
        for draft in drafts {
            draft.settle(database, session).await?;
            draft.insert(&mut insert);
        }
        insert.run(database, session).await
    }
}

impl Change for Append {
    type Answer = Vec<Result<Outcomes>>;

    async fn run(
        &mut self,
        database: &Database,
        session: &mut ClientSession,
    ) -> Result<Step<Self::Answer>, Failure> {
        match self.write(database, session).await {
            Ok((answers, true)) => Ok(Step::Commit(answers)),
            Ok((answers, false)) => Ok(Step::GiveUp(answers)),
            Err(failure) if failure.is_duplicate_key() && self.trust == Trust::New => {
                self.trust = Trust::LookUp;
                Ok(Step::Again)
            }
            Err(failure) => Err(failure),
        }
    }
}

/// What is to be done to one stream.
struct Draft<'a> {
    batches: Vec<&'a Batch<u64>>,
    /// As the transaction found it.
    head: Head,
    /// The time of what is appended.
    time: Timestamp,
    /// How far the head document was advanced already.
    advanced: Growth,
    indexes: Indexes,
    /// Who holds the dedup keys, as far as they were looked up.
    holders: HashMap<String, Holder>,
    /// What is to be inserted.
    fresh: Vec<Fresh<'a>>,
    /// Who holds the dedup keys of what is to be inserted: positions there.
    fresh_keys: HashMap<&'a str, usize>,
    /// Expired holders whose keys were taken.
    purged: Vec<Holder>,
    /// What is to be inserted, as conditions see it; kept only if there are any.
    seen: Vec<Entry<u64, ()>>,
    has_conditions: bool,
}

/// An entry with its id.
struct Fresh<'a> {
    id: u64,
    entry: &'a NewEntry,
    /// Its dedup key was taken over at once, because it is expired already.
    is_purged: bool,
}

impl<'a> Draft<'a> {
    async fn open(
        database: &Database,
        session: &mut ClientSession,
        batches: Vec<&'a Batch<u64>>,
        append: &Append,
    ) -> Result<Self, Failure> {
        let advanced = match append.trust {
            Trust::New => growth(batches.iter().flat_map(|batch| &batch.entries)),
            Trust::LookUp => Growth::default(),
        };
        let mut head = Head::advance(database, session, &batches[0].stream, advanced).await?;
        head.head -= advanced.entries;
        head.bytes -= advanced.bytes;
        let mut draft = Self {
            has_conditions: batches.iter().any(|batch| batch.condition.is_some()),
            batches,
            time: head.next_time(),
            head,
            advanced,
            indexes: append.indexes,
            holders: HashMap::new(),
            fresh: Vec::new(),
            fresh_keys: HashMap::new(),
            purged: Vec::new(),
            seen: Vec::new(),
        };
        if append.trust == Trust::LookUp {
            draft.look_up(database, session).await?;
        }
        Ok(draft)
    }

    async fn look_up(
        &mut self,
        database: &Database,
        session: &mut ClientSession,
    ) -> Result<(), Failure> {
        let entries = self.batches.iter().flat_map(|batch| &batch.entries);
        let mut keys: Vec<_> = entries.filter_map(dedup_key).collect();
        keys.sort_unstable();
        keys.dedup();
        self.holders = holders(database, session, &self.head, &keys).await?;
        Ok(())
    }

    fn start_again(&mut self) {
        self.fresh.clear();
        self.fresh_keys.clear();
        self.purged.clear();
        self.seen.clear();
    }

    /// Decides one batch: what became of each entry, or why none of them was appended.
    async fn decide(
        &mut self,
        database: &Database,
        session: &mut ClientSession,
        batch: &'a Batch<u64>,
    ) -> Result<Result<Outcomes>, Failure> {
        if let Some(condition) = &batch.condition
            && !batch
                .entries
                .iter()
                .all(|entry| self.duplicate(entry).is_some())
        {
            let stream = Stream {
                name: &batch.stream,
                head: &self.head,
                fresh: &self.seen,
                last: self.last(),
                indexes: self.indexes,
            };
            if let Err(conflict) = stream.decide(database, session, condition).await? {
                return Ok(Err(conflict));
            }
        }
        Ok(Ok(batch
            .entries
            .iter()
            .map(|entry| self.push(entry))
            .collect()))
    }

    /// The last id given out.
    fn last(&self) -> u64 {
        self.head.head + self.fresh.len() as u64
    }

    /// The id of the entry that holds the dedup key, if a read would return it.
    fn duplicate(&self, entry: &NewEntry) -> Option<u64> {
        let key = dedup_key(entry)?;
        if let Some(position) = self.fresh_keys.get(key) {
            let holder = &self.fresh[*position];
            return (!is_expired(holder.entry, self.head.now)).then_some(holder.id);
        }
        let holder = self.holders.get(key)?;
        (!holder.is_expired).then_some(holder.id)
    }

    fn push(&mut self, entry: &'a NewEntry) -> Outcome<u64> {
        if let Some(id) = self.duplicate(entry) {
            return Outcome::Duplicate(id);
        }
        if let Some(key) = dedup_key(entry) {
            self.take_key(key);
        }
        let id = self.last() + 1;
        self.fresh.push(Fresh {
            id,
            entry,
            is_purged: false,
        });
        if self.has_conditions {
            let seen = entry.clone().map(drop);
            let stream = self.batches[0].stream.clone();
            self.seen.push(Entry::recorded(id, stream, self.time, seen));
        }
        Outcome::Appended(id)
    }

    /// Gives the key to the next entry. Only an expired entry can have held it before; it is purged, so that no clock
    /// that steps back brings it to life with a key that is another's.
    fn take_key(&mut self, key: &'a str) {
        if let Some(before) = self.fresh_keys.insert(key, self.fresh.len()) {
            self.fresh[before].is_purged = true;
        } else if let Some(holder) = self.holders.get(key) {
            self.purged.push(*holder);
        }
    }

    /// Writes how far the stream has come, unless that is how far it was advanced, and purges whose key was taken.
    async fn settle(
        &self,
        database: &Database,
        session: &mut ClientSession,
    ) -> Result<(), Failure> {
        let grown = growth(
            self.fresh
                .iter()
                .filter(|it| !it.is_purged)
                .map(|it| it.entry),
        );
        let entries = self.fresh.len() as u64;
        if entries != self.advanced.entries
            || grown.bytes != self.advanced.bytes
            || !self.purged.is_empty()
        {
            let mut head = self.head.clone();
            let freed: u64 = self.purged.iter().map(|holder| holder.bytes).sum();
            head.head += entries;
            head.bytes = (head.bytes + grown.bytes).saturating_sub(freed);
            head.expires |= grown.expires || self.fresh.iter().any(|it| it.is_purged);
            head.recorded_at = Some(self.time);
            head.settle(database, session).await?;
        }
        let purged: Vec<_> = self.purged.iter().map(|holder| holder.id).collect();
        if purged.is_empty() {
            return Ok(());
        }
        purge(database, session, self.head.sid, &purged).await
    }

    fn insert(&self, insert: &mut Insert) {
        for fresh in &self.fresh {
            let at = (self.head.sid, fresh.id);
            if fresh.is_purged {
                insert.tombstone(at, self.time);
            } else {
                insert.entry(at, self.time, fresh.entry);
            }
        }
    }
}

/// An empty key is none.
fn dedup_key(entry: &NewEntry) -> Option<&str> {
    entry.dedup_key.as_deref().filter(|key| !key.is_empty())
}

fn is_expired(entry: &NewEntry, now: Timestamp) -> bool {
    entry.expires_at.is_some_and(|time| time <= now)
}

fn growth<'a>(entries: impl Iterator<Item = &'a NewEntry>) -> Growth {
    let mut growth = Growth::default();
    for entry in entries {
        growth.entries += 1;
        growth.bytes += entry.value.bytes.len() as u64;
        growth.expires |= entry.expires_at.is_some();
    }
    growth
}
