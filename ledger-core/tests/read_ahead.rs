//! Walks and followers over a store that reads ahead: which pages they ask for, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::{Arc, Mutex};

use futures_util::{FutureExt, StreamExt};
use ledger_core::{
    Batch, Bytes, Capabilities, Checkpoint, Direction, Error, Health, MemoryStore, Page,
    ReadOptions, Receipt, Result, Retention, Revision, Stat, Store, Stream, StreamName,
    async_trait,
};

/// What happens to one read.
type Event = fn() -> Error;

/// The reference store, which says that it reads ahead, and notes what it is asked for.
struct Watched {
    store: MemoryStore,
    capabilities: Capabilities,
    reads: Mutex<Vec<ReadOptions<u64>>>,
    /// The number of the read that fails, and how.
    fails: Option<(usize, Event)>,
    /// The number of the read that never ends, which keeps hold of this.
    hangs: Option<(usize, Arc<()>)>,
}

impl Watched {
    fn new() -> Self {
        let store = MemoryStore::new();
        let mut capabilities = store.capabilities().clone();
        capabilities.read_ahead = true;
        Self {
            store,
            capabilities,
            reads: Mutex::default(),
            fails: None,
            hangs: None,
        }
    }

    /// Notes a read, and answers its number, from 1.
    fn note(&self, options: &ReadOptions<u64>) -> usize {
        let mut reads = self.reads.lock().expect("nobody panics with it");
        reads.push(options.clone());
        reads.len()
    }

    fn reads(&self) -> usize {
        self.reads.lock().expect("nobody panics with it").len()
    }
}

#[async_trait]
impl Store for Watched {
    type Id = u64;

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn append(&self, batch: Batch<u64>) -> Result<Receipt<u64>> {
        self.store.append(batch).await
    }

    async fn append_many(&self, batches: Vec<Batch<u64>>) -> Result<Vec<Receipt<u64>>> {
        self.store.append_many(batches).await
    }

    async fn read(&self, stream: &StreamName, options: &ReadOptions<u64>) -> Result<Page<u64>> {
        let number = self.note(options);
        if let Some((at, kept)) = &self.hangs
            && *at == number
        {
            let _kept = Arc::clone(kept);
            return pending().await;
        }
        match &self.fails {
            Some((at, error)) if *at == number => Err(error()),
            _ => self.store.read(stream, options).await,
        }
    }

    async fn stat(&self, stream: &StreamName) -> Result<Stat<u64>> {
        self.store.stat(stream).await
    }

    async fn trim(&self, stream: &StreamName, through: u64) -> Result<u64> {
        self.store.trim(stream, through).await
    }

    async fn retain(&self, stream: &StreamName, retention: &Retention) -> Result<u64> {
        self.store.retain(stream, retention).await
    }

    async fn purge_expired(&self, stream: &StreamName) -> Result<u64> {
        self.store.purge_expired(stream).await
    }

    async fn set_tags(&self, stream: &StreamName, id: u64, tags: BTreeSet<String>) -> Result<()> {
        self.store.set_tags(stream, id, tags).await
    }

    async fn annotate(
        &self,
        stream: &StreamName,
        id: u64,
        changes: BTreeMap<String, Option<String>>,
    ) -> Result<()> {
        self.store.annotate(stream, id, changes).await
    }

    async fn list(&self, after: Option<&StreamName>, limit: usize) -> Result<Vec<StreamName>> {
        self.store.list(after, limit).await
    }

    async fn rename(&self, from: &StreamName, to: &StreamName) -> Result<()> {
        self.store.rename(from, to).await
    }

    async fn wait(&self, stream: &StreamName, after: Option<u64>) -> Result<()> {
        self.store.wait(stream, after).await
    }

    async fn load_checkpoint(&self, stream: &StreamName, name: &str) -> Result<Option<Checkpoint>> {
        self.store.load_checkpoint(stream, name).await
    }

    async fn save_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
        value: Bytes,
        expected: Option<Revision>,
    ) -> Result<Revision> {
        self.store
            .save_checkpoint(stream, name, value, expected)
            .await
    }

    async fn delete_checkpoint(
        &self,
        stream: &StreamName,
        name: &str,
        expected: Revision,
    ) -> Result<()> {
        self.store.delete_checkpoint(stream, name, expected).await
    }

    async fn list_checkpoints(
        &self,
        stream: &StreamName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        self.store.list_checkpoints(stream, after, limit).await
    }

    async fn health(&self) -> Result<Health> {
        self.store.health().await
    }

    async fn close(&self) -> Result<()> {
        self.store.close().await
    }
}

/// A stream of `count` numbers, of which every other one is even, and the store that it is in.
async fn numbers(store: Watched, count: u64) -> (Stream<u64, u64>, Arc<Watched>) {
    let store = Arc::new(store);
    let shared: Arc<dyn Store<Id = u64>> = store.clone();
    let numbers = Stream::new(shared, "n");
    append(&numbers, 1..=count).await;
    (numbers, store)
}

async fn append(numbers: &Stream<u64, u64>, values: impl IntoIterator<Item = u64>) {
    for n in values {
        let key = if n.is_multiple_of(2) { "even" } else { "odd" };
        numbers.append(n).order_key(key).await.expect("it appends");
    }
}

#[tokio::test]
async fn the_next_page_is_under_way_when_half_of_this_one_is_given() {
    let (numbers, store) = numbers(Watched::new(), 25).await;
    let mut walk = numbers.read().limit(10).walk();
    for (given, reads) in [(4, 1), (5, 2), (14, 2), (15, 3), (25, 3)] {
        while walk.next().await.unwrap().unwrap().id < given {}
        assert_eq!(store.reads(), reads, "{given} entries were given");
    }
    assert!(walk.next().await.is_none());
    assert_eq!(store.reads(), 3);
}

#[tokio::test]
async fn a_store_that_does_not_read_ahead_is_asked_when_a_page_is_turned() {
    let mut store = Watched::new();
    store.capabilities.read_ahead = false;
    let (numbers, store) = numbers(store, 25).await;
    let mut walk = numbers.read().limit(10).walk();
    for (given, reads) in [(10, 1), (11, 2), (20, 2), (25, 3)] {
        while walk.next().await.unwrap().unwrap().id < given {}
        assert_eq!(store.reads(), reads, "{given} entries were given");
    }
}

#[tokio::test]
async fn an_error_of_the_page_ahead_comes_behind_all_entries_before_it_and_ends_a_walk() {
    let mut store = Watched::new();
    store.fails = Some((2, || Error::Closed));
    let (numbers, store) = numbers(store, 25).await;
    let walked: Vec<_> = numbers.read().limit(10).walk().collect().await;
    let (error, entries) = walked.split_last().unwrap();
    assert!(matches!(error, Err(Error::Closed)), "{error:?}");
    assert_eq!(entries.len(), 10);
    assert!(entries.iter().all(|entry| entry.is_ok()));
    assert_eq!(store.reads(), 2);
}

#[tokio::test]
async fn a_follower_outlives_an_error_of_the_page_ahead_that_passes() {
    let mut store = Watched::new();
    store.fails = Some((2, || Error::Busy {
        place: "here".into(),
        waited: std::time::Duration::ZERO,
        source: "busy".into(),
    }));
    let (numbers, _) = numbers(store, 25).await;
    let followed: Vec<_> = numbers.follow().limit(10).take(26).collect().await;
    assert!(matches!(followed[10], Err(Error::Busy { .. })));
    let ids = followed.iter().flatten().map(|entry| entry.id);
    assert!(ids.eq(1..=25));
}

#[tokio::test]
async fn a_walk_that_is_dropped_lets_go_of_the_page_ahead() {
    let kept = Arc::new(());
    let mut store = Watched::new();
    store.hangs = Some((2, Arc::clone(&kept)));
    let (numbers, store) = numbers(store, 25).await;
    let mut walk = numbers.read().limit(10).walk();
    for _ in 0..10 {
        walk.next().await.unwrap().unwrap();
    }
    assert!(walk.next().now_or_never().is_none());
    assert_eq!(Arc::strong_count(&kept), 3);
    drop(walk);
    assert_eq!(Arc::strong_count(&kept), 2);
    assert_eq!(store.reads(), 2);
}

#[tokio::test]
async fn a_follower_finds_what_is_appended_behind_the_page_ahead() {
    for history in [15, 20, 25] {
        let (numbers, _) = numbers(Watched::new(), history).await;
        let mut follow = numbers.follow().limit(10);
        for id in 1..=7 {
            assert_eq!(follow.next().await.unwrap().unwrap().id, id);
        }
        append(&numbers, history + 1..=40).await;
        let rest: Vec<_> = follow
            .take(33)
            .map(|entry| entry.unwrap().id)
            .collect()
            .await;
        assert_eq!(rest, (8..=40).collect::<Vec<_>>(), "{history}");
    }
}

#[tokio::test]
async fn no_entry_is_given_twice_or_left_out_whatever_the_page_the_filter_and_the_direction() {
    let (numbers, _) = numbers(Watched::new(), 24).await;
    for limit in 1..=26 {
        for direction in [Direction::Ascending, Direction::Descending] {
            for key in [None, Some("even")] {
                let mut read = numbers.read().after(3).before(22).limit(limit);
                if direction == Direction::Descending {
                    read = read.descending();
                }
                if let Some(key) = key {
                    read = read.order_key(key);
                }
                let walked: Vec<_> = read.walk().map(|entry| entry.unwrap().id).collect().await;
                let chosen = (4..=21).filter(|id| key.is_none() || id % 2 == 0);
                let mut chosen: Vec<u64> = chosen.collect();
                if direction == Direction::Descending {
                    chosen.reverse();
                }
                assert_eq!(walked, chosen, "{limit} {direction:?} {key:?}");
            }
        }
    }
}
