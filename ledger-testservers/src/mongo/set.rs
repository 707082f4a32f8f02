//! Making servers a replica set, and asking them who is what in it.

use std::time::{Duration, Instant};

use bson::{Bson, Document, doc};

use super::node::Node;
use crate::Result;

/// The name of every set.
const NAME: &str = "ledger";

/// Who may do everything in a set with passwords.
pub(super) const ADMINISTRATOR: &str = "ledger";

/// That user's password: no secret, but asked for.
pub(super) const PASSWORD: &str = "of-no-secret";

/// A set without a primary for longer will not get one.
const ELECTION_MAX: Duration = Duration::from_secs(60);

/// For how long a server is asked at a time, if it has nothing new to tell.
const NEWS_MS: i32 = 200;

/// A server that takes longer to say what it is is taken for frozen.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a set is told takes no longer.
pub(super) const WORK_MAX: Duration = Duration::from_secs(30);

/// What a server says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Primary,
    Secondary,
    /// It starts, recovers, or is no member yet.
    Neither,
}

/// Makes `nodes` a replica set, and answers its address when one is its primary and the others follow.
///
/// # Errors
/// If they refuse, or cannot agree.
pub(super) fn initiate(nodes: &[Node]) -> Result<String> {
    let first = nodes.first().ok_or("a set has at least one server")?;
    let config = config(nodes);
    first
        .connect(WORK_MAX)?
        .run(doc! { "replSetInitiate": config })?;
    wait_for(|| {
        let roles: Vec<_> = nodes.iter().filter_map(|node| role(node).ok()).collect();
        let is_whole = roles.len() == nodes.len() && !roles.contains(&Role::Neither);
        (is_whole && roles.contains(&Role::Primary)).then_some(())
    })?;
    let addresses: Vec<_> = nodes.iter().map(Node::address).collect();
    Ok(format!(
        "mongodb://{}/?replicaSet={NAME}",
        addresses.join(",")
    ))
}

/// Elections are quick to come: the servers are on one machine, and their failing is what tests are for.
fn config(nodes: &[Node]) -> Document {
    let members = nodes.iter().enumerate();
    let members =
        members.map(|(number, node)| doc! { "_id": number as i32, "host": node.address() });
    doc! {
        "_id": NAME,
        "members": members.map(Bson::from).collect::<Vec<_>>(),
        "settings": { "electionTimeoutMillis": 2_000, "heartbeatIntervalMillis": 500 },
    }
}

/// Makes the first user of a new set, which whoever comes from the same machine may do.
///
/// # Errors
/// If there is one already.
pub(super) fn make_administrator(nodes: &[Node]) -> Result<()> {
    let user = doc! { "createUser": ADMINISTRATOR, "pwd": PASSWORD, "roles": ["root"] };
    primary(nodes)?.connect(WORK_MAX)?.run(user).map(drop)
}

/// Answers the primary, after the next election if there is none now.
///
/// # Errors
/// If none is elected.
pub(super) fn primary(nodes: &[Node]) -> Result<&Node> {
    let is_primary = |node: &&Node| matches!(role(node), Ok(Role::Primary));
    wait_for(|| nodes.iter().find(is_primary))
}

/// Asks again and again. Whoever asks servers that are there need not pause: these take their time to answer.
fn wait_for<T>(mut ask: impl FnMut() -> Option<T>) -> Result<T> {
    let start = Instant::now();
    while start.elapsed() < ELECTION_MAX {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
    }
    Err("the servers do not agree on a primary".into())
}

/// Asks a server what it is. One that is not primary is given a moment to become it.
fn role(node: &Node) -> Result<Role> {
    let mut wire = node.connect(PATIENCE)?;
    let now = wire.run(doc! { "hello": 1 })?;
    if Role::of(&now) == Role::Primary {
        return Ok(Role::Primary);
    }
    let version = now.get_document("topologyVersion")?.clone();
    let later = doc! { "hello": 1, "topologyVersion": version, "maxAwaitTimeMS": NEWS_MS };
    Ok(Role::of(&wire.run(later)?))
}

impl Role {
    fn of(hello: &Document) -> Self {
        let is = |role| hello.get_bool(role).unwrap_or(false);
        match (is("isWritablePrimary"), is("secondary")) {
            (true, _) => Self::Primary,
            (false, true) => Self::Secondary,
            (false, false) => Self::Neither,
        }
    }
}
