//! What the store adds to the log: waiting, on any runtime, and giving up.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::future::Future;
use std::ops::ControlFlow;
use std::panic::{self, AssertUnwindSafe};
use std::pin::pin;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use futures_util::TryStreamExt;
use futures_util::future::join_all;
use ledger_core::{
    Batch, Durability, Error, NewEntry, Outcome, Payload, ReadOptions, Store, Stream, StreamName,
    Timestamp,
};
use ledger_file::{FileOptions, FileStore, RecordRef};

const DURABILITIES: [Durability; 2] = [Durability::Sync, Durability::Process];

fn options(durability: Durability) -> FileOptions {
    FileOptions::default().with_durability(durability)
}

fn batch(key: &str) -> Batch<u64> {
    let entry = NewEntry::new(Payload::json(format!("{key:?}"))).dedup_key(key);
    Batch::new("s", vec![entry])
}

/// The least of a runtime: one thread that sleeps until it is woken.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

/// Does something with a new store, and without a runtime.
fn in_store(durability: Durability, work: impl AsyncFnOnce(FileStore)) {
    block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let store = FileStore::open_with(path, options(durability)).await;
        work(store.unwrap()).await;
    });
}

async fn work(durability: Durability) {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open_with(directory.path().join("log"), options(durability))
        .await
        .unwrap();
    let keys: Vec<String> = (0..64).map(|key| key.to_string()).collect();
    let receipts = join_all(keys.iter().map(|key| store.append(batch(key)))).await;
    // Which of them comes first is up to the threads that some are handed to.
    let outcomes = receipts.into_iter().flat_map(|it| it.unwrap().outcomes);
    let mut outcomes: Vec<_> = outcomes.collect();
    outcomes.sort_unstable_by_key(|outcome| outcome.id());
    assert_eq!(
        outcomes,
        (1..=64).map(Outcome::Appended).collect::<Vec<_>>()
    );
    let page = store.read(&"s".into(), &ReadOptions::new()).await.unwrap();
    assert_eq!(page.entries.len(), 64);
    store.trim(&"s".into(), 32).await.unwrap();
    assert_eq!(store.stat(&"s".into()).await.unwrap().count, 32);
    store.close().await.unwrap();
}

#[test]
fn it_works_without_any_runtime() {
    for durability in DURABILITIES {
        block_on(work(durability));
    }
}

#[tokio::test]
async fn it_works_on_a_runtime_of_one_thread() {
    for durability in DURABILITIES {
        work(durability).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_works_on_a_runtime_of_several_threads() {
    for durability in DURABILITIES {
        work(durability).await;
    }
}

#[test]
fn an_append_that_nobody_waits_for_is_whole() {
    for durability in DURABILITIES {
        in_store(durability, async |store| {
            for key in 0..1_000 {
                let mut append = pin!(store.append(batch(&key.to_string())));
                let _given_up = append
                    .as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()));
            }
            // Each was decided by the one poll that it got, unless somebody else was writing at that moment.
            for key in 0..1_000 {
                store.append(batch(&key.to_string())).await.unwrap();
            }
            let stream = Stream::<u64, String>::new(store, "s");
            let entries: Vec<_> = stream.read().walk().try_collect().await.unwrap();
            assert_eq!(entries.len(), 1_000);
            for (entry, id) in entries.iter().zip(1..) {
                assert_eq!(entry.id, id);
                assert_eq!(Some(&entry.value), entry.dedup_key.as_ref());
            }
        });
    }
}

#[test]
fn an_append_that_has_answered_is_not_made_again() {
    for durability in DURABILITIES {
        in_store(durability, async |store| {
            let entry = NewEntry::new(Payload::octets("once"));
            let mut append = store.append(Batch::new("s", vec![entry]));
            append.as_mut().await.unwrap();
            let mut context = Context::from_waker(Waker::noop());
            let again = AssertUnwindSafe(|| append.as_mut().poll(&mut context).is_ready());
            assert!(panic::catch_unwind(again).is_err());
            assert_eq!(store.stat(&"s".into()).await.unwrap().count, 1);
        });
    }
}

#[test]
fn a_store_that_is_open_is_refused_to_others() {
    block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let first = FileStore::open(directory.path()).await.unwrap();
        let second = FileStore::open(directory.path()).await.unwrap_err();
        assert!(matches!(&second, Error::Busy { .. }), "{second}");
        let cause = std::error::Error::source(&second).unwrap().to_string();
        assert!(cause.contains(&std::process::id().to_string()), "{cause}");
        drop(first);
        FileStore::open(directory.path()).await.unwrap();
    });
}

/// In a process of its own: appends what the parent asks for.
#[test]
fn writer() {
    let Some(path) = std::env::var_os("LEDGER_TEST_WRITES_TO") else {
        return;
    };
    let durability = match std::env::var_os("LEDGER_TEST_SYNC") {
        Some(_) => Durability::Sync,
        None => Durability::Process,
    };
    block_on(async {
        let store = FileStore::open_with(path, options(durability))
            .await
            .unwrap();
        for key in 0..ENTRIES {
            store.append(batch(&key.to_string())).await.unwrap();
        }
        store.close().await.unwrap();
    });
}

const ENTRIES: u64 = 2_000;

fn follows_another_process(durability: Durability) {
    let directory = tempfile::tempdir().unwrap();
    block_on(async {
        let store = FileStore::open(directory.path()).await.unwrap();
        store.close().await.unwrap();
        let reader = FileStore::open_read_only(directory.path(), FileOptions::default())
            .await
            .unwrap();
        let mut writer = Command::new(std::env::current_exe().unwrap());
        writer
            .args(["--exact", "writer"])
            .env("LEDGER_TEST_WRITES_TO", directory.path())
            .stdout(Stdio::null());
        if durability == Durability::Sync {
            writer.env("LEDGER_TEST_SYNC", "1");
        }
        let mut writer = writer.spawn().unwrap();
        let mut live = Stream::<u64, String>::new(reader.clone(), "s").follow();
        for id in 1..=ENTRIES {
            let entry = live.try_next().await.unwrap().unwrap();
            assert_eq!((entry.id, entry.value), (id, (id - 1).to_string()));
        }
        assert!(writer.wait().unwrap().success());
        let refused = reader.append(batch("mine")).await.unwrap_err();
        assert!(matches!(refused, Error::ReadOnly { .. }), "{refused}");
    });
}

#[test]
fn a_reading_process_follows_what_another_syncs() {
    follows_another_process(Durability::Sync);
}

#[test]
fn a_reading_process_follows_what_another_stages() {
    follows_another_process(Durability::Process);
}

#[test]
fn a_store_that_is_only_read_tells_whether_it_is_well() {
    let directory = tempfile::tempdir().unwrap();
    block_on(async {
        let writer = FileStore::open(directory.path()).await.unwrap();
        let reader = FileStore::open_read_only(directory.path(), FileOptions::default());
        let reader = reader.await.unwrap();
        reader.health().await.unwrap();
        writer.close().await.unwrap();
        reader.health().await.unwrap();
        std::fs::remove_file(directory.path().join("MANIFEST")).unwrap();
        let ill = reader.health().await.unwrap_err();
        assert!(matches!(ill, Error::Corrupt { .. }), "{ill}");
        reader.close().await.unwrap();
        let closed = reader.health().await.unwrap_err();
        assert!(matches!(closed, Error::Closed), "{closed}");
    });
}

#[test]
fn a_waiting_reader_is_woken_by_a_close() {
    block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let store = FileStore::open(directory.path()).await.unwrap();
        let stream = StreamName::from("s");
        let mut waiting = pin!(store.wait(&stream, None));
        let mut context = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        store.close().await.unwrap();
        assert!(matches!(waiting.await, Err(Error::Closed)));
    });
}

/// What a record tells of itself.
type Told = (u64, Timestamp, Vec<u8>, Vec<String>);

fn told(record: RecordRef<'_>) -> Told {
    let words = [record.kind(), record.order_key(), record.dedup_key()];
    let words = words.map(|word| format!("{word:?}")).into_iter();
    let others = [
        record.content_type().into(),
        record.schema_version().to_string(),
    ];
    let payload = record.payload().unwrap().into_owned();
    (
        record.id(),
        record.recorded_at(),
        payload,
        words.chain(others).collect(),
    )
}

/// Entries of all sizes and kinds, some of which have expired.
fn motley(id: usize) -> NewEntry {
    let bytes = [100, 0, 3_000, 100, 70_000][id % 5];
    let entry = NewEntry::new(Payload::octets(vec![id as u8; bytes]));
    match id % 7 {
        0 => entry.dedup_key(id.to_string()),
        1 => entry.kind("shipped").order_key("o-1"),
        2 => entry.metadata("key", "value").schema_version(3),
        3 => entry.expires_at(Timestamp::from_micros(1)),
        _ => entry,
    }
}

async fn fill_with_motley(store: &FileStore) {
    for first in (0..1_000).step_by(50) {
        let entries = (first..first + 50).map(motley).collect();
        store.append(Batch::new("s", entries)).await.unwrap();
    }
}

async fn scans_as_its_log(store: &FileStore) {
    let stream = StreamName::from("s");
    for after in [0, 1, 123, 999, 1_000, u64::MAX] {
        let (mut of_log, mut of_store) = (Vec::new(), Vec::new());
        let last_of_log = store.log().scan(&stream, after, |record| {
            of_log.push(told(record));
            ControlFlow::Continue(())
        });
        let last = store.scan(&stream, after, |record| {
            of_store.push(told(record));
            ControlFlow::Continue(())
        });
        assert_eq!(last.await.unwrap(), last_of_log.unwrap());
        assert_eq!(of_store, of_log);
        assert_eq!(of_log.is_empty(), after >= 1_000);
    }
}

#[test]
fn a_scan_of_the_store_shows_what_one_of_its_log_shows() {
    block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let store = FileStore::open_with(directory.path(), options(Durability::Process))
            .await
            .unwrap();
        fill_with_motley(&store).await;
        scans_as_its_log(&store).await;
        let reader = FileStore::open_read_only(directory.path(), FileOptions::default())
            .await
            .unwrap();
        scans_as_its_log(&reader).await;
        store.close().await.unwrap();
        let reopened = FileStore::open(directory.path()).await.unwrap();
        scans_as_its_log(&reopened).await;
        let nothing = |_: RecordRef<'_>| ControlFlow::Continue(());
        let nobody = reopened.scan(&"nobody".into(), 0, nothing).await;
        assert_eq!(nobody.unwrap(), None);
        let closed = store.scan(&"s".into(), 0, nothing).await;
        assert!(matches!(closed, Err(Error::Closed)), "{closed:?}");
    });
}

#[test]
fn a_scan_ends_where_it_is_told_to_and_gives_way_to_others_before() {
    in_store(Durability::Process, async |store| {
        fill_with_motley(&store).await;
        let stream = StreamName::from("s");
        for wanted in [1, 2, 500] {
            let (mut shown, mut waits) = (0, 0);
            let mut scan = Box::pin(store.scan(&stream, 0, |_| {
                shown += 1;
                match shown < wanted {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            }));
            let last = std::future::poll_fn(|context| {
                let poll = scan.as_mut().poll(context);
                waits += usize::from(poll.is_pending());
                poll
            });
            assert!(last.await.unwrap() >= Some(wanted));
            drop(scan);
            assert_eq!(shown, wanted);
            assert_eq!(waits > 10, wanted == 500, "{waits}");
        }
    });
}

#[test]
fn a_scan_gives_way_to_others_between_entries_that_have_expired() {
    in_store(Durability::Process, async |store| {
        let gone = || NewEntry::new(Payload::octets("x")).expires_at(Timestamp::from_micros(1));
        for _ in 0..20 {
            let entries = (0..5_000).map(|_| gone()).collect();
            store.append(Batch::new("s", entries)).await.unwrap();
        }
        let entry = NewEntry::new(Payload::octets("retained"));
        store.append(Batch::new("s", vec![entry])).await.unwrap();
        let (mut ids, mut waits) = (Vec::new(), 0);
        let stream = StreamName::from("s");
        let mut scan = Box::pin(store.scan(&stream, 0, |record| {
            ids.push(record.id());
            ControlFlow::Continue(())
        }));
        let last = std::future::poll_fn(|context| {
            let poll = scan.as_mut().poll(context);
            waits += usize::from(poll.is_pending());
            poll
        });
        assert_eq!(last.await.unwrap(), Some(100_001));
        drop(scan);
        assert_eq!(ids, [100_001]);
        assert!(waits >= 3, "{waits}");
    });
}
