//! A page and its head are of one state, also if another server answers the second question.

mod common;

use std::sync::{Arc, Mutex};

use common::{batch, entry, place};
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

#[tokio::test]
async fn all_reads_of_a_page_are_of_the_moment_of_the_first() {
    let Some(place) = place().await else { return };
    let concerns = Concerns::default();
    let client = watched_client(&place.url, &concerns).await;
    let database = client.database(&place.database);
    let store = MongoStore::with_database(&database, place.options()).await;
    let store = store.expect("the store opens");
    let one = batch("s", [entry("one")]);
    store.append(one).await.expect("the append succeeds");
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
