//! A password appears in no Debug, no error and no line of any log.

mod common;

use std::error::Error as _;
use std::fmt::Write;
use std::sync::{Arc, Mutex};

use common::{batch, entry, place};
use ledger_core::Store;
use ledger_mongo::mongodb::bson::doc;
use ledger_mongo::{MongoOptions, MongoStore};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const CANARY: &str = "canary-7f3a9c";

/// Keeps all that is logged, of every crate and level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let mut log = self.0.lock().expect("nobody panics while logging");
        writeln!(log, "{field}={value:?}").expect("a string takes it");
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut self.clone());
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn told(error: &ledger_core::Error) -> String {
    let mut told = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(cause) = source {
        write!(told, " {cause} {cause:?}").expect("a string takes it");
        source = cause.source();
    }
    told
}

#[tokio::test]
async fn a_password_appears_nowhere() {
    let Some(place) = place().await else { return };
    let log = Log::default();
    tracing::subscriber::set_global_default(log.clone()).unwrap();
    let role = doc! { "role": "readWrite", "db": &place.database };
    place.user("service", CANARY, role).await;
    let source = format!("authSource={}", place.database);
    let as_service = place
        .url
        .replace("mongodb://", &format!("mongodb://service:{CANARY}@"));
    let store = MongoStore::open_with(&format!("{as_service}&{source}"), place.options())
        .await
        .unwrap();
    store.append(batch("s", [entry("one")])).await.unwrap();

    let mut seen = format!("{store:?} {:?}", place.options());
    let quick = "serverSelectionTimeoutMS=200";
    for uri in [
        format!(
            "{}&{source}",
            as_service.replace(CANARY, &format!("{CANARY}x"))
        ),
        format!("mongodb://service:{CANARY}@127.0.0.1:1/?{quick}"),
        format!("mongodb://service:{CANARY}@host:no-port/"),
        format!("mongodb://service:{CANARY}@/"),
        format!("service:{CANARY}"),
    ] {
        let options = MongoOptions::default()
            .with_database(&place.database)
            .with_transaction_timeout(std::time::Duration::from_secs(1));
        seen += &told(&MongoStore::open_with(&uri, options).await.unwrap_err());
    }
    store.close().await.unwrap();
    seen += &log.0.lock().unwrap();
    assert!(seen.contains("service@"), "something was told");
    assert!(!seen.contains(CANARY), "{seen}");
}
