//! A follower who sleeps until the oplog has gone on without it.

mod common;

use common::{Place, batch, entry, place_on};
use futures_util::TryStreamExt;
use ledger_core::{Json, Store, Stream};
use ledger_mongo::MongoStore;
use ledger_mongo::mongodb::bson::{Binary, doc, spec::BinarySubtype};
use ledger_testservers::Mongo;
use tokio::runtime::{Builder, Runtime};

/// How often the oplog, which holds a megabyte, is written over.
const ROUNDS: usize = 40;

fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made")
}

/// Writes until the server has dropped from its oplog what was in it.
async fn overrun(place: &Place) {
    let noise = place.collection("noise");
    let bytes = Binary {
        subtype: BinarySubtype::Generic,
        bytes: vec![7; 1 << 20],
    };
    for _ in 0..ROUNDS {
        noise
            .insert_one(doc! { "bytes": bytes.clone() })
            .await
            .expect("the noise is written");
    }
}

fn events(store: &MongoStore) -> Stream<u64, u32, Json> {
    Stream::new(store.clone(), "s")
}

async fn append(store: &MongoStore, value: u32) {
    let appended = events(store).append(value).await;
    appended.expect("the append succeeds");
}

#[test]
fn a_follower_that_slept_through_the_oplog_misses_nothing() {
    let Some(server) = Mongo::private_with_small_oplog() else {
        return;
    };
    let (writing, following) = (runtime(), runtime());
    let place = writing.block_on(place_on(&server));
    let writer = writing.block_on(place.open());
    let (follower, other) = following.block_on(async { (place.open().await, place.open().await) });

    writing.block_on(append(&writer, 1));
    let mut live = events(&follower).follow();
    let first = following.block_on(live.try_next()).unwrap().unwrap();
    // It waits while others append elsewhere, and so has its change stream before it falls asleep.
    let stream = "s".into();
    following.block_on(async {
        let waiting = follower.wait(&stream, Some(1));
        let appending = async {
            for _ in 0..20 {
                let appended = other.append(batch("other", [entry("e")])).await;
                appended.expect("the append succeeds");
            }
        };
        tokio::select! { biased; () = appending => {}, woken = waiting => woken.expect("it waits") }
    });

    writing.block_on(async {
        for value in 2..=20 {
            append(&writer, value).await;
        }
        overrun(&place).await;
        for value in 21..=30 {
            append(&writer, value).await;
        }
    });
    let rest = following.block_on(async {
        let mut values = Vec::new();
        while values.len() < 29 {
            values.push(live.try_next().await.unwrap().unwrap().value);
        }
        values
    });
    assert_eq!(first.value, 1);
    assert_eq!(rest, (2..=30).collect::<Vec<_>>());

    // And it is still awake.
    writing.block_on(append(&writer, 31));
    let last = following.block_on(live.try_next()).unwrap().unwrap();
    assert_eq!(last.value, 31);
}
