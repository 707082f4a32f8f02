//! A server in a Docker container.
//!
//! Docker is driven by its own program: a container must go even if this process is killed, and only another process,
//! the keeper, can see to that.

use std::ffi::OsStr;
use std::process::Command;

use super::{LOCALE, PASSWORD, SETTINGS, USER};
use crate::keeper::Keeper;
use crate::programs::run;
use crate::{Result, port};

const IMAGE: &str = "postgres:17";

/// Returns when the server within the container listens to the network: while it is being made, it does not.
const WAIT: &str =
    "timeout 180 sh -c 'until pg_isready --quiet --host 127.0.0.1; do sleep 0.1; done'";

/// What ends the container `$1`.
const END: &str = r#"docker rm --force --volumes "$1""#;

/// A container whose server listens on a port of this machine's loopback address.
#[derive(Debug)]
pub(super) struct Container {
    id: String,
    port: u16,
    /// Removes the container.
    _keeper: Keeper,
}

impl Container {
    /// Starts a container; fetches its image first if need be.
    ///
    /// # Errors
    /// If no engine answers, or the server does not.
    pub(super) fn start() -> Result<Self> {
        run(docker().arg("info"))?;
        let port = port::free()?;
        let id = run(docker().args(run_arguments(port)))?;
        let keeper = Keeper::start(Command::new("sh"), END, &[OsStr::new(&id)])?;
        let container = Self {
            id,
            port,
            _keeper: keeper,
        };
        container.wait()?;
        Ok(container)
    }

    /// The port of the loopback address that the server listens on.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Kills everything in the container.
    ///
    /// # Errors
    /// If it is not running.
    pub(super) fn stop_immediately(&self) -> Result<()> {
        run(docker().args(["kill", &self.id])).map(drop)
    }

    /// Starts the container and waits until the server answers.
    ///
    /// # Errors
    /// If it does not come up.
    pub(super) fn start_again(&self) -> Result<()> {
        run(docker().args(["start", &self.id]))?;
        self.wait()
    }

    fn wait(&self) -> Result<()> {
        run(docker().args(["exec", &self.id, "sh", "-c", WAIT])).map(drop)
    }
}

fn docker() -> Command {
    Command::new("docker")
}

fn run_arguments(port: u16) -> Vec<String> {
    let mut arguments = vec![
        "run".into(),
        "--detach".into(),
        format!("--publish=127.0.0.1:{port}:5432"),
        format!("--env=POSTGRES_USER={USER}"),
        format!("--env=POSTGRES_PASSWORD={PASSWORD}"),
        "--env=POSTGRES_DB=postgres".into(),
        format!("--env=POSTGRES_INITDB_ARGS={}", LOCALE.join(" ")),
        IMAGE.into(),
    ];
    arguments.extend(SETTINGS.map(|setting| format!("-c{setting}")));
    arguments
}
