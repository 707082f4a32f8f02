//! One server of a replica set.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
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
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let child = server.insert(child.spawn()?);
        let log = child.stdout.take().ok_or("its output is no pipe")?;
        wait_until_ready(log)
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

    fn signal(&self, signal: &str) -> Result<()> {
        let pid = self.server().as_ref().map(Child::id);
        let pid = pid.ok_or("the server is not running")?;
        run(&mut self.host.signal(self.number, pid, signal)).map(drop)
    }

    fn server(&self) -> MutexGuard<'_, Option<Child>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // One that does not run is not to be killed, and need not be.
        let _ = self.kill();
    }
}

/// Reads the log of a server until it takes connections; what comes then is thrown away as it comes.
fn wait_until_ready(log: ChildStdout) -> Result<()> {
    let mut log = BufReader::new(log);
    let mut last = VecDeque::new();
    for line in log.by_ref().lines() {
        let line = line?;
        if line.contains(READY) {
            thread::spawn(move || io::copy(&mut log, &mut io::sink()));
            return Ok(());
        }
        last.truncate(QUOTED_LINES - 1);
        last.push_front(line);
    }
    let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
    Err(format!("mongod does not start: {last}").into())
}
