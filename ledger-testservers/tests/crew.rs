//! A crew works in several processes, and finds nothing wrong where nothing is.

use std::env;

use ledger_sqlite::SqliteStore;
use ledger_testservers::chaos::{Crew, Worker};
use tokio::runtime::Runtime;

/// Tells the workers where the file is.
const FILE: &str = "LEDGER_CHAOS_FILE";

#[test]
fn a_crew_agrees_with_a_sound_store() {
    let runtime = Runtime::new().unwrap();
    if let Some(worker) = Worker::from_env() {
        let file = env::var(FILE).unwrap();
        runtime.block_on(async { worker.work(SqliteStore::open(file).await.unwrap()).await });
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ledger.sqlite");
    let variables = [(FILE, file.to_str().unwrap())];
    let mut crew = Crew::start("a_crew_agrees_with_a_sound_store", 2, &variables);
    crew.wait_for(500);
    crew.replace_one();
    crew.wait_for(500);
    let verdict = runtime.block_on(async {
        let store = SqliteStore::open(&file).await.unwrap();
        crew.finish(store).await
    });
    assert!(verdict.is_good(), "{verdict}");
    assert!(verdict.acknowledged >= 1_000, "{verdict}");
}
