//! The service's own documents and its events in one commit.

mod common;

use common::{Place, batch, begin, entry, keyed, place};
use ledger_core::{Condition, Error, Outcome, ReadOptions, Store};
use ledger_mongo::mongodb::ClientSession;
use ledger_mongo::mongodb::bson::doc;

async fn insert_order(place: &Place, session: &mut ClientSession) {
    let orders = session
        .client()
        .database(&place.database)
        .collection("orders");
    let inserted = orders.insert_one(doc! { "_id": 1 }).session(session).await;
    inserted.expect("the document is inserted");
}

async fn orders(place: &Place) -> u64 {
    let counted = place.collection("orders").count_documents(doc! {}).await;
    counted.expect("the documents are counted")
}

#[tokio::test]
async fn documents_and_events_are_committed_together() {
    let Some(place) = place().await else { return };
    let store = place.open().await;
    let mut session = begin(&store).await;
    insert_order(&place, &mut session).await;
    let receipt = store
        .append_in(&mut session, batch("s", [entry("placed")]))
        .await
        .unwrap();
    assert_eq!(receipt.outcomes, [Outcome::Appended(1)]);
    assert_eq!(store.stat(&"s".into()).await.unwrap().head, None);
    session.commit_transaction().await.unwrap();
    let head = store.stat(&"s".into()).await.unwrap().head;
    assert_eq!((head, orders(&place).await), (Some(1), 1));
}

#[tokio::test]
async fn documents_and_events_are_given_up_together() {
    let Some(place) = place().await else { return };
    let store = place.open().await;
    let mut session = begin(&store).await;
    insert_order(&place, &mut session).await;
    store
        .append_in(&mut session, batch("s", [entry("placed")]))
        .await
        .unwrap();
    session.abort_transaction().await.unwrap();
    let head = store.stat(&"s".into()).await.unwrap().head;
    assert_eq!((head, orders(&place).await), (None, 0));
    let next = store.append(batch("s", [entry("next")])).await.unwrap();
    assert_eq!(next.outcomes, [Outcome::Appended(1)], "no id was used up");
}

#[tokio::test]
async fn a_conflict_leaves_the_transaction_usable() {
    let Some(place) = place().await else { return };
    let store = place.open().await;
    store.append(batch("s", [entry("first")])).await.unwrap();
    let mut session = begin(&store).await;
    let refused = batch("s", [entry("lost")]).when(Condition::stream_is_empty());
    let error = store.append_in(&mut session, refused).await.unwrap_err();
    assert!(matches!(error, Error::Conflict { found: Some(id), .. } if id == "1"));
    store
        .append_in(&mut session, batch("s", [entry("second")]))
        .await
        .unwrap();
    session.commit_transaction().await.unwrap();
    assert_eq!(store.stat(&"s".into()).await.unwrap().head, Some(2));
}

#[tokio::test]
async fn a_call_sees_what_the_ones_before_it_appended() {
    let Some(place) = place().await else { return };
    let store = place.open().await;
    let mut session = begin(&store).await;
    store
        .append_in(&mut session, batch("s", [keyed("a")]))
        .await
        .unwrap();
    let again = store
        .append_in(&mut session, batch("s", [keyed("b"), keyed("a")]))
        .await
        .unwrap();
    assert_eq!(
        again.outcomes,
        [Outcome::Appended(2), Outcome::Duplicate(1)]
    );
    session.commit_transaction().await.unwrap();
}

#[tokio::test]
async fn several_streams_are_appended_to_in_one_transaction() {
    let Some(place) = place().await else { return };
    let store = place.open().await;
    let mut session = begin(&store).await;
    let batches = vec![
        batch("b", [entry("1")]),
        batch("none", []),
        batch("a", [entry("2"), entry("3")]),
    ];
    let receipts = store.append_many_in(&mut session, batches).await.unwrap();
    let ids: Vec<Vec<u64>> = receipts
        .iter()
        .map(|receipt| receipt.ids().collect())
        .collect();
    assert_eq!(ids, [vec![1], vec![], vec![1, 2]]);
    session.commit_transaction().await.unwrap();
    assert_eq!(store.list(None, 9).await.unwrap(), ["a".into(), "b".into()]);
}

#[tokio::test]
async fn who_loses_the_stream_is_told_to_run_the_transaction_again() {
    let Some(place) = place().await else { return };
    let store = place.open().await;
    let (mut winner, mut loser) = (begin(&store).await, begin(&store).await);
    store
        .append_in(&mut winner, batch("s", [entry("first")]))
        .await
        .unwrap();
    let error = store
        .append_in(&mut loser, batch("s", [entry("second")]))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error:?}");
    let cause = std::error::Error::source(&error).expect("it has a cause");
    let cause: &ledger_mongo::mongodb::error::Error = cause.downcast_ref().expect("the driver's");
    assert!(cause.contains_label("TransientTransactionError"));
    winner.commit_transaction().await.unwrap();
}

#[tokio::test]
async fn who_waits_is_woken_by_the_commit() {
    let Some(place) = place().await else { return };
    let store = place.open().await;
    let waiting = tokio::spawn({
        let store = place.open().await;
        async move { store.wait(&"s".into(), None).await }
    });
    let mut session = begin(&store).await;
    store
        .append_in(&mut session, batch("s", [entry("one")]))
        .await
        .unwrap();
    session.commit_transaction().await.unwrap();
    waiting.await.unwrap().unwrap();
    let page = store.read(&"s".into(), &ReadOptions::new()).await.unwrap();
    assert_eq!(page.entries.len(), 1);
}
