//! A page and its head are of one state, also if another server answers the second question.

mod common;

use std::sync::{Arc, Mutex};

use common::{Place, batch, entry, place};
use ledger_core::{ReadOptions, Store, Timestamp};
use ledger_mongo::MongoStore;
use ledger_mongo::mongodb::Client;
use ledger_mongo::mongodb::bson::Document;
use ledger_mongo::mongodb::event::EventHandler;
use ledger_mongo::mongodb::event::command::CommandEvent;
use ledger_mongo::mongodb::options::ClientOptions;

/// What the reads of a client asked the server for.
type Concerns = Arc<Mutex<Vec<Document>>>;

/// A client that notes the concern of each of its reads.
async fn watched_client(url: &str, concerns: &Concerns) -> Client {
    let mut options = ClientOptions::parse(url).await.expect("the URL is one");
    let noted = Arc::clone(concerns);
    options.command_event_handler = Some(EventHandler::callback(move |event| {
        if let CommandEvent::Started(started) = event
            && started.command_name == "find"
        {
            let concern = started.command.get_document("readConcern");
            noted
                .lock()
                .expect("nobody panics with it")
                .push(concern.cloned().unwrap_or_default());
        }
    }));
    Client::with_options(options).expect("the options make sense")
}

/// A store that notes the concern of each of its reads, with one entry in the stream `s`.
async fn watched_store(place: &Place) -> (MongoStore, Concerns) {
    let concerns = Concerns::default();
    let client = watched_client(&place.url, &concerns).await;
    let database = client.database(&place.database);
    let store = MongoStore::with_database(&database, place.options()).await;
    let store = store.expect("the store opens");
    let one = batch("s", [entry("one")]);
    store.append(one).await.expect("the append succeeds");
    (store, concerns)
}

#[tokio::test]
async fn all_reads_of_a_page_are_of_the_moment_of_the_first() {
    let Some(place) = place().await else { return };
    let (store, concerns) = watched_store(&place).await;
    concerns.lock().unwrap().clear();
    let since = ReadOptions::new().since(Timestamp::from_micros(1));
    let page = store.read(&"s".into(), &since).await.unwrap();
    assert_eq!((page.entries.len(), page.head), (1, Some(1)));
    let concerns = concerns.lock().unwrap();
    let (first, others) = concerns.split_first().expect("it was read");
    assert_eq!(first.get_str("level").ok(), Some("snapshot"), "{first}");
    assert_eq!(others.len(), 2, "the search by time, and the page");
    for other in others {
        assert_eq!(other.get_str("level").ok(), Some("snapshot"), "{other}");
        assert!(other.get_timestamp("atClusterTime").is_ok(), "{other}");
        assert_eq!(other.get("atClusterTime"), others[0].get("atClusterTime"));
    }
}

/// The ids and the text of what `store` reads of the stream.
async fn read(store: &MongoStore, stream: &str) -> (Vec<u64>, Vec<String>, Option<u64>) {
    let page = store.read(&stream.into(), &ReadOptions::new()).await;
    let page = page.expect("the page is read");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let texts = page.entries.iter().map(|entry| text(&entry.value.bytes));
    let ids = page.entries.iter().map(|entry| entry.id).collect();
    (ids, texts.collect(), page.head)
}

#[tokio::test]
async fn what_a_reader_knows_of_a_stream_is_not_believed() {
    let Some(place) = place().await else { return };
    let (reader, other) = (place.open().await, place.open().await);
    let append = async |texts: &[&str]| {
        let entries = texts.iter().map(|text| entry(text)).collect::<Vec<_>>();
        let appended = other.append(ledger_core::Batch::new("s", entries)).await;
        appended.expect("the append succeeds");
    };
    append(&["a", "b"]).await;
    for _ in 0..2 {
        assert_eq!(read(&reader, "s").await.0, [1, 2]);
    }
    other.trim(&"s".into(), 1).await.expect("it is trimmed");
    assert_eq!(read(&reader, "s").await.0, [2]);

    let renamed = other.rename(&"s".into(), &"t".into()).await;
    renamed.expect("it is renamed");
    assert_eq!(read(&reader, "s").await, (vec![], vec![], None));
    assert_eq!(read(&reader, "t").await.0, [2]);
    append(&["c"]).await;
    let (ids, texts, head) = read(&reader, "s").await;
    assert_eq!((ids, head), (vec![1], Some(1)));
    assert!(texts[0].contains('c'), "{texts:?}");

    // Known again, and then something expires in it.
    assert_eq!(read(&reader, "s").await.0, [1]);
    let gone = entry("d").expires_at(Timestamp::from_micros(1));
    let appended = other.append(batch("s", [gone])).await;
    appended.expect("the append succeeds");
    for _ in 0..2 {
        let (ids, _, head) = read(&reader, "s").await;
        assert_eq!((ids, head), (vec![1], Some(2)));
    }
}

#[tokio::test]
async fn the_head_of_a_page_of_a_known_stream_is_of_the_same_moment() {
    let Some(place) = place().await else { return };
    let (store, concerns) = watched_store(&place).await;
    assert_eq!(read(&store, "s").await.0, [1]);
    concerns.lock().unwrap().clear();
    assert_eq!(read(&store, "s").await.2, Some(1));
    let concerns = concerns.lock().unwrap();
    let [page, head] = &concerns[..] else {
        panic!("two questions: {concerns:?}");
    };
    assert!(page.get("atClusterTime").is_none(), "{page}");
    assert!(head.get_timestamp("atClusterTime").is_ok(), "{head}");
}
