//! Which documents a read asks for, by which index, in which order.
//!
//! Every query names its stream by `_id.s`, which is what shards are told apart by, and walks one index in the order
//! asked for: nothing is ever sorted, and the index is named, so that no statistics and no cached plan can change that.

use std::ops::RangeInclusive;

use ledger_core::{Direction, Filter, ReadOptions, Timestamp};
use mongodb::ClientSession;
use mongodb::bson::{Bson, Document, RawDocument, doc};
use mongodb::options::{Hint, ReadConcern};

use crate::database::Database;
use crate::error::Failure;
use crate::head::Head;
use crate::options::Indexes;
use crate::reader::Elements;
use crate::row::{entry_id, id_of, pair, stored};
use crate::schema;

/// The ranges of several order keys are merged as they come, up to so many; MongoDB would sort beyond 200.
const MERGED_KEYS_MAX: usize = 100;

/// How many entries are looked at in one step of a search by time.
const PROBES: u64 = 64;

/// A query for a part of one stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Query {
    pub(crate) filter: Document,
    pub(crate) sort: Document,
    pub(crate) hint: Document,
}

impl Query {
    /// What of `ids` answers a read with `options`, as of `head`.
    pub(crate) fn of(
        head: &Head,
        ids: &RangeInclusive<u64>,
        options: &ReadOptions<u64>,
        indexes: Indexes,
    ) -> Self {
        let order = match options.direction {
            Direction::Ascending => 1,
            Direction::Descending => -1,
        };
        let (mut query, filter) = Self::walk(head.sid, ids, options, indexes, order);
        let mut chosen = chosen(&filter);
        if let Some(since) = options.since {
            query
                .filter
                .insert("recorded_at", doc! { "$gte": since.as_micros() });
        }
        if !head.expires {
            query.filter.extend(chosen);
        } else if !options.tombstones {
            chosen.insert("expires_at", doc! { "$not": is_over(head.now) });
            query.filter.extend(chosen);
        } else if !chosen.is_empty() {
            query
                .filter
                .insert("$or", [doc! { "expires_at": is_over(head.now) }, chosen]);
        }
        query
    }

    /// The index that suits the filter best, and what of the filter it leaves to be looked at.
    fn walk(
        sid: i64,
        ids: &RangeInclusive<u64>,
        options: &ReadOptions<u64>,
        indexes: Indexes,
        order: i32,
    ) -> (Self, Filter) {
        let mut rest = options.filter.clone();
        let mut filter = doc! { "_id.s": sid };
        if options.tombstones {
            // The filter does not choose tombstones.
        } else if (1..=MERGED_KEYS_MAX).contains(&rest.order_keys.len()) {
            filter.insert("order_key", any(&rest.order_keys));
            rest.order_keys.clear();
            return (
                Self::by_id_behind(filter, ids, schema::order_key_index(), order),
                rest,
            );
        } else if indexes.tags && !rest.tags.is_empty() {
            return (
                Self::by_id_behind(filter, ids, schema::tags_index(), order),
                rest,
            );
        } else if indexes.metadata && !rest.metadata.is_empty() {
            return (
                Self::by_id_behind(filter, ids, schema::metadata_index(), order),
                rest,
            );
        }
        filter.insert(
            "_id",
            doc! { "$gte": entry_id(sid, *ids.start()), "$lte": entry_id(sid, *ids.end()) },
        );
        let query = Self {
            filter,
            sort: doc! { "_id": order },
            hint: doc! { "_id": 1 },
        };
        (query, rest)
    }

    /// A walk along an index in which ids come behind something else.
    fn by_id_behind(
        mut filter: Document,
        ids: &RangeInclusive<u64>,
        index: Document,
        order: i32,
    ) -> Self {
        filter.insert(
            "_id.i",
            doc! { "$gte": stored(*ids.start()), "$lte": stored(*ids.end()) },
        );
        Self {
            filter,
            sort: doc! { "_id.i": order },
            hint: index,
        }
    }

    pub(crate) fn hint(&self) -> Hint {
        Hint::Keys(self.hint.clone())
    }
}

/// The conditions of a filter.
fn chosen(filter: &Filter) -> Document {
    let mut chosen = Document::new();
    for (field, keys) in [("order_key", &filter.order_keys), ("kind", &filter.kinds)] {
        if !keys.is_empty() {
            chosen.insert(field, any(keys));
        }
    }
    if !filter.tags.is_empty() {
        chosen.insert("tags", doc! { "$all": &filter.tags });
    }
    if !filter.metadata.is_empty() {
        let pairs: Vec<_> = filter.metadata.iter().map(pair).collect();
        chosen.insert("metadata", doc! { "$all": pairs });
    }
    chosen
}

fn any(keys: &[String]) -> Bson {
    match keys {
        [key] => key.into(),
        _ => doc! { "$in": keys }.into(),
    }
}

/// Whether an `expires_at` has come. It has for tombstones, and has not where there is none.
pub(crate) fn is_over(now: Timestamp) -> Document {
    doc! { "$lte": now.as_micros() }
}

/// The first id of the stream that was recorded at `since` or later; the one behind the head if none was.
///
/// Times never decrease along a stream, so a few looks in between find it.
pub(crate) async fn first_since(
    database: &Database,
    session: &mut ClientSession,
    head: &Head,
    since: Timestamp,
) -> Result<u64, Failure> {
    let (mut low, mut high) = (head.first, head.head + 1);
    while low < high {
        let step = (high - low).div_ceil(PROBES);
        let probes = (low..high).step_by(usize::try_from(step).unwrap_or(usize::MAX));
        let found = earlier_of(database, session, head.sid, probes, since).await?;
        let Some(earlier) = found else { return Ok(low) };
        low = earlier + 1;
        high = high.min(earlier + step);
    }
    Ok(low)
}

/// The last of `probes` that was recorded before `since`.
async fn earlier_of(
    database: &Database,
    session: &mut ClientSession,
    sid: i64,
    probes: impl Iterator<Item = u64>,
    since: Timestamp,
) -> Result<Option<u64>, Failure> {
    let ids: Vec<_> = probes.map(|id| entry_id(sid, id)).collect();
    let filter = doc! {
        "_id.s": sid, "_id": { "$in": ids }, "recorded_at": { "$lt": since.as_micros() },
    };
    let found = database
        .entries
        .find_one(filter)
        .projection(doc! { "_id": 1 })
        .sort(doc! { "_id": -1 })
        .hint(Hint::Keys(doc! { "_id": 1 }))
        .read_concern(ReadConcern::snapshot())
        .session(session)
        .await?;
    found.as_deref().map(read_id).transpose()
}

/// The id of a document.
pub(crate) fn read_id(document: &RawDocument) -> Result<u64, Failure> {
    let id = Elements::of(document.as_bytes())?.get("_id");
    id.and_then(id_of)
        .ok_or_else(|| Failure::damage("an entry without an id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(expires: bool) -> Head {
        Head {
            sid: 5,
            head: 9,
            first: 1,
            bytes: 0,
            recorded_at: None,
            expires,
            now: Timestamp::from_micros(77),
        }
    }

    fn query(expires: bool, options: &ReadOptions<u64>) -> Query {
        Query::of(&head(expires), &(3..=9), options, Indexes::default())
    }

    #[test]
    fn a_stream_in_which_nothing_expires_is_asked_for_its_ids_alone() {
        let query = query(false, &ReadOptions::new().with_tombstones());
        let range = doc! { "$gte": { "s": 5_i64, "i": 3_i64 }, "$lte": { "s": 5_i64, "i": 9_i64 } };
        assert_eq!(query.filter, doc! { "_id.s": 5_i64, "_id": range });
        assert_eq!(query.sort, doc! { "_id": 1 });
    }

    #[test]
    fn what_expired_is_left_out_or_listed_whatever_the_filter() {
        let options = ReadOptions::new().filter(Filter::new().kind("a"));
        let hidden = query(true, &options);
        assert_eq!(
            hidden.filter.get_document("expires_at").unwrap(),
            &doc! { "$not": { "$lte": 77_i64 } }
        );
        let listed = query(true, &options.with_tombstones());
        assert_eq!(listed.filter.get_array("$or").unwrap().len(), 2);
    }

    #[test]
    fn order_keys_have_an_index_of_their_own() {
        let options = ReadOptions::new()
            .filter(Filter::new().order_key("a"))
            .descending();
        let query = query(false, &options);
        assert_eq!(query.filter.get_str("order_key").unwrap(), "a");
        assert_eq!(query.sort, doc! { "_id.i": -1 });
        assert_eq!(query.hint, schema::order_key_index());
    }
}
