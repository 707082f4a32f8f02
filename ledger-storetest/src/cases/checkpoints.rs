//! Checkpoints (C10): changed by compare-and-set, never back by themselves, gone only when deleted.

use ledger_core::{Bytes, Error, Result, Revision};

use crate::fixture::{Log, assert_refused};
use crate::hostile;
use crate::place::Place;
use crate::race::together;

const NAME: &str = "billing";

impl Log {
    async fn try_delete(&self, checkpoint: &str, expected: Revision) -> Result<()> {
        self.store
            .delete_checkpoint(&self.name, checkpoint, expected)
            .await
    }

    async fn delete(&self, checkpoint: &str, expected: Revision) {
        self.try_delete(checkpoint, expected)
            .await
            .expect("the checkpoint is deleted");
    }

    async fn checkpoints(&self, after: Option<&str>, limit: usize) -> Vec<String> {
        self.store
            .list_checkpoints(&self.name, after, limit)
            .await
            .expect("the list succeeds")
    }

    /// The checkpoint holds this value at this revision.
    async fn assert_at(&self, revision: Revision, value: &str) {
        let found = self.load(NAME).await.expect("the checkpoint is there");
        assert_eq!(
            (found.revision, &found.value[..]),
            (revision, value.as_bytes())
        );
    }
}

/// C10: what was saved is loaded, byte for byte, with its revision; an empty value is a value.
pub(crate) async fn c10_a_checkpoint_is_loaded_as_saved(place: Place) {
    let log = place.log("orders").await;
    assert_eq!(log.load(NAME).await, None);
    let mut expected = None;
    for value in [Vec::new(), (0..=255).collect(), vec![0; 70_000]] {
        let value = Bytes::from(value);
        let saved = log
            .store
            .save_checkpoint(&log.name, NAME, value.clone(), expected)
            .await;
        expected = Some(saved.expect("the checkpoint is saved"));
        let found = log.load(NAME).await.expect("the checkpoint is there");
        assert_eq!((Some(found.revision), found.value), (expected, value));
    }
}

/// C10: a save must present the revision that is there; else it is told, and nothing changes.
pub(crate) async fn c10_a_stale_save_is_refused(place: Place) {
    let log = place.log("orders").await;
    let first = log.save(NAME, "a", None).await;
    let second = log.save(NAME, "b", Some(first)).await;
    for stale in [None, Some(first), Some(Revision(u64::MAX))] {
        let answer = log.try_save(NAME, "c", stale).await;
        assert_refused!(
            answer,
            Error::CheckpointConflict { ref name, expected, found, .. }
                if name == NAME && expected == stale && found == Some(second)
        );
    }
    log.assert_at(second, "b").await;
}

/// C10: a save that expects a checkpoint where there is none is refused, and makes none.
pub(crate) async fn c10_a_save_of_the_absent_is_refused(place: Place) {
    let log = place.log("orders").await;
    let expected = Some(Revision(1));
    let answer = log.try_save(NAME, "a", expected).await;
    assert_refused!(answer, Error::CheckpointConflict { expected: e, found: None, .. } if e == expected);
    assert_eq!(log.load(NAME).await, None);
}

/// C10: revisions grow with each save, also when the value stays the same.
pub(crate) async fn c10_revisions_grow(place: Place) {
    let log = place.log("orders").await;
    let mut last = log.save(NAME, "a", None).await;
    for _ in 0..5 {
        let next = log.save(NAME, "a", Some(last)).await;
        assert!(next > last, "{next} followed {last}");
        last = next;
    }
}

/// C10: of racing saves exactly one wins each round.
pub(crate) async fn c10_one_racing_save_wins_each_round(place: Place) {
    let log = place.log("orders").await;
    race_rounds(&[log.clone(), log]).await;
}

/// C10: also when the racers know nothing of each other.
pub(crate) async fn c10_one_racing_save_of_two_openings_wins(place: Place) {
    let Some(openings) = place.open_twice().await else {
        return;
    };
    race_rounds(&openings.map(|store| Log::new(store, "orders"))).await;
}

async fn race_rounds(logs: &[Log; 2]) {
    let mut expected = None;
    for round in 0..8 {
        let racers = logs.iter().chain(logs).cloned();
        let answers =
            together(racers.map(|log| async move { log.try_save(NAME, "x", expected).await }))
                .await;
        let mut winners = Vec::new();
        for answer in answers {
            match answer {
                Ok(revision) => winners.push(revision),
                Err(Error::CheckpointConflict { .. }) => {}
                Err(other) => panic!("a racer failed: {other:?}"),
            }
        }
        assert_eq!(winners.len(), 1, "round {round} was won by {winners:?}");
        expected = Some(winners[0]);
        logs[1].assert_at(winners[0], "x").await;
    }
}

/// C10: a deletion must present the revision that is there.
pub(crate) async fn c10_a_stale_deletion_is_refused(place: Place) {
    let log = place.log("orders").await;
    assert_refused!(
        log.try_delete(NAME, Revision(1)).await,
        Error::CheckpointConflict { found: None, .. }
    );
    let first = log.save(NAME, "a", None).await;
    let second = log.save(NAME, "b", Some(first)).await;
    let answer = log.try_delete(NAME, first).await;
    assert_refused!(answer, Error::CheckpointConflict { found, .. } if found == Some(second));
    log.assert_at(second, "b").await;
    log.delete(NAME, second).await;
    assert_eq!(log.load(NAME).await, None);
    assert_refused!(
        log.try_delete(NAME, second).await,
        Error::CheckpointConflict { found: None, .. }
    );
}

/// C10: the revisions of a deleted checkpoint are not used again, not even after a reopen.
pub(crate) async fn c10_a_revision_is_never_used_again(place: Place) {
    let log = place.log("orders").await;
    let first = log.save(NAME, "a", None).await;
    log.delete(NAME, first).await;
    let second = log.save(NAME, "b", None).await;
    assert!(second > first, "{second} followed {first}");
    log.delete(NAME, second).await;
    log.close().await;
    let log = place.log("orders").await;
    assert_eq!(log.load(NAME).await, None);
    let third = log.save(NAME, "c", None).await;
    assert!(third > second, "{third} followed {second}");
    assert_refused!(
        log.try_save(NAME, "d", Some(first)).await,
        Error::CheckpointConflict { .. }
    );
}

/// C10: checkpoints survive a reopen.
pub(crate) async fn c10_checkpoints_survive_a_reopen(place: Place) {
    let log = place.log("orders").await;
    let first = log.save(NAME, "a", None).await;
    let second = log.save(NAME, "b", Some(first)).await;
    log.close().await;
    let log = place.log("orders").await;
    log.assert_at(second, "b").await;
    log.save(NAME, "c", Some(second)).await;
}

/// C10: checkpoints survive the trimming of all of their stream.
pub(crate) async fn c10_checkpoints_survive_a_trim(place: Place) {
    let log = place.log("orders").await;
    let id = log.add("a").await;
    let revision = log.save(NAME, "a", None).await;
    log.trim(id).await;
    log.assert_at(revision, "a").await;
}

/// C10: the stream need not exist, and does not come into being.
pub(crate) async fn c10_a_checkpoint_needs_no_stream(place: Place) {
    let log = place.log("orders").await;
    let revision = log.save(NAME, "a", None).await;
    assert_eq!(log.head().await, None);
    assert!(log.list().await.is_empty());
    if log.store.capabilities().dense_ids {
        assert_eq!(log.add("a").await, 1);
    }
    log.assert_at(revision, "a").await;
}

/// C10: checkpoints of one name in two streams are two.
pub(crate) async fn c10_a_checkpoint_belongs_to_its_stream(place: Place) {
    let log = place.log("orders").await;
    let other = log.beside("payments");
    let mine = log.save(NAME, "mine", None).await;
    assert_eq!(other.load(NAME).await, None);
    let theirs = other.save(NAME, "theirs", None).await;
    other.delete(NAME, theirs).await;
    log.assert_at(mine, "mine").await;
}

/// C10: checkpoints are listed in byte order, by pages, without those that are deleted.
pub(crate) async fn c10_checkpoints_are_listed(place: Place) {
    let log = place.log("orders").await;
    assert!(log.checkpoints(None, 9).await.is_empty());
    for name in ["b", "c", "B", "a"] {
        log.save(name, "x", None).await;
    }
    log.beside("payments").save("other", "x", None).await;
    let gone = log.save("aa", "x", None).await;
    log.delete("aa", gone).await;
    assert_eq!(log.checkpoints(None, 9).await, ["B", "a", "b", "c"]);
    assert_eq!(log.checkpoints(None, 2).await, ["B", "a"]);
    assert_eq!(log.checkpoints(Some("a"), 9).await, ["b", "c"]);
    assert_eq!(log.checkpoints(Some("aa"), 1).await, ["b"]);
    assert!(log.checkpoints(Some("c"), 9).await.is_empty());
    assert_refused!(
        log.store.list_checkpoints(&log.name, None, 0).await,
        Error::InvalidInput { .. }
    );
}

/// C10, C8: hostile names are names of checkpoints, too.
pub(crate) async fn c10_hostile_names_are_names(place: Place) {
    let log = place.log("orders").await;
    let names = hostile::texts();
    for name in &names {
        let value = Bytes::from(name.clone());
        log.store
            .save_checkpoint(&log.name, name, value, None)
            .await
            .expect("the checkpoint is saved");
    }
    assert!(log.checkpoints(None, usize::MAX).await.iter().eq(&names));
    for name in &names {
        let found = log.load(name).await.expect("the checkpoint is there");
        assert_eq!(found.value, name.as_bytes());
        log.delete(name, found.revision).await;
        assert_eq!(log.load(name).await, None);
    }
}
