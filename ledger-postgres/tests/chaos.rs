//! Nothing is lost, missed or doubled, whatever happens to the server, to connections and to programs.
//!
//! `LEDGER_CHAOS=long` makes it last fifty times as long.

use std::env;

use ledger_core::{Error, NewEntry, Outcome, SharedStore, Stream};
use ledger_postgres::PostgresStore;
use ledger_testservers::Postgres;
use ledger_testservers::chaos::{Crew, KEY_MARK, Protocol, Proxy, Verdict, Worker};
use sqlx_core::connection::Connection;
use sqlx_core::query_scalar::query_scalar;
use sqlx_postgres::PgConnection;
use tokio::runtime::Runtime;

/// Tells the workers where the server is.
const URL: &str = "LEDGER_CHAOS_URL";

/// What a round of chaos is made of, besides a crash of the server and a `kill -9` of a program.
const KILLS: usize = 8;
const LOST_ANSWERS: usize = 8;

/// How many entries must be acknowledged after each fault.
const ACKNOWLEDGED: usize = 50;

/// How a Postgres server is talked to: an answer ends when it is ready for a query outside of any transaction.
const POSTGRES: Protocol = Protocol {
    commits: |request| {
        request
            .windows(KEY_MARK.len())
            .any(|part| part == KEY_MARK.as_bytes())
    },
    is_complete: |answer| answer.ends_with(b"Z\0\0\0\x05I"),
};

/// Ends the connection of somebody else, at work if there is one.
const KILL: &str = "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity \
     WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() \
     ORDER BY (state = 'active') DESC, random() LIMIT 1) AS victim";

#[test]
fn nothing_is_lost_missed_or_doubled_through_kills_crashes_and_lost_answers() {
    let runtime = Runtime::new().unwrap();
    if let Some(worker) = Worker::from_env() {
        return runtime.block_on(work(worker));
    }
    let Some(server) = Postgres::private() else {
        return;
    };
    let proxy = Proxy::start(server.address(), POSTGRES).unwrap();
    let url = server.url_by_way_of(proxy.address());
    let test = "nothing_is_lost_missed_or_doubled_through_kills_crashes_and_lost_answers";
    let mut crew = Crew::start(test, 2, &[(URL, &url)]);
    crew.wait_for(ACKNOWLEDGED);
    for _ in 0..rounds() {
        runtime.block_on(kill_connections(&server, &mut crew));
        lose_answers(&proxy, &mut crew);
        crash(&server, &mut crew);
        crew.replace_one();
        crew.wait_for(ACKNOWLEDGED);
    }
    let verdict = runtime.block_on(async { crew.finish(open(server.url()).await).await });
    println!("{} rounds: {verdict}", rounds());
    judge(&verdict, &proxy);
}

fn rounds() -> usize {
    match env::var("LEDGER_CHAOS") {
        Ok(length) if length == "long" => 500,
        _ => 10,
    }
}

/// What the processes of the crew do.
async fn work(worker: Worker) {
    let url = env::var(URL).expect("the crew tells where the server is");
    worker.work(open(&url).await).await;
}

/// Opens the store, again if the chaos hits the connection that opens it.
async fn open(url: &str) -> SharedStore<u64> {
    loop {
        match PostgresStore::open(url).await {
            Ok(store) => return store.into(),
            Err(passing) if passing.is_retryable() => tokio::task::yield_now().await,
            Err(error) => panic!("the store does not open: {error}"),
        }
    }
}

/// Kills connections of the workers one by one; after each, appends go on.
async fn kill_connections(server: &Postgres, crew: &mut Crew) {
    let mut connection = PgConnection::connect(server.url())
        .await
        .expect("the server answers");
    let mut kills = 0;
    while kills < KILLS {
        let killed: i64 = query_scalar(KILL)
            .fetch_one(&mut connection)
            .await
            .expect("it may kill");
        kills += killed as usize;
        crew.wait_for(ACKNOWLEDGED);
    }
}

/// Has answers to appends swallowed one by one, after the commit; after each, appends go on.
fn lose_answers(proxy: &Proxy, crew: &mut Crew) {
    for _ in 0..LOST_ANSWERS {
        let before = proxy.swallowed();
        proxy.swallow_one();
        while proxy.swallowed() == before {
            crew.wait_for(1);
        }
        crew.wait_for(ACKNOWLEDGED);
    }
}

/// Crashes the server and starts it again; then appends go on.
fn crash(server: &Postgres, crew: &mut Crew) {
    server.stop_immediately().expect("it was running");
    server.start_again().expect("it recovers");
    crew.wait_for(ACKNOWLEDGED);
}

fn judge(verdict: &Verdict, proxy: &Proxy) {
    assert!(verdict.is_good(), "{verdict}");
    // A program that is killed does not tell of the last batch, of up to four entries, of each of its four writers.
    let untold = verdict.stored - verdict.acknowledged;
    assert!(untold <= rounds() * 16, "{verdict}");
    assert!(verdict.unknown >= proxy.swallowed(), "{verdict}");
    assert_eq!(proxy.swallowed(), rounds() * LOST_ANSWERS);
}

/// The proof that a crew can fail: a server that acknowledges before it has written anything down.
#[test]
fn a_crew_notices_what_a_server_without_synchronous_commit_loses() {
    let runtime = Runtime::new().unwrap();
    if let Some(worker) = Worker::from_env() {
        return runtime.block_on(work(worker));
    }
    let Some(server) = Postgres::private() else {
        return;
    };
    let url = format!("{}?options=-csynchronous_commit%3Doff", server.url());
    let test = "a_crew_notices_what_a_server_without_synchronous_commit_loses";
    let mut crew = Crew::start(test, 2, &[(URL, &url)]);
    for _ in 0..3 {
        crew.wait_for(ACKNOWLEDGED);
        crash(&server, &mut crew);
    }
    let verdict = runtime.block_on(async { crew.finish(open(server.url()).await).await });
    assert!(verdict.lost > 0 && !verdict.is_good(), "{verdict}");
}

#[test]
fn the_same_append_after_a_lost_answer_tells_the_first_id() {
    let Some(server) = Postgres::private() else {
        return;
    };
    let proxy = Proxy::start(server.address(), POSTGRES).unwrap();
    let url = server.url_by_way_of(proxy.address());
    Runtime::new().unwrap().block_on(async {
        let stream: Stream<u64, String> = Stream::new(open(&url).await, "orders");
        // A stream that is not there yet takes two round trips, of which the first appends nothing.
        stream.append("opened".to_owned()).await.unwrap();
        let placed = || NewEntry::new("placed".to_owned()).dedup_key(format!("{KEY_MARK}1"));
        proxy.swallow_one();
        let lost = stream.append_all([placed()]).await;
        assert!(
            matches!(lost, Err(Error::OutcomeUnknown { .. })),
            "{lost:?}"
        );
        let again = stream.append_all([placed()]).await.unwrap();
        assert_eq!(again.outcomes, [Outcome::Duplicate(2)]);
    });
}
