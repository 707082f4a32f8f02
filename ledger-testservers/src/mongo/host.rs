//! Where the servers of a replica set run.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::Result;
use crate::keeper::Keeper;
use crate::name::{fresh_name, random};
use crate::programs::{find_dir, run};

/// Where `scripts/install-servers` puts the programs of servers that this machine's packages do not have.
const TOOLS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../target/tools/mongo/fiftyone"
);

/// The image of servers in containers.
const IMAGE: &str = "mongo:7";

/// Notes its process in the file `$1` and becomes the rest of its arguments; ends if there can be no such file.
const BECOME_SERVER: &str = r#"echo $$ >"$1" && shift && exec "$@""#;

/// Ends the servers whose files are below `$1/nodes`. What has not noted its process before the move will not start.
const END_PROGRAMS: &str = r#"mv "$1/nodes" "$1/end"; cat "$1"/end/*/pid | xargs kill -9
until rm -rf "$1"; do sleep 0.1; done"#;

/// Removes the containers that are the arguments.
const END_CONTAINERS: &str = r#"docker rm --force --volumes "$@""#;

/// The place of all servers of a set, which are gone when it is dropped.
#[derive(Debug)]
pub(super) struct Host {
    kind: Kind,
    /// Ends the servers and removes their files.
    _keeper: Keeper,
}

/// Which kind of place, and what it needs to start a server.
#[derive(Debug)]
enum Kind {
    /// The program `mongod` of this machine, and where the files go.
    Machine { mongod: PathBuf, dir: TempDir },
    /// Containers, one for each server, and before them one whose network is theirs: it stays while servers come and
    /// go, and with it their ports.
    Docker { name: String },
}

impl Host {
    /// Uses containers for servers that are to listen on `ports`. Fetches their image first if need be.
    ///
    /// # Errors
    /// If no engine answers.
    pub(super) fn docker(ports: &[u16]) -> Result<Self> {
        run(Command::new("docker").arg("info"))?;
        let name = fresh_name();
        let nodes = (0..ports.len()).map(|number| container(&name, number));
        let names: Vec<_> = nodes.chain([name.clone()]).collect();
        let names: Vec<_> = names.iter().map(OsStr::new).collect();
        let keeper = Keeper::start(Command::new("sh"), END_CONTAINERS, &names)?;
        let mut network = docker("run", &["--detach", "--name", &name]);
        network.args(
            ports
                .iter()
                .map(|port| format!("--publish=127.0.0.1:{port}:{port}")),
        );
        run(network.args([IMAGE, "sleep", "infinity"]))?;
        Ok(Self {
            kind: Kind::Docker { name },
            _keeper: keeper,
        })
    }

    /// Uses this machine's own program, with its files in a directory within `parent`.
    ///
    /// # Errors
    /// If there is no such program.
    pub(super) fn machine(parent: &Path) -> Result<Self> {
        let mongod = find_dir(Path::new(TOOLS), &["mongod"]);
        let mongod = mongod.ok_or("there is no `mongod` on this machine")?;
        let dir = tempfile::Builder::new()
            .prefix("ledger-mongo-")
            .tempdir_in(parent)?;
        let keeper = Keeper::start(Command::new("sh"), END_PROGRAMS, &[dir.path().as_os_str()])?;
        Ok(Self {
            kind: Kind::Machine {
                mongod: mongod.join("mongod"),
                dir,
            },
            _keeper: keeper,
        })
    }

    /// Makes the key that members of a set with passwords know each other by, and tells how they are started with it.
    ///
    /// # Errors
    /// Those of the file system; and in Docker, where nobody can connect from within to make the first user.
    pub(super) fn lock(&self) -> Result<Vec<String>> {
        let Kind::Machine { dir, .. } = &self.kind else {
            return Err("only servers outside of containers are given passwords".into());
        };
        let key = dir.path().join("key");
        fs::write(&key, format!("{:016x}", random()))?;
        fs::set_permissions(&key, Permissions::from_mode(0o400))?;
        Ok(vec![format!("--keyFile={}", key.display())])
    }

    /// Makes a place for a server, the `number`th, that is to be started with `arguments`.
    ///
    /// # Errors
    /// Those of the file system or of Docker.
    pub(super) fn add(&self, number: usize, arguments: &[String]) -> Result<()> {
        match &self.kind {
            Kind::Machine { dir, .. } => Ok(fs::create_dir_all(data(dir, number))?),
            Kind::Docker { name } => {
                let network = format!("--network=container:{name}");
                let name = container(name, number);
                let mut create = docker("create", &["--name", &name, &network, IMAGE, "mongod"]);
                run(create.arg("--bind_ip_all").args(arguments)).map(drop)
            }
        }
    }

    /// The command that is the server from its start to its end, and prints its log.
    pub(super) fn server(&self, number: usize, arguments: &[String]) -> Command {
        match &self.kind {
            Kind::Machine { mongod, dir } => {
                let mut command = Command::new("sh");
                command
                    .args(["-c", BECOME_SERVER, "sh"])
                    .arg(pid(dir, number))
                    .arg(mongod);
                command.args(["--bind_ip=127.0.0.1", "--nounixsocket", "--dbpath"]);
                command.arg(data(dir, number)).args(arguments);
                command
            }
            Kind::Docker { name } => docker("start", &["--attach", &container(name, number)]),
        }
    }

    /// The command that sends a signal, such as `KILL`, to a server, which is the process `pid` on this machine if it
    /// is one of this machine's at all.
    pub(super) fn signal(&self, number: usize, pid: u32, signal: &str) -> Command {
        match &self.kind {
            Kind::Machine { .. } => {
                let mut command = Command::new("sh");
                command.args(["-c", &format!("kill -{signal} {pid}")]);
                command
            }
            Kind::Docker { name } => {
                docker("kill", &["--signal", signal, &container(name, number)])
            }
        }
    }

    /// Where the log of a server goes. That of a container Docker keeps.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn log(&self, number: usize) -> Result<Box<dyn Write + Send>> {
        match &self.kind {
            Kind::Machine { dir, .. } => {
                let mut options = File::options();
                let log = options.append(true).create(true);
                Ok(Box::new(log.open(log_file(dir, number))?))
            }
            Kind::Docker { .. } => Ok(Box::new(io::sink())),
        }
    }

    /// Puts the log of a server where it outlives the server, and answers where.
    ///
    /// # Errors
    /// Those of the file system or of Docker.
    pub(super) fn save_log(&self, number: usize) -> Result<PathBuf> {
        let saved = env::temp_dir().join(format!("{}-{number}.log", fresh_name()));
        match &self.kind {
            Kind::Machine { dir, .. } => drop(fs::copy(log_file(dir, number), &saved)?),
            Kind::Docker { name } => {
                fs::write(
                    &saved,
                    run(&mut docker("logs", &[&container(name, number)]))?,
                )?;
            }
        }
        Ok(saved)
    }

    /// Notes that a server has ended, and its process may soon be another's.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn forget(&self, number: usize) -> Result<()> {
        match &self.kind {
            Kind::Machine { dir, .. } => Ok(fs::remove_file(pid(dir, number))?),
            Kind::Docker { .. } => Ok(()),
        }
    }
}

fn docker(verb: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.arg(verb).args(arguments);
    command
}

/// The name of the container of a server, in the set called `name`.
fn container(name: &str, number: usize) -> String {
    format!("{name}_{number}")
}

/// The directory that a server keeps its data in.
fn data(dir: &TempDir, number: usize) -> PathBuf {
    dir.path().join(format!("nodes/{number}/data"))
}

/// The file that a server's log goes to, over all its starts.
fn log_file(dir: &TempDir, number: usize) -> PathBuf {
    dir.path().join(format!("nodes/{number}/log"))
}

/// The file that tells a server's process.
fn pid(dir: &TempDir, number: usize) -> PathBuf {
    dir.path().join(format!("nodes/{number}/pid"))
}
