//! Entries that are lent: whoever is shown them may do anything to the log meanwhile.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ledger_core::{Batch, Durability, Error, NewEntry, Payload, ReadOptions, StreamName};
use ledger_file::{FileOptions, Housekeeping, Log, RecordRef};
use tempfile::TempDir;

const ENTRIES: u64 = 60;

fn append(log: &Log, stream: &str) -> u64 {
    let entry = NewEntry::new(Payload::octets("x".repeat(100))).order_key("o");
    let receipt = log.append(Batch::new(stream, vec![entry])).unwrap();
    receipt.ids().next().unwrap()
}

/// Does something with logs of a few segments, the last of which is written to.
fn in_logs(work: impl Fn(&Log)) {
    for durability in [Durability::Sync, Durability::Process] {
        let directory = TempDir::new().unwrap();
        let options = FileOptions::default()
            .with_durability(durability)
            .with_housekeeping(Housekeeping::Inline)
            .with_segment_bytes_max(2 << 10)
            .with_stage_bytes(4 << 10);
        let log = Log::open(directory.path(), options).unwrap();
        for _ in 0..ENTRIES {
            append(&log, "s");
        }
        work(&log);
    }
}

/// The ids that a scan shows, while `act` is done for each of them.
fn scanned(log: &Log, mut act: impl FnMut(u64)) -> Result<Vec<u64>, Error> {
    let mut ids = Vec::new();
    log.scan(&"s".into(), 0, |record: RecordRef<'_>| {
        assert_eq!(record.payload().unwrap().len(), 100);
        ids.push(record.id());
        act(record.id());
        ControlFlow::Continue(())
    })?;
    Ok(ids)
}

#[test]
fn appends_and_reads_may_be_made_while_entries_are_lent() {
    in_logs(|log| {
        let ids = scanned(log, |id| {
            append(log, "s");
            append(log, "other");
            let one = ReadOptions::new().after(id - 1).limit(1);
            assert_eq!(log.read(&"s".into(), &one).unwrap().entries[0].id, id);
        });
        assert!(ids.unwrap().into_iter().eq(1..=ENTRIES), "as of one moment");
        assert_eq!(log.stat(&"s".into()).unwrap().head, Some(2 * ENTRIES));
    });
}

#[test]
fn what_is_removed_while_entries_are_lent_is_shown_or_not() {
    in_logs(|log| {
        let stream = StreamName::from("s");
        let ids = scanned(log, |id| {
            if id % 7 == 0 {
                log.trim(&stream, (id + 5).min(ENTRIES)).unwrap();
                log.compact().unwrap();
            }
        });
        let ids = ids.unwrap();
        assert!(
            ids.is_sorted() && ids[..7].iter().copied().eq(1..=7),
            "{ids:?}"
        );
        log.verify().unwrap();
    });
}

#[test]
fn a_log_may_be_closed_while_entries_are_lent() {
    in_logs(|log| {
        let ids = scanned(log, |id| {
            if id == 10 {
                log.close().unwrap();
            }
        });
        match ids {
            Ok(ids) => assert!(ids.into_iter().eq(1..=ENTRIES)),
            Err(error) => assert!(matches!(error, Error::Closed), "{error}"),
        }
    });
}

#[test]
fn a_panic_while_entries_are_lent_leaves_the_log_as_it_was() {
    in_logs(|log| {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            scanned(log, |id| assert_ne!(id, ENTRIES, "on purpose"))
        }));
        assert!(panicked.is_err());
        assert_eq!(append(log, "s"), ENTRIES + 1);
        assert_eq!(scanned(log, |_| {}).unwrap().len() as u64, ENTRIES + 1);
        log.tidy().unwrap();
        log.verify().unwrap();
    });
}
