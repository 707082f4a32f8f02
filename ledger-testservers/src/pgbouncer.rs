//! A pooler in front of a Postgres server.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::account::Account;
use crate::keeper::Keeper;
use crate::postgres::{PASSWORD, Postgres, USER};
use crate::programs::{find_dir, run};
use crate::requirement::or_skip;
use crate::{Result, port};

/// Where Debian and Ubuntu put it, which is not on everybody's search path.
const SBIN: &str = "/usr/sbin/pgbouncer";

/// What ends a pooler whose files are in `$1`.
const END: &str = r#"kill "$(cat "$1/pid")"; rm -rf "$1""#;

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(180);

/// PgBouncer in transaction mode, as unkind as it can be: each transaction goes to another server connection than the
/// one before.
#[derive(Debug)]
pub struct PgBouncer {
    port: u16,
    /// Stops the pooler and removes its files.
    _keeper: Keeper,
    /// Goes after the pooler has gone, if its account was not allowed to remove it.
    _dir: TempDir,
}

impl PgBouncer {
    /// A pooler for the caller alone, in front of a server that was started here. It is gone when dropped.
    ///
    /// None: the running test is skipped, and the reason was printed.
    ///
    /// # Panics
    /// If there is no such program and `LEDGER_TEST_REQUIRE` is `all`.
    pub fn in_front_of(server: &Postgres) -> Option<Self> {
        or_skip("PgBouncer", Self::start(server))
    }

    /// Where it listens, for [`Postgres::url_by_way_of`].
    pub fn address(&self) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }

    fn start(server: &Postgres) -> Result<Self> {
        let program = match find_dir(Path::new("/nowhere"), &["pgbouncer"]) {
            Some(dir) => dir.join("pgbouncer"),
            None => SBIN.into(),
        };
        if !program.is_file() {
            return Err("its program is not on this machine".into());
        }
        let dir = tempfile::Builder::new()
            .prefix("ledger-pgbouncer-")
            .tempdir_in(env::temp_dir())?;
        let account = Account::to_work_in(dir.path())?;
        let port = port::free()?;
        configure(dir.path(), account, server.address(), port)?;
        let keeper = Keeper::start(account.command("sh"), END, &[dir.path().as_os_str()])?;
        let mut command = account.command(program);
        run(command.arg("-d").arg(dir.path().join("ini")))?;
        let pooler = Self {
            port,
            _keeper: keeper,
            _dir: dir,
        };
        pooler.wait()?;
        Ok(pooler)
    }

    /// Returns when somebody listens.
    fn wait(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
            if Instant::now() > deadline {
                return Err(error.into());
            }
            thread::yield_now();
        }
        Ok(())
    }
}

fn configure(dir: &Path, account: Account, server: &str, port: u16) -> Result<()> {
    let (host, server_port) = server.rsplit_once(':').ok_or("the server has no port")?;
    let place = dir.display();
    let ini = format!(
        "[databases]\n* = host={host} port={server_port}\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = scram-sha-256\nauth_file = {place}/users\n\
         pool_mode = transaction\ndefault_pool_size = 4\nserver_round_robin = 1\n\
         logfile = {place}/log\npidfile = {place}/pid\n"
    );
    let users = format!("\"{USER}\" \"{PASSWORD}\"\n");
    for (name, content) in [("ini", ini), ("users", users)] {
        let file = dir.join(name);
        fs::write(&file, content)?;
        account.own(&file)?;
    }
    Ok(())
}
