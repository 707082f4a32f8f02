//! The program that laps are run by: `PROGRAM engines` lists what it has, `PROGRAM lap ENGINE DIR TASK` runs one.

use std::any::Any;
use std::io::{Read as _, Write as _, stdin, stdout};
use std::panic::{self, UnwindSafe};
use std::path::Path;
use std::process;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::answer::Outcome;
use crate::engine::{Engine, InTasks};
use crate::task::Task;
use crate::{Result, lap};

/// How long a lap may take at most: some engines wait for ever for what a damaged file no longer has.
const LAP_MAX: Duration = Duration::from_secs(600);

/// An engine by its name.
#[derive(Clone, Copy, Debug)]
pub struct Contestant {
    name: &'static str,
    run: fn(&Path, &Task) -> Result<Outcome>,
}

impl Contestant {
    /// Names an engine.
    #[must_use]
    pub fn new<E: Engine>(name: &'static str) -> Self {
        let run = lap::run::<E>;
        Self { name, run }
    }

    /// Names an engine that is appended to by tasks, and takes no part in anything else.
    #[must_use]
    pub fn in_tasks<E: InTasks>(name: &'static str) -> Self {
        let run = lap::run_in_tasks::<E>;
        Self { name, run }
    }

    /// Names an engine that is read from, and takes no part in anything else.
    #[must_use]
    pub fn in_reads<E: Engine>(name: &'static str) -> Self {
        let run = lap::run_reads::<E>;
        Self { name, run }
    }

    /// The name that tables show.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }
}

/// Does what the command line says with one of `contestants`, and tells whether it said anything.
///
/// The answer is one line of JSON. Then the process waits to be killed, with the log still open; it ends by itself when
/// its standard input is closed.
///
/// # Errors
/// Arguments that make no sense. What goes wrong in a lap is an answer, and not an error.
pub fn run(contestants: &[Contestant], arguments: &[String]) -> Result<bool> {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["engines"] => {
            let names: Vec<_> = contestants.iter().map(Contestant::name).collect();
            say(&serde_json::to_string(&names)?)?;
        }
        ["lap", engine, dir, task] => {
            let found = contestants.iter().find(|it| it.name == engine);
            let contestant = found.ok_or_else(|| format!("there is no engine {engine:?}"))?;
            let task = serde_json::from_str(task)?;
            let lap = || (contestant.run)(Path::new(dir), &task);
            answer(&in_time(|| caught(lap)))?;
            stdin().read_to_end(&mut Vec::new())?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Ends the process with an answer if the lap takes too long.
fn in_time(lap: impl FnOnce() -> Outcome) -> Outcome {
    let (done, wait) = mpsc::channel::<()>();
    thread::spawn(move || {
        if wait.recv_timeout(LAP_MAX) == Err(mpsc::RecvTimeoutError::Timeout) {
            let seconds = LAP_MAX.as_secs();
            // Nobody is left to tell if even this fails.
            let _ = answer(&Outcome::Failed(format!("took more than {seconds} s")));
            process::exit(1);
        }
    });
    let outcome = lap();
    drop(done);
    outcome
}

fn answer(outcome: &Outcome) -> Result<()> {
    say(&serde_json::to_string(outcome)?)
}

/// A panic is an answer too: some engines have no other for a damaged file.
fn caught(lap: impl FnOnce() -> Result<Outcome> + UnwindSafe) -> Outcome {
    match panic::catch_unwind(lap) {
        Ok(result) => Outcome::of(result),
        Err(payload) => Outcome::Failed(format!("panicked: {}", message(&*payload))),
    }
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

fn say(line: &str) -> Result<()> {
    let mut stdout = stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}
