//! Runs a case where neither a panic nor a hang can take the other cases along.

use std::any::Any;
use std::fmt;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use crate::harness::Harness;
use crate::registry::{Case, cases};

/// A case takes a second or two; one that takes this long hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// Enough threads for a race, on any machine.
const WORKERS: usize = 4;

/// Runs the case called `name` against the stores of `H`. What [`suite!`](crate::suite) makes tests of.
///
/// # Panics
/// If the store fails the case, and if there is no such case.
pub fn run<H: Harness>(name: &str) {
    if !H::available() {
        return;
    }
    let cases = cases::<H>();
    let case = cases.iter().find(|case| case.name == name);
    let case = case.unwrap_or_else(|| panic!("there is no case {name}"));
    if let Err(failure) = case.check(LIMIT) {
        panic!("{name} {failure}");
    }
}

/// How a store failed a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It broke the claim; this is what the case says about it.
    Broken(String),
    /// It did not finish in this time.
    Hung(Duration),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(message) => write!(f, "failed: {message}"),
            Self::Hung(limit) => write!(f, "did not finish in {} s", limit.as_secs()),
        }
    }
}

impl Case {
    /// Runs the case on a runtime of its own.
    ///
    /// The thread of a case that hangs is left behind; it ends with the process.
    ///
    /// # Errors
    /// How the store failed it.
    pub fn check(&self, limit: Duration) -> Result<(), Failure> {
        let (done, finished) = channel();
        let start = self.start;
        let thread = thread::Builder::new()
            .name(self.name.into())
            .spawn(move || {
                run_to_end(start);
                // Nobody listens any more if the case took longer than its limit.
                let _ = done.send(());
            });
        let thread = thread.expect("a thread can be started");
        match finished.recv_timeout(limit) {
            Err(RecvTimeoutError::Timeout) => Err(Failure::Hung(limit)),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                thread.join().map_err(|panic| broken(&*panic))
            }
        }
    }
}

fn run_to_end(start: crate::registry::Start) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build();
    runtime.expect("a runtime can be started").block_on(start());
}

fn broken(panic: &(dyn Any + Send)) -> Failure {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).into()));
    Failure::Broken(text.unwrap_or_else(|| "it panicked".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(start: crate::registry::Start) -> Case {
        Case {
            name: "sample",
            start,
        }
    }

    #[test]
    fn a_case_that_holds_passes() {
        assert_eq!(case(|| Box::pin(async {})).check(LIMIT), Ok(()));
    }

    #[test]
    fn a_case_that_panics_says_why() {
        let failure = case(|| Box::pin(async { panic!("entry {} is missing", 7) })).check(LIMIT);
        assert_eq!(failure, Err(Failure::Broken("entry 7 is missing".into())));
    }

    #[test]
    fn a_case_that_hangs_is_a_failure() {
        let limit = Duration::from_millis(10);
        assert_eq!(
            case(|| Box::pin(std::future::pending())).check(limit),
            Err(Failure::Hung(limit))
        );
    }
}
