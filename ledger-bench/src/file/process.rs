//! Processes that answer one question, and are killed then.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ledger_lap::Outcome;

use crate::Result;

/// Runs `program` with `arguments`, and kills it as soon as it has answered.
///
/// # Errors
/// If there is no such process to be had.
pub(super) fn ask(
    program: &Path,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Result<Outcome> {
    let mut process = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let outcome = answer(&mut process);
    process.kill()?;
    process.wait()?;
    outcome
}

/// The first line that is an answer: some engines say something themselves.
fn answer(process: &mut Child) -> Result<Outcome> {
    let stdout = process.stdout.take().ok_or("no output to read")?;
    for line in BufReader::new(stdout).lines() {
        if let Ok(outcome) = serde_json::from_str(&line?) {
            return Ok(outcome);
        }
    }
    Ok(Outcome::Failed("ended without an answer".into()))
}
