//! Keepers: they stop what was started when nobody wants it any more.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use crate::Result;

/// A shell that runs a script when it is dropped, or when this process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Keeper(Child);

impl Keeper {
    /// Starts `shell`, which is to run `script` with `arguments` (`$1`, `$2`, ...) in the end.
    ///
    /// # Errors
    /// If there is no such shell.
    pub(crate) fn start(mut shell: Command, script: &str, arguments: &[&OsStr]) -> Result<Self> {
        // The end of the pipe is the end of this process: children do not inherit the other side. In a process group
        // of its own the shell outlives an interrupt from the terminal.
        let child = shell
            .arg("-c")
            .arg(format!("cat; {script}"))
            .arg("keeper")
            .args(arguments)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self(child))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It was started by us, so it can be waited for; and what it thinks of its work helps nobody now.
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_keeper_has_done_its_work() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("it's done");
        let keeper = Keeper::start(Command::new("sh"), "touch \"$1\"", &[file.as_os_str()]);
        assert!(!file.exists());
        drop(keeper.unwrap());
        assert!(file.exists());
    }
}
