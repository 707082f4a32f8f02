//! Who races: an engine, and the program that runs its laps.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use ledger_lap::{Findings, Outcome, Task};

use crate::Result;
use crate::file::process;

/// What the names of bare baselines begin with.
pub(crate) const BARE: &str = "bare: ";

/// Whose engine it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The log of this project.
    Ours,
    /// Written by hand on bare files: does less than a log has to.
    Bare,
    /// Published by others.
    Peer,
}

/// An engine, and the program that runs its laps.
#[derive(Clone, Debug)]
pub(crate) struct Racer {
    pub(crate) name: String,
    pub(crate) side: Side,
    program: PathBuf,
}

impl Racer {
    /// What this program runs.
    ///
    /// # Errors
    /// If the system does not tell where this program is.
    pub(crate) fn of_this_program() -> Result<Vec<Self>> {
        let program = env::current_exe()?;
        let racer = |name: &str| Self {
            name: name.into(),
            side: match name.starts_with(BARE) {
                true => Side::Bare,
                false => Side::Ours,
            },
            program: program.clone(),
        };
        Ok(super::contestants()
            .iter()
            .map(|contestant| racer(contestant.name()))
            .collect())
    }

    /// What the program of the peers runs.
    ///
    /// # Errors
    /// If it cannot be run.
    pub(crate) fn of_peers(program: &Path) -> Result<Vec<Self>> {
        let failed = |error| format!("{}: {error}", program.display());
        let output = Command::new(program).arg("engines").output();
        let names: Vec<String> = serde_json::from_slice(&output.map_err(failed)?.stdout)?;
        let racer = |name| Self {
            name,
            side: Side::Peer,
            program: program.to_owned(),
        };
        Ok(names.into_iter().map(racer).collect())
    }

    /// Runs one lap in a process of its own, and kills it as soon as it has answered.
    ///
    /// # Errors
    /// If there is no such process to be had. Whatever goes wrong in the lap is an outcome.
    pub(crate) fn lap(&self, dir: &Path, task: &Task) -> Result<Outcome> {
        let task = serde_json::to_string(task)?;
        let arguments = [
            "lap".as_ref(),
            self.name.as_ref(),
            dir.as_os_str(),
            task.as_ref(),
        ];
        process::ask(&self.program, arguments)
    }

    /// Lets another process check what is in `dir`.
    ///
    /// # Errors
    /// As for [`lap`](Self::lap). An engine that cannot say anything any more has found an error.
    pub(crate) fn verify(
        &self,
        dir: &Path,
        appended: &[u64],
        record_bytes: usize,
    ) -> Result<Findings> {
        let appended = appended.to_vec();
        let task = Task::Verify {
            appended,
            record_bytes,
        };
        Ok(match self.lap(dir, &task)? {
            Outcome::Found(findings) => findings,
            Outcome::Failed(error) => Findings {
                error: Some(error),
                ..Findings::default()
            },
            other => return Err(format!("{}: {other:?} is no check", self.name).into()),
        })
    }
}
