//! Names that no other test uses.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Answers a name that was not answered before, by this process or another: for a schema, a database or a prefix.
///
/// It matches `^[a-z][a-z0-9_]{0,39}$`. On a server from the environment, whatever is called `ledger_test_...` stays
/// for whoever runs it to look at and to drop.
pub fn fresh_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    static RUN: LazyLock<u32> = LazyLock::new(|| random() as u32);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("ledger_test_{:08x}_{count}", *RUN)
}

/// Another number in every process and with every call.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_names_differ_and_are_identifiers() {
        let names = [fresh_name(), fresh_name()];
        assert_ne!(names[0], names[1]);
        for name in names {
            assert!(name.len() <= 40 && name.starts_with(|first: char| first.is_ascii_lowercase()));
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(name.chars().all(plain));
        }
    }
}
