//! MongoDB servers, which are replica sets: of one server, or of more.

mod host;
mod node;
mod set;
mod wire;

use std::env;
use std::path::Path;
use std::sync::{Arc, OnceLock};

pub use self::node::Node;

use self::host::Host;
use crate::requirement::or_skip;
use crate::{Result, port};

/// Names the server that tests may use but not stop.
const URL_VARIABLE: &str = "LEDGER_TEST_MONGO_URL";

/// What is set otherwise than in a server fresh from its package: little memory and disk for each, and test commands,
/// by which a server fails when told to. Durability is that of production.
const SETTINGS: [&str; 4] = [
    "--wiredTigerCacheSizeGB=0.25",
    "--wiredTigerEngineConfigString=log=(file_max=10MB)",
    "--setParameter=diagnosticDataCollectionEnabled=false",
    "--setParameter=enableTestCommands=1",
];

/// A member of a set, with an oplog that tests do not fill by chance.
const MEMBER: &[&str] = &["--replSet=ledger", "--oplogSize=64"];

/// A member with an oplog of a megabyte, of which the server soon drops what it must not keep.
const FORGETFUL: &[&str] = &["--replSet=ledger", "--oplogSize=1", "--syncdelay=1"];

/// A server of its own, which knows no transactions.
const STANDALONE: &[&str] = &[];

/// A replica set that has a primary, and its address. Unless told otherwise, it asks for no name and no password.
#[derive(Debug)]
pub struct Mongo {
    url: String,
    /// None if the set was started by somebody else.
    nodes: Vec<Node>,
}

impl Mongo {
    /// The set of this process, of one server, for tests that work in a database of their own and leave the server
    /// alone.
    ///
    /// None: the running test is skipped, and the reason was printed.
    ///
    /// # Panics
    /// If there is no server and `LEDGER_TEST_REQUIRE` is `all`.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Result<Mongo, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| Self::find().map_err(|reason| reason.to_string()));
        let shared = shared.as_ref().map_err(|reason| reason.as_str().into());
        or_skip("MongoDB", shared)
    }

    /// A set of one server for the caller alone, who may treat it as badly as it likes. It is gone when dropped.
    ///
    /// None: the running test is skipped, and the reason was printed.
    ///
    /// # Panics
    /// If there is no server and `LEDGER_TEST_REQUIRE` is `all`.
    pub fn private() -> Option<Self> {
        Self::private_set(1)
    }

    /// A set like [`private`](Self::private), of this many servers.
    ///
    /// # Panics
    /// If there is no server and `LEDGER_TEST_REQUIRE` is `all`.
    pub fn private_set(servers: usize) -> Option<Self> {
        let set = Self::start_set(&env::temp_dir(), servers, MEMBER);
        or_skip("MongoDB of its own", set)
    }

    /// A set like [`private`](Self::private) that soon forgets what happened: its oplog is of one megabyte.
    ///
    /// # Panics
    /// If there is no server and `LEDGER_TEST_REQUIRE` is `all`.
    pub fn private_with_small_oplog() -> Option<Self> {
        let set = Self::start_set(&env::temp_dir(), 1, FORGETFUL);
        or_skip("MongoDB with a small oplog", set)
    }

    /// A server like [`private`](Self::private) that is no replica set.
    ///
    /// # Panics
    /// If there is no server and `LEDGER_TEST_REQUIRE` is `all`.
    pub fn private_standalone() -> Option<Self> {
        let server = Self::start_set(&env::temp_dir(), 1, STANDALONE);
        or_skip("MongoDB that is no replica set", server)
    }

    /// A set like [`private`](Self::private) that asks for a name and a password; those in its address are an
    /// administrator's. Runs on this machine itself, never in a container.
    ///
    /// # Panics
    /// If there is no server and `LEDGER_TEST_REQUIRE` is `all`.
    pub fn private_with_passwords() -> Option<Self> {
        or_skip(
            "MongoDB with passwords",
            Self::start_locked(&env::temp_dir()),
        )
    }

    /// Starts a set of one server. If it runs on this machine itself, its files are in a directory within `dir`.
    ///
    /// # Errors
    /// Why there is none.
    pub fn start(dir: &Path) -> Result<Self> {
        Self::start_set(dir, 1, MEMBER)
    }

    fn find() -> Result<Self> {
        match env::var(URL_VARIABLE) {
            Ok(url) => Ok(Self {
                url,
                nodes: Vec::new(),
            }),
            Err(_) => Self::start(&env::temp_dir()),
        }
    }

    fn start_set(dir: &Path, servers: usize, settings: &[&str]) -> Result<Self> {
        let ports: Vec<_> = (0..servers).map(|_| port::free()).collect::<Result<_>>()?;
        let no_docker = match Host::docker(&ports) {
            Ok(host) => return Self::on(host, &ports, settings),
            Err(reason) => reason,
        };
        match Host::machine(dir) {
            Ok(host) => Self::on(host, &ports, settings),
            Err(no_program) => Err(format!("{no_docker}; {no_program}").into()),
        }
    }

    fn start_locked(dir: &Path) -> Result<Self> {
        let host = Host::machine(dir)?;
        let key = host.lock()?;
        let settings: Vec<_> = key
            .iter()
            .map(String::as_str)
            .chain(MEMBER.iter().copied())
            .collect();
        let mut set = Self::on(host, &[port::free()?], &settings)?;
        set::make_administrator(&set.nodes)?;
        let with_password = format!("mongodb://{}:{}@", set::ADMINISTRATOR, set::PASSWORD);
        set.url = set.url.replacen("mongodb://", &with_password, 1);
        Ok(set)
    }

    fn on(host: Host, ports: &[u16], settings: &[&str]) -> Result<Self> {
        let host = Arc::new(host);
        let arguments = SETTINGS.iter().chain(settings);
        let arguments: Vec<_> = arguments.map(|it| (*it).to_owned()).collect();
        let ports = ports.iter().copied().enumerate();
        let nodes = ports.map(|(number, port)| Node::start(&host, number, port, arguments.clone()));
        let nodes: Vec<_> = nodes.collect::<Result<_>>()?;
        let url = match settings == STANDALONE {
            true => format!("mongodb://{}/?directConnection=true", nodes[0].address()),
            false => set::initiate(&nodes)?,
        };
        Ok(Self { url, nodes })
    }

    /// The address of the set. More options may be appended, each after a `&`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The servers of the set; none if it was started elsewhere.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Answers the server that takes writes, after the next election if there is none now.
    ///
    /// # Errors
    /// If none is elected within three minutes, or the set was started elsewhere.
    pub fn primary(&self) -> Result<&Node> {
        self.check_ours()?;
        set::primary(&self.nodes)
    }

    /// Waits until every server runs and follows the primary, so that the set can do without any one of them.
    ///
    /// # Errors
    /// If that takes longer than three minutes, or the set was started elsewhere.
    pub fn wait_until_whole(&self) -> Result<()> {
        self.check_ours()?;
        set::wait_until_whole(&self.nodes)
    }

    /// Has the primary give way to another server of the set, as soon as one has caught up, and returns when that has
    /// become primary.
    ///
    /// # Errors
    /// If none takes its place within three minutes, or the set was started elsewhere.
    pub fn step_down(&self) -> Result<()> {
        self.check_ours()?;
        set::step_down(&self.nodes)
    }

    fn check_ours(&self) -> Result<()> {
        match self.nodes.is_empty() {
            true => Err("the set was started elsewhere".into()),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_somebody_else_has_no_servers_to_harm() {
        let url = "mongodb://db.example".into();
        let nodes = Vec::new();
        let set = Mongo { url, nodes };
        assert!(set.nodes().is_empty());
        assert!(set.primary().is_err() && set.step_down().is_err());
        assert!(set.wait_until_whole().is_err());
    }
}
