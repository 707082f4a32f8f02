//! From what the system says to what the contract says.

use std::io;

use ledger_core::Error;
use rustix::io::Errno;

/// Names what went wrong at `place`, which is a file or a directory.
pub(crate) fn failure(place: impl Into<String>, source: io::Error) -> Error {
    let place = place.into();
    let kind = Errno::from_io_error(&source);
    if source.kind() == io::ErrorKind::InvalidData {
        let reason = source.to_string();
        return Error::Corrupt { place, reason };
    }
    let source = source.into();
    match kind {
        Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => Error::Full { place, source },
        Some(Errno::ROFS) => Error::ReadOnly { place, source },
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => Error::Unavailable { place, source },
        Some(
            Errno::ACCESS
            | Errno::PERM
            | Errno::NOTDIR
            | Errno::ISDIR
            | Errno::LOOP
            | Errno::NXIO
            | Errno::NAMETOOLONG,
        ) => Error::Open { place, source },
        _ => Error::Engine { place, source },
    }
}

#[cfg(test)]
mod tests {
    use ledger_core::Action;

    use super::*;

    fn of(errno: Errno) -> Error {
        failure("the place", errno.into())
    }

    #[test]
    fn a_full_disk_a_quota_and_a_file_size_limit_are_full() {
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::FBIG] {
            assert!(matches!(of(errno), Error::Full { .. }), "{errno}");
        }
    }

    #[test]
    fn what_may_pass_by_itself_may_be_tried_again() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM] {
            assert_eq!(of(errno).action(), Action::Retry, "{errno}");
        }
    }

    #[test]
    fn a_place_that_may_not_be_touched_cannot_be_opened() {
        for errno in [Errno::ACCESS, Errno::PERM, Errno::LOOP, Errno::NOTDIR] {
            assert!(matches!(of(errno), Error::Open { .. }), "{errno}");
        }
        assert!(matches!(of(Errno::ROFS), Error::ReadOnly { .. }));
    }

    #[test]
    fn what_was_read_and_cannot_be_is_damage() {
        let error = failure(
            "the place",
            io::Error::new(io::ErrorKind::InvalidData, "why"),
        );
        assert!(matches!(&error, Error::Corrupt { reason, .. } if reason == "why"));
    }

    #[test]
    fn anything_else_is_named_with_its_cause() {
        use std::error::Error as _;
        let error = of(Errno::IO);
        assert!(matches!(error, Error::Engine { .. }));
        assert!(error.source().is_some());
        assert_eq!(error.to_string(), "the place failed");
    }
}
