//! A streaming replica can be read and followed, and says so to whoever wants to change something.

mod common;

use common::{batch, entry, keyed};
use futures_util::TryStreamExt;
use ledger_core::{Condition, Error, ReadOptions, SharedStore, Store, Stream};
use ledger_postgres::{Migrations, PostgresOptions, PostgresStore};
use ledger_testservers::Postgres;

/// A store on a server and on its replica. They are gone when dropped.
struct Pair {
    primary: PostgresStore,
    replica: PostgresStore,
    _servers: (Postgres, Postgres),
}

async fn pair() -> Option<Pair> {
    let servers = Postgres::private_with_standby()?;
    let primary = PostgresStore::open(servers.0.url()).await;
    Some(Pair {
        primary: primary.expect("the store opens"),
        replica: open_replica(servers.1.url()).await,
        _servers: servers,
    })
}

/// Opens the store as soon as the replica has it.
async fn open_replica(url: &str) -> PostgresStore {
    loop {
        let options = PostgresOptions::default().with_migrations(Migrations::Never);
        match PostgresStore::open_with(url, options).await {
            Ok(store) => return store,
            Err(Error::NotAStore { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("the store does not open: {error:?}"),
        }
    }
}

/// The texts of the first `count` entries of stream `s`, as soon as a follower has them.
async fn follow(store: &PostgresStore, count: usize) -> Vec<String> {
    let stream: Stream<u64, String> = Stream::new(SharedStore::from(store.clone()), "s");
    let mut follow = stream.follow();
    let mut texts = Vec::new();
    while texts.len() < count {
        let next = follow.try_next().await.expect("the follower succeeds");
        texts.push(next.expect("a follower has no end").value);
    }
    texts
}

#[tokio::test]
async fn a_follower_on_a_replica_misses_nothing() {
    let Some(pair) = pair().await else { return };
    let replica = pair.replica.clone();
    let follower = tokio::spawn(async move { follow(&replica, 50).await });
    let stream: Stream<u64, String> = Stream::new(SharedStore::from(pair.primary.clone()), "s");
    let texts: Vec<_> = (0..50).map(|n| n.to_string()).collect();
    for text in &texts {
        stream.append(text.clone()).await.unwrap();
    }
    assert_eq!(follower.await.unwrap(), texts);
    let options = ReadOptions::new();
    let page = pair.replica.read(&"s".into(), &options).await.unwrap();
    assert_eq!((page.entries.len(), page.head), (50, Some(50)));
    assert_eq!(pair.replica.stat(&"s".into()).await.unwrap().head, Some(50));
}

#[tokio::test]
async fn whoever_wants_to_change_a_replica_is_told_that_it_is_one() {
    let Some(pair) = pair().await else { return };
    let stream = || "s".into();
    let text = |text: &str| ledger_core::Payload::json(format!("\"{text}\""));
    let new = ledger_core::NewEntry::new(text("one"));
    pair.primary.append(batch("s", [new])).await.unwrap();
    assert_eq!(follow(&pair.replica, 1).await, ["one"]);
    let replica = &pair.replica;
    let condition = Condition::head_is(1);
    let several = batch("s", [entry("two"), keyed("three")]);
    let errors = [
        replica.append(batch("s", [entry("two")])).await.err(),
        replica.append(batch("new", [keyed("two")])).await.err(),
        replica.append(several.clone().when(condition)).await.err(),
        replica.append_many(vec![several]).await.err(),
        replica.trim(&stream(), 1).await.err(),
        replica.rename(&stream(), &"t".into()).await.err(),
        replica
            .annotate(&stream(), 1, [("k".into(), Some("v".into()))].into())
            .await
            .err(),
        replica
            .save_checkpoint(&stream(), "c", "v".into(), None)
            .await
            .err(),
    ];
    for error in errors {
        assert!(matches!(error, Some(Error::ReadOnly { .. })), "{error:?}");
    }
    let health = replica.health().await.unwrap();
    assert!(health.warnings.iter().any(|it| it.contains("replica")));
    assert_eq!(follow(replica, 1).await, ["one"]);
}
