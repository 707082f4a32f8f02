//! Marks: tags and annotations that change after an entry was appended.

use std::collections::{BTreeMap, BTreeSet};

use ledger_core::{Entry, Error, ReadOptions, StreamName, Timestamp, merge_annotations};

use super::read::pages::Reading;
use super::read::view::View;
use super::shared::Shared;
use super::write::writer::{Changed, Turn};
use crate::disk::Patience;
use crate::error::Result;
use crate::format::{Malformed, Mark, Pairs, Position, Record, Tags};

/// Gives `entry` the marks that the record at `position` holds.
pub(super) fn apply(view: &View<'_>, position: Position, entry: &mut Entry<u64>) -> Result<()> {
    view.record(position, |_, record| {
        let malformed = |malformed| view.malformed(position, malformed);
        let Record::Mark(mark) = record else {
            return Err(malformed(Malformed(
                "there are no marks where an index says",
            )));
        };
        entry.tags = mark.tags.to_set().map_err(malformed)?.into();
        entry.annotations = mark.annotations.to_map().map_err(malformed)?.into();
        entry.updated_at = Some(mark.updated_at);
        Ok(())
    })
}

impl Shared {
    /// Replaces an entry's tags.
    pub(super) fn set_tags(
        &self,
        stream: &StreamName,
        id: u64,
        tags: &BTreeSet<String>,
    ) -> Result<()> {
        self.mark(stream, id, |entry| {
            entry.tags = tags.clone().into();
            Ok(())
        })
    }

    /// Merges `changes` into an entry's annotations.
    pub(super) fn annotate(
        &self,
        stream: &StreamName,
        id: u64,
        changes: &BTreeMap<String, Option<String>>,
    ) -> Result<()> {
        self.mark(stream, id, |entry| {
            merge_annotations(&mut entry.annotations, changes);
            Ok(self.options.limits.check_annotations(&entry.annotations)?)
        })
    }

    fn mark(
        &self,
        stream: &StreamName,
        id: u64,
        change: impl FnOnce(&mut Entry<u64>) -> Result<()>,
    ) -> Result<()> {
        let mut turn = self.turn(Patience::Wait)?;
        let now = self.now();
        let Some(subject) = turn.find(stream)? else {
            return Err(not_found(stream, id).into());
        };
        let mut entry = turn.visible_entry(&subject, id, now)?;
        change(&mut entry)?;
        let (tags, annotations) = (Tags::encode(&entry.tags), Pairs::encode(&entry.annotations));
        let mark = Record::Mark(Mark {
            stream: subject.state.number,
            id,
            updated_at: now,
            tags: Tags(&tags),
            annotations: Pairs(&annotations),
        });
        turn.commit(now, &[mark], Changed::new())
    }
}

impl Turn<'_> {
    /// The entry, if a read at `now` would return it.
    fn visible_entry(
        &self,
        subject: &super::write::writer::Subject,
        id: u64,
        now: Timestamp,
    ) -> Result<Entry<u64>> {
        let view = self.view();
        let reading = Reading {
            view: &view,
            name: &subject.name,
            state: &subject.state,
            now,
        };
        let mut options = ReadOptions::new().limit(1).after(id.checked_sub(1));
        options.before = id.checked_add(1);
        let page = reading.page(&options)?;
        let found = page.entries.into_iter().find(|entry| entry.id == id);
        Ok(found.ok_or_else(|| not_found(&subject.name, id))?)
    }
}

/// The number of the id in an error.
fn not_found(stream: &StreamName, id: u64) -> Error {
    Error::EntryNotFound {
        stream: stream.clone(),
        id: id.to_string(),
    }
}
