//! Making servers a replica set, and asking them who is what in it.

use std::ptr;
use std::time::{Duration, Instant};

use bson::oid::ObjectId;
use bson::{Bson, Document, doc};

use super::node::Node;
use crate::Result;

/// The name of every set.
const NAME: &str = "ledger";

/// Who may do everything in a set with passwords.
pub(super) const ADMINISTRATOR: &str = "ledger";

/// That user's password: no secret, but asked for.
pub(super) const PASSWORD: &str = "of-no-secret";

/// A set that has not settled by then never will, on however slow a machine.
const SETTLED_MAX: Duration = Duration::from_secs(180);

/// For how long a server is asked at a time, if it has nothing new to tell.
const NEWS_MS: i32 = 200;

/// A server that takes longer to say what it is is taken for frozen, until it is asked again.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a set is told takes no longer.
const WORK_MAX: Duration = Duration::from_secs(60);

/// What members of a set are, in numbers.
const PRIMARY: i32 = 1;
const SECONDARY: i32 = 2;

/// For how long a primary that is to give way waits at a time for another server to catch up, and for how long it does
/// not come back after that.
const CATCH_UP_SECONDS: i32 = 10;
const AWAY_SECONDS: i32 = 15;

/// What a server says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    /// By this election, of which later ones are greater. One that was frozen or cut off may not know that there was a
    /// later one.
    Primary(ObjectId),
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
        let roles: Vec<_> = nodes.iter().map(role).collect::<Result<_>>()?;
        let is_whole = !roles.contains(&Role::Neither);
        let has_primary = roles.iter().any(Role::is_primary);
        (is_whole && has_primary)
            .then_some(())
            .ok_or("the servers do not agree on a primary".into())
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
    wait_for(|| primary_now(nodes))
}

/// Waits until every server follows the primary: has what it wrote since its election, and takes nothing back any more.
///
/// # Errors
/// If one does not, or there is no primary.
pub(super) fn wait_until_whole(nodes: &[Node]) -> Result<()> {
    wait_for(|| {
        let mut primary = primary_now(nodes)?.connect(PATIENCE)?;
        let status = primary.run(doc! { "replSetGetStatus": 1 })?;
        let is_whole = all_follow(&status)?;
        is_whole
            .then_some(())
            .ok_or("a server does not follow the primary".into())
    })
}

/// Whether every member is the primary or a secondary, and has come to the present term.
fn all_follow(status: &Document) -> Result<bool> {
    let term = status.get_i64("term")?;
    let follows = |member: &Document| {
        let reached = member.get_document("optime").and_then(|it| it.get_i64("t"));
        let is_up = matches!(member.get_i32("state"), Ok(PRIMARY | SECONDARY));
        is_up && reached.ok() == Some(term)
    };
    let members = status.get_array("members")?.iter();
    Ok(members.flat_map(Bson::as_document).all(follows))
}

/// Has the primary give way, as soon as another server has caught up, and returns when another one is the primary.
///
/// # Errors
/// If none takes its place.
pub(super) fn step_down(nodes: &[Node]) -> Result<()> {
    let before = primary(nodes)?;
    let step_down =
        doc! { "replSetStepDown": AWAY_SECONDS, "secondaryCatchUpPeriodSecs": CATCH_UP_SECONDS };
    wait_for(|| {
        if !ptr::eq(primary_now(nodes)?, before) {
            return Ok(());
        }
        before.connect(WORK_MAX)?.run(step_down.clone())?;
        Err("no other server has become primary".into())
    })
}

/// The primary by the last election, as far as its servers know.
fn primary_now(nodes: &[Node]) -> Result<&Node> {
    let roles = nodes
        .iter()
        .filter_map(|node| Some((role(node).ok()?, node)));
    let primaries = roles.filter(|(role, _)| role.is_primary());
    let (_, last) = primaries
        .max_by_key(|(role, _)| *role)
        .ok_or("no server is primary")?;
    Ok(last)
}

/// Asks again and again, and answers in the end why it was in vain. Whoever asks servers that are there need not pause:
/// these take their time to answer.
fn wait_for<T>(mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        let answer = ask();
        if answer.is_ok() || start.elapsed() > SETTLED_MAX {
            return answer;
        }
    }
}

/// Asks a server what it is. One that is not primary is given a moment to become it.
fn role(node: &Node) -> Result<Role> {
    let mut wire = node.connect(PATIENCE)?;
    let now = wire.run(doc! { "hello": 1 })?;
    let role = Role::of(&now)?;
    if role.is_primary() {
        return Ok(role);
    }
    let version = now.get_document("topologyVersion")?.clone();
    let later = doc! { "hello": 1, "topologyVersion": version, "maxAwaitTimeMS": NEWS_MS };
    Role::of(&wire.run(later)?)
}

impl Role {
    fn of(hello: &Document) -> Result<Self> {
        let is = |role| hello.get_bool(role).unwrap_or(false);
        Ok(match (is("isWritablePrimary"), is("secondary")) {
            (true, _) => Self::Primary(hello.get_object_id("electionId")?),
            (false, true) => Self::Secondary,
            (false, false) => Self::Neither,
        })
    }

    fn is_primary(&self) -> bool {
        matches!(self, Self::Primary(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_whole_when_all_have_come_to_the_term() {
        let status = |state: i32, term: i64| {
            let member = |state: i32, term: i64| doc! { "state": state, "optime": { "t": term } };
            doc! { "term": 3_i64, "members": [member(1, 3), member(state, term)] }
        };
        let (rollback, down) = (9, 8);
        assert!(all_follow(&status(SECONDARY, 3)).unwrap());
        assert!(!all_follow(&status(SECONDARY, 2)).unwrap());
        assert!(!all_follow(&status(rollback, 3)).unwrap());
        assert!(!all_follow(&status(down, 3)).unwrap());
    }

    #[test]
    fn the_later_election_counts() {
        let primary = |term| {
            let election = ObjectId::from_bytes(
                [[0x7f, 0xff, 0xff, 0xff], [0; 4], [0, 0, 0, term]]
                    .concat()
                    .try_into()
                    .unwrap(),
            );
            Role::of(&doc! { "isWritablePrimary": true, "electionId": election }).unwrap()
        };
        assert!(primary(3) > primary(2));
    }
}
