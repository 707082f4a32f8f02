//! The names of streams: listing and renaming.

use std::sync::Arc;

use ledger_core::{Error, StreamName};

use super::read::view::View;
use super::shared::Shared;
use super::streams::StreamState;
use super::write::put::record_bytes_max;
use super::write::writer::{Subject, Turn};
use crate::disk::Patience;
use crate::error::Result;
use crate::fault::{Mistake, is_planted};
use crate::format::{FRAME_OVERHEAD_BYTES_MAX, Position, Record};

/// How many names are looked at in one go.
const NAMES_MAX: usize = if cfg!(test) { 2 } else { 256 };

impl Shared {
    /// The log and a stream in it, as readers see both at one moment. None: there is no such stream.
    pub(super) fn seen(
        &self,
        name: &StreamName,
        patience: Patience,
    ) -> Result<(View<'_>, Option<StreamState>)> {
        self.refresh(patience)?;
        let (view, state) = {
            let scene = self.scene();
            let state = scene.streams.state(name);
            let picture = Arc::clone(&scene.picture);
            let view = View::new(self, picture, scene.visible, patience);
            (view, state)
        };
        match state {
            Some(_) => Ok((view, state)),
            None => self.look_up(&view, name).map(|state| (view, state)),
        }
    }

    /// A stream as `view` shows it.
    fn seen_in(&self, view: &View<'_>, name: &StreamName) -> Result<Option<StreamState>> {
        let scene = self.scene();
        let state = scene.streams.state(name);
        let is_of_view = scene.visible == view.end();
        drop(scene);
        match state.filter(|_| is_of_view) {
            Some(state) => Ok(Some(state)),
            None => self.look_up(view, name),
        }
    }

    fn look_up(&self, view: &View<'_>, name: &StreamName) -> Result<Option<StreamState>> {
        let state = view.stream(name.as_str())?;
        if let Some(state) = state {
            self.remember(name, state, view.end());
        }
        Ok(state)
    }

    /// Remembers a stream that was looked up in what lies before `end`, unless there is anything behind that: also if
    /// nobody saw it when that began, as a renaming that was on its way to the disk.
    fn remember(&self, name: &StreamName, state: StreamState, end: Position) {
        let mut scene = self.scene_mut();
        let is_newest = scene.end == end && scene.visible == end;
        if (is_newest || is_planted(Mistake::OldStateRemembered))
            && scene.streams.state(name).is_none()
        {
            scene.streams.insert(name.clone(), state);
        }
    }

    /// Lists up to `limit` streams that hold entries, behind the name `after`.
    pub(super) fn list(
        &self,
        after: Option<&StreamName>,
        limit: usize,
        patience: Patience,
    ) -> Result<Vec<StreamName>> {
        self.refresh(patience)?;
        let view = self.view(patience);
        let mut listed = Vec::new();
        let mut after = after.map(|name| name.as_str().to_owned());
        while listed.len() < limit {
            let names = view.look().names(after.as_deref(), NAMES_MAX)?;
            after = names.last().cloned();
            let is_last = names.len() < NAMES_MAX;
            for name in names {
                let name = StreamName::from(name);
                let state = self.seen_in(&view, &name)?;
                if state.is_some_and(|state| state.first().is_some()) {
                    listed.push(name);
                }
            }
            if is_last {
                break;
            }
        }
        listed.truncate(limit);
        Ok(listed)
    }

    /// Renames a stream.
    pub(super) fn rename(&self, from: &StreamName, to: &StreamName) -> Result<()> {
        let mut turn = self.turn(Patience::Wait)?;
        let now = self.now();
        let subject = turn.find(from)?.filter(|subject| subject.state.head > 0);
        let Some(subject) = subject else {
            return Err(Error::StreamNotFound {
                stream: from.clone(),
            }
            .into());
        };
        if from == to {
            return Ok(());
        }
        if let Some(other) = turn.find(to)?
            && turn.is_in_use(&other)?
        {
            return Err(Error::StreamExists { stream: to.clone() }.into());
        }
        // What is under way is remembered, and could not be forgotten.
        turn.drain()?;
        let record = Record::Rename {
            stream: subject.state.number,
            from: from.as_str(),
            to: to.as_str(),
        };
        turn.make_room(FRAME_OVERHEAD_BYTES_MAX + record_bytes_max(&record))?;
        turn.write_records(now, &[record]);
        turn.put_renaming([from, to])?;
        turn.drain()?;
        self.followers.wake(to);
        Ok(())
    }
}

impl Turn<'_> {
    /// Whether nobody else may have the stream's name.
    fn is_in_use(&self, subject: &Subject) -> Result<bool> {
        if subject.state.head > 0 {
            return Ok(true);
        }
        let view = self.view();
        Ok(!super::checkpoints::list(&view, subject.state.number, None, 1)?.is_empty())
    }
}
