//! A password appears in no Debug, no error and no line of any log.

mod common;

use std::error::Error as _;
use std::fmt::Write;
use std::sync::{Arc, Mutex};

use common::{batch, entry, place};
use ledger_core::Store;
use ledger_postgres::{PostgresOptions, PostgresStore};
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
    let role = place.role().await;
    place
        .run(&format!(
            "ALTER ROLE {role} PASSWORD '{CANARY}'; CREATE SCHEMA @ AUTHORIZATION {role}"
        ))
        .await;
    place
        .run(&format!(
            "GRANT CREATE ON DATABASE \"{}\" TO {role}",
            place.database()
        ))
        .await;
    let log_before = log.0.lock().unwrap().len();
    let connect = place.connect_as(&role, CANARY, &place.database());
    let port = connect.get_port();
    let store = PostgresStore::open_at(connect, place.options())
        .await
        .unwrap();
    store.append(batch("s", [entry("one")])).await.unwrap();

    let mut seen = format!("{store:?} {:?}", place.options());
    for url in [
        format!("postgres://{role}:{CANARY}x@127.0.0.1:{port}/postgres"),
        format!("postgres://{role}:{CANARY}@127.0.0.1:1/postgres"),
        format!("postgres://{role}:{CANARY}@host:no-port/postgres"),
        format!("{role}:{CANARY}"),
    ] {
        let options = PostgresOptions::default().with_schema(&place.schema);
        seen += &told(&PostgresStore::open_with(&url, options).await.unwrap_err());
    }
    store.close().await.unwrap();
    seen += &log.0.lock().unwrap()[log_before..];
    assert!(seen.contains(&role), "something was told");
    assert!(!seen.contains(CANARY), "{seen}");
}
