//! So many tasks on one stream that their appends are committed in halves that take turns.

mod common;

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use common::{Place, batch, entry, keyed, place};
use ledger_core::{Condition, Error, NewEntry, Outcome, ReadOptions, Receipt, Result, Store};
use ledger_postgres::PostgresStore;
use ledger_postgres::sqlx_core::executor::Executor;
use ledger_postgres::sqlx_core::query::query;
use ledger_postgres::sqlx_core::query_scalar::query_scalar;
use ledger_postgres::sqlx_postgres::{PgTransaction, Postgres};
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;

const TASKS: usize = 300;

/// What each task appends, one after the other.
const TURNS: usize = 10;

/// Makes an insert of an entry that has a kind wait for the lock of that name.
const GATES: &str = "
    CREATE FUNCTION @.gate() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_advisory_xact_lock(hashtext(NEW.kind)); RETURN NEW; END $$;
    CREATE TRIGGER gate BEFORE INSERT ON @.ledger_entries FOR EACH ROW WHEN (NEW.kind IS NOT NULL)
    EXECUTE FUNCTION @.gate()";

/// Holds up entries of a kind that no other test uses.
struct Gate {
    kind: String,
    held: PgTransaction<'static>,
}

impl Gate {
    async fn closed(place: &Place, name: &str) -> Self {
        let kind = format!("{name} of {}", place.schema);
        let mut held = place.admin.begin().await.expect("a connection is free");
        let lock = query::<Postgres>("SELECT pg_advisory_xact_lock(hashtext($1))");
        held.execute(lock.bind(kind.clone()))
            .await
            .expect("nobody else has it");
        Self { kind, held }
    }

    fn entry(&self) -> NewEntry {
        entry("held up").kind(&self.kind)
    }

    /// Returns when somebody waits here.
    async fn wait_for_somebody(&self, place: &Place) {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory' \
             AND objid::bigint = hashtext($1)::bigint & 4294967295";
        let mut count = 0;
        while count == 0 {
            let waiting = query_scalar::<Postgres, i64>(waiting).bind(self.kind.clone());
            count = waiting.fetch_one(&place.admin).await.expect("it counts");
        }
    }

    async fn open(self) {
        self.held.rollback().await.expect("the server answers");
    }
}

type Task = JoinHandle<Result<Receipt<u64>>>;

fn append(store: &PostgresStore, entry: NewEntry) -> Task {
    append_on(&Handle::current(), store, entry)
}

fn append_on(runtime: &Handle, store: &PostgresStore, entry: NewEntry) -> Task {
    let store = store.clone();
    runtime.spawn(async move { store.append(batch("s", [entry])).await })
}

/// Lets all tasks of a runtime with one thread do what they can without the server.
async fn let_all_begin() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

/// The texts of all entries, by their ids, which are dense.
async fn texts(store: &PostgresStore) -> BTreeMap<u64, String> {
    let options = ReadOptions::new().limit(usize::MAX);
    let page = store.read(&"s".into(), &options).await.expect("it is read");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it is text");
    let texts = page
        .entries
        .iter()
        .map(|entry| (entry.id, text(&entry.value.bytes)));
    let texts: BTreeMap<_, _> = texts.collect();
    assert!(texts.keys().copied().eq(1..=texts.len() as u64));
    texts
}

#[tokio::test]
async fn one_half_is_answered_while_the_other_one_is_held_up() {
    let Some(place) = place().await else { return };
    let store = place.open().await;
    place.run(GATES).await;
    let first = Gate::closed(&place, "first").await;
    let second = Gate::closed(&place, "second").await;
    // While the first one is held up, all others queue: it takes 251 of 501 to make a half.
    let leader = append(&store, first.entry());
    let_all_begin().await;
    let free: Vec<_> = (0..300).map(|_| append(&store, entry("free"))).collect();
    let held: Vec<_> = (0..200).map(|_| append(&store, second.entry())).collect();
    let_all_begin().await;
    first.open().await;
    leader.await.unwrap().unwrap();
    let mut tasks = free.into_iter();
    for task in tasks.by_ref().take(250) {
        task.await.unwrap().unwrap();
    }
    assert!(held.iter().all(|task| !task.is_finished()));
    second.open().await;
    for task in tasks.chain(held) {
        task.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_runtime_that_ends_leaves_nobody_of_either_half_without_an_answer() {
    let Some(place) = place().await else { return };
    let store = place.open().await;
    place.run(GATES).await;
    let first = Gate::closed(&place, "first").await;
    let second = Gate::closed(&place, "second").await;
    let leader = append(&store, first.entry());
    first.wait_for_somebody(&place).await;
    // Whoever comes second brings the runtime that does the work.
    let other = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let other = other.unwrap();
    let on_other = append_on(other.handle(), &store, entry("second to come"));
    while other.handle().metrics().num_alive_tasks() < 2 {
        tokio::task::yield_now().await;
    }
    let held: Vec<_> = (0..TASKS).map(|_| append(&store, second.entry())).collect();
    let_all_begin().await;
    first.open().await;
    leader.await.unwrap().unwrap();
    second.wait_for_somebody(&place).await;

    other.shutdown_background();
    drop(on_other);
    for task in held {
        let error = task.await.unwrap().unwrap_err();
        assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error:?}");
    }
    second.open().await;
    let last = store.append(batch("s", [entry("last")])).await.unwrap();
    let last = last.ids().last();
    assert_eq!(texts(&store).await.keys().copied().last(), last);
}

/// What one task appends in one turn, and what may come of it.
fn by_turns(task: usize, turn: usize) -> (NewEntry, Option<Condition<u64>>) {
    match (task + turn) % 4 {
        0 => (keyed("the same"), None),
        1 => (entry("never"), Some(Condition::stream_is_empty())),
        _ => (keyed(&format!("{task}, {turn}")), None),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_one_of_many_gets_its_own_outcome() {
    let Some(place) = place().await else { return };
    let store = place.open().await;
    store.append(batch("s", [entry("first")])).await.unwrap();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut outcomes = Vec::new();
                for turn in 0..TURNS {
                    let (entry, condition) = by_turns(task, turn);
                    let mut batch = batch("s", [entry]);
                    batch.condition = condition;
                    outcomes.push(store.append(batch).await);
                }
                outcomes
            })
        })
        .collect();
    let mut claimed = BTreeMap::from([(1, "first".to_owned())]);
    for (task, outcomes) in tasks.into_iter().enumerate() {
        for (turn, outcome) in outcomes.await.unwrap().into_iter().enumerate() {
            let (entry, condition) = by_turns(task, turn);
            let text = String::from_utf8(entry.value.bytes.to_vec()).unwrap();
            match outcome.map(|receipt| receipt.outcomes[0]) {
                Ok(Outcome::Appended(id)) => assert_eq!(claimed.insert(id, text), None),
                Ok(Outcome::Duplicate(_)) => assert_eq!(text, "the same"),
                Err(Error::Conflict { .. }) => assert!(condition.is_some()),
                Err(error) => panic!("{error:?}"),
            }
        }
    }
    assert_eq!(claimed.len(), 1 + 1 + TASKS * TURNS / 2);
    assert_eq!(texts(&store).await, claimed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_leaves_takes_nobody_along() {
    let Some(place) = place().await else { return };
    let store = place.open().await;
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut stayed = Vec::new();
                for turn in 0..TURNS {
                    let text = format!("{task}, {turn}");
                    let append = store.append(batch("s", [keyed(&text)]));
                    if (task + turn) % 3 == 0 {
                        begin_and_leave(append, task % 5).await;
                    } else {
                        let id = append.await.unwrap().ids().next().unwrap();
                        stayed.push((id, text));
                    }
                }
                stayed
            })
        })
        .collect();
    let mut stayed = Vec::new();
    for task in tasks {
        stayed.extend(task.await.unwrap());
    }
    // What is appended now comes behind whatever is still under way.
    store.append(batch("s", [entry("last")])).await.unwrap();
    let texts = texts(&store).await;
    assert!(stayed.iter().all(|(id, text)| texts.get(id) == Some(text)));
    assert_eq!(stayed.len(), TASKS * TURNS * 2 / 3);
}

/// Polls an append some times, letting others run in between, and drops it.
async fn begin_and_leave(append: impl Future, polls: usize) {
    let mut append = pin!(append);
    for _ in 0..=polls {
        if poll_once(append.as_mut()).is_ready() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
