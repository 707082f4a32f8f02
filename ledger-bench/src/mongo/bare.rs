//! The baseline: the same documents and indexes, written and read by hand with the driver.
//!
//! It does what a careful programmer would write for this one layout: documents as raw bytes, one session for all
//! transactions, pages in one answer each. It checks nothing, groups nothing, leaves duplicates to the unique index, and
//! knows the ids beforehand: no head is moved while the clock runs.

use std::hint::black_box;

use ledger_core::{Clock, NewEntry, SystemClock};
use ledger_mongo::mongodb::bson::{
    self, RawDocument, RawDocumentBuf, cstr, deserialize_from_slice, rawdoc,
};
use ledger_mongo::mongodb::options::{ReadConcern, WriteConcern};
use ledger_mongo::mongodb::{ClientSession, Collection, Cursor, Database};
use serde::Deserialize;

use crate::Result;
use crate::ledger::STREAM;
use crate::work::{BATCH, Payment};

/// The number of the stream, unless the store has made it and has drawn another one.
const STREAM_ID: i64 = 1;

/// The collections that the store has made, and a session.
pub(crate) struct Bare {
    stream: i64,
    entries: Collection<RawDocumentBuf>,
    streams: Collection<RawDocumentBuf>,
    session: ClientSession,
}

impl Bare {
    /// Prepares to work on a database.
    ///
    /// # Errors
    /// Those of the server.
    pub(crate) async fn new(database: &Database) -> Result<Self> {
        let streams = database.collection::<RawDocumentBuf>("ledger_streams");
        let head = streams.find_one(bson::doc! { "name": STREAM }).await?;
        let id = head.map(|head| head.get_i64("_id")).transpose()?;
        Ok(Self {
            stream: id.unwrap_or(STREAM_ID),
            entries: database.collection("ledger_entries"),
            streams,
            session: database.client().start_session().await?,
        })
    }

    /// Appends each lot in a transaction of its own.
    ///
    /// # Errors
    /// Those of the server.
    pub(crate) async fn append_lots(mut self, lots: Vec<Vec<NewEntry<Payment>>>) -> Result<()> {
        let mut ids = 1..;
        for lot in lots {
            let documents = lot.into_iter().zip(ids.by_ref());
            let documents = documents.map(|(entry, id)| document(&entry, self.stream, id));
            self.insert(documents.collect::<Result<_>>()?).await?;
        }
        Ok(())
    }

    async fn insert(&mut self, documents: Vec<RawDocumentBuf>) -> Result<()> {
        let start = self.session.start_transaction();
        start.write_concern(durable()).await?;
        let insert = self.entries.insert_many(documents);
        insert.session(&mut self.session).await?;
        Ok(self.session.commit_transaction().await?)
    }

    /// Appends each entry by itself, without a transaction.
    ///
    /// # Errors
    /// Those of the server.
    pub(crate) async fn append_each(self, entries: Vec<NewEntry<Payment>>) -> Result<()> {
        for (entry, id) in entries.into_iter().zip(1..) {
            let document = document(&entry, self.stream, id)?;
            self.entries
                .insert_one(document)
                .write_concern(durable())
                .await?;
        }
        Ok(())
    }

    /// Makes the head of a stream with this many entries, so that a store finds them.
    ///
    /// # Errors
    /// Those of the server.
    pub(crate) async fn move_head(&self, head: usize) -> Result<()> {
        let head = rawdoc! {
            "_id": self.stream, "name": STREAM, "head": i64::try_from(head)?, "first": 1_i64, "bytes": 0_i64,
        };
        self.streams
            .insert_one(head)
            .write_concern(durable())
            .await?;
        Ok(())
    }

    /// Reads everything in pages of 1,000 raw documents, and answers how many there were.
    ///
    /// # Errors
    /// Those of the server.
    pub(crate) async fn read_raw(self) -> Result<usize> {
        self.read(|document| {
            black_box(document);
            Ok(())
        })
        .await
    }

    /// Reads everything in pages of 1,000 documents with decoded payments, and answers how many there were.
    ///
    /// # Errors
    /// Those of the server and the decoder.
    pub(crate) async fn read_typed(self) -> Result<usize> {
        self.read(|document| {
            black_box::<Row>(deserialize_from_slice(document.as_bytes())?);
            Ok(())
        })
        .await
    }

    async fn read(&self, take: fn(&RawDocument) -> Result<()>) -> Result<usize> {
        let (mut count, mut last) = (0, 0);
        loop {
            let mut page = self.page(last).await?;
            let before = count;
            while page.advance().await? {
                let document = page.current();
                last = id(document)?;
                take(document)?;
                count += 1;
            }
            if count == before {
                return Ok(count);
            }
        }
    }

    /// A page behind `last`, all of it in one answer.
    async fn page(&self, last: i64) -> Result<Cursor<RawDocumentBuf>> {
        let of_stream = bson::doc! {
            "$gt": { "s": self.stream, "i": last },
            "$lte": { "s": self.stream, "i": i64::MAX },
        };
        let find = self
            .entries
            .find(bson::doc! { "_id": of_stream })
            .sort(bson::doc! { "_id": 1 });
        let find = find.limit(BATCH as i64).batch_size(BATCH as u32 + 1);
        Ok(find.read_concern(ReadConcern::majority()).await?)
    }
}

/// What the store promises too.
fn durable() -> WriteConcern {
    let mut durable = WriteConcern::majority();
    durable.journal = Some(true);
    durable
}

/// An entry as the store lays it out.
fn document(entry: &NewEntry<Payment>, stream: i64, id: i64) -> Result<RawDocumentBuf> {
    let payment = &entry.value;
    let mut document = rawdoc! {
        "_id": { "s": stream, "i": id },
        "recorded_at": SystemClock.now().as_micros(),
        "bytes": i32::try_from(serde_json::to_vec(payment)?.len())?,
    };
    if let Some(key) = &entry.dedup_key {
        document.append(cstr!("dedup_key"), key.as_str());
    }
    document.append(
        cstr!("payload"),
        rawdoc! {
            "number": i32::try_from(payment.number)?,
            "account": payment.account.as_str(),
            "currency": payment.currency.as_str(),
            "cents": i32::try_from(payment.cents)?,
            "reference": payment.reference.as_str(),
        },
    );
    Ok(document)
}

fn id(document: &RawDocument) -> Result<i64> {
    Ok(document.get_document("_id")?.get_i64("i")?)
}

/// A document that is read, its payment decoded.
#[derive(Deserialize)]
struct Row {
    #[serde(rename = "recorded_at")]
    _recorded_at: i64,
    #[serde(rename = "dedup_key")]
    _dedup_key: Option<String>,
    #[serde(rename = "payload")]
    _payload: Payment,
}
