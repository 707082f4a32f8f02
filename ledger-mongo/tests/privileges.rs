//! What a user needs who may do nothing else.

mod common;

use common::{Place, batch, entry, place_on};
use ledger_core::{Error, ReadOptions, Store};
use ledger_mongo::MongoStore;
use ledger_mongo::mongodb::bson::{Document, doc};
use ledger_testservers::Mongo;

#[tokio::test]
async fn a_user_who_may_only_read_reads_and_cannot_append() {
    let Some(server) = Mongo::private_with_passwords() else {
        return;
    };
    let place = place_on(&server).await;
    let writer = place.open().await;
    writer.append(batch("s", [entry("one")])).await.unwrap();
    let role = doc! { "role": "read", "db": &place.database };
    place.user("reader", "pw", role).await;
    let url = place.url_as("reader", "pw");
    let reader = MongoStore::open_with(&url, place.options()).await.unwrap();
    let page = reader.read(&"s".into(), &ReadOptions::new()).await.unwrap();
    assert_eq!(page.entries.len(), 1);
    let error = reader.append(batch("s", [entry("two")])).await.unwrap_err();
    assert!(matches!(error, Error::Open { .. }), "{error:?}");
    let fresh = place.options().with_collection_prefix("new_");
    let error = MongoStore::open_with(&url, fresh).await.unwrap_err();
    assert!(matches!(error, Error::Open { .. }), "{error:?}");
    assert_eq!(writer.stat(&"s".into()).await.unwrap().head, Some(1));
}

#[tokio::test]
async fn the_documented_least_role_can_do_everything() {
    let Some(server) = Mongo::private_with_passwords() else {
        return;
    };
    let place = place_on(&server).await;
    place.open().await.close().await.unwrap();
    place.user("service", "pw", least_role(&place).await).await;
    let url = place.url_as("service", "pw");
    let store = MongoStore::open_with(&url, place.options()).await.unwrap();
    store.append(batch("s", [entry("one")])).await.unwrap();
    store
        .save_checkpoint(&"s".into(), "c", "v".into(), None)
        .await
        .unwrap();
    store.rename(&"s".into(), &"t".into()).await.unwrap();
    store
        .set_tags(&"t".into(), 1, ["tag".into()].into())
        .await
        .unwrap();
    store.wait(&"t".into(), None).await.unwrap();
    store.health().await.unwrap();
    assert_eq!(store.trim(&"t".into(), 1).await.unwrap(), 1);
}

/// Makes the role of `docs/mongo.md`.
async fn least_role(place: &Place) -> Document {
    let on = |collection: &str| doc! { "db": &place.database, "collection": format!("ledger_{collection}") };
    let role = doc! {
        "createRole": "ledger", "roles": [], "privileges": [
            { "resource": on("meta"), "actions": ["find", "insert", "update"] },
            { "resource": on("streams"), "actions": ["find", "insert", "update", "remove", "changeStream"] },
            { "resource": on("entries"), "actions": ["find", "insert", "update", "remove"] },
            { "resource": on("checkpoints"), "actions": ["find", "insert", "update", "remove"] },
        ],
    };
    place
        .database()
        .run_command(role)
        .await
        .expect("the role is made");
    doc! { "role": "ledger", "db": &place.database }
}
