//! A server that the programs of this machine run.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{LOCALE, PASSWORD, SETTINGS, USER};
use crate::account::Account;
use crate::keeper::Keeper;
use crate::programs::{find_dir, run};
use crate::{Result, port};

/// Where Debian and Ubuntu keep the versions that are installed.
const VERSIONS: &str = "/usr/lib/postgresql";

/// What ends a server whose programs are in `$1` and whose files are in `$2`.
const END: &str = r#""$1/pg_ctl" stop --silent --mode immediate --pgdata "$2/data"; rm -rf "$2""#;

/// A server that takes longer to come or to go, on however slow a machine, does not do so any more.
const PATIENCE: &str = "--timeout=180";

/// A database cluster in a temporary directory, and the server that works on it.
#[derive(Debug)]
pub(super) struct Cluster {
    programs: PathBuf,
    account: Account,
    port: u16,
    /// Stops the server and removes its files.
    _keeper: Keeper,
    /// Goes after the server has gone, if the server's account was not allowed to remove it.
    dir: TempDir,
}

impl Cluster {
    /// Makes a cluster within `parent` and starts its server.
    ///
    /// # Errors
    /// If the programs are not there, or do not run.
    pub(super) fn start(parent: &Path) -> Result<Self> {
        let programs = find_dir(Path::new(VERSIONS), &["initdb", "pg_ctl", "postgres"]);
        let programs = programs.ok_or("the programs of Postgres are not on this machine")?;
        let dir = tempfile::Builder::new()
            .prefix("ledger-postgres-")
            .tempdir_in(parent)?;
        let cluster = Self::in_dir(programs, dir)?;
        cluster.make()?;
        cluster.start_again()?;
        Ok(cluster)
    }

    /// Starts a second server, with its files within `parent`, that takes over whatever this one commits, and can be read
    /// meanwhile.
    ///
    /// # Errors
    /// If the programs do not run.
    pub(super) fn start_standby(&self, parent: &Path) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("ledger-postgres-")
            .tempdir_in(parent)?;
        let standby = Self::in_dir(self.programs.clone(), dir)?;
        let mut copy = standby.program("pg_basebackup");
        copy.env("PGPASSWORD", PASSWORD)
            .args(["--host=127.0.0.1", "--checkpoint=fast", "--no-sync"])
            .args(["--write-recovery-conf", "--username", USER])
            .arg(format!("--port={}", self.port));
        run(&mut copy)?;
        standby.configure()?;
        standby.start_again()?;
        Ok(standby)
    }

    /// Hands the directory over to a keeper, before anything is in it.
    fn in_dir(programs: PathBuf, dir: TempDir) -> Result<Self> {
        let account = Account::to_work_in(dir.path())?;
        let arguments = [programs.as_os_str(), dir.path().as_os_str()];
        let keeper = Keeper::start(account.command("sh"), END, &arguments)?;
        Ok(Self {
            programs,
            account,
            port: port::free()?,
            _keeper: keeper,
            dir,
        })
    }

    fn make(&self) -> Result<()> {
        let password = self.dir.path().join("password");
        fs::write(&password, PASSWORD)?;
        self.account.own(&password)?;
        let mut initdb = self.program("initdb");
        initdb.args([
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
            "--auth=scram-sha-256",
        ]);
        initdb
            .args(LOCALE)
            .arg("--username")
            .arg(USER)
            .arg("--pwfile")
            .arg(password);
        run(&mut initdb)?;
        self.configure()
    }

    fn configure(&self) -> Result<()> {
        let file = self.data().join("postgresql.conf");
        let mut file = OpenOptions::new().append(true).open(file)?;
        writeln!(file, "listen_addresses='127.0.0.1'\nport={}", self.port)?;
        writeln!(file, "unix_socket_directories=''\n{}", SETTINGS.join("\n"))?;
        Ok(())
    }

    /// The port of the loopback address that the server listens on.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Stops the server without a checkpoint.
    ///
    /// # Errors
    /// If it is not running.
    pub(super) fn stop_immediately(&self) -> Result<()> {
        let mut pg_ctl = self.program("pg_ctl");
        run(pg_ctl.args(["stop", "--mode", "immediate", PATIENCE])).map(drop)
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    /// What it wrote to its log, if it does not come up.
    pub(super) fn start_again(&self) -> Result<()> {
        let log = self.dir.path().join("log");
        let mut pg_ctl = self.program("pg_ctl");
        let started = run(pg_ctl
            .args(["start", "--wait", PATIENCE, "--log"])
            .arg(&log));
        let Err(error) = started else { return Ok(()) };
        Err(format!("{error}\n{}", fs::read_to_string(log).unwrap_or_default()).into())
    }

    fn program(&self, name: &str) -> Command {
        let mut command = self.account.command(self.programs.join(name));
        command
            .current_dir(self.dir.path())
            .arg("--pgdata")
            .arg(self.data());
        command
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }
}
