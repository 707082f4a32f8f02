//! What several test programs need: parts of a test played by other processes, a diary that can be checked, and what
//! becomes of a test that this machine cannot run.

#![allow(dead_code, reason = "each test program uses some of it")]

pub(crate) mod diary;
#[cfg(target_os = "linux")]
pub(crate) mod image;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PART: &str = "LEDGER_TEST_PART";
const PATH: &str = "LEDGER_TEST_PATH";

/// The part that this process is to play of the test, and the path it is about; none in the test itself.
pub(crate) fn part() -> Option<(String, PathBuf)> {
    let part = std::env::var(PART).ok()?;
    let path = std::env::var_os(PATH).expect("a part comes with a path");
    Some((part, path.into()))
}

/// The command that plays `part` of the test called `test`, about `path`.
pub(crate) fn play(test: &str, part: impl ToString, path: &Path) -> Command {
    let program = std::env::current_exe().expect("a program knows where it is");
    with_part(Command::new(program), test, part, path)
}

/// The same, begun by a shell that runs `preparation` first.
pub(crate) fn play_after(
    preparation: &str,
    test: &str,
    part: impl ToString,
    path: &Path,
) -> Command {
    let program = std::env::current_exe().expect("a program knows where it is");
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{preparation} && exec \"$@\""), "sh"]);
    shell.arg(program);
    with_part(shell, test, part, path)
}

fn with_part(mut command: Command, test: &str, part: impl ToString, path: &Path) -> Command {
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(PART, part.to_string()).env(PATH, path);
    command
}

/// Checks that the part was played, and played well.
pub(crate) fn assert_played(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{errors}"
    );
}

/// Says why the running test does not run: this machine does not let it, whatever is installed on it.
pub(crate) fn leave_out(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Straight to standard error: the test harness does not catch it. A line that cannot be printed fails no test.
    let _ = writeln!(std::io::stderr(), "left out: {test}: {reason}");
}

/// Whether this process may mount file systems; if not, says that the running test is left out.
pub(crate) fn can_mount() -> bool {
    // A name space of its own is what containers without the right to mount do not get either.
    let tried = Command::new("unshare").args(["--mount", "true"]).output();
    let may = tried.is_ok_and(|output| output.status.success());
    if !may {
        leave_out("this process may not mount file systems");
    }
    may
}

/// Unmounts what is mounted at a path when it goes.
pub(crate) struct Unmount(pub(crate) PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        // The test has said what it has to say; a mount that stays behind is the next best thing to report.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Runs a program that must succeed.
pub(crate) fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {args:?}: {} {errors}",
        output.status
    );
}
