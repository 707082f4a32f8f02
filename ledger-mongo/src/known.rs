//! What was learned of streams by reading them: enough to ask for a page before the stream's head is known.
//!
//! Never more than a guess. Whoever uses it looks at the head too, in the same snapshot, and asks again if it was wrong.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledger_core::{StreamName, Timestamp};

use crate::head::Head;

/// How many streams are remembered. Then all are forgotten, which costs each of them one longer read.
const STREAMS_MAX: usize = 1_024;

/// The numbers of streams in which nothing expires.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known(Arc<Mutex<HashMap<StreamName, i64>>>);

impl Known {
    /// Remembers what `head` says of `stream`.
    pub(crate) fn learn(&self, stream: &StreamName, head: Option<&Head>) {
        let mut streams = self.lock();
        match head.filter(|head| !head.expires) {
            Some(head) if streams.get(stream) == Some(&head.sid) => {}
            Some(head) => {
                if streams.len() >= STREAMS_MAX {
                    streams.clear();
                }
                streams.insert(stream.clone(), head.sid);
            }
            None => drop(streams.remove(stream)),
        }
    }

    /// A head for which a query can be made, as if everything that there can be were there; none if nothing is known.
    pub(crate) fn guess(&self, stream: &StreamName) -> Option<Head> {
        let sid = *self.lock().get(stream)?;
        Some(Head {
            sid,
            head: i64::MAX.unsigned_abs(),
            first: 1,
            bytes: 0,
            recorded_at: None,
            expires: false,
            now: Timestamp::from_micros(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamName, i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(known: &Known, name: &str) -> Option<i64> {
        known.guess(&name.into()).map(|head| head.sid)
    }

    fn head(sid: i64, expires: bool) -> Head {
        Head {
            sid,
            head: 3,
            first: 2,
            bytes: 0,
            recorded_at: None,
            expires,
            now: Timestamp::from_micros(7),
        }
    }

    #[test]
    fn the_last_look_is_what_is_known() {
        let known = Known::default();
        known.learn(&"a".into(), Some(&head(5, false)));
        known.learn(&"a".into(), Some(&head(6, false)));
        assert_eq!(learned(&known, "a"), Some(6));
        known.learn(&"a".into(), None);
        assert_eq!(learned(&known, "a"), None);
    }

    #[test]
    fn nothing_is_guessed_of_a_stream_in_which_entries_expire() {
        let known = Known::default();
        known.learn(&"a".into(), Some(&head(5, false)));
        known.learn(&"a".into(), Some(&head(5, true)));
        assert_eq!(learned(&known, "a"), None);
    }

    #[test]
    fn a_bounded_number_of_streams_is_known() {
        let known = Known::default();
        for number in 0..=STREAMS_MAX {
            let head = head(5, false);
            known.learn(&number.to_string().into(), Some(&head));
        }
        assert_eq!(known.lock().len(), 1);
        assert_eq!(learned(&known, &STREAMS_MAX.to_string()), Some(5));
    }
}
