//! The plain case: one entry, its stream there already, its dedup key not taken.
//!
//! A single statement does it, which costs the server less than the function `append_one`, and leaves everything else to
//! that: it changes nothing if the stream is new, and is refused if the key is taken. A server writes a refusal to its
//! log, and a service that meets one duplicate soon meets more. So for a while entries with keys do without the statement.

use std::sync::atomic::{AtomicU32, Ordering};

use ledger_core::{Outcome, Result, Timestamp};

use crate::append::Call;
use crate::database::Database;
use crate::error::Failure;
use crate::row::get;
use crate::sql::Sql;

/// How many entries with keys go to the function once a key was taken.
const WARY_OF: u32 = 1_000;

/// Tries the plain case, and remembers when it was not.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    /// How many more entries with keys go to the function.
    wary_of: AtomicU32,
}

impl Plain {
    /// Appends the entry of `call`, if it has one alone and that is a plain case; none if nothing was done.
    pub(crate) async fn append(
        &self,
        call: &Call,
        database: &Database,
        sql: &Sql,
        now: Option<Timestamp>,
    ) -> Result<Option<Result<Outcome<u64>>>, Failure> {
        // Without prepared statements it would be planned each time, and the function is not.
        if database.has_pooler || !self.is_candidate(call) {
            return Ok(None);
        }
        let statement = sql.append_plain.clone();
        let row = database
            .change_here(statement, || call.arguments(now))
            .await;
        match row {
            Ok(row) => {
                let id: Result<i64> = get(&row, 0, &database.place);
                Ok(Some(id.map(|id| Outcome::Appended(id.unsigned_abs()))))
            }
            Err(failure) if failure.is_no_row() => Ok(None),
            Err(failure) if failure.is_taken() => {
                self.wary_of.store(WARY_OF, Ordering::Relaxed);
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    fn is_candidate(&self, call: &Call) -> bool {
        let Some(entry) = call.lone_entry() else {
            return false;
        };
        let has_key = entry.dedup_key.as_ref().is_some_and(|key| !key.is_empty());
        !has_key || !self.is_wary()
    }

    /// Counts one of those that go to the function.
    fn is_wary(&self) -> bool {
        let less = |left: u32| left.checked_sub(1);
        let counted = self
            .wary_of
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        counted.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use ledger_core::{Batch, Condition, NewEntry, Payload};

    use super::*;
    use crate::append::Bond;

    fn call(entries: Vec<NewEntry>) -> Call {
        Call {
            batches: vec![Batch::new("s", entries)],
            bond: Bond::Separate,
        }
    }

    fn entry() -> NewEntry {
        NewEntry::new(Payload::json("{}"))
    }

    #[test]
    fn one_entry_alone_without_a_condition_may_be_a_plain_case() {
        let plain = Plain::default();
        assert!(plain.is_candidate(&call(vec![entry()])));
        assert!(!plain.is_candidate(&call(vec![entry(), entry()])));
        let mut conditional = call(vec![entry()]);
        conditional.batches[0].condition = Some(Condition::head_is(7));
        assert!(!plain.is_candidate(&conditional));
    }

    #[test]
    fn after_a_taken_key_only_entries_without_one_are_tried_for_a_while() {
        let plain = Plain {
            wary_of: AtomicU32::new(2),
        };
        let with_key = call(vec![entry().dedup_key("k")]);
        assert!(!plain.is_candidate(&with_key));
        assert!(plain.is_candidate(&call(vec![entry()])));
        assert!(plain.is_candidate(&call(vec![entry().dedup_key("")])));
        assert!(!plain.is_candidate(&with_key));
        assert!(plain.is_candidate(&with_key));
    }
}
