//! Processes that answer one question, and are killed then.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ledger_lap::Outcome;
use serde::de::DeserializeOwned;

use crate::Result;

/// Runs `program` with `arguments`, and kills it as soon as it has told what came of the lap.
///
/// # Errors
/// If there is no such process to be had.
pub(super) fn ask(
    program: &Path,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Result<Outcome> {
    let outcome = answer_of(program, arguments)?;
    Ok(outcome.unwrap_or_else(|| Outcome::Failed("ended without an answer".into())))
}

/// Runs `program` with `arguments`, and kills it as soon as it has answered; none if it ended without.
///
/// # Errors
/// If there is no such process to be had.
pub(super) fn answer_of<T: DeserializeOwned>(
    program: &Path,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Result<Option<T>> {
    let mut process = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let answer = answer(&mut process);
    process.kill()?;
    process.wait()?;
    answer
}

/// The first line that is an answer: some engines say something themselves.
fn answer<T: DeserializeOwned>(process: &mut Child) -> Result<Option<T>> {
    let stdout = process.stdout.take().ok_or("no output to read")?;
    for line in BufReader::new(stdout).lines() {
        if let Ok(answer) = serde_json::from_str(&line?) {
            return Ok(Some(answer));
        }
    }
    Ok(None)
}
