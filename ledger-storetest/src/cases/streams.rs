//! Streams (C8): listed in order, renamed whole, called whatever their users like.

use ledger_core::{Error, Filter, Result, StreamName};

use crate::fixture::{Log, assert_refused, entry, everything, keyed, texts};
use crate::hostile;
use crate::place::Place;
use crate::race::{WRITTEN_PER_LOG, start_writers, together};

impl Log {
    async fn try_rename(&self, to: &str) -> Result<()> {
        self.store.rename(&self.name, &to.into()).await
    }

    /// Renames the stream, and goes on with it under its new name.
    async fn rename(&self, to: &str) -> Log {
        self.try_rename(to).await.expect("the stream is renamed");
        self.beside(to)
    }

    async fn list_page(&self, after: Option<&str>, limit: usize) -> Vec<StreamName> {
        let after = after.map(StreamName::from);
        self.store
            .list(after.as_ref(), limit)
            .await
            .expect("the list succeeds")
    }
}

/// C8: streams are listed in the byte order of their names.
pub(crate) async fn c8_streams_are_listed_in_byte_order(place: Place) {
    let log = place.log("x").await;
    let mut names = [
        "b",
        "a",
        "B",
        "\u{e9}",
        "aa",
        "a b",
        "z",
        "\u{1f980}",
        "a\0",
        "_",
        "10",
        "9",
        "\u{ffff}",
    ];
    for name in names {
        log.beside(name).add("x").await;
    }
    names.sort_unstable();
    assert_eq!(log.list().await, names.map(StreamName::from));
}

/// C8: lists are paged behind a name, which need not be there.
pub(crate) async fn c8_lists_are_paged(place: Place) {
    let log = place.log("x").await;
    assert!(log.list().await.is_empty());
    for name in ["a", "b", "c", "d"] {
        log.beside(name).add("x").await;
    }
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|name| StreamName::from(*name))
            .collect::<Vec<_>>()
    };
    assert_eq!(log.list_page(None, 2).await, names(&["a", "b"]));
    assert_eq!(log.list_page(Some("b"), 2).await, names(&["c", "d"]));
    assert_eq!(log.list_page(Some("d"), 2).await, names(&[]));
    assert_eq!(log.list_page(Some("bb"), 1).await, names(&["c"]));
    assert_eq!(
        log.list_page(Some(""), 9).await,
        names(&["a", "b", "c", "d"])
    );
    assert_refused!(log.store.list(None, 0).await, Error::InvalidInput { .. });
}

/// C8: a wholly trimmed stream is not listed, until it is appended to again.
pub(crate) async fn c8_a_trimmed_stream_is_not_listed(place: Place) {
    let log = place.log("orders").await;
    log.beside("payments").add("x").await;
    let id = log.add("x").await;
    log.trim(id).await;
    assert_eq!(log.list().await, [StreamName::from("payments")]);
    log.add("y").await;
    assert_eq!(
        log.list().await,
        ["orders", "payments"].map(StreamName::from)
    );
}

/// C8: a renamed stream keeps its entries, ids, dedup keys and checkpoints, and its entries tell the new name.
pub(crate) async fn c8_a_renamed_stream_keeps_everything(place: Place) {
    let log = place.log("orders").await;
    log.append([keyed("a").tag("t"), keyed("b").order_key("o")])
        .await;
    let revision = log.save("billing", "at 1", None).await;
    let before = log.picture().await;
    let renamed = log.rename("sales").await;
    let mut expected = before;
    expected
        .entries
        .iter_mut()
        .for_each(|entry| entry.stream = "sales".into());
    assert_eq!(renamed.picture().await, expected);
    assert_eq!(
        renamed
            .load("billing")
            .await
            .map(|checkpoint| checkpoint.revision),
        Some(revision)
    );
    assert!(renamed.append([keyed("a")]).await[0].is_duplicate());
    assert!(Some(renamed.add("c").await) > expected.stat.head);
    assert_eq!(renamed.list().await, [StreamName::from("sales")]);
}

/// C8: the old name is fresh: no entries, no head, no dedup keys, no checkpoints.
pub(crate) async fn c8_the_old_name_is_fresh(place: Place) {
    let log = place.log("orders").await;
    let first = log.append_one(keyed("a")).await;
    log.add("b").await;
    log.save("billing", "at 1", None).await;
    log.rename("sales").await;
    assert_eq!((log.head().await, log.load("billing").await), (None, None));
    let again = log.append_one(keyed("a")).await;
    if log.store.capabilities().dense_ids {
        assert_eq!(again, first);
    }
    log.save("billing", "at 0", None).await;
    assert_eq!(log.texts().await, ["a"]);
    assert_eq!(log.beside("sales").texts().await, ["a", "b"]);
}

/// C8: a rename holds over a reopen.
pub(crate) async fn c8_a_rename_survives_a_reopen(place: Place) {
    let log = place.log("orders").await;
    log.add("a").await;
    let renamed = log.rename("sales").await;
    let before = renamed.picture().await;
    log.close().await;
    let log = place.log("orders").await;
    assert_eq!(log.head().await, None);
    assert_eq!(log.beside("sales").picture().await, before);
}

/// C8: a name in use is refused, and neither stream changes.
pub(crate) async fn c8_a_name_in_use_is_refused(place: Place) {
    let log = place.log("orders").await;
    let other = log.beside("sales");
    log.add("a").await;
    other.add("b").await;
    assert_refused!(log.try_rename("sales").await, Error::StreamExists { ref stream } if stream.as_str() == "sales");
    assert_eq!(log.texts().await, ["a"]);
    assert_eq!(other.texts().await, ["b"]);
}

/// C8: the name of a wholly trimmed stream is in use: its ids would be given out again.
pub(crate) async fn c8_a_trimmed_streams_name_is_in_use(place: Place) {
    let log = place.log("orders").await;
    let other = log.beside("sales");
    log.add("a").await;
    let id = other.add("b").await;
    other.trim(id).await;
    assert_refused!(log.try_rename("sales").await, Error::StreamExists { .. });
    assert_eq!(other.head().await, Some(id));
}

/// C8: a name with checkpoints is in use, until they are deleted.
pub(crate) async fn c8_a_name_with_checkpoints_is_in_use(place: Place) {
    let log = place.log("orders").await;
    let other = log.beside("sales");
    log.add("a").await;
    let revision = other.save("billing", "at 1", None).await;
    assert_refused!(log.try_rename("sales").await, Error::StreamExists { .. });
    assert_eq!(
        other
            .load("billing")
            .await
            .map(|checkpoint| checkpoint.revision),
        Some(revision)
    );
    other
        .store
        .delete_checkpoint(&other.name, "billing", revision)
        .await
        .expect("the checkpoint is deleted");
    assert_eq!(log.rename("sales").await.texts().await, ["a"]);
}

/// C8: a stream that was never appended to cannot be renamed.
pub(crate) async fn c8_an_unknown_stream_cannot_be_renamed(place: Place) {
    let log = place.log("nobody").await;
    assert_refused!(log.try_rename("sales").await, Error::StreamNotFound { ref stream } if *stream == log.name);
    assert!(log.list().await.is_empty());
}

/// C8: a wholly trimmed stream keeps its head under its new name.
pub(crate) async fn c8_a_trimmed_stream_can_be_renamed(place: Place) {
    let log = place.log("orders").await;
    let id = log.add("a").await;
    log.trim(id).await;
    let renamed = log.rename("sales").await;
    assert_eq!(renamed.head().await, Some(id));
    assert!(renamed.add("b").await > id);
}

/// C8: renaming a stream to its own name changes nothing.
pub(crate) async fn c8_a_stream_may_be_renamed_to_itself(place: Place) {
    let log = place.log("orders").await;
    log.append([keyed("a")]).await;
    log.save("billing", "at 1", None).await;
    let before = (log.picture().await, log.load("billing").await);
    log.rename("orders").await;
    assert_eq!((log.picture().await, log.load("billing").await), before);
}

/// C8: a rename through one opening is true for every other.
pub(crate) async fn c8_other_openings_see_a_rename(place: Place) {
    let Some(openings) = place.open_twice().await else {
        return;
    };
    let [one, two] = openings.map(|store| Log::new(store, "orders"));
    two.append([keyed("a"), keyed("b")]).await;
    one.rename("sales").await;
    assert!(
        !two.append([keyed("a")]).await[0].is_duplicate(),
        "the old name is fresh"
    );
    two.beside("sales").add("c").await;
    assert_eq!(two.texts().await, ["a"]);
    assert_eq!(one.beside("sales").texts().await, ["a", "b", "c"]);
}

/// C8: of two racing renames to one name exactly one wins.
pub(crate) async fn c8_one_racing_rename_wins(place: Place) {
    let log = place.log("x").await;
    let racers = ["a", "b", "c"].map(|name| log.beside(name));
    for racer in &racers {
        racer.add(racer.name.as_str()).await;
    }
    let answers =
        together(racers.map(|racer| async move { racer.try_rename("target").await })).await;
    assert_eq!(
        answers.iter().filter(|answer| answer.is_ok()).count(),
        1,
        "{answers:?}"
    );
    assert_eq!(log.beside("target").entries().await.len(), 1);
    assert_eq!(log.list().await.len(), 3);
}

/// C8: a rename while others append loses nothing: what was appended is under the new name or the old.
pub(crate) async fn c8_a_rename_loses_no_racing_append(place: Place) {
    let log = place.log("orders").await;
    log.add("first").await;
    let writing = start_writers(std::slice::from_ref(&log));
    let renamed = log.rename("sales").await;
    writing.await.expect("the writers succeed");
    let (old, new) = (log.entries().await.len(), renamed.entries().await.len());
    assert_eq!(
        old + new,
        1 + WRITTEN_PER_LOG,
        "{old} under the old name, {new} under the new"
    );
}

/// C8: streams whose names only look alike, or like something else, are different streams.
pub(crate) async fn c8_hostile_names_are_names(place: Place) {
    let log = place.log("x").await;
    let names = hostile::texts();
    for name in &names {
        log.beside(name.as_str())
            .append_one(keyed("key").order_key(name))
            .await;
    }
    for name in &names {
        let log = log.beside(name.as_str());
        let found = log
            .read(everything().filter(Filter::new().order_key(name)))
            .await;
        assert_eq!(texts(&found.entries), ["key"], "{name:?}");
        assert_eq!(
            (log.stat().await.count, &found.entries[0].stream),
            (1, &log.name)
        );
    }
    let expected: Vec<_> = names
        .iter()
        .map(|name| StreamName::from(name.as_str()))
        .collect();
    assert_eq!(log.list().await, expected);
}

/// C8: hostile names can be renamed to, from, trimmed, and listed behind.
pub(crate) async fn c8_hostile_names_can_be_worked_with(place: Place) {
    let log = place.log("bystander").await;
    log.add("untouched").await;
    let mut current = log.beside("first");
    current.append([entry("a"), entry("b")]).await;
    for name in &hostile::texts() {
        current = current.rename(name).await;
        assert_eq!(current.texts().await, ["a", "b"], "{name:?}");
        assert!(
            !current
                .list_page(Some(name), 9)
                .await
                .contains(&current.name)
        );
    }
    assert_eq!(current.trim(u64::MAX).await, 2);
    assert_eq!(log.list().await, [StreamName::from("bystander")]);
    assert_eq!(log.texts().await, ["untouched"]);
}
