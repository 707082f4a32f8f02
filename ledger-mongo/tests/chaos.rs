//! Nothing is lost, missed or doubled, whatever happens to servers, to sessions, to connections and to programs.
//!
//! `LEDGER_CHAOS=long` makes it last fifteen times as long.

use std::env;

use ledger_core::{NewEntry, Outcome, SharedStore, Stream};
use ledger_mongo::MongoStore;
use ledger_mongo::mongodb::Client;
use ledger_mongo::mongodb::bson::{Bson, doc};
use ledger_testservers::chaos::{Crew, Protocol, Proxy, Verdict, Worker};
use ledger_testservers::{Mongo, Node};
use tokio::runtime::Runtime;

/// Tells the workers where the server is.
const URL: &str = "LEDGER_CHAOS_URL";

/// Has a client notice soon what happens to servers.
const ALERT: &str = "connectTimeoutMS=1000&heartbeatFrequencyMS=500&serverSelectionTimeoutMS=5000";

/// How many entries must be acknowledged after each fault.
const ACKNOWLEDGED: usize = 50;

/// What a round of chaos on one server is made of, besides a `kill -9` of the server and one of a program.
const KILLED_SESSIONS: usize = 8;
const LOST_ANSWERS: usize = 8;

/// How a MongoDB server is talked to: a message begins with its length.
const MONGO: Protocol = Protocol {
    commits: |request| {
        let commit = b"commitTransaction";
        request.windows(commit.len()).any(|part| part == commit)
    },
    is_complete: |answer| {
        let length = answer.first_chunk().map(|bytes| i32::from_le_bytes(*bytes));
        length.is_some_and(|length| answer.len() >= length as usize)
    },
};

#[test]
fn nothing_is_lost_missed_or_doubled_on_one_server() {
    let runtime = Runtime::new().unwrap();
    if let Some(worker) = Worker::from_env() {
        return runtime.block_on(work(worker));
    }
    let Some(set) = Mongo::private() else { return };
    let proxy = proxy(&set);
    let url = by_way_of(&proxy);
    let test = "nothing_is_lost_missed_or_doubled_on_one_server";
    let mut crew = Crew::start(test, 2, &[(URL, &url)]);
    crew.wait_for(ACKNOWLEDGED);
    for _ in 0..rounds(6) {
        runtime.block_on(kill_sessions(&set, &mut crew));
        lose_answers(&proxy, &mut crew);
        crash(&set.nodes()[0], &mut crew);
        replace_a_program(&mut crew);
    }
    let verdict = runtime.block_on(end(crew, &set));
    println!("one server, {} rounds: {verdict}", rounds(6));
    judge(&verdict, rounds(6));
    assert_eq!(proxy.swallowed(), rounds(6) * LOST_ANSWERS);
}

#[test]
fn nothing_is_lost_missed_or_doubled_on_a_set_of_three() {
    let runtime = Runtime::new().unwrap();
    if let Some(worker) = Worker::from_env() {
        return runtime.block_on(work(worker));
    }
    let Some(set) = Mongo::private_set(3) else {
        return;
    };
    let url = alert(&set);
    let test = "nothing_is_lost_missed_or_doubled_on_a_set_of_three";
    let mut crew = Crew::start(test, 2, &[(URL, &url)]);
    crew.wait_for(ACKNOWLEDGED);
    for _ in 0..rounds(2) {
        kill_primary(&set, &mut crew);
        step_down(&set, &mut crew);
        freeze_primary(&set, &mut crew);
        lose_majority(&set, &mut crew);
        replace_a_program(&mut crew);
    }
    let verdict = runtime.block_on(end(crew, &set));
    println!("a set of three, {} rounds: {verdict}", rounds(2));
    judge(&verdict, rounds(2));
}

fn rounds(short: usize) -> usize {
    match env::var("LEDGER_CHAOS") {
        Ok(length) if length == "long" => 15 * short,
        _ => short,
    }
}

/// A proxy before the only server of a set.
fn proxy(set: &Mongo) -> Proxy {
    Proxy::start(&set.nodes()[0].address(), MONGO).expect("a proxy starts")
}

/// The address of that server by way of the proxy; the client must not ask it for its own.
fn by_way_of(proxy: &Proxy) -> String {
    let proxy = proxy.address();
    format!("mongodb://{proxy}/?directConnection=true&{ALERT}")
}

fn alert(set: &Mongo) -> String {
    format!("{}&{ALERT}", set.url())
}

/// What the processes of the crew do.
async fn work(worker: Worker) {
    let url = env::var(URL).expect("the crew tells where the server is");
    worker.work(open(&url).await).await;
}

/// Opens the store, again if the chaos hits its opening.
async fn open(url: &str) -> SharedStore<u64> {
    loop {
        match MongoStore::open(url).await {
            Ok(store) => return store.into(),
            Err(passing) if passing.is_retryable() => tokio::task::yield_now().await,
            Err(error) => panic!("the store does not open: {error:?}"),
        }
    }
}

/// Ends all sessions, and with them the transactions that are under way; after each time, appends go on.
async fn kill_sessions(set: &Mongo, crew: &mut Crew) {
    let client = Client::with_uri_str(set.url()).await;
    let admin = client.expect("the address is one").database("admin");
    for _ in 0..KILLED_SESSIONS {
        let kill = doc! { "killAllSessions": Vec::<Bson>::new() };
        admin.run_command(kill).await.expect("it may kill");
        crew.wait_for(ACKNOWLEDGED);
    }
}

/// Has answers to commits swallowed one by one; after each, appends go on.
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

/// Kills the only server and starts it again; then appends go on.
fn crash(server: &Node, crew: &mut Crew) {
    server.kill().expect("it was running");
    server.start_again().expect("it recovers");
    crew.wait_for(ACKNOWLEDGED);
}

/// Kills a program in the midst of its appends; those of its successor go on.
fn replace_a_program(crew: &mut Crew) {
    crew.replace_one();
    crew.wait_for(ACKNOWLEDGED);
}

/// The primary of a set whose other servers can go on without it.
///
/// One that takes back what it alone has, by the primary's word, does not vote until it has heard that word: if the primary is
/// frozen meanwhile, for as long as it stays so.
fn dispensable_primary(set: &Mongo) -> &Node {
    set.wait_until_whole().expect("all servers come back");
    set.primary().expect("there is a primary")
}

/// Kills the primary; appends go on without it, and with it when it is back.
fn kill_primary(set: &Mongo, crew: &mut Crew) {
    let primary = dispensable_primary(set);
    primary.kill().expect("it was running");
    crew.wait_for(ACKNOWLEDGED);
    primary.start_again().expect("it recovers");
    crew.wait_for(ACKNOWLEDGED);
}

/// Has the primary give way to another; appends go on there.
fn step_down(set: &Mongo, crew: &mut Crew) {
    set.step_down().expect("another takes its place");
    crew.wait_for(ACKNOWLEDGED);
}

/// Freezes the primary; appends go on elsewhere, also when it awakes and still takes itself for the primary.
///
/// Not at once: a secondary that has just asked the frozen server for its oplog waits for it for half a minute, and
/// without that secondary there is no majority.
fn freeze_primary(set: &Mongo, crew: &mut Crew) {
    let primary = dispensable_primary(set);
    primary.freeze().expect("it was running");
    crew.wait_for(ACKNOWLEDGED);
    primary.thaw().expect("it was frozen");
    crew.wait_for(ACKNOWLEDGED);
}

/// Leaves the primary alone, with both other servers gone; appends go on when they are back.
fn lose_majority(set: &Mongo, crew: &mut Crew) {
    let primary = set.primary().expect("there is a primary").address();
    let others = || set.nodes().iter().filter(|node| node.address() != primary);
    for other in others() {
        other.kill().expect("it was running");
    }
    for other in others() {
        other.start_again().expect("it recovers");
    }
    crew.wait_for(ACKNOWLEDGED);
}

async fn end(crew: Crew, set: &Mongo) -> Verdict {
    crew.finish(open(&alert(set)).await).await
}

fn judge(verdict: &Verdict, rounds: usize) {
    assert!(verdict.is_good(), "{verdict}");
    // A program that is killed does not tell of the last batch, of up to four entries, of each of its four writers.
    let untold = verdict.stored - verdict.acknowledged;
    assert!(untold <= rounds * 16, "{verdict}");
}

#[test]
fn a_commit_whose_answer_is_lost_is_asked_for_again() {
    let Some(set) = Mongo::private() else { return };
    let proxy = proxy(&set);
    Runtime::new().unwrap().block_on(async {
        let store = open(&by_way_of(&proxy)).await;
        let stream: Stream<u64, String> = Stream::new(store, "orders");
        let placed = || NewEntry::new("placed".to_owned()).dedup_key("1");
        proxy.swallow_one();
        let receipt = stream.append_all([placed()]).await.unwrap();
        assert_eq!(receipt.outcomes, [Outcome::Appended(1)]);
        assert_eq!(proxy.swallowed(), 1);
        let again = stream.append_all([placed()]).await.unwrap();
        assert_eq!(again.outcomes, [Outcome::Duplicate(1)]);
    });
}
