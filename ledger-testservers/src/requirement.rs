//! What becomes of a test whose server cannot be had.

use std::env;
use std::io::{self, Write};
use std::thread;

use crate::Result;

/// Answers the server, or none after having said why the running test is skipped.
///
/// # Panics
/// If there is none and `LEDGER_TEST_REQUIRE` is `all`.
pub(crate) fn or_skip<T>(what: &str, server: Result<T>) -> Option<T> {
    let reason = match server {
        Ok(server) => return Some(server),
        Err(reason) => reason,
    };
    assert!(
        !required(),
        "no {what}, and LEDGER_TEST_REQUIRE=all: {reason}"
    );
    let thread = thread::current();
    let test = thread.name().unwrap_or("a test");
    // Straight to standard error: the test harness does not catch it. A line that cannot be printed fails no test.
    let _ = writeln!(io::stderr(), "skipped: {test}: no {what}: {reason}");
    None
}

fn required() -> bool {
    env::var_os("LEDGER_TEST_REQUIRE").is_some_and(|value| value == "all")
}
