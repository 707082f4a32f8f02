//! Running one task with one engine.

use std::path::Path;

use crate::answer::Outcome;
use crate::engine::{Engine, InTasks};
use crate::task::Task;
use crate::{Result, memory, read, verify, write};

/// Runs `task` in `dir`.
pub(crate) fn run<E: Engine>(dir: &Path, task: &Task) -> Result<Outcome> {
    memory::touch(task.bytes());
    Ok(match task {
        Task::Write(task) => Outcome::Measured(write::write::<E>(dir, *task)?),
        Task::Fill(volume) => Outcome::Measured(write::fill::<E>(dir, *volume)?),
        Task::Reopen(opening) => Outcome::Measured(read::reopen::<E>(dir, *opening)?),
        Task::Read(task) => Outcome::Measured(read::read::<E>(dir, *task)?),
        Task::Verify {
            appended,
            record_bytes,
        } => Outcome::Found(verify::verify::<E>(dir, appended, *record_bytes)),
    })
}

/// Runs `task` in `dir`, with tasks in place of threads, if it is about appending.
pub(crate) fn run_in_tasks<E: InTasks>(dir: &Path, task: &Task) -> Result<Outcome> {
    match task {
        Task::Write(write) => {
            memory::touch(task.bytes());
            Ok(Outcome::Measured(write::write_in_tasks::<E>(dir, *write)?))
        }
        Task::Verify { .. } => run::<E>(dir, task),
        Task::Fill(_) | Task::Reopen(_) | Task::Read(_) => Ok(Outcome::NotOffered),
    }
}

/// Runs `task` in `dir`, if it is about reading, or what that takes.
pub(crate) fn run_reads<E: Engine>(dir: &Path, task: &Task) -> Result<Outcome> {
    match task {
        Task::Fill(_) | Task::Read(_) | Task::Verify { .. } => run::<E>(dir, task),
        Task::Write(_) | Task::Reopen(_) => Ok(Outcome::NotOffered),
    }
}
