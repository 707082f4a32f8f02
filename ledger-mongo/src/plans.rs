//! Every query walks one index of one stream, in order: nothing is sorted, nothing is scanned, whatever the server knows
//! about the collection.

use ledger_core::{Batch, Filter, NewEntry, Payload, ReadOptions, Store, Timestamp};
use ledger_testservers::{Mongo, fresh_name};
use mongodb::bson::{Bson, Document, doc};

use crate::database::Database;
use crate::head::Head;
use crate::options::{Indexes, MongoOptions};
use crate::query::Query;
use crate::schema;
use crate::store::MongoStore;

const ENTRIES: u64 = 40_000;
const LIMIT: i64 = 100;

async fn fill(store: &MongoStore) {
    for start in (0..ENTRIES).step_by(10_000) {
        let entry = |n: u64| {
            let new = NewEntry::new(Payload::json("{}")).dedup_key(n.to_string());
            new.order_key(format!("o-{}", n % 50))
                .kind("K")
                .tag("t")
                .metadata("k", "v")
                .expires_at(Timestamp::from_micros(i64::MAX))
        };
        let entries = (start..start + 10_000).map(entry).collect();
        let appended = store.append(Batch::new("s", entries)).await;
        appended.expect("the append succeeds");
    }
}

fn pages() -> Vec<ReadOptions<u64>> {
    let page = || ReadOptions::new().limit(LIMIT as usize);
    let keys = (0..30).fold(Filter::new(), |filter, n| {
        filter.order_key(format!("o-{n}"))
    });
    let all = Filter::new().kind("K").tag("t").metadata("k", "v");
    vec![
        page(),
        page().descending(),
        page().with_tombstones(),
        page().since(Timestamp::from_micros(0)),
        page().filter(Filter::new().order_key("o-7")),
        page().filter(Filter::new().order_key("o-7")).descending(),
        page().filter(all.clone().order_key("o-7")),
        page().filter(keys.clone()),
        page().filter(keys).descending(),
        page().filter(all.clone()),
        page().filter(all.clone()).with_tombstones(),
        page().filter(Filter::new().metadata("k", "v")).descending(),
        page().filter(Filter::new().tag("t")).descending(),
    ]
}

async fn explain(database: &Database, find: Document) -> Document {
    let explain = doc! { "explain": find, "verbosity": "executionStats" };
    let plan = database.handle.run_command(explain).await;
    plan.expect("the query can be explained")
}

/// The names of all stages of a plan.
fn stages(plan: &Document) -> Vec<String> {
    let mut stages = Vec::new();
    if let Ok(stage) = plan.get_str("stage") {
        stages.push(stage.to_owned());
    }
    for (field, value) in plan {
        match value {
            Bson::Document(inner) if field != "rejectedPlans" => stages.extend(self::stages(inner)),
            Bson::Array(inner) if field != "rejectedPlans" => {
                stages.extend(
                    inner
                        .iter()
                        .filter_map(Bson::as_document)
                        .flat_map(self::stages),
                );
            }
            _ => {}
        }
    }
    stages
}

/// Fails unless the plan is a walk along an index, of about as many keys as it answers.
fn check(plan: &Document, what: &str) {
    let winning = plan
        .get_document("queryPlanner")
        .and_then(|it| it.get_document("winningPlan"));
    let stages = stages(winning.expect("there is a plan"));
    let allowed = [
        "LIMIT",
        "FETCH",
        "IXSCAN",
        "SORT_MERGE",
        "PROJECTION_SIMPLE",
        "PROJECTION_COVERED",
    ];
    let is_walk = stages.iter().all(|stage| allowed.contains(&stage.as_str()));
    assert!(
        is_walk && stages.contains(&"IXSCAN".into()),
        "{what}: {stages:?}\n{plan}"
    );
    let run = plan.get_document("executionStats").expect("it was run");
    let keys = run.get_i32("totalKeysExamined").expect("keys are counted");
    assert!(keys <= LIMIT as i32 + 60, "{what}: {keys} keys\n{plan}");
}

async fn check_pages(database: &Database, indexes: Indexes) {
    let head = Head::find(database, None, &"s".into()).await;
    let head = head
        .expect("the stream is read")
        .expect("the stream is there");
    for options in pages() {
        let query = Query::of(&head, &(20_001..=30_000), &options, indexes);
        assert_eq!(
            query.filter.get_i64("_id.s").ok(),
            Some(head.sid),
            "a shard cannot be told"
        );
        let find = doc! {
            "find": database.entries.name(), "filter": query.filter, "sort": query.sort, "hint": query.hint,
            "limit": LIMIT,
        };
        check(&explain(database, find).await, &format!("{options:?}"));
    }
}

#[tokio::test]
async fn pages_are_walks_along_an_index() {
    let Some(server) = Mongo::shared() else {
        return;
    };
    let options = MongoOptions::default().with_database(fresh_name());
    let store = MongoStore::open_with(server.url(), options.clone()).await;
    let store = store.expect("the store opens");
    fill(&store).await;
    check_pages(&store.0.database, Indexes::default()).await;
    let indexes = Indexes::default().with_tags().with_metadata();
    let indexed = MongoStore::open_with(server.url(), options.with_indexes(indexes)).await;
    indexed.expect("the store opens");
    check_pages(&store.0.database, indexes).await;
}

#[tokio::test]
async fn look_ups_are_walks_along_an_index() {
    let Some(server) = Mongo::shared() else {
        return;
    };
    let options = MongoOptions::default().with_database(fresh_name());
    let store = MongoStore::open_with(server.url(), options).await;
    let store = store.expect("the store opens");
    fill(&store).await;
    let database = &store.0.database;
    let head = Head::find(database, None, &"s".into()).await;
    let sid = head
        .expect("the stream is read")
        .expect("the stream is there")
        .sid;
    let keys: Vec<_> = (0..50).map(|n| n.to_string()).collect();
    for (collection, filter, hint) in [
        (
            database.entries.name(),
            doc! { "_id.s": sid, "dedup_key": { "$in": keys } },
            Some(schema::dedup_key_index()),
        ),
        (
            database.entries.name(),
            doc! { "_id.s": sid, "expires_at": { "$lte": 5_i64, "$gt": crate::row::PURGED } },
            Some(schema::expires_at_index()),
        ),
        (database.streams.name(), doc! { "name": "s" }, None),
        (
            database.streams.name(),
            doc! { "name": { "$gt": "" } },
            Some(schema::name_index()),
        ),
    ] {
        let mut find = doc! { "find": collection, "filter": &filter, "limit": LIMIT };
        if let Some(hint) = hint {
            find.insert("hint", hint);
        }
        check(&explain(database, find).await, &filter.to_string());
    }
}
