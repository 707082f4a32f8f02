//! A server that fails in the midst of things: what may be tried again is, and what is not known is said.

mod common;

use std::time::Duration;

use common::{Place, batch, entry, keyed, place};
use ledger_core::{Error, Outcome, ReadOptions, Store};
use ledger_mongo::MongoStore;
use ledger_mongo::mongodb::bson::{Bson, Document, doc};
use tokio::sync::Mutex;

/// A store whose commands the server can be told to fail, and nobody else's.
struct Victim {
    place: Place,
    store: MongoStore,
}

impl Victim {
    /// None if there is no server here.
    async fn new(transaction_timeout: Duration) -> Option<Self> {
        let place = place().await?;
        // A server that is told to say that it is no primary does not say when it is one again.
        let url = format!(
            "{}&appName={}&heartbeatFrequencyMS=500",
            place.url, place.database
        );
        let options = place
            .options()
            .with_transaction_timeout(transaction_timeout);
        let store = MongoStore::open_with(&url, options).await;
        Some(Self {
            store: store.expect("the store opens"),
            place,
        })
    }

    /// Has the server fail `commands` as `how` says, so many `times`, or always.
    async fn fail(&self, commands: &[&str], times: Option<i32>, how: Document) {
        let mode = match times {
            Some(times) => Bson::Document(doc! { "times": times }),
            None => "alwaysOn".into(),
        };
        let mut data = doc! { "appName": &self.place.database, "failCommands": commands };
        data.extend(how);
        let fail = doc! { "configureFailPoint": "failCommand", "mode": mode, "data": data };
        let admin = self.place.admin.database("admin");
        admin.run_command(fail).await.expect("the server obeys");
    }

    async fn heal(&self) {
        let heal = doc! { "configureFailPoint": "failCommand", "mode": "off" };
        let admin = self.place.admin.database("admin");
        admin.run_command(heal).await.expect("the server obeys");
    }

    async fn append(&self, key: &str) -> Result<Outcome<u64>, Error> {
        let receipt = self.store.append(batch("s", [keyed(key)])).await?;
        Ok(receipt.outcomes[0])
    }
}

const LONG: Duration = Duration::from_secs(60);

/// Longer than it takes to find a server again whose connection broke.
const SHORT: Duration = Duration::from_secs(3);

/// Held by a test that does to the server what the other would feel: it has one switch for failures, and a session that is
/// ended may be anybody's.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test]
async fn failures_in_the_midst_of_an_append_are_survived_or_told() {
    let _alone = ALONE.lock().await;
    let Some(victim) = Victim::new(LONG).await else {
        return;
    };
    let mut ids = 1..;
    let mut next = || Outcome::Appended(ids.next().expect("there is always another"));

    // The transaction is gone, others were faster, the primary went away: all of it again.
    for (command, code) in [
        ("insert", 251),
        ("findAndModify", 112),
        ("insert", 10_107),
        ("findAndModify", 11_600),
        ("insert", 112),
    ] {
        victim
            .fail(&[command], Some(2), doc! { "errorCode": code })
            .await;
        let key = format!("{command} {code}");
        assert_eq!(victim.append(&key).await.unwrap(), next(), "{key}");
    }

    // The connection broke before the commit: all of it again.
    let broken = doc! { "closeConnection": true };
    victim.fail(&["insert"], Some(2), broken.clone()).await;
    assert_eq!(victim.append("insert broke").await.unwrap(), next());

    // The answer to the commit got lost, or came from too few: the commit again.
    victim
        .fail(&["commitTransaction"], Some(4), broken.clone())
        .await;
    assert_eq!(victim.append("commit broke").await.unwrap(), next());
    let too_few = doc! { "writeConcernError": { "code": 64, "errmsg": "too few" } };
    victim.fail(&["commitTransaction"], Some(3), too_few).await;
    assert_eq!(victim.append("too few").await.unwrap(), next());

    // The commit was interrupted behind its back: it is not to be made twice.
    let interrupted = doc! { "writeConcernError": { "code": 11_601, "errmsg": "interrupted" } };
    victim
        .fail(&["commitTransaction"], Some(3), interrupted)
        .await;
    let unkeyed = victim.store.append(batch("s", [entry("e")])).await.unwrap();
    assert_eq!(unkeyed.outcomes, [next()]);

    // Reads are asked again.
    victim
        .fail(&["find"], Some(5), doc! { "errorCode": 11_602 })
        .await;
    let page = victim.store.read(&"s".into(), &ReadOptions::new()).await;
    assert_eq!(page.unwrap().head, Some(9));
    victim.heal().await;

    // Not for ever.
    let Some(hasty) = Victim::new(SHORT).await else {
        return;
    };
    hasty
        .fail(&["findAndModify"], None, doc! { "errorCode": 112 })
        .await;
    let error = hasty.append("a").await.unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error:?}");
    hasty.fail(&["commitTransaction"], None, broken).await;
    let error = hasty.append("a").await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error:?}");
    hasty.heal().await;
    // The transaction whose commit never arrived does not keep the stream locked.
    let writer = hasty.place.open().await;
    for outcome in [Outcome::Appended(1), Outcome::Duplicate(1)] {
        let receipt = writer.append(batch("s", [keyed("a")])).await.unwrap();
        assert_eq!(receipt.outcomes, [outcome]);
    }

    // A follower who may not watch looks.
    hasty
        .fail(&["aggregate"], None, doc! { "errorCode": 13 })
        .await;
    let stream = "s".into();
    let (waited, appended) = tokio::join!(
        hasty.store.wait(&stream, Some(1)),
        writer.append(batch("s", [entry("seen")])),
    );
    hasty.heal().await;
    waited.unwrap();
    assert_eq!(appended.unwrap().outcomes, [Outcome::Appended(2)]);
}

#[tokio::test]
async fn sessions_that_the_server_forgot_are_replaced() {
    let _alone = ALONE.lock().await;
    let Some(place) = place().await else { return };
    let store = place.open().await;
    let stream = "s".into();
    for n in 0..5 {
        store.append(batch("s", [entry("e")])).await.unwrap();
        let kill = doc! { "killSessions": sessions(&place).await };
        place
            .admin
            .database("admin")
            .run_command(kill)
            .await
            .unwrap();
        let page = store.read(&stream, &ReadOptions::new()).await.unwrap();
        assert_eq!(page.entries.len(), n + 1);
    }
}

/// The sessions that touched this place's collections last, as far as the server tells: all that are idle.
async fn sessions(place: &Place) -> Vec<Document> {
    let idle = doc! { "$listLocalSessions": { "allUsers": true } };
    let admin = place.admin.database("config");
    let listed = doc! { "aggregate": 1, "pipeline": [idle], "cursor": { "batchSize": 1_000 } };
    let answer = admin.run_command(listed).await.expect("they are listed");
    let cursor = answer.get_document("cursor").expect("as a cursor");
    let sessions = cursor.get_array("firstBatch").expect("all at once").iter();
    let id = |session: &Bson| {
        session
            .as_document()?
            .get_document("_id")
            .ok()?
            .get("id")
            .cloned()
    };
    sessions
        .filter_map(id)
        .map(|id| doc! { "id": id })
        .collect()
}
