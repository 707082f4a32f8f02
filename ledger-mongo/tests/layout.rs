//! What others see in the database: documents that can be queried, whatever text is in them, and their indexes.

mod common;

use common::{Place, batch, entry, keyed, place};
use futures_util::TryStreamExt;
use futures_util::future::join_all;
use ledger_core::{ContentType, Filter, NewEntry, Outcome, Payload, ReadOptions, Store, TextMap};
use ledger_mongo::mongodb::bson::{Bson, Document, doc};
use ledger_mongo::{Indexes, MongoStore};

const HOSTILE: [&str; 12] = [
    "",
    ".",
    "a.b",
    "$",
    "$set",
    "$a.$b",
    "\0",
    "a\0b",
    "_id",
    "__proto__",
    "ü😀",
    "a b",
];

async fn stored(place: &Place, filter: Document) -> Vec<Document> {
    let found = place.collection("ledger_entries").find(filter).await;
    let found = found.expect("the query runs").try_collect().await;
    found.expect("the documents come")
}

#[tokio::test]
async fn json_payloads_are_documents_that_can_be_queried() {
    let Some(place) = place().await else { return };
    let store = place.open().await;
    let text = r#"{"item":"book","lines":[{"cents":995}],"weight":0.5}"#;
    let json = NewEntry::new(Payload::json(text));
    store
        .append(batch("s", [json, entry("bytes")]))
        .await
        .unwrap();
    let found = stored(&place, doc! { "payload.lines.cents": { "$gt": 900 } }).await;
    let payload = found[0].get_document("payload").unwrap();
    assert_eq!((found.len(), payload.get_str("item").unwrap()), (1, "book"));
    let page = store.read(&"s".into(), &ReadOptions::new()).await.unwrap();
    assert_eq!(page.entries[0].value.bytes, text);
}

#[tokio::test]
async fn json_that_a_document_would_change_is_kept_as_bytes() {
    let Some(place) = place().await else { return };
    let store = place.open().await;
    let texts = [
        r#"{"a": 1}"#,
        "18446744073709551615",
        "1.0e1",
        r#"{"a":1,"a":2}"#,
        r#"{"a.b":1}"#,
        r#"{"$a":1}"#,
        r#"{"a\u0000b":1}"#,
        "not json at all",
    ];
    let entries = texts.map(|text| NewEntry::new(Payload::json(text)));
    store.append(batch("s", entries)).await.unwrap();
    let kept = stored(&place, doc! { "payload": { "$type": "binData" } }).await;
    assert_eq!(kept.len(), texts.len());
    let page = store.read(&"s".into(), &ReadOptions::new()).await.unwrap();
    for (entry, text) in page.entries.iter().zip(texts) {
        assert_eq!(entry.value, Payload::new(text, ContentType::JSON));
    }
}

#[tokio::test]
async fn dotted_and_dollar_keys_come_back_and_can_be_filtered_on() {
    let Some(place) = place().await else { return };
    let indexes = Indexes::default().with_tags().with_metadata();
    let stores = [
        place.open().await,
        place.open_with(place.options().with_indexes(indexes)).await,
    ];
    let entries = HOSTILE.map(|text| {
        let entry = entry("e").metadata(text, text).tag(text);
        entry.order_key(text).kind(text).dedup_key(text)
    });
    stores[0].append(batch("s", entries.clone())).await.unwrap();
    let annotations: TextMap = HOSTILE.map(|text| (text.into(), text.into())).into();
    let changes = annotations
        .iter()
        .map(|(key, value)| (key.clone(), Some(value.clone())));
    stores[0]
        .annotate(&"s".into(), 1, changes.collect())
        .await
        .unwrap();
    for store in stores {
        for (text, id) in HOSTILE.iter().zip(1..) {
            for filter in [
                Filter::new().metadata(*text, *text),
                Filter::new().tag(*text),
                Filter::new().order_key(*text),
                Filter::new().kind(*text),
            ] {
                let page = ReadOptions::new().filter(filter.clone());
                let page = store.read(&"s".into(), &page).await.unwrap();
                let ids: Vec<u64> = page.entries.iter().map(|entry| entry.id).collect();
                assert_eq!(ids, [id], "{filter:?}");
                assert_eq!(page.entries[0].metadata, entries[id as usize - 1].metadata);
            }
        }
        let page = store.read(&"s".into(), &ReadOptions::new()).await.unwrap();
        assert_eq!(page.entries[0].annotations, annotations);
    }
}

#[tokio::test]
async fn hostile_names_are_names() {
    let Some(place) = place().await else { return };
    let store = place.open().await;
    let names = HOSTILE.into_iter().filter(|name| !name.is_empty());
    let mut names: Vec<_> = names.map(ledger_core::StreamName::from).collect();
    for name in &names {
        store
            .append(batch(name.as_str(), [entry("one")]))
            .await
            .unwrap();
        store
            .save_checkpoint(name, name.as_str(), "v".into(), None)
            .await
            .unwrap();
        let saved = store.list_checkpoints(name, None, 9).await.unwrap();
        assert_eq!(saved, [name.as_str()]);
    }
    names.sort();
    assert_eq!(store.list(None, 99).await.unwrap(), names);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_instances_may_make_the_same_store_at_once() {
    let Some(place) = place().await else { return };
    let opened = join_all((0..8).map(|_| MongoStore::open_with(&place.url, place.options()))).await;
    for (n, store) in opened.into_iter().enumerate() {
        let receipt = store
            .unwrap()
            .append(batch("s", [keyed(&n.to_string())]))
            .await
            .unwrap();
        assert_eq!(receipt.outcomes, [Outcome::Appended(n as u64 + 1)]);
    }
}

#[tokio::test]
async fn two_prefixes_share_a_database() {
    let Some(place) = place().await else { return };
    let one = place.open().await;
    let other = place
        .open_with(place.options().with_collection_prefix("other_"))
        .await;
    one.append(batch("s", [keyed("a")])).await.unwrap();
    assert_eq!(other.stat(&"s".into()).await.unwrap().head, None);
}

#[tokio::test]
async fn a_database_of_the_callers_stays_open_when_the_store_is_closed() {
    let Some(place) = place().await else { return };
    let database = place.database();
    let store = MongoStore::with_database(&database, Default::default())
        .await
        .unwrap();
    store.append(batch("s", [entry("one")])).await.unwrap();
    store.close().await.unwrap();
    let heads = place
        .collection("ledger_streams")
        .find_one(doc! { "name": "s" })
        .await
        .unwrap();
    assert_eq!(heads.unwrap().get("head"), Some(&Bson::Int64(1)));
}

#[tokio::test]
async fn optional_indexes_can_be_added_later() {
    let Some(place) = place().await else { return };
    place.open().await.close().await.unwrap();
    let indexes = Indexes::default()
        .with_payload()
        .with_tags()
        .with_metadata();
    for _ in 0..2 {
        let store = place.open_with(place.options().with_indexes(indexes)).await;
        store.health().await.unwrap();
    }
    let names = place
        .collection("ledger_entries")
        .list_index_names()
        .await
        .unwrap();
    assert_eq!(names.len(), 7, "{names:?}");
}
