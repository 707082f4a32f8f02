//! A program that is killed in the midst of a transaction bars nobody's way.

mod common;

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use common::{Place, batch, begin, entry, place};
use ledger_core::{Outcome, Store};
use ledger_mongo::{MongoOptions, MongoStore};

/// Tells the child which database to work on, on the server of its parent.
const DATABASE: &str = "LEDGER_ORPHANS_DATABASE";
const URL: &str = "LEDGER_ORPHANS_URL";

/// What the child says when it has begun.
const BEGUN: &str = "begun";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_transaction_of_a_killed_program_is_ended_by_the_next_who_appends() {
    if let Ok(database) = env::var(DATABASE) {
        return begin_until_killed(database).await;
    }
    let Some(place) = place().await else { return };
    let store = place.open().await;
    store.append(batch("s", [entry("first")])).await.unwrap();
    let mut child = start_child(
        &place,
        "the_transaction_of_a_killed_program_is_ended_by_the_next_who_appends",
    );
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == BEGUN));
    child.kill().unwrap();
    child.wait().unwrap();
    // The server itself would wait for longer than the store does.
    let next = store.append(batch("s", [entry("next")])).await.unwrap();
    assert_eq!(next.outcomes, [Outcome::Appended(2)]);
}

fn start_child(place: &Place, test: &str) -> Child {
    let mut child = Command::new(env::current_exe().expect("this program has a path"));
    child.args(["--exact", test, "--nocapture"]);
    child.env(DATABASE, &place.database).env(URL, &place.url);
    let child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    child.expect("this program starts once more")
}

async fn begin_until_killed(database: String) {
    let options = MongoOptions::default().with_database(database);
    let url = env::var(URL).expect("the parent tells where the server is");
    let store = MongoStore::open_with(&url, options).await;
    let store = store.expect("the store opens");
    let mut session = begin(&store).await;
    let appended = store.append_in(&mut session, batch("s", [entry("lost")]));
    appended.await.expect("it is appended");
    writeln!(io::stdout(), "\n{BEGUN}").expect("the parent listens");
    let end = io::stdin().read_to_end(&mut Vec::new());
    end.expect("the parent says nothing");
}
