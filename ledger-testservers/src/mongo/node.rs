//! One server of a replica set.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::host::Host;
use super::wire::Wire;
use crate::Result;
use crate::programs::run;

/// What the server prints when clients may come.
const READY: &str = "Waiting for connections";

/// How much of its log a server that does not start is quoted with.
const QUOTED_LINES: usize = 5;

/// A server of a replica set, which can be treated as badly as a machine treats it.
#[derive(Debug)]
pub struct Node {
    number: usize,
    port: u16,
    arguments: Vec<String>,
    /// The server while it runs.
    server: Mutex<Option<Child>>,
    host: Arc<Host>,
}

impl Node {
    /// Starts the `number`th server of a set, for the first time.
    ///
    /// # Errors
    /// What it printed, if it does not come up.
    pub(super) fn start(
        host: &Arc<Host>,
        number: usize,
        port: u16,
        mut arguments: Vec<String>,
    ) -> Result<Self> {
        arguments.push(format!("--port={port}"));
        host.add(number, &arguments)?;
        let node = Self {
            number,
            port,
            arguments,
            server: Mutex::default(),
            host: Arc::clone(host),
        };
        node.start_again()?;
        Ok(node)
    }

    /// Kills the server as `kill -9` does, also when it is frozen, and returns when it is gone.
    ///
    /// # Errors
    /// If it is not running.
    pub fn kill(&self) -> Result<()> {
        self.signal("KILL")?;
        if let Some(mut server) = self.server().take() {
            server.wait()?;
        }
        self.host.forget(self.number)
    }

    /// Starts a server that was killed, at its address, and returns when it has recovered and takes connections.
    ///
    /// # Errors
    /// If it is running, or does not come up.
    pub fn start_again(&self) -> Result<()> {
        let mut server = self.server();
        if server.is_some() {
            return Err("the server is running".into());
        }
        let mut command = self.host.server(self.number, &self.arguments);
        // A process group that loses its terminal is hung up as a whole if anything in it is frozen at that moment: the
        // server has a group of its own.
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let child = server.insert(child.spawn()?);
        let log = child.stdout.take().ok_or("its output is no pipe")?;
        wait_until_ready(log, self.host.log(self.number)?)
    }

    /// Stops the server in its tracks, as SIGSTOP does: it keeps its connections, and says nothing.
    ///
    /// # Errors
    /// If it is not running.
    pub fn freeze(&self) -> Result<()> {
        self.signal("STOP")
    }

    /// Lets a frozen server go on.
    ///
    /// # Errors
    /// If it is not running.
    pub fn thaw(&self) -> Result<()> {
        self.signal("CONT")
    }

    /// The host and port that the server listens at.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Connects to the server, whose every answer is to come within `patience`.
    ///
    /// # Errors
    /// If it is not running.
    pub(super) fn connect(&self, patience: Duration) -> Result<Wire> {
        Wire::connect(self.port, patience)
    }

    /// Keeps the log for those who want to know why a test failed.
    fn save_log(&self) {
        let saved = match self.host.save_log(self.number) {
            Ok(log) => format!(
                "the log of mongod {} is in {}",
                self.address(),
                log.display()
            ),
            Err(error) => format!("the log of mongod {} is lost: {error}", self.address()),
        };
        // A line that cannot be printed makes the failure no worse.
        let _ = writeln!(io::stderr(), "{saved}");
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let mut server = self.server();
        let running = server.as_mut().ok_or("the server is not running")?;
        if let Some(status) = running.try_wait()? {
            *server = None;
            self.host.forget(self.number)?;
            return Err(format!("mongod {} ended by itself: {status}", self.address()).into());
        }
        run(&mut self.host.signal(self.number, running.id(), signal)).map(drop)
    }

    fn server(&self) -> MutexGuard<'_, Option<Child>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if thread::panicking() {
            self.save_log();
        }
        // One that does not run is not to be killed, and need not be.
        let _ = self.kill();
    }
}

/// Reads the log of a server until it takes connections, and goes on to keep what comes as it comes.
fn wait_until_ready(log: ChildStdout, mut kept: Box<dyn Write + Send>) -> Result<()> {
    let mut log = BufReader::new(log);
    let mut last = VecDeque::new();
    for line in log.by_ref().lines() {
        let line = line?;
        writeln!(kept, "{line}")?;
        if line.contains(READY) {
            thread::spawn(move || io::copy(&mut log, &mut kept));
            return Ok(());
        }
        last.truncate(QUOTED_LINES - 1);
        last.push_front(line);
    }
    let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
    Err(format!("mongod does not start: {last}").into())
}
