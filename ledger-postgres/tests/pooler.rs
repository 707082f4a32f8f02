//! Behind PgBouncer in transaction mode, where each transaction goes to another server connection.

mod common;

use std::time::Duration;

use common::{batch, keyed};
use futures_util::future::{join, join_all};
use ledger_core::{Condition, Outcome, ReadOptions, Store};
use ledger_postgres::{PostgresOptions, PostgresStore};
use ledger_testservers::{PgBouncer, Postgres};

/// A server of this test's own, and a pooler in front of it: what a pooler leaves behind is in nobody's way.
fn pooled() -> Option<(Postgres, PgBouncer)> {
    let server = Postgres::private()?;
    let pooler = PgBouncer::in_front_of(&server)?;
    Some((server, pooler))
}

async fn open(server: &Postgres, pooler: &PgBouncer) -> PostgresStore {
    let options = PostgresOptions::default()
        .behind_transaction_pooler()
        .with_poll_interval(Duration::from_millis(20));
    let url = server.url_by_way_of(pooler.address());
    let store = PostgresStore::open_with(&url, options).await;
    store.expect("the store opens")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_services_append_and_read_side_by_side_through_a_pooler() {
    let Some((server, pooler)) = pooled() else {
        return;
    };
    let stores = [open(&server, &pooler).await, open(&server, &pooler).await];
    let rounds = (0..20).flat_map(|round| stores.iter().map(move |store| (round, store)));
    join_all(rounds.map(async |(round, store)| {
        let stream = format!("s{}", round % 3);
        let key = format!("k{round}");
        let one = store.append(batch(&stream, [keyed(&key)])).await.unwrap();
        let id = *one.ids().collect::<Vec<_>>().first().unwrap();
        let more = batch(&stream, [keyed(&key), keyed(&format!("{key}-{id}"))]);
        let more = store.append(more).await.unwrap();
        assert_eq!(more.outcomes[0], Outcome::Duplicate(id));
        let page = store
            .read(&stream.as_str().into(), &ReadOptions::new())
            .await;
        assert!(page.unwrap().head >= Some(id));
    }))
    .await;
    let empty = batch("s0", [keyed("first")]).when(Condition::stream_is_empty());
    assert!(stores[0].append(empty).await.is_err(), "it is not empty");
    let together = vec![batch("a", [keyed("a")]), batch("b", [keyed("b")])];
    stores[1].append_many(together).await.unwrap();
    assert_eq!(stores[0].list(None, 10).await.unwrap().len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_poll_where_a_pooler_swallows_notifications() {
    let Some((server, pooler)) = pooled() else {
        return;
    };
    let (reader, writer) = (open(&server, &pooler).await, open(&server, &pooler).await);
    for id in 1..=20 {
        let stream = "s".into();
        let waiting = reader.wait(&stream, (id > 1).then_some(id - 1));
        let appending = writer.append(batch("s", [keyed(&id.to_string())]));
        let (woken, appended) = join(waiting, appending).await;
        woken.unwrap();
        assert_eq!(appended.unwrap().outcomes, [Outcome::Appended(id)]);
    }
}

#[tokio::test]
async fn a_callers_transaction_goes_through_a_pooler_too() {
    let Some((server, pooler)) = pooled() else {
        return;
    };
    let store = open(&server, &pooler).await;
    for n in 1..=5 {
        let mut transaction = store.pool().begin().await.unwrap();
        let one = batch("s", [keyed(&n.to_string())]);
        let receipt = store.append_in(&mut transaction, one).await.unwrap();
        assert_eq!(receipt.outcomes, [Outcome::Appended(n)]);
        transaction.commit().await.unwrap();
    }
}
