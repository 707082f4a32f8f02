//! Runs a case against a wrong store, and judges how it ended.

use std::panic;
use std::sync::{Arc, Mutex, Once};
use std::thread;
use std::time::Duration;

use ledger_storetest::{Case, Failure, cases};

use crate::faulty::{FAULT, Fault, Faultless, WrongPlace, lock};

/// Far longer than any case takes.
const LIMIT: Duration = Duration::from_secs(100);

/// How long a case is given that cannot end: the only way to catch a store that never answers.
const PATIENCE: Duration = Duration::from_secs(2);

/// Demands that the case passes without the fault, and with it fails by an assertion of its own.
pub(crate) fn assert_caught<F: Fault + Default>(case: &str) {
    assert_eq!(
        verdict::<Faultless>(case, LIMIT),
        Ok(()),
        "{case} fails a store that is right"
    );
    match verdict::<F>(case, LIMIT) {
        Err(Caught {
            failure: Failure::Broken(_),
            place: Some(place),
        }) if is_of_the_suite(&place) => {}
        other => panic!("{case} does not catch it: {other:?}"),
    }
}

/// Demands that the case passes without the fault, and never ends with it.
pub(crate) fn assert_hangs<F: Fault + Default>(case: &str) {
    assert_eq!(
        verdict::<Faultless>(case, LIMIT),
        Ok(()),
        "{case} fails a store that is right"
    );
    match verdict::<F>(case, PATIENCE) {
        Err(Caught {
            failure: Failure::Hung(_),
            ..
        }) => {}
        other => panic!("{case} does not hang: {other:?}"),
    }
}

/// How a case failed, and the source file in which it panicked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Caught {
    failure: Failure,
    place: Option<String>,
}

/// Runs a case against a store with fault `F`.
///
/// One at a time, because the suite's harness has no other way to learn of the fault than [`FAULT`].
pub(crate) fn verdict<F: Fault + Default>(case: &str, limit: Duration) -> Result<(), Caught> {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = lock(&TURN);
    *lock(&FAULT) = || Arc::new(F::default());
    note_panics_of_cases();
    *lock(&PANICKED_IN) = None;
    find(case).check(limit).map_err(|failure| Caught {
        failure,
        place: lock(&PANICKED_IN).take(),
    })
}

fn find(name: &str) -> Case {
    let case = cases::<WrongPlace>()
        .into_iter()
        .find(|case| case.name == name);
    case.unwrap_or_else(|| panic!("there is no case {name}"))
}

/// Where the latest case panicked.
static PANICKED_IN: Mutex<Option<String>> = Mutex::new(None);

/// Notes where a case panics, which runs in a thread of its name; leaves other panics to be reported as ever.
fn note_panics_of_cases() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let names: Vec<_> = cases::<WrongPlace>().iter().map(|case| case.name).collect();
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |panic| match thread::current().name() {
            Some(name) if names.contains(&name) => {
                *lock(&PANICKED_IN) = panic.location().map(|place| place.file().to_owned());
            }
            _ => report(panic),
        }));
    });
}

/// Whether a panic there is an assertion of the suite's, and not an accident of the wrong store.
fn is_of_the_suite(file: &str) -> bool {
    file.contains("ledger-storetest") && !file.contains("tests")
}
