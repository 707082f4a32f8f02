//! Postgres servers.

mod cluster;
mod container;

use std::env;
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

use crate::Result;
use crate::requirement::or_skip;
use cluster::Cluster;
use container::Container;

/// Names the server that tests may use but not stop.
const URL_VARIABLE: &str = "LEDGER_TEST_POSTGRES_URL";

/// The superuser of servers started here.
pub(crate) const USER: &str = "ledger";

/// The password of that user: no secret, but asked for.
pub(crate) const PASSWORD: &str = "of-no-secret";

/// What is set otherwise than in a server fresh from its package: room for tests that run side by side; and no long
/// wait at a stop for whoever has connected in that moment and says nothing.
const SETTINGS: [&str; 2] = ["max_connections=200", "authentication_timeout=10s"];

/// How text is sorted unless told otherwise: unlike its bytes, so that a forgotten `COLLATE "C"` is noticed.
const LOCALE: [&str; 2] = ["--locale-provider=icu", "--icu-locale=en"];

/// A Postgres server that answers, and a superuser's address of it.
#[derive(Debug)]
pub struct Postgres {
    url: String,
    kind: Kind,
}

/// Where a server runs.
#[derive(Debug)]
enum Kind {
    /// Started by somebody else.
    Elsewhere,
    Container(Container),
    Cluster(Cluster),
}

impl Postgres {
    /// The server of this process, for tests that work in a schema of their own and leave the server alone.
    ///
    /// None: the running test is skipped, and the reason was printed.
    ///
    /// # Panics
    /// If there is no server and `LEDGER_TEST_REQUIRE` is `all`.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Result<Postgres, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| Self::find().map_err(|reason| reason.to_string()));
        or_skip(
            "Postgres",
            shared.as_ref().map_err(|reason| reason.as_str().into()),
        )
    }

    /// A server for the caller alone, who may stop it and start it again. It is gone when dropped.
    ///
    /// None: the running test is skipped, and the reason was printed.
    ///
    /// # Panics
    /// If there is no server and `LEDGER_TEST_REQUIRE` is `all`.
    pub fn private() -> Option<Self> {
        or_skip("Postgres of its own", Self::start(&env::temp_dir()))
    }

    /// A server like [`private`](Self::private), and a standby that takes over whatever it commits, a little later, and
    /// can only be read. Both run on this machine itself, never in a container.
    ///
    /// None: the running test is skipped, and the reason was printed.
    ///
    /// # Panics
    /// If there is no server and `LEDGER_TEST_REQUIRE` is `all`.
    pub fn private_with_standby() -> Option<(Self, Self)> {
        or_skip(
            "Postgres with a standby",
            Self::start_pair(&env::temp_dir()),
        )
    }

    fn start_pair(dir: &Path) -> Result<(Self, Self)> {
        let primary = Cluster::start(dir)?;
        let standby = primary.start_standby(dir)?;
        let of = |cluster: Cluster| Self::at(cluster.port(), Kind::Cluster(cluster));
        Ok((of(primary), of(standby)))
    }

    /// Starts a server. If it runs on this machine itself, its files are in a directory within `dir`.
    ///
    /// # Errors
    /// Why there is none.
    pub fn start(dir: &Path) -> Result<Self> {
        let no_docker = match Container::start() {
            Ok(container) => return Ok(Self::at(container.port(), Kind::Container(container))),
            Err(reason) => reason,
        };
        match Cluster::start(dir) {
            Ok(cluster) => Ok(Self::at(cluster.port(), Kind::Cluster(cluster))),
            Err(no_programs) => Err(format!("{no_docker}; {no_programs}").into()),
        }
    }

    fn at(port: u16, kind: Kind) -> Self {
        let url = format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres");
        Self { url, kind }
    }

    fn find() -> Result<Self> {
        match env::var(URL_VARIABLE) {
            Ok(url) => Ok(Self {
                url,
                kind: Kind::Elsewhere,
            }),
            Err(_) => Self::start(&env::temp_dir()),
        }
    }

    /// The server's address, with a superuser's name and password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The host and port that the server listens at.
    pub fn address(&self) -> &str {
        &self.url[authority(&self.url)]
    }

    /// The server's address by way of `proxy`, a host and port that passes everything on to [`address`](Self::address).
    pub fn url_by_way_of(&self, proxy: impl ToString) -> String {
        let mut url = self.url.clone();
        url.replace_range(authority(&self.url), &proxy.to_string());
        url
    }

    /// Stops the server at once, as a crash would: nothing is flushed that was not durable already.
    ///
    /// # Errors
    /// If it is not running, or was started elsewhere.
    pub fn stop_immediately(&self) -> Result<()> {
        match &self.kind {
            Kind::Elsewhere => Err("the server was started elsewhere".into()),
            Kind::Container(container) => container.stop_immediately(),
            Kind::Cluster(cluster) => cluster.stop_immediately(),
        }
    }

    /// Starts a stopped server, at the same address, and returns when it has recovered and answers.
    ///
    /// # Errors
    /// If it is running, does not come up, or was started elsewhere.
    pub fn start_again(&self) -> Result<()> {
        match &self.kind {
            Kind::Elsewhere => Err("the server was started elsewhere".into()),
            Kind::Container(container) => container.start_again(),
            Kind::Cluster(cluster) => cluster.start_again(),
        }
    }
}

/// Finds host and port in a URL.
fn authority(url: &str) -> Range<usize> {
    let start = url.find("://").map_or(0, |scheme| scheme + 3);
    let end = url[start..]
        .find(['/', '?'])
        .map_or(url.len(), |end| start + end);
    let start = url[start..end]
        .rfind('@')
        .map_or(start, |user| start + user + 1);
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elsewhere(url: &str) -> Postgres {
        let url = url.into();
        Postgres {
            url,
            kind: Kind::Elsewhere,
        }
    }

    #[test]
    fn a_proxy_takes_the_place_of_host_and_port() {
        let server = elsewhere("postgres://me:p@ss@db.example:5433/orders?sslmode=require");
        assert_eq!(server.address(), "db.example:5433");
        let url = server.url_by_way_of("127.0.0.1:7");
        assert_eq!(url, "postgres://me:p@ss@127.0.0.1:7/orders?sslmode=require");
        assert_eq!(elsewhere("postgres://db.example").address(), "db.example");
    }

    #[test]
    fn a_server_of_somebody_else_is_not_stopped() {
        let server = elsewhere("postgres://db.example");
        assert!(server.stop_immediately().is_err());
        assert!(server.start_again().is_err());
    }
}
