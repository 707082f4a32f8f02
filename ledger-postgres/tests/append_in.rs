//! The service's own rows and its events in one commit.

mod common;

use common::{Place, batch, entry, keyed, place};
use ledger_core::{Condition, Error, Outcome, ReadOptions, Store};
use ledger_postgres::sqlx_core::executor::Executor;
use ledger_postgres::sqlx_core::query_scalar::query_scalar;
use ledger_postgres::sqlx_core::sql_str::AssertSqlSafe;
use ledger_postgres::sqlx_postgres::{PgTransaction, Postgres};

async fn insert_order(place: &Place, transaction: &mut PgTransaction<'_>) {
    let sql = AssertSqlSafe(format!("INSERT INTO {}.orders VALUES (1)", place.schema));
    transaction.execute(sql).await.expect("the row is inserted");
}

async fn orders(place: &Place) -> i64 {
    let sql = AssertSqlSafe(format!("SELECT count(*) FROM {}.orders", place.schema));
    query_scalar::<Postgres, i64>(sql)
        .fetch_one(&place.admin)
        .await
        .expect("the rows are counted")
}

#[tokio::test]
async fn rows_and_events_are_committed_together() {
    let Some(place) = place().await else { return };
    let store = place.open().await;
    place.run("CREATE TABLE @.orders (id int)").await;
    let mut transaction = place.admin.begin().await.unwrap();
    insert_order(&place, &mut transaction).await;
    let receipt = store
        .append_in(&mut transaction, batch("s", [entry("placed")]))
        .await
        .unwrap();
    assert_eq!(receipt.outcomes, [Outcome::Appended(1)]);
    assert_eq!(store.stat(&"s".into()).await.unwrap().head, None);
    transaction.commit().await.unwrap();
    assert_eq!(
        (
            store.stat(&"s".into()).await.unwrap().head,
            orders(&place).await
        ),
        (Some(1), 1)
    );
}

#[tokio::test]
async fn rows_and_events_are_rolled_back_together() {
    let Some(place) = place().await else { return };
    let store = place.open().await;
    place.run("CREATE TABLE @.orders (id int)").await;
    let mut transaction = place.admin.begin().await.unwrap();
    insert_order(&place, &mut transaction).await;
    store
        .append_in(&mut transaction, batch("s", [entry("placed")]))
        .await
        .unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(
        (
            store.stat(&"s".into()).await.unwrap().head,
            orders(&place).await
        ),
        (None, 0)
    );
    let next = store.append(batch("s", [entry("next")])).await.unwrap();
    assert_eq!(next.outcomes, [Outcome::Appended(1)], "no id was used up");
}

#[tokio::test]
async fn a_conflict_leaves_the_transaction_usable() {
    let Some(place) = place().await else { return };
    let store = place.open().await;
    store.append(batch("s", [entry("first")])).await.unwrap();
    let mut transaction = place.admin.begin().await.unwrap();
    let refused = batch("s", [entry("lost")]).when(Condition::stream_is_empty());
    let error = store
        .append_in(&mut transaction, refused)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Conflict { found: Some(id), .. } if id == "1"));
    store
        .append_in(&mut transaction, batch("s", [entry("second")]))
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(store.stat(&"s".into()).await.unwrap().head, Some(2));
}

#[tokio::test]
async fn a_call_sees_what_the_ones_before_it_appended() {
    let Some(place) = place().await else { return };
    let store = place.open().await;
    let mut transaction = place.admin.begin().await.unwrap();
    store
        .append_in(&mut transaction, batch("s", [keyed("a")]))
        .await
        .unwrap();
    let again = store
        .append_in(&mut transaction, batch("s", [keyed("b"), keyed("a")]))
        .await
        .unwrap();
    assert_eq!(
        again.outcomes,
        [Outcome::Appended(2), Outcome::Duplicate(1)]
    );
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn several_streams_are_appended_to_in_one_transaction() {
    let Some(place) = place().await else { return };
    let store = place.open().await;
    let mut transaction = place.admin.begin().await.unwrap();
    let batches = vec![
        batch("b", [entry("1")]),
        batch("none", []),
        batch("a", [entry("2"), entry("3")]),
    ];
    let receipts = store
        .append_many_in(&mut transaction, batches)
        .await
        .unwrap();
    let ids: Vec<Vec<u64>> = receipts
        .iter()
        .map(|receipt| receipt.ids().collect())
        .collect();
    assert_eq!(ids, [vec![1], vec![], vec![1, 2]]);
    transaction.commit().await.unwrap();
    assert_eq!(store.list(None, 9).await.unwrap(), ["a".into(), "b".into()]);
}

#[tokio::test]
async fn who_waits_is_woken_by_the_commit() {
    let Some(place) = place().await else { return };
    let store = place.open().await;
    let waiting = tokio::spawn({
        let store = place.open().await;
        async move { store.wait(&"s".into(), None).await }
    });
    let mut transaction = place.admin.begin().await.unwrap();
    store
        .append_in(&mut transaction, batch("s", [entry("one")]))
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(
        store
            .read(&"s".into(), &ReadOptions::new())
            .await
            .unwrap()
            .entries
            .len(),
        1
    );
}
