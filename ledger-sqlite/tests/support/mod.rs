//! Runs a part of a test in another process: the test's own program once more, told to play the other part.

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
pub(crate) fn play(program: &Path, test: &str, part: impl ToString, path: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(PART, part.to_string()).env(PATH, path);
    command
}

/// This program.
pub(crate) fn program() -> PathBuf {
    std::env::current_exe().expect("a program knows where it is")
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
